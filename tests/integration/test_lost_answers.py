"""COMMITs, and answers to them, that get lost between a service and PostgreSQL.

Whoever waits is told in time that nothing is known, never something wrong; sent again, it has its effect
once (I1, I2, I13).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
import pytest

from services.counter_worker.ports import Tools
from services.counter_worker.usecases.expire_holds import expire_holds
from shared.accounting.drain import drain_shards
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.connection import connect
from shared.domain.errors import StoreUnavailable
from shared.messages import shard_of
from tests.api_service import Api, check, enrollments, event, serving
from tests.builders import MEMBER, PAYER
from tests.offices import worker_tools
from tests.postgres_proxy import Fault, PostgresProxy
from tests.servers import Postgres, Server
from tests.waiting import wait_for

ANSWER_SECONDS_MAX = 5.0
GRANT = {
    "payer_id": PAYER,
    "member_id": MEMBER,
    "limit_id": "dry-needling",
    "service_date": "2026-03-04",
    "quantity": 1,
    "approver": "desk",
    "reason": "appeal won",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as a client may send it again, and what counts its effects."""

    path: str
    body: Any = None
    data: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    role: str = "ehr"
    status: int
    effects: str
    expected: int = 1

    def send(self, api: Api) -> Any:
        """Send it, once more each time."""
        kind = "application/json" if self.data is None else "application/x-ndjson"
        return api.post(
            self.path, self.body, data=self.data, content_type=kind, headers=self.headers, role=self.role
        )


