"""Where the service stands, for those who run it: `/v1/status` and `/metrics`."""

from __future__ import annotations

from typing import Any

from alembic.script import ScriptDirectory
from prometheus_client.parser import text_string_to_metric_families

from services.operator_cli.migrations import SCRIPTS_PATH
from shared.messages import SWEEP
from tests.api_service import Api, event
from tests.builders import PAYER
from tests.dead_events import MAKE_DEAD

OTHER_PAYER = "medicare"


def status(api: Api, **options: Any) -> Any:
    """The status as an operator of all payers sees it, unless told otherwise."""
    return api.get("/v1/status", **{"role": "ops", **options}).get_json()


def of_payer(found: Any, payer_id: str) -> Any:
    """What a status says of one payer."""
    return next(payer for payer in found["payers"] if payer["payer_id"] == payer_id)


def scraped(api: Api) -> dict[tuple[str, ...], float]:
    """Every sample of a scrape that is about the whole installation, by name and label values."""
    text = api.get("/metrics", key="").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def kill(api: Api, event_id: str) -> None:
    """Have a waiting event be one that failed too often."""
    api.installation.write(MAKE_DEAD, event_id)


def some_of_each(api: Api) -> None:
    """Two applied, one rejected, one waiting, two dead of which one was discarded, over two payers."""
    for sent in (event(1), event(2), event(3, visit_id="v1"), event(4), event(5)):
        assert api.post("/v1/visit-events", sent).status_code == 202
    kill(api, "e4")
    kill(api, "e5")
    api.installation.write(
        "update visit_event_dead d set discarded_at = now(), discarded_by = 'pat', discard_reason = 'test'"
        " from visit_event e where e.arrival = d.arrival and e.event_id = 'e5'"
    )
    api.installation.drain()
    assert api.post("/v1/visit-events", event(6, payer_id=OTHER_PAYER)).status_code == 202


def test_every_event_is_in_exactly_one_count(api: Api) -> None:
    """Per payer and in all, the counts add up, and the status says so (I7)."""
    some_of_each(api)
    found = status(api)
    mine, other = of_payer(found, PAYER), of_payer(found, OTHER_PAYER)
    assert {**mine["visit_events"], "oldest_pending_seconds": 0} == {
        "received": 5,
        "applied": 2,
        "rejected": 1,
        "dead": 2,
        "pending": 0,
        "oldest_pending_seconds": 0,
    }
    assert (other["visit_events"]["received"], other["visit_events"]["pending"]) == (1, 1)
    assert found["visit_events"]["received"] == 6
    assert [part["complete"] for part in (found, mine, other)] == [True] * 3


def test_dead_letters_are_shown_by_whether_they_still_wait(api: Api) -> None:
    """Discarded ones stay counted as dead, but no operator need look at them again."""
    some_of_each(api)
    found = status(api)
    assert found["dead_letters"] == {"waiting": 1, "discarded": 1}
    assert of_payer(found, PAYER)["dead_letters"] == {"waiting": 1, "discarded": 1}
    assert of_payer(found, OTHER_PAYER)["dead_letters"] == {"waiting": 0, "discarded": 0}


def test_event_that_disappeared_is_seen(api: Api) -> None:
    """Whatever takes an event away behind our back makes the equation false, here and in the metrics."""
    some_of_each(api)
    api.installation.write("delete from visit_event_waiting where payer_id = %s", OTHER_PAYER)
    found = status(api)
    assert found["complete"] is False
    assert of_payer(found, OTHER_PAYER)["complete"] is False
    assert of_payer(found, PAYER)["complete"] is True
    assert scraped(api)["needlecap_visit_events_complete",] == 0


def test_drift_and_the_last_sweep_are_what_the_workers_left(api: Api) -> None:
    """Totals of all workers; before the first sweep its age is not known, which is not zero (I11)."""
    before = status(api)
    assert before["drift"] == {"compared": 0, "found": 0}
    assert before["seconds_since_sweep"] is None
    with api.installation.database.transaction(["*"]) as tx:
        tx.jobs.add_totals({"drift_compared": 500, "drift_found": 2})
        tx.jobs.note_run(SWEEP)
        tx.commit()
    api.installation.write("update worker_job set last_run_at = last_run_at - interval '90 seconds'")
    after = status(api)
    assert after["drift"] == {"compared": 500, "found": 2}
    assert after["seconds_since_sweep"] >= 90


def test_versions_are_those_that_run(api: Api) -> None:
    """The catalog's number, and the newest version of the schema."""
    assert status(api)["versions"] == {
        "catalog": 1,
        "schema": ScriptDirectory(str(SCRIPTS_PATH)).get_current_head(),
    }


def test_operator_of_one_payer_sees_that_payer_alone(api: Api) -> None:
    """Nothing of the others, not even in the sums (I9)."""
    some_of_each(api)
    found = status(api, key=api.installation.key("ops", OTHER_PAYER))
    assert [payer["payer_id"] for payer in found["payers"]] == [OTHER_PAYER]
    assert found["visit_events"]["received"] == 1
    assert found["dead_letters"] == {"waiting": 0, "discarded": 0}
    assert found["complete"] is True


def test_metrics_show_the_same_totals(api: Api) -> None:
    """A scrape says of the whole installation what the status says."""
    some_of_each(api)
    with api.installation.database.transaction(["*"]) as tx:
        tx.jobs.add_totals({"drift_compared": 500, "events_applied": 3})
        tx.jobs.note_run(SWEEP)
        tx.commit()
    found, shown = status(api), scraped(api)
    for name in ("received", "applied", "rejected", "dead", "pending"):
        assert shown["needlecap_visit_events", name] == found["visit_events"][name]
    assert shown["needlecap_visit_events_complete",] == 1
    assert shown["needlecap_dead_letters_discarded",] == 1
    assert shown["needlecap_worker_total", "drift_compared"] == 500
    assert shown["needlecap_worker_total", "drift_found"] == 0
    assert shown["needlecap_worker_total", "events_applied"] == 3
    assert shown["needlecap_seconds_since_sweep",] >= 0
