"""One commit for the requests of several callers: durable first, walls between them, faults kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from shared.ports import Sent
from tests.api_service import Api, Json, check, event
from tests.builders import MEMBER, PAYER
from tests.waiting import wait_for

ANSWER_SECONDS_MAX = 30.0
CALLERS = 12
#: Where each kind of request is stored, the path it goes to and what it is.
KINDS: dict[str, tuple[str, str, Callable[..., Json]]] = {
    "check": ("determination", "/v1/eligibility-checks", lambda _, **changes: check(**changes)),
    "event": ("visit_event", "/v1/visit-events", event),
}


@contextmanager
def held_back(api: Api, table: str) -> Iterator[psycopg.Connection[Any]]:
    """Nothing can be stored in a table while the block runs, so that requests pile up."""
    with psycopg.connect(api.installation.database_url) as connection:
        connection.execute(f"lock table {table} in share row exclusive mode")
        yield connection


def blocked(connection: psycopg.Connection[Any]) -> list[int]:
    """The database's processes that wait for a lock on a table."""
    rows = connection.execute("select pid from pg_locks where not granted and locktype = 'relation'")
    return [pid for (pid,) in rows]


def all_ended(connection: psycopg.Connection[Any], futures: list[Future[TestResponse]]) -> bool:
    """Whether every request is over, having ended whatever transaction of theirs waits now."""
    connection.execute(
        "select pg_terminate_backend(pid) from unnest(%s::int[]) as pid", [blocked(connection)]
    )
    return all(future.done() for future in futures)


def pile_up(
    api: Api, pool: ThreadPoolExecutor, kind: str, requests: list[Json]
) -> list[Future[TestResponse]]:
    """Have these requests come while nothing can be stored; the first of them are already trying."""
    table, path, _ = KINDS[kind]
    api.installation.key("ehr")
    taken = counted(_gathering(api, kind))
    with held_back(api, table) as connection:
        futures = [pool.submit(api.post, path, **request) for request in requests]
        wait_for(lambda: all_wait(api, kind, connection, taken, len(requests)))
        connection.rollback()
    return futures


def _gathering(api: Api, kind: str) -> Any:
    """What puts requests of a kind together, to see who waits in it."""
    return api.service.parts.checks if kind == "check" else api.service.parts.reports


def counted(gathering: Any) -> list[int]:
    """How many requests each transaction takes from now on."""
    taken: list[int] = []
    answer_all = gathering._answer_all

    def answer_counted(questions: Sequence[Any], sent: Sent) -> Any:
        taken.append(len(questions))
        return answer_all(questions, sent)

    gathering._answer_all = answer_counted
    return taken


def all_wait(api: Api, kind: str, connection: psycopg.Connection[Any], taken: list[int], count: int) -> bool:
    """Whether so many requests wait: led into a transaction that cannot be stored, or for one to come."""
    gathering = _gathering(api, kind)
    all_blocked = len(blocked(connection)) == len(gathering._leaders)
    return all_blocked and sum(taken) + len(gathering._waiting) == count


def commits(api: Api, table: str) -> int:
    """How many transactions stored the rows that a table has."""
    ((found,),) = api.installation.rows(f"select count(distinct xmin::text) from {table}")
    return int(found)


@pytest.mark.parametrize("kind", KINDS)
def test_requests_that_come_together_share_a_commit_and_are_stored_before_they_are_answered(
    api: Api, kind: str
) -> None:
    """Whoever has an answer finds it in Postgres at once (I1), and there are fewer commits than requests."""
    table, _, body = KINDS[kind]
    name = f"{kind}_id"

    def answered(future: Future[TestResponse]) -> None:
        answer = future.result(ANSWER_SECONDS_MAX)
        assert answer.status_code in {201, 202}
        found = api.installation.rows(f"select from {table} where {name} = %s", answer.get_json()[name])
        assert len(found) == 1

    with ThreadPoolExecutor(2 * CALLERS) as pool:
        requests: list[Json] = [{"body": body(number)} for number in range(CALLERS)]
        futures = pile_up(api, pool, kind, requests)
        for checked in [pool.submit(answered, future) for future in futures]:
            checked.result(ANSWER_SECONDS_MAX)
    assert api.installation.rows(f"select count(*) from {table}") == [(CALLERS,)]
    assert commits(api, table) < CALLERS


@pytest.mark.parametrize("kind", KINDS)
def test_commit_that_fails_answers_nobody(api: Api, kind: str) -> None:
    """No caller of a lost transaction gets a 2xx, and nothing of it is stored."""
    table, path, body = KINDS[kind]
    api.installation.key("ehr")
    taken = counted(_gathering(api, kind))
    with ThreadPoolExecutor(CALLERS) as pool:
        with held_back(api, table) as connection:
            futures = [pool.submit(api.post, path, body(number)) for number in range(CALLERS)]
            wait_for(lambda: all_wait(api, kind, connection, taken, CALLERS))
            wait_for(lambda: all_ended(connection, futures))
        answers = [future.result(ANSWER_SECONDS_MAX) for future in futures]
    assert {answer.status_code for answer in answers} == {503}
    assert api.installation.rows(f"select count(*) from {table}") == [(0,)]


