"""Counters as tests make them: one that says little, and any that can be."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any

from hypothesis import strategies as st

from shared.domain.accumulator import Accumulator, AccumulatorKey, DayUse
from shared.domain.benefit_period import BenefitPeriod
from shared.domain.limit import BASES
from shared.domain.records import CounterImage, MemberRef, StoredAccumulator
from tests.builders import PAYER

HASH_KEY = bytes(range(32))

_numbers = itertools.count(1)


def new_ref() -> MemberRef:
    """A member that no other test speaks of."""
    return MemberRef(payer_id=PAYER, member_id=f"SAMPLE-NEW-{next(_numbers)}")


def stored(used: int = 5, **changes: Any) -> StoredAccumulator:
    """An accumulator of the plan year 2026 with `used` of twenty, and nothing else to say."""
    fields: dict[str, Any] = {
        "key": AccumulatorKey(
            plan_id="shp-employer-gold",
            limit_id="dry-needling",
            period=BenefitPeriod(basis="plan_year", start=date(2026, 1, 1), end=date(2027, 1, 1)),
        ),
        "used": used,
        "held": 0,
        "granted": 0,
        "opening": 0,
        "carried": 0,
        "visits": used,
        "allowed": 20,
    }
    return StoredAccumulator(state=Accumulator(**{**fields, **changes}), version=used, in_use=True)


def image(ref: MemberRef, version: int, used: int | None = None) -> CounterImage:
    """A member's counter at a version; it shows that many used, unless told otherwise."""
    return CounterImage(ref=ref, version=version, accumulators=(stored(version if used is None else used),))


_counts = st.integers(min_value=0, max_value=2**31 - 1)
_dates = st.dates()
_names = st.text(max_size=40)

_periods = st.builds(
    lambda basis, bounds, subject: BenefitPeriod(
        basis=basis, start=bounds[0], end=bounds[1], subject=subject
    ),
    st.sampled_from(BASES),
    st.tuples(_dates, _dates).map(sorted),
    _names,
)
_states = st.builds(
    Accumulator,
    key=st.builds(AccumulatorKey, plan_id=_names, limit_id=_names, period=_periods),
    used=_counts,
    held=_counts,
    granted=_counts,
    opening=_counts,
    carried=_counts,
    visits=_counts,
    allowed=st.integers(min_value=-(2**31), max_value=2**31 - 1),
    days=st.lists(
        st.builds(DayUse, on=_dates, shared=_counts, granted=_counts, visits=_counts), max_size=5
    ).map(tuple),
    held_days=st.lists(st.tuples(_dates, _counts), max_size=5).map(tuple),
)

images = st.builds(
    CounterImage,
    ref=st.just(MemberRef(payer_id=PAYER, member_id="SAMPLE-1")),
    version=st.integers(min_value=0, max_value=2**48 - 1),
    accumulators=st.lists(
        st.builds(StoredAccumulator, state=_states, version=st.integers(0, 2**63 - 1), in_use=st.booleans()),
        max_size=4,
    ).map(tuple),
)
