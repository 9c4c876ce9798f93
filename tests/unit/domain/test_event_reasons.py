"""What is said of events that did less than their type promises."""

from __future__ import annotations

import pytest

from shared.domain.event_reasons import why_rejected, why_without_effect
from shared.domain.visit import EventType
from tests.unit.domain.test_visit_folding import event, folded


@pytest.mark.parametrize(
    ("kinds", "codes"),
    [
        (["visit.recorded"], [[]]),
        (["visit.recorded", "visit.corrected", "visit.corrected"], [[], [], []]),
        (["visit.recorded", "visit.voided", "visit.corrected"], [[], [], ["no_effect"]]),
        (["visit.recorded", "visit.voided", "visit.voided"], [[], [], ["no_effect"]]),
        (["visit.corrected", "visit.recorded"], [[], ["correction_stands"]]),
        (["visit.voided", "visit.recorded"], [[], ["no_effect"]]),
    ],
)
def test_event_without_effect_says_so(kinds: list[EventType], codes: list[list[str]]) -> None:
    """Whatever takes effect needs no further word."""
    events = [event(number, kind) for number, kind in enumerate(kinds)]
    said = [why_without_effect(one, folded(*events[: n + 1])) for n, one in enumerate(events)]
    assert [[reason.code for reason in reasons] for reasons in said] == codes


def test_correction_that_is_applied_after_a_later_one_says_so() -> None:
    """The last to arrive stands, whichever was applied first."""
    late = event(1, "visit.corrected")
    visit = folded(event(0), event(2, "visit.corrected"), late)
    (reason,) = why_without_effect(late, visit)
    assert (reason.code, "later" in reason.text) == ("no_effect", True)


def test_who_records_a_voided_visit_again_is_told_to_use_a_new_id() -> None:
    """To correct or void it would do nothing; a visit that stands is to be corrected."""
    voided, standing = folded(event(0), event(1, "visit.voided")), folded(event(0))
    assert why_rejected(voided).code == why_rejected(standing).code == "visit_exists"
    assert "id of its own" in why_rejected(voided).text
    assert "correct" in why_rejected(standing).text
