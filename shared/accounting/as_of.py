"""How a member's limits stood on a service date, as known at a moment (contract I14).

Counts come from the ledger as it was at the moment, overrides as they were granted then. What is
allowed follows from the rules and the enrollment that are known now, on the service date: neither is
kept by the moment it was known at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Protocol

from shared.domain.accumulator import Accumulator, AccumulatorKey, DayUse
from shared.domain.determination import LimitStanding, MemberStanding, limits_on
from shared.domain.history import History
from shared.domain.hold import Override
from shared.domain.known_state import KnownState
from shared.domain.member_rows import PostedUnits
from shared.domain.records import MemberRef
from shared.ports import MemberBooks, RulesSource, Transaction

_OPENED_BY_VISITS = frozenset({"first_service_year", "authorization", "injury"})


class Past(Protocol):
    """The past of members."""

    def known_at(self, ref: MemberRef, moment: datetime) -> KnownState:
        """What was known of a member at a moment; nothing of one who had not been heard of."""
        ...


class PastTransaction(Transaction, Protocol):
    """One open transaction that can look back."""

    @property
    def books(self) -> MemberBooks:
        """Members' histories and states."""
        ...

    @property
    def past(self) -> Past:
        """The past of members."""
        ...


def limits_as_of(
    tx: PastTransaction, rules: RulesSource, ref: MemberRef, on: date, known_at: datetime
) -> tuple[LimitStanding, ...]:
    """How every limit of the member's plan stood on the date `on`, as known at the instant `known_at`.

    As `check.search`, which answers for now; but of a first-service year that the date would open before
    one that was open, all units of that one are shown, though some may lie after its end. `version` is the
    accumulator's at that moment.
    """
    known = tx.past.known_at(ref, known_at)
    history = _history(tx, ref, known)
    standing = MemberStanding(
        history=history,
        accumulators=tuple(_accumulators(known, history.overrides)),
        versions=known.ledger.versions,
        pending_events=known.pending_events,
    )
    return limits_on(rules.current(tx), standing, on)


def _history(tx: PastTransaction, ref: MemberRef, known: KnownState) -> History:
    base = tx.books.bases([ref]).get(ref)
    if base is None:
        return History(payer_id=ref.payer_id, member_id=ref.member_id, spans=(), plans={})
    return replace(base.history, overrides=known.overrides, opening_balances=known.opening_balances)


def _accumulators(known: KnownState, overrides: Sequence[Override]) -> Iterable[Accumulator]:
    by_key: dict[AccumulatorKey, list[PostedUnits]] = {key: [] for key in known.ledger.versions}
    for units in known.ledger.units:
        by_key[units.key].append(units)
    for key, posted in by_key.items():
        # What a visit opens, its first-service year, authorization or injury, was not open when nothing
        # counted in it any more.
        if posted or key.period.basis not in _OPENED_BY_VISITS:
            yield _accumulator(key, posted, overrides)


def _accumulator(
    key: AccumulatorKey, posted: Sequence[PostedUnits], overrides: Sequence[Override]
) -> Accumulator:
    shared: dict[date, int] = defaultdict(int)
    granted: dict[date, int] = defaultdict(int)
    visits: dict[date, int] = defaultdict(int)
    held: dict[date, int] = defaultdict(int)
    for units in posted:
        own = _granted(units, overrides)
        granted[units.on] += own
        shared[units.on] += units.used - own
        visits[units.on] += bool(units.visit and units.used)
        held[units.on] += units.held
    used, kept = sum(units.used for units in posted), sum(held.values())
    return Accumulator(
        key=key,
        used=used,
        held=kept,
        granted=sum(granted.values()),
        opening=sum(units.used for units in posted if units.visit is None and units.hold_id is None),
        carried=0,
        visits=sum(visits.values()),
        allowed=used + kept,
        days=tuple(
            DayUse(on=day, shared=shared[day], granted=granted[day], visits=visits[day])
            for day in sorted(shared)
            if shared[day] or granted[day]
        ),
        held_days=tuple((day, units) for day, units in sorted(held.items()) if units),
    )


def _granted(units: PostedUnits, overrides: Sequence[Override]) -> int:
    """How many of a visit's units came from overrides for that visit alone."""
    if units.visit is None:
        return 0
    own = sum(
        override.quantity
        for override in overrides
        if override.visit_id == units.visit.visit_id
        and override.limit_id == units.key.limit_id
        and units.key.period.contains(override.service_date)
        and override.serves(units.on)
    )
    return min(units.used, own)
