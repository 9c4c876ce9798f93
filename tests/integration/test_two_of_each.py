"""Two API processes and two worker processes on one database and one Redis count as exactly as one."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.operator_cli.runner import ports
from shared.domain.records import MemberRef
from tests.api_service import Installation, event
from tests.builders import PAYER
from tests.crashes import processes
from tests.crashes.processes import Servers
from tests.crashes.site import PLAN, Request, Site, opened
from tests.model.contents import content
from tests.model.reference import reference
from tests.rules import limit_row, plain_rules
from tests.waiting import wait_for

Json = dict[str, Any]

ALLOWED = 20
#: One member about whom everybody speaks at once, and many.
HOT_VISITS, HOT_SENDERS = 48, 3
MEMBERS, VISITS, BATCH = 12, 22, 30
VOIDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A site, and where its two APIs listen."""

    site: Site
    ports: tuple[int, int]

    def send(self, port: int, path: str, body: Json) -> Any:
        """One call of one of the APIs, which has to take it."""
        answer = self.site.send(Request(method="POST", path=path, body=body), port)
        assert answer is not None
        assert answer.status in {200, 202}, answer.body
        return answer.body

    def settled(self) -> bool:
        """Whether everything is applied and shown."""
        return not self.site.count(
            "select (select count(*) from visit_event_waiting) + (select count(*) from counter_outbox)"
        )


@pytest.fixture
def pair(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Pair]:
    """Two APIs and two workers, each a process of its own."""
    installation = Installation(database_url)
    installation.load_catalog()
    # Made here, once, and not by whichever thread asks first.
    installation.key("ehr")
    servers = Servers(database_url=database_url, redis_url=redis_url)
    first, second = ports.choose(None), ports.choose(None)
    with contextlib.ExitStack() as stack:
        stack.callback(installation.close)
        for port in (first, second):
            stack.enter_context(processes.api(servers, port))
        for _ in range(2):
            stack.enter_context(processes.worker(servers))
        site = stack.enter_context(opened(servers, installation, tmp_path, first))
        yield Pair(site=site, ports=(first, second))


def test_two_apis_and_two_workers_count_as_one(pair: Pair) -> None:
    """Every event comes through both APIs, from many threads: one effect each, and nothing over a limit."""
    hot, *others = [pair.site.enroll(f"SAMPLE-PAIR-{number}") for number in range(MEMBERS + 1)]
    about_hot = [_visit(hot, number) for number in range(HOT_VISITS)]
    about_many = [_visit(ref, number) for ref in others for number in range(VISITS)]
    with ThreadPoolExecutor(max_workers=2 * HOT_SENDERS + 2) as pool:
        at_work = [
            pool.submit(_send_singly, pair, port, about_hot[sender::HOT_SENDERS])
            for port in pair.ports
            for sender in range(HOT_SENDERS)
        ]
        at_work += [pool.submit(_send_in_batches, pair, port, about_many) for port in pair.ports]
        for one in at_work:
            one.result()
    wait_for(pair.settled)
    _is_right(pair, hot, others, [*about_hot, *about_many])
    # Voids come through both as well; the units go to the next in order.
    voids = [_void(number) for number in range(VOIDS)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda port: _send_singly(pair, port, voids), pair.ports))
    wait_for(pair.settled)
    _is_right(pair, hot, others, [*about_hot, *about_many, *voids])


def _visit(ref: MemberRef, number: int) -> Json:
    ids = {"event_id": f"{ref.member_id}-{number}", "visit_id": f"{ref.member_id}-{number}"}
    on = date(2026, 1, 5) + timedelta(days=number)
    return {**event(number), **ids, "member_id": ref.member_id, "service_date": on.isoformat()}


def _void(number: int) -> Json:
    return {
        "event_id": f"void-{number}",
        "type": "visit.voided",
        "visit_id": f"SAMPLE-PAIR-0-{number}",
        "payer_id": PAYER,
    }


def _send_singly(pair: Pair, port: int, events: list[Json]) -> None:
    for one in random.Random(port).sample(events, len(events)):
        pair.send(port, "/v1/visit-events", one)


def _send_in_batches(pair: Pair, port: int, events: list[Json]) -> None:
    shuffled = random.Random(port).sample(events, len(events))
    for at in range(0, len(shuffled), BATCH):
        results = pair.send(port, "/v1/visit-events/batch", {"events": shuffled[at : at + BATCH]})["results"]
        assert {result["status"] for result in results} == {202}


def _is_right(pair: Pair, hot: MemberRef, others: list[MemberRef], events: list[Json]) -> None:
    """Each event once; units as counted by hand, by the model and by a rebuild; both APIs say so."""
    site = pair.site
    assert site.count("select count(*) from visit_event_in_full where status = 'applied'") == len(events)
    assert site.taken(hot)[:2] == (ALLOWED, 0)
    assert {site.taken(ref)[:2] for ref in others} == {(ALLOWED, 0)}
    stored = dict(site.installation.rows("select visit_id, disposition from visit"))
    asked = reference(_world(pair, [hot, *others], events))["visits"]
    assert stored == {visit_id: said["disposition"] for (_, visit_id), said in asked.items()}
    assert Counter(stored.values())["counted"] == ALLOWED * (MEMBERS + 1)
    assert [site.faults(ref) for ref in (hot, *others)] == [[]] * (MEMBERS + 1)
    question = {"payer_id": PAYER, "member_id": hot.member_id, "service_date": "2026-12-31"}
    answers = [pair.send(port, "/v1/accumulators/search", question)["accumulators"] for port in pair.ports]
    assert answers[0] == answers[1]
    assert [(one["used"], one["remaining"]) for one in answers[0]] == [(ALLOWED, 0)]


def _world(pair: Pair, refs: list[MemberRef], events: list[Json]) -> Json:
    """What was sent, in the order in which it arrived, as the model takes it."""
    arrivals = dict(pair.site.installation.rows("select event_id, arrival from visit_event"))
    spans = [{"plan": "employer", "start": date(2020, 1, 1), "end": None}]
    year = {"region": None, "plan_year_start": "01-01", "contract_start": None, "carry_over": "none"}
    return {
        "rules": plain_rules(limit_row(allowed=ALLOWED)),
        "plans": {"employer": {**PLAN, **year}},
        "members": {ref.member_id: {"spans": spans, "openings": []} for ref in refs},
        "events": [
            {
                "client": "c",
                "visit_id": one["visit_id"],
                "type": one["type"],
                "received_on": date(2026, 3, 4),
                "content": _content(one) if one["type"] == "visit.recorded" else None,
                "arrival": arrivals[one["event_id"]],
            }
            for one in events
        ],
        "holds": [],
        "overrides": [],
        "decisions": {},
    }


def _content(said: Json) -> Json:
    return content(said["member_id"], date.fromisoformat(said["service_date"]), state=said["state"])
