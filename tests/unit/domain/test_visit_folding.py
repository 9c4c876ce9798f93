"""What a client's events about one visit add up to, whatever order they are applied in."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.visit import EventType, Visit, VisitContent, VisitEvent, VisitKey, fold_events
from tests.builders import MEMBER, PAYER, service
from tests.model.running import searching

KEY = VisitKey(client_id="c", visit_id="v1")


def event(arrival: int, kind: EventType = "visit.recorded", on: date = date(2026, 3, 4)) -> VisitEvent:
    """An event of visit v1 that arrived in this place."""
    content = None if kind == "visit.voided" else VisitContent(member_id=MEMBER, service=service(on))
    return VisitEvent(
        arrival=arrival,
        client_id="c",
        event_id=f"e{arrival}",
        type=kind,
        payer_id=PAYER,
        visit_id="v1",
        received_on=date(2026, 3, 5),
        content=content,
    )


def folded(*events: VisitEvent) -> Visit:
    """The visit these events add up to."""
    return fold_events(KEY, events)


_kinds = st.lists(st.sampled_from(["visit.corrected", "visit.voided"]), max_size=5)


@searching(100)
@given(_kinds, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_application_does_not_matter(kinds: list[EventType], place: int, random: object) -> None:
    """Given their arrivals, events add up to the same visit in any order."""
    named: list[EventType] = [*kinds[:place], "visit.recorded", *kinds[place:]]
    events = [event(n, kind, date(2026, 3, n + 1)) for n, kind in enumerate(named)]
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random that hypothesis can shrink
    assert folded(*shuffled) == folded(*events)


def test_the_last_correction_to_arrive_wins() -> None:
    """Of several corrections the highest arrival is the visit's content, also over a late record."""
    early, late = event(2, "visit.corrected", date(2026, 5, 1)), event(3, "visit.corrected", date(2026, 6, 1))
    assert folded(event(1), early, late).content == late.content
    assert folded(event(9), early, late).content == late.content


def test_a_visit_keeps_its_place_through_corrections() -> None:
    """Its arrival, and the day it was received, stay those of its `visit.recorded`."""
    visit = folded(event(4), event(7, "visit.corrected"))
    assert visit.arrival == 4
    assert visit.corrected_by == 7


def test_a_void_is_for_good() -> None:
    """A second void and a correction after a void change nothing."""
    voided = folded(event(1), event(2, "visit.voided"))
    assert voided.voided
    again = folded(
        event(1),
        event(2, "visit.voided"),
        event(3, "visit.voided"),
        event(4, "visit.corrected", date(2026, 9, 1)),
    )
    assert again == voided


def test_a_void_or_correction_alone_is_a_visit_not_known() -> None:
    """Until its `visit.recorded` arrives the visit has no place in any order."""
    assert not folded(event(1, "visit.voided")).known
    corrected = folded(event(1, "visit.corrected"))
    assert not corrected.known
    assert corrected.member_id == MEMBER
    assert folded(event(1, "visit.voided"), event(2)).voided


def test_a_second_record_of_a_visit_is_not_accepted() -> None:
    """`visit_exists`: one visit is recorded once; corrections and voids are always accepted."""
    visit = folded(event(1))
    assert not visit.accepts(event(2))
    assert visit.accepts(event(2, "visit.corrected"))
    assert visit.accepts(event(2, "visit.voided"))
    assert folded(event(1, "visit.voided")).accepts(event(2))