@pytest.mark.parametrize("kind", KINDS)
def test_request_that_breaks_a_commit_breaks_its_own_alone(api: Api, kind: str) -> None:
    """One that the database refuses fails; those it was put together with are stored and answered."""
    table, _, body = KINDS[kind]
    column = "request ->> 'state'" if kind == "check" else "content ->> 'state'"
    api.installation.write(f"alter table {table} add constraint breaks check ({column} <> 'MN')")
    with ThreadPoolExecutor(CALLERS) as pool:
        requests: list[Json] = [
            {"body": body(number, state="MN" if number == CALLERS // 2 else "WI")}
            for number in range(CALLERS)
        ]
        futures = pile_up(api, pool, kind, requests)
        answers = [future.result(ANSWER_SECONDS_MAX).status_code for future in futures]
    assert answers.count(500) == 1
    assert answers[CALLERS // 2] == 500
    assert api.installation.rows(f"select count(*) from {table}") == [(CALLERS - 1,)]


@pytest.mark.parametrize("kind", KINDS)
def test_walls_stand_between_requests_that_share_a_commit(api: Api, kind: str) -> None:
    """Each row is its own client's and payer's; who names a payer it was not granted gets 404 (I9)."""
    table, _, body = KINDS[kind]
    ours, theirs = (api.installation.key("ehr", payer, name=payer) for payer in (PAYER, "medicare"))
    requests: list[Json] = []
    for number in range(CALLERS // 2):
        requests.append({"body": body(2 * number), "key": ours})
        requests.append({"body": body(2 * number + 1, payer_id="medicare"), "key": theirs})
    with ThreadPoolExecutor(CALLERS) as pool:
        futures = pile_up(api, pool, kind, requests)
        for future in futures:
            assert future.result(ANSWER_SECONDS_MAX).status_code in {201, 202}
        _, path, _ = KINDS[kind]
        foreign = pool.submit(api.post, path, body(100, payer_id="medicare"), key=ours)
        assert foreign.result(ANSWER_SECONDS_MAX).status_code == 404
    found = api.installation.rows(
        f"select c.name, t.payer_id, count(*) from {table} t join client c using (client_id)"
        " group by 1, 2 order by 1"
    )
    assert found == [("medicare", "medicare", CALLERS // 2), (PAYER, PAYER, CALLERS // 2)]


def test_shared_commit_shows_nobody_what_another_may_see(api: Api) -> None:
    """A client's old event of a payer it has lost stays hidden, though others of the batch see that payer."""
    key = api.installation.key("ehr", PAYER, "medicare", name="two-payers")
    assert api.post("/v1/visit-events", event(0), key=key).status_code == 202
    api.installation.write("update client set payers = %s where name = 'two-payers'", ["medicare"])
    requests: list[Json] = [{"body": event(number)} for number in range(1, CALLERS)]
    requests.insert(CALLERS // 2, {"body": event(0, payer_id="medicare"), "key": key})
    with ThreadPoolExecutor(CALLERS) as pool:
        futures = pile_up(api, pool, "event", requests)
        answers = [future.result(ANSWER_SECONDS_MAX) for future in futures]
    hidden = answers.pop(CALLERS // 2)
    assert hidden.status_code == 409
    assert MEMBER not in hidden.get_data(as_text=True)
    assert "received_at" not in hidden.get_json(force=True)
    assert {answer.status_code for answer in answers} == {202}


def test_same_event_from_two_callers_of_one_commit_is_accepted_once(api: Api) -> None:
    """One of them is the replay (I2)."""
    requests: list[Json] = [{"body": event(number // 2)} for number in range(CALLERS)]
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = [future.result(ANSWER_SECONDS_MAX) for future in pile_up(api, pool, "event", requests)]
    assert {answer.status_code for answer in answers} == {202}
    replays = [answer for answer in answers if answer.headers.get("Idempotent-Replay") == "true"]
    assert len(replays) == CALLERS // 2
    assert api.installation.rows("select count(*) from visit_event") == [(CALLERS // 2,)]


def test_key_revoked_between_two_calls_opens_no_door(api: Api) -> None:
    """Look-ups of keys are shared too, but each begins after its caller came."""
    key = api.installation.key("ehr", name="to-revoke")
    assert api.post("/v1/eligibility-checks", check(), key=key).status_code == 201
    api.installation.write("update client set revoked_at = now() where name = 'to-revoke'")
    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(api.post, "/v1/eligibility-checks", check(), key=key) for _ in range(CALLERS)]
        assert {future.result(ANSWER_SECONDS_MAX).status_code for future in futures} == {401}
