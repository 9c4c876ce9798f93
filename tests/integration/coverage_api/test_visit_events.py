"""Events are accepted once for ever, and their receipts tell what became of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from services.coverage_api.bootstrap import build
from tests.api_service import Api, Installation, check, event, settings_for
from tests.builders import PAYER


def test_event_sent_again_is_a_replay(api: Api) -> None:
    """The same payload gets the receipt as it stands, and counts once (I2)."""
    first = api.post("/v1/visit-events", event(1))
    assert "Idempotent-Replay" not in first.headers
    api.installation.drain()
    again = api.post("/v1/visit-events", event(1, self_pay=False))
    assert again.status_code == 202
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.get_json()["status"] == "applied"
    assert again.get_json()["received_at"] == first.get_json()["received_at"]
    assert api.installation.drain() == 0


def test_event_id_with_another_payload_is_a_conflict(api: Api) -> None:
    """The first payload stays; the second changes nothing."""
    api.post("/v1/visit-events", event(1))
    refused = api.post("/v1/visit-events", event(1, service_date="2026-03-05"))
    assert refused.status_code == 409
    assert refused.get_json()["type"] == "/problems/event_conflict"
    assert api.installation.rows("select content ->> 'service_date' from visit_event") == [("2026-03-04",)]


def test_event_id_of_another_payer_is_a_conflict_that_tells_nothing(api: Api) -> None:
    """A client that lost a payer learns no more of its old events than that the id is taken."""
    key = api.installation.key("ehr", PAYER, "medicare", name="two-payers")
    api.post("/v1/visit-events", event(1), key=key)
    api.installation.write("update client set payers = %s where name = 'two-payers'", ["medicare"])
    assert api.post("/v1/visit-events", event(1, payer_id="medicare"), key=key).status_code == 409
    assert api.get("/v1/visit-events/e1", key=key).status_code == 404


def test_clients_have_their_own_event_ids(api: Api) -> None:
    """Two clients may call two events the same."""
    other = api.installation.key("ehr", name="other-ehr")
    assert api.post("/v1/visit-events", event(1)).status_code == 202
    assert api.post("/v1/visit-events", event(1, service_date="2026-04-01"), key=other).status_code == 202
    assert api.installation.rows("select count(*) from visit_event") == [(2,)]


def test_event_twice_in_a_batch_is_accepted_once(api: Api) -> None:
    """The second is a replay, or a conflict if it says something else."""
    events = [event(1), event(2), event(1), event(1, state="MN")]
    results = api.post("/v1/visit-events/batch", {"events": events}).get_json()["results"]
    assert [result["status"] for result in results] == [202, 202, 202, 409]
    assert [result.get("replayed", False) for result in results] == [False, False, True, False]
    assert api.installation.rows("select count(*) from visit_event") == [(2,)]


def test_batch_refuses_item_by_item(api: Api) -> None:
    """One bad event does not keep the others out."""
    events = [event(1), event(2, payer_id="nobody"), event(3, lines=[]), "text", None, event(4)]
    results = api.post("/v1/visit-events/batch", {"events": events}).get_json()["results"]
    assert [result["status"] for result in results] == [202, 404, 422, 422, 422, 202]
    assert results[2]["problem"]["errors"] == [
        {"pointer": "/lines", "message": results[2]["problem"]["errors"][0]["message"]}
    ]


def test_batch_takes_a_thousand_and_no_more(api: Api) -> None:
    """One more than a thousand is refused as a whole and changes nothing."""
    assert api.post("/v1/visit-events/batch", {"events": [event(n) for n in range(1001)]}).status_code == 422
    assert api.installation.rows("select count(*) from visit_event") == [(0,)]
    accepted = api.post("/v1/visit-events/batch", {"events": [event(n) for n in range(1000)]})
    assert accepted.status_code == 200
    assert api.installation.rows("select count(*) from visit_event") == [(1000,)]


def test_same_event_from_many_threads_is_accepted_once(api: Api) -> None:
    """However many senders race, one is first and the others repeat it."""
    barrier = threading.Barrier(8)

    def send(_: int) -> tuple[int, str | None]:
        barrier.wait()
        answer = api.post("/v1/visit-events", event(1))
        return answer.status_code, answer.headers.get("Idempotent-Replay")

    api.installation.key("ehr")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert sorted(answers, key=str) == sorted([(202, None), *[(202, "true")] * 7], key=str)


def test_prefer_wait_answers_with_the_outcome(api: Api) -> None:
    """200 with the outcome once it is there, and the wait that was granted."""
    drained = threading.Event()

    def drain() -> None:
        while not drained.is_set():
            api.installation.drain()

    worker = threading.Thread(target=drain)
    worker.start()
    try:
        answer = api.post("/v1/visit-events", event(1), headers={"Prefer": "wait=10"})
    finally:
        drained.set()
        worker.join()
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert answer.get_json()["outcome"]["disposition"] == "counted"


def test_prefer_wait_gives_up_in_time(api: Api) -> None:
    """Without an outcome the receipt is 202, as without waiting."""
    answer = api.post("/v1/visit-events", event(1), headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    assert answer.get_json()["outcome"] is None
    api.installation.drain()
    again = api.post("/v1/visit-events", event(1), headers={"Prefer": "wait=0"})
    assert (again.status_code, again.headers["Idempotent-Replay"]) == (200, "true")


def test_receipt_is_for_its_sender_and_for_operators_who_name_it(api: Api) -> None:
    """Other clients do not find it; operators say whose event they mean."""
    api.post("/v1/visit-events", event(1))
    assert api.get("/v1/visit-events/e1").status_code == 200
    assert api.get("/v1/visit-events/e1?client=ehr-all").status_code == 200
    assert api.get("/v1/visit-events/e1?client=ehr-all", role="ops").status_code == 200
    assert api.get("/v1/visit-events/e1", role="ops").status_code == 422
    assert api.get("/v1/visit-events/e1?client=nobody", role="ops").status_code == 404
    assert api.get("/v1/visit-events/e1?client=%00", role="ops").status_code == 404
    other = api.installation.key("ehr", name="other-ehr")
    assert api.get("/v1/visit-events/e1", key=other).status_code == 404
    assert api.get("/v1/visit-events/e1?client=ehr-all", key=other).status_code == 404
    outsider = api.installation.key("ops", "medicare")
    assert api.get("/v1/visit-events/e1?client=ehr-all", key=outsider).status_code == 404


@pytest.mark.parametrize("event_id", ["batch", "a/b", "a b", "ö", "//x//", "%41"])
def test_event_ids_can_be_anything_printable(api: Api, event_id: str) -> None:
    """An id that looks like a part of an address is still an id."""
    assert api.post("/v1/visit-events", event(1, event_id=event_id)).status_code == 202
    found = api.get(f"/v1/visit-events/{quote(event_id, safe='')}")
    assert found.get_json()["event_id"] == event_id


def test_void_and_correction_go_the_same_way(api: Api) -> None:
    """A correction moves the visit to another year, a void takes it out."""
    api.post("/v1/visit-events", event(1, service_date="2026-12-31"))
    api.post("/v1/visit-events", event(2, type="visit.corrected", visit_id="v1", service_date="2027-01-01"))
    api.installation.drain()
    used = [
        api.post("/v1/eligibility-checks", check(service_date=on)).get_json()["accumulators"][0]["used"]
        for on in ("2026-12-31", "2027-01-01")
    ]
    assert used == [0, 1]
    names = {"event_id": "e3", "type": "visit.voided", "visit_id": "v1", "payer_id": PAYER}
    assert api.post("/v1/visit-events", names).status_code == 202
    api.installation.drain()
    answer = api.post("/v1/eligibility-checks", check(service_date="2027-01-01")).get_json()
    assert answer["accumulators"][0]["used"] == 0


def test_events_of_a_voided_visit_are_told_that_it_is_gone(api: Api) -> None:
    """A correction changes nothing, and to record the visit again takes a new id."""
    names = {"event_id": "e2", "type": "visit.voided", "visit_id": "v1", "payer_id": PAYER}
    for sent in (
        event(1),
        names,
        event(3, type="visit.corrected", visit_id="v1"),
        event(4, visit_id="v1"),
    ):
        api.post("/v1/visit-events", sent)
    api.installation.drain()
    corrected, again = (api.get(f"/v1/visit-events/{name}").get_json() for name in ("e3", "e4"))
    assert (corrected["status"], corrected["outcome"]["disposition"]) == ("applied", "voided")
    assert [reason["code"] for reason in corrected["outcome"]["reasons"]] == ["voided", "no_effect"]
    (why,) = again["outcome"]["reasons"]
    assert (again["status"], why["code"]) == ("rejected", "visit_exists")
    assert why["text"].endswith("give the new visit an id of its own")


def test_events_of_one_visit_share_a_shard(api: Api) -> None:
    """A void that names no member lies where its visit's other events lie, in a batch or after it."""
    void = {"type": "visit.voided", "visit_id": "v1", "payer_id": PAYER}
    api.post("/v1/visit-events/batch", {"events": [{**void, "event_id": "x"}, event(1)]})
    api.post("/v1/visit-events", {**void, "event_id": "y"})
    assert api.installation.rows("select count(distinct shard) from visit_event") == [(1,)]


