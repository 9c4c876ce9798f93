"""Where the events of a stream go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.coverage_api.usecases.incoming import destinations_of, destinations_of_stream
from shared.domain.intake import StreamedEvent
from shared.messages import shard_of

_EVENTS = st.lists(
    st.builds(
        StreamedEvent,
        payer_id=st.sampled_from(["p", "q"]),
        event_id=st.just("e"),
        type=st.just("visit.recorded"),
        visit_id=st.sampled_from("abcdefgh"),
        member_id=st.none() | st.sampled_from(["m", "n"]),
        hold_id=st.none(),
        content=st.none(),
        payload_digest=st.just(b""),
    ),
    max_size=5,
)


@given(events=_EVENTS)
def test_events_of_a_stream_go_where_the_same_events_go_one_by_one(events: list[StreamedEvent]) -> None:
    """Whether or not some are of the same visit, and whether they name a member."""
    each = ((e.payer_id + e.visit_id, e.payer_id, e.visit_id, e.member_id) for e in events)
    assert destinations_of_stream(events) == list(destinations_of(each))


def test_shard_is_the_same_whenever_it_is_asked_for() -> None:
    """It is remembered; what waits lies in it, so it must not change between versions either."""
    assert [shard_of("p", "m"), shard_of("p", "m"), shard_of("q", "m")] == [14, 14, 10]
