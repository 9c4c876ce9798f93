"""Which enrollment a merged member brings along."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.accounting.merge import spans_beyond
from shared.domain.enrollment import EnrollmentSpan

FIRST = date(2026, 1, 1)
DAYS = 40


@st.composite
def _spans(draw: st.DrawFn, plan_id: str) -> list[EnrollmentSpan]:
    """Spans of one plan that do not overlap, within some weeks; the last may be open."""
    bounds = sorted(draw(st.lists(st.integers(0, DAYS), max_size=8, unique=True)))
    pairs = list(zip(bounds[::2], bounds[1::2], strict=False))
    spans = [
        EnrollmentSpan(plan_id=plan_id, start=FIRST + timedelta(days=start), end=FIRST + timedelta(days=end))
        for start, end in pairs
    ]
    if draw(st.booleans()):
        last = max((span.end for span in spans if span.end), default=FIRST)
        spans.append(EnrollmentSpan(plan_id=plan_id, start=last, end=None))
    return spans


@given(spans=_spans("old"), others=_spans("new"))
def test_exactly_the_dates_that_nobody_else_covers_are_left(
    spans: list[EnrollmentSpan], others: list[EnrollmentSpan]
) -> None:
    """A date is brought along if and only if it is the one's and not the other's."""
    left = spans_beyond(spans, others)
    for number in range(-1, DAYS + 400, 1):
        day = FIRST + timedelta(days=number)
        wanted = any(span.covers(day) for span in spans) and not any(span.covers(day) for span in others)
        assert sum(span.covers(day) for span in left) == wanted


@given(spans=_spans("old"), others=_spans("new"))
def test_what_is_left_are_spans(spans: list[EnrollmentSpan], others: list[EnrollmentSpan]) -> None:
    """None is empty, and together with the other's none begins where another does."""
    left = spans_beyond(spans, others)
    assert all(span.end is None or span.start < span.end for span in left)
    starts = [span.start for span in (*left, *others)]
    assert len(starts) == len(set(starts))