def bulk(api: Api, lines: list[str], **options: Any) -> dict[str, Any]:
    """Stream lines and return what became of them."""
    data = "\n".join(lines).encode()
    answer = api.post("/v1/visit-events/bulk", data=data, content_type="application/x-ndjson", **options)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.get_json()
    return body


def test_stream_is_taken_in_line_by_line(api: Api) -> None:
    """Bad lines are named by number, good ones accepted, and the same stream again changes nothing."""
    lines = [
        json.dumps(event(1)),
        "{broken",
        "",
        json.dumps(event(2, payer_id="nobody")),
        json.dumps(event(1)),
        json.dumps(event(1, state="MN")),
        json.dumps(event(3, quantity=2)),
        "x" * 300_000,
        json.dumps(event(4)),
    ]
    first = bulk(api, lines)
    rejected = first.pop("rejected_lines")
    assert first == {"lines": 8, "accepted": 2, "replayed": 1, "rejected": 5}
    assert {item["line"]: item["problem"]["status"] for item in rejected} == {
        2: 400,
        4: 404,
        6: 409,
        7: 422,
        8: 413,
    }
    assert "body" not in " ".join(item["problem"]["detail"] for item in rejected)
    again = bulk(api, lines)
    assert (again["accepted"], again["replayed"]) == (0, 3)
    assert api.installation.drain() == 2


