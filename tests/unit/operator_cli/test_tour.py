"""The tour: its story, how it judges answers, and how it looks."""

from __future__ import annotations

import io
from datetime import date

import pytest
from rich.console import Console

from services.operator_cli.api_client import ApiAnswer
from services.operator_cli.tour.playing import REPEAT_SECONDS_MAX, Time, play
from services.operator_cli.tour.rendering import Screen
from services.operator_cli.tour.step import Expectation, Step, checks_of
from services.operator_cli.tour.story import Story
from tests.unit.operator_cli.counting_service import CountingService


class PassingTime:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> Time:
        """What the tour is given."""
        return Time(monotonic=lambda: self.now, pause=self.pass_by)

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class Playing:
    """One playing of the tour on a stand-in, and what it printed."""

    def __init__(self, service: CountingService, *, terminal: bool = False, full: bool = False) -> None:
        self.clock = PassingTime()
        output = io.StringIO()
        console = Console(file=output, width=120, highlight=False, force_terminal=terminal, no_color=False)
        steps = Story(run_id="TEST").steps()
        self.right = play(steps, service, Screen(console, full=full), self.clock.time())
        self.text = output.getvalue()


def test_tour_of_a_right_service_is_right() -> None:
    """Every answer as the contract says: the tour says so, and how many there were."""
    service = CountingService()
    playing = Playing(service)
    assert playing.right, playing.text
    assert f"all {len(service.calls)} answers are right" in playing.text
    assert "WRONG" not in playing.text


@pytest.mark.parametrize("allowed", [19, 21])
def test_wrong_count_is_noticed_and_said(allowed: int) -> None:
    """A service that counts to another limit fails the tour, which names what differs and goes on."""
    playing = Playing(CountingService(allowed=allowed))
    assert not playing.right
    assert "WRONG: " in playing.text
    assert "answers are wrong" in playing.text
    assert "January 1" in playing.text


def test_refused_call_ends_the_tour() -> None:
    """After an answer that is none, nothing that follows would mean anything."""
    service = CountingService(broken_path="/v1/eligibility-checks")
    playing = Playing(service)
    assert not playing.right
    assert service.calls[-1] == "ehr POST /v1/eligibility-checks"
    assert "WRONG: status is 503, not 201" in playing.text
    assert "/problems/indeterminate" in playing.text


def test_refused_key_is_said_with_its_step() -> None:
    """Without a good key nothing can be shown: the step and the key are named, and no verdict is given."""
    playing = Playing(CountingService(broken_path="/v1/eligibility-checks", broken_status=401))
    assert not playing.right
    total = len(list(Story(run_id="TEST").steps()))
    assert f"stopped at step 3 of {total}: the key for the role ehr is refused (401)" in playing.text
    assert "The tour is over" not in playing.text


def test_tour_waits_for_the_worker() -> None:
    """An event that is not applied yet is asked for again, and the tour is right once it is."""
    service = CountingService(late_receipts=3)
    assert Playing(service).right
    asked = [call for call in service.calls if call.startswith("ehr GET")]
    assert len(asked) == 4


def test_tour_does_not_wait_for_ever() -> None:
    """An event that is never applied is a wrong answer after a bounded time."""
    playing = Playing(CountingService(late_receipts=1_000_000))
    assert not playing.right
    assert 'status is "pending", not "applied"' in playing.text
    assert playing.clock.now < REPEAT_SECONDS_MAX + 1


def test_plain_text_where_no_terminal_is() -> None:
    """A file or a pipe gets text without control sequences, a terminal gets colors."""
    assert "\x1b[" not in Playing(CountingService()).text
    assert "\x1b[" in Playing(CountingService(), terminal=True).text


def test_requests_and_answers_are_shown() -> None:
    """The reader sees the call, what was sent and what came back; with `full`, all of it."""
    short, full = Playing(CountingService()).text, Playing(CountingService(), full=True).text
    for text in (short, full):
        assert "POST /v1/eligibility-checks   as ehr" in text
        assert "Prefer: wait=10" in text
        assert '"service_date": "2026-01-12"' in text
        assert '"disposition": "over_limit"' in text
    assert full.count("20560") > short.count("20560")


def test_two_playings_share_no_id() -> None:
    """Members, visits and events are new each time, so that the tour can be played again."""

    def ids(run_id: str) -> set[str]:
        bodies = [step.body for step in Story(run_id=run_id).steps() if isinstance(step.body, dict)]
        events = [event for body in bodies for event in body.get("events", [body])]
        names = ("member_id", "event_id", "visit_id")
        return {event[name] for event in events for name in names if name in event}

    assert ids("A").isdisjoint(ids("B"))
    assert all(name.startswith(("SAMPLE-TOUR-A-", "tour-A-")) for name in ids("A"))


def test_story_stays_in_one_plan_year_until_january() -> None:
    """All visits lie in 2026, on different dates, so that only the limit can refuse the twenty-first."""
    events: list[dict[str, str]] = []
    for step in Story(run_id="A").steps():
        if step.path.startswith("/v1/visit-events") and step.body is not None:
            events += step.body.get("events", [step.body])
    by_id = {event["event_id"]: date.fromisoformat(event["service_date"]) for event in events}
    assert len(by_id) == 21
    assert len(set(by_id.values())) == 21
    assert {on.year for on in by_id.values()} == {2026}


def test_expectation_of_every_item_needs_an_item() -> None:
    """`*` holds if all items have the value, and not of an empty list."""
    step = Step(title="", role="ehr", method="GET", path="/", statuses=(200,))
    everyone = Expectation(place="results.*.status", value=202)

    def holds(*statuses: int) -> bool:
        body = {"results": [{"status": status} for status in statuses]}
        return everyone.holds(ApiAnswer(status=200, headers={}, body=body))

    assert holds(202, 202)
    assert not holds(202, 404)
    assert not holds()
    assert checks_of(step, ApiAnswer(status=500, headers={}, body=None))[0].holds is False


def test_expectation_tells_types_apart() -> None:
    """A count of 1 is not `true`, and nothing is not 0."""
    used = Expectation(place="used", value=0)
    assert used.holds(ApiAnswer(status=200, headers={}, body={"used": 0}))
    assert not used.holds(ApiAnswer(status=200, headers={}, body={"used": False}))
    assert not used.holds(ApiAnswer(status=200, headers={}, body={}))