def requests(number: int) -> dict[str, Request]:
    """A request of each kind that commits something; each `number` names others."""
    events = [event(number * 1_000 + n) for n in range(1, 30)]
    key = {"Idempotency-Key": f"k{number}"}
    return {
        "event": Request(
            path="/v1/visit-events",
            body=event(number),
            status=202,
            effects=f"select count(*) from visit_event where event_id = 'e{number}'",
        ),
        "batch": Request(
            path="/v1/visit-events/batch",
            body={"events": [event(number * 10_000), event(number * 10_000 + 1)]},
            status=200,
            effects=f"select count(*) from visit_event where event_id in ('e{number}0000', 'e{number}0001')",
            expected=2,
        ),
        "bulk": Request(
            path="/v1/visit-events/bulk",
            data=b"".join(orjson.dumps(one) + b"\n" for one in events),
            status=200,
            effects="select count(*) from visit_event where substr(event_id, 2)::int"
            f" between {number * 1_000 + 1} and {number * 1_000 + 29}",
            expected=29,
        ),
        "hold": Request(
            path="/v1/holds",
            body=check(service_date="2098-01-01"),
            headers=key,
            status=201,
            effects=f"select count(*) from hold where idempotency_key = 'k{number}'",
        ),
        "override": Request(
            path="/v1/overrides",
            body=GRANT,
            headers=key,
            role="admin",
            status=201,
            effects=f"select count(*) from override_grant where idempotency_key = 'k{number}'",
        ),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A service that reaches its database through the proxy, and the database as it is."""

    api: Api
    proxy: PostgresProxy
    redis_url: str

    def count(self, query: str) -> int:
        """What a query counts, past the proxy."""
        return int(self.api.installation.rows(query)[0][0])


@pytest.fixture(scope="module")
def place(postgres: Postgres, valkey: Server) -> Iterator[Place]:
    """One service for all tests of this module; each speaks of other events."""
    with (
        postgres.database("lost_answers") as url,
        PostgresProxy(url).running() as proxy,
        serving(url, valkey.url, behind=proxy.url) as api,
    ):
        plan = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
        assert api.put(f"/v1/payers/{PAYER}/plans/employer", plan).status_code == 201
        assert api.put("/v1/enrollments", enrollments()).status_code == 200
        # The catalog is read once, in a transaction beside; here it is not what is tried.
        assert api.post("/v1/eligibility-checks", check()).status_code == 201
        yield Place(api=api, proxy=proxy, redis_url=valkey.url)


FAULTS: tuple[Fault, ...] = ("drop_reply", "lose_commit", "cut_statement")
CASES = [(fault, kind) for fault in FAULTS for kind in requests(0)]


@pytest.mark.parametrize(("fault", "kind"), CASES, ids=str)
def test_lost_commit_is_indeterminate_and_sent_again_counts_once(
    place: Place, fault: Fault, kind: str
) -> None:
    """503 in time, whether or not it was committed; the same request then has its one effect."""
    request = requests(CASES.index((fault, kind)) + 1)[kind]
    place.proxy.arm(fault)
    began = time.monotonic()
    first = request.send(place.api)
    assert time.monotonic() - began < ANSWER_SECONDS_MAX
    assert place.proxy.struck == 1
    if fault == "cut_statement" and first.status_code == request.status:
        # What was cut was a look that the call can do without, such as the one at the backlog.
        committed = request.expected
    else:
        assert first.status_code == 503
        assert first.get_json(force=True)["type"] == "/problems/indeterminate"
        assert int(first.headers["Retry-After"]) > 0
        committed = request.expected if fault == "drop_reply" else 0
    assert place.count(request.effects) == committed
    assert request.send(place.api).status_code == request.status
    assert request.send(place.api).status_code == request.status
    assert place.count(request.effects) == request.expected


@pytest.mark.parametrize("fault", ["mute_reply", "mute_commit"])
def test_silent_connection_is_given_up_in_time(place: Place, fault: Fault) -> None:
    """Half-open connections, of all requests at once: 503 within five seconds, and one effect each."""
    sent = requests(40 if fault == "mute_reply" else 41)
    place.proxy.arm(fault, times=1_000)

    def timed(request: Request) -> tuple[Any, float]:
        began = time.monotonic()
        return request.send(place.api), time.monotonic() - began

    for request in sent.values():
        place.api.installation.key(request.role)
    with ThreadPoolExecutor(len(sent)) as pool:
        answers = list(pool.map(timed, sent.values()))
    assert {answer.status_code for answer, _ in answers} == {503}
    assert max(seconds for _, seconds in answers) < ANSWER_SECONDS_MAX
    place.proxy.disarm()
    for request in sent.values():
        wait_for(lambda: request.send(place.api).status_code == request.status)  # noqa: B023 - asked before the next turn
        assert place.count(request.effects) == request.expected


@pytest.fixture
def tools(place: Place) -> Iterator[Tools]:
    """A worker's tools, behind the proxy too."""
    database = PostgresDatabase(place.proxy.url, connections_max=2)
    client = connect(place.redis_url)
    yield worker_tools(database, client)
    database.close()
    client.close()


def struck(proxy: PostgresProxy, fault: Fault, work: Callable[[], object]) -> None:
    """Have the work meet the fault; it then says that the store cannot answer."""
    proxy.arm(fault)
    with pytest.raises(StoreUnavailable):
        work()
    assert proxy.struck == 1


def drain(tools: Tools, shard: int) -> int:
    """Drain one shard; how many events were applied."""
    return drain_shards(tools.store, tools.rules, tools.clock, [shard], tools.batch_max).applied


@pytest.mark.parametrize("fault", FAULTS)
def test_drain_that_lost_its_commit_applies_each_event_once(place: Place, tools: Tools, fault: Fault) -> None:
    """Whether or not the batch was committed: drained again, each event has counted once."""
    number = 500 + FAULTS.index(fault)
    member, shard = f"SAMPLE-LOST-{number}", shard_of(PAYER, f"SAMPLE-LOST-{number}")
    place.api.put("/v1/enrollments", enrollments(member_id=member))
    for n in range(5):
        body = event(number * 100 + n, member_id=member)
        assert place.api.post("/v1/visit-events", body).status_code == 202
    struck(place.proxy, fault, lambda: drain(tools, shard))
    # The server may take a moment to find out that the session is over, which holds the shard until then.
    wait_for(lambda: drain(tools, shard) == (0 if fault == "drop_reply" else 5))
    assert drain(tools, shard) == 0
    rows = place.api.installation.rows(
        "select used, version, (select count(*) from ledger_entry l where l.member_id = a.member_id)"
        " from accumulator a where member_id = %s",
        member,
    )
    assert rows == [(5, 5, 5)]


def test_expiry_that_lost_its_commit_ends_each_hold_once(place: Place, tools: Tools) -> None:
    """The hold is expired, whatever the worker was told, and its unit is given back once."""
    member = "SAMPLE-LOST-HOLD"
    place.api.put("/v1/enrollments", enrollments(member_id=member))
    body = check(service_date="2098-01-01", member_id=member)
    assert place.api.post("/v1/holds", body, headers={"Idempotency-Key": "due"}).status_code == 201
    place.api.installation.write("update hold set expires_at = now() where idempotency_key = 'due'")
    struck(place.proxy, "drop_reply", lambda: expire_holds(tools))
    expire_holds(tools)
    with psycopg.connect(place.api.installation.database_url) as connection:
        held = connection.execute(
            "select h.state, a.held, a.version from hold h join accumulator a using (member_id)"
            " where idempotency_key = 'due'"
        ).fetchall()
    assert held == [("expired", 0, 2)]
