"""Folding a few visits and reading off what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

from shared.accounting.check import member_standings, whole_history
from shared.domain.adjudication import adjudicate
from shared.domain.determination import Determination, MemberStanding, determine_from_visits
from shared.domain.history import History, MemberState
from shared.domain.hold import Hold, Override
from shared.domain.records import CounterImage, MemberRef
from shared.domain.service import Service, ServiceLine
from shared.domain.visit import Visit
from tests.builders import history, service
from tests.rules import SimpleRules

DAY = date(2026, 3, 4)


def decided(
    tx: Any,
    rules: Any,
    images: Mapping[MemberRef, CounterImage],
    ref: MemberRef,
    asked: Service,
) -> Determination:
    """What a check of a member would be answered now, of whom these counters were read."""
    current, standings = member_standings(tx, rules, images, [ref], [asked.service_date])
    found, _ = determine_from_visits(current, standings[ref], asked, None, partial(whole_history, tx, ref))
    return found


def fold(*visits: Visit, rules: dict[str, Any] | None = None, **about: Any) -> MemberState:
    """The state of a member with these visits, under plain rules."""
    return adjudicate(history(visits=visits, **about), SimpleRules(rules))


def dispositions(state: MemberState) -> dict[str, str]:
    """What became of each visit, by its id."""
    return {key.visit_id: outcome.disposition for key, outcome in sorted(state.visits.items())}


def counted(state: MemberState) -> list[str]:
    """The visits that were counted, whole or in part."""
    return [name for name, what in dispositions(state).items() if what in {"counted", "partially_counted"}]


def used(state: MemberState) -> dict[str, int]:
    """What is used of each limit, over all its accumulators."""
    units: dict[str, int] = {}
    for key, accumulator in state.accumulators.items():
        units[key.limit_id] = units.get(key.limit_id, 0) + accumulator.used
    return units


def used_by_period(state: MemberState, limit_id: str = "dry-needling") -> dict[str, int]:
    """What is used in each period of a limit that something is used in, by the period's first date."""
    return {
        key.period.start.isoformat(): accumulator.used
        for key, accumulator in sorted(state.accumulators.items())
        if key.limit_id == limit_id and accumulator.used
    }


def reasons(state: MemberState, visit_id: str) -> list[str]:
    """The codes of why a visit is what it is."""
    outcome = next(outcome for key, outcome in state.visits.items() if key.visit_id == visit_id)
    return [reason.code for reason in outcome.reasons]


def hold(
    hold_id: str = "h1",
    on: date = DAY,
    *,
    arrival: int = 1,
    quantity: int = 1,
    ended: Any = None,
    **about: Any,
) -> Hold:
    """A hold on one session; `ended` is (arrival of its end, how)."""
    ended_by, end_state = ended or (None, None)
    return Hold(
        hold_id=hold_id,
        arrival=arrival,
        service=service(on, **about),
        quantity=quantity,
        ended_by=ended_by,
        end_state=end_state,
    )


def override(quantity: int = 1, on: date = DAY, **about: Any) -> Override:
    """Units granted on top of the dry needling limit in the period of a date."""
    fields: dict[str, Any] = {"override_id": "o1", "limit_id": "dry-needling"}
    return Override(**{**fields, "quantity": quantity, "service_date": on, **about})


def lines(*codes_and_quantities: tuple[str, int]) -> tuple[ServiceLine, ...]:
    """Lines of so many units each."""
    return tuple(
        ServiceLine(procedure_code=code, quantity=quantity) for code, quantity in codes_and_quantities
    )


def ask(about: History, rules: dict[str, Any] | None = None, on: date = DAY, **asked: Any) -> Determination:
    """What a check of one session answers, from the state that a history adds up to."""
    running = SimpleRules(rules)
    state = adjudicate(about, running)
    standing = MemberStanding(
        history=History(
            payer_id=about.payer_id,
            member_id=about.member_id,
            spans=about.spans,
            plans=about.plans,
            overrides=about.overrides,
            opening_balances=about.opening_balances,
        ),
        accumulators=tuple(state.accumulators.values()),
        hold_postings={name: outcome.postings for name, outcome in state.holds.items()},
    )
    hold_id = asked.pop("hold_id", None)
    found, _ = determine_from_visits(running, standing, service(on, **asked), hold_id, lambda: about)
    return found
