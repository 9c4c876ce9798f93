"""A person with two coverages: each payer counts what it is told, by its own rules alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from services.counter_worker.usecases.sweep import sweep
from services.coverage_api.usecases.record_visit_events import record_visit_events
from shared.ports import nobody_waits
from tests.machine.scene import LIMITS
from tests.machine.subject import Subject, report_of
from tests.machine.told import Row, Told
from tests.model.contents import content, line
from tests.rules import plain_rules
from tests.traffic import PLANS

MEMBER = "SAMPLE-1"
CONTENT = content(MEMBER, date(2026, 3, 4), lines=[line("20560", 2)])


@pytest.fixture
def subject(database_url: str, redis_url: str) -> Iterator[Subject]:
    """A service."""
    made = Subject(database_url, redis_url)
    yield made
    made.close()


def payer_with(subject: Subject, plan_id: str) -> str:
    """A payer who knows the person under the same member id, enrolled in this plan."""
    spans = [{"plan": plan_id, "start": date(2020, 1, 1), "end": None}]
    told = Told(rules=plain_rules(*LIMITS), plans={**PLANS}, members=[MEMBER], spans={MEMBER: spans})
    payer = subject.settle_in(told)
    subject.change_rules(told.rules, [payer])
    return payer


def send(subject: Subject, payer: str, event_id: str, kind: str, content: Row | None) -> None:
    """Report visit v1 to a payer, and have it applied."""
    row = {"type": kind, "visit_id": "v1", "content": content}
    record_visit_events(subject.api, [report_of(subject, payer, ("c", event_id), row)], nobody_waits)
    sweep(subject.worker)


def used(subject: Subject, payer: str) -> list[Any]:
    """(limit, used) of what is used with a payer."""
    return subject.rows(
        "select limit_id, used from accumulator where payer_id = %s and used > 0 order by 1", payer
    )


def test_each_payer_counts_by_its_own_rule(subject: Subject) -> None:
    """E43: one visit, told to both, is a visit of the one's limit and two units of the other's."""
    primary, secondary = payer_with(subject, "by-arrival"), payer_with(subject, "units")
    send(subject, primary, "to-primary", "visit.recorded", CONTENT)
    assert (used(subject, primary), used(subject, secondary)) == ([("needling", 1), ("pool", 1)], [])
    send(subject, secondary, "to-secondary", "visit.recorded", CONTENT)
    assert used(subject, secondary) == [("needling", 2), ("pool", 1)]
    send(subject, primary, "void-at-primary", "visit.voided", None)
    assert (used(subject, primary), used(subject, secondary)) == ([], [("needling", 2), ("pool", 1)])