def test_long_stream_comes_in_in_parts(api: Api) -> None:
    """More lines than one commit takes are all there afterwards, in the order in which they came.

    What is said about a visit in a later part lies in the shard of what was said before. One line of the
    second part was sent alone before, and the parts around it are none the worse for it.
    """
    events = [event(n, member_id=f"M-{n}") for n in range(4_200)]
    events += [
        event(4_200 + n, type="visit.corrected", visit_id=f"v{n}", member_id="M-x")
        for n in range(3_900, 4_200)
    ]
    alone = events[2_500]
    api.post("/v1/visit-events", alone)
    body = bulk(api, [json.dumps(one) for one in events])
    assert (body["accepted"], body["replayed"], body["rejected"]) == (4_499, 1, 0)
    named = api.installation.rows("select event_id from visit_event order by arrival")
    events.remove(alone)
    assert [event_id for (event_id,) in named] == [one["event_id"] for one in (alone, *events)]
    split = "select visit_id from visit_event group by visit_id having count(distinct shard) > 1"
    assert api.installation.rows(split) == []


def test_stream_and_single_events_know_each_other(api: Api) -> None:
    """What was sent alone is a replay in a stream, and the other way round."""
    api.post("/v1/visit-events", event(1))
    assert bulk(api, [json.dumps(event(1)), json.dumps(event(2))])["replayed"] == 1
    assert api.post("/v1/visit-events", event(2)).headers["Idempotent-Replay"] == "true"


@pytest.fixture
def crowded_api(installation: Installation, redis_url: str) -> Iterator[Api]:
    """A service in which nobody may wait and no stream may come in."""
    service = build(settings_for(installation.database_url, redis_url, waiters_max=0, loaders_max=0))
    yield Api(service, installation)
    service.close()


def test_who_finds_no_place_to_wait_is_answered_at_once(crowded_api: Api) -> None:
    """The event is accepted all the same, and the answer says that no wait was granted."""
    answer = crowded_api.post("/v1/visit-events", event(1), headers={"Prefer": "wait=10"})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=0")


def test_stream_too_many_is_told_when_to_come_back(crowded_api: Api) -> None:
    """429 with Retry-After, and nothing of it is taken in."""
    data = json.dumps(event(1)).encode()
    answer = crowded_api.post("/v1/visit-events/bulk", data=data, content_type="application/x-ndjson")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert crowded_api.installation.rows("select count(*) from visit_event") == [(0,)]
