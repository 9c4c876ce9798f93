"""What a change of rules does to members: seen before it runs, and listed after it ran.

Values only. The cause of everything that a catalog's activation changed is named in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from shared.domain.accumulator import Accumulator, AccumulatorKey
from shared.domain.history import History, HoldOutcome, MemberState, VisitOutcome
from shared.domain.records import Cause, MemberRef
from shared.domain.visit import Disposition, VisitKey

#: The kind of cause under which a member is folded again because plans or rules changed.
REFOLD = "refold"


def catalog_cause(catalog_version: int) -> Cause:
    """The cause under which the ledger has what a catalog's activation changed."""
    return Cause(kind=REFOLD, id=f"catalog-{catalog_version}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitStanding:
    """What became of a visit, in short: disposition, plan, and the codes of its reasons."""

    disposition: Disposition
    plan_id: str | None
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, outcome: VisitOutcome) -> VisitStanding:
        """The standing of a folded visit."""
        return cls(
            disposition=outcome.disposition,
            plan_id=outcome.plan_id,
            reasons=tuple(reason.code for reason in outcome.reasons),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitShift:
    """A visit that stands otherwise than before."""

    key: VisitKey
    service_date: date | None
    before: VisitStanding
    after: VisitStanding


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldShift:
    """A hold whose state or units are others than before; units over all limits."""

    hold_id: str
    before: str
    after: str
    units_before: int
    units_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountShift:
    """An accumulator with other counts than before, in its limit's measure."""

    key: AccumulatorKey
    used_before: int
    used_after: int
    held_before: int
    held_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEffect:
    """Everything that is otherwise than before with one member."""

    ref: MemberRef
    visits: tuple[VisitShift, ...] = ()
    holds: tuple[HoldShift, ...] = ()
    counts: tuple[CountShift, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is."""
        return bool(self.visits or self.holds or self.counts)


def effect_of(history: History, before: MemberState, after: MemberState) -> MemberEffect:
    """What differs between two folds of one member's history."""
    dates = {
        visit.key: visit.content.service.service_date if visit.content else None for visit in history.visits
    }
    return MemberEffect(
        ref=MemberRef(payer_id=history.payer_id, member_id=history.member_id),
        visits=tuple(
            VisitShift(key=key, service_date=dates.get(key), before=was, after=now)
            for key, outcome in sorted(after.visits.items())
            if (was := VisitStanding.of(before.visits[key])) != (now := VisitStanding.of(outcome))
        ),
        holds=tuple(
            shift
            for hold_id, outcome in sorted(after.holds.items())
            if (shift := _hold_shift(hold_id, before.holds[hold_id], outcome)) is not None
        ),
        counts=_count_shifts(before.accumulators, after.accumulators),
    )


def _hold_shift(hold_id: str, before: HoldOutcome, after: HoldOutcome) -> HoldShift | None:
    units = [sum(posting.units for posting in outcome.postings) for outcome in (before, after)]
    if (before.state, units[0]) == (after.state, units[1]):
        return None
    return HoldShift(
        hold_id=hold_id,
        before=before.state,
        after=after.state,
        units_before=units[0],
        units_after=units[1],
    )


def _count_shifts(
    before: Mapping[AccumulatorKey, Accumulator], after: Mapping[AccumulatorKey, Accumulator]
) -> tuple[CountShift, ...]:
    shifts = []
    for key in sorted({**before, **after}):
        (used, held), (used_now, held_now) = (
            (state[key].used, state[key].held) if key in state else (0, 0) for state in (before, after)
        )
        if (used, held) != (used_now, held_now):
            shifts.append(
                CountShift(
                    key=key, used_before=used, used_after=used_now, held_before=held, held_after=held_now
                )
            )
    return tuple(shifts)
