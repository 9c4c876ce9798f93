"""Answering what is asked of members' counts: eligibility checks and accumulator searches.

The counts come from the Redis counter where it is as new as the member's row in Postgres, else from
Postgres; where a plan or rule change has not been folded in yet, from a fold of the whole history.
The answer is the same each way (I5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from shared.accounting.same_objects import OfTheSame
from shared.domain.accumulator import Accumulator, AccumulatorKey
from shared.domain.adjudication import Fold
from shared.domain.determination import (
    LimitStanding,
    MemberStanding,
    limits_on,
    with_years,
    years_opened_early,
)
from shared.domain.errors import CountersUnavailable, StoreUnavailable
from shared.domain.history import History, Posting, Rules
from shared.domain.record import record
from shared.domain.records import CounterImage, MemberBase, MemberRef, StoredAccumulator
from shared.ports import Counters, RulesSource, Transaction

#: How often members are read whom somebody saves between two of the questions about them.
_READS_MAX = 10


def read_counters(counters: Counters, refs: Sequence[MemberRef]) -> Mapping[MemberRef, CounterImage]:
    """The counters of these members, or none while Redis cannot answer. Call it outside a transaction."""
    try:
        return counters.read(list(dict.fromkeys(refs)))
    except CountersUnavailable:
        return {}


def search(
    tx: Transaction, rules: RulesSource, images: Mapping[MemberRef, CounterImage], ref: MemberRef, on: date
) -> tuple[LimitStanding, ...]:
    """How every limit of the member's plan stands on a date."""
    current, standings = member_standings(tx, rules, images, [ref])
    return limits_of(tx, current, standings[ref], ref, on)


def limits_of(
    tx: Transaction, rules: Rules, standing: MemberStanding, ref: MemberRef, on: date
) -> tuple[LimitStanding, ...]:
    """How every limit of a member's plan stands on a date, also one that would open a year before another."""
    limits = limits_on(rules, standing, on)
    if openings := years_opened_early(standing, [limit.key for limit in limits]):
        limits = limits_on(rules, with_years(standing, whole_history(tx, ref), rules, openings), on)
    return limits


def whole_history(tx: Transaction, ref: MemberRef) -> History:
    """The history of a known member with visits and holds, as accumulators are folded from it."""
    return tx.books.read([ref])[ref].history


def member_standings(
    tx: Transaction,
    rules: RulesSource,
    images: Mapping[MemberRef, CounterImage],
    refs: Sequence[MemberRef],
    days: Iterable[date] = (),
) -> tuple[Rules, dict[MemberRef, MemberStanding]]:
    """The running rules, and how each member stands; one never heard of has no spans and no counts.

    `days` are the service dates that are asked about. Raises StoreUnavailable where somebody saves one of the
    members, again and again, between the questions about them.
    """
    asked, wanted = list(days), list(dict.fromkeys(refs))
    for _ in range(_READS_MAX):
        # Anew with the members: whoever saved one may have counted by newer rules.
        current = rules.current(tx)
        standings = _read_standings(tx, current, images, wanted, asked)
        if len(standings) == len(wanted):
            return current, standings
    raise StoreUnavailable


def _read_standings(
    tx: Transaction,
    rules: Rules,
    images: Mapping[MemberRef, CounterImage],
    refs: Sequence[MemberRef],
    days: Sequence[date],
) -> dict[MemberRef, MemberStanding]:
    """How each member stands, but for those whose accumulators are newer than the rest of what was read."""
    bases = tx.books.bases(refs, days)
    fresh = {
        ref: image.accumulators
        for ref, image in images.items()
        # The counter of a member that was merged into another says nothing of that other's counts.
        if ref in bases
        and (ref, image.version) == (bases[ref].ref, bases[ref].version)
        and not bases[ref].refold_requested
    }
    unfolded = [ref for ref, base in bases.items() if base.refold_requested]
    behind = {
        ref: base.ref
        for ref, base in bases.items()
        # Where nothing ever changed there are no accumulators to look for.
        if ref not in fresh and ref not in unfolded and base.version > 0
    }
    of_homes = tx.books.versioned_accumulators(behind.values())
    stored = {ref: of_homes.get(home, (bases[ref].version, ())) for ref, home in behind.items()}
    folded = _folded(tx, rules, unfolded)
    standings = {}
    for ref in refs:
        base = bases.get(ref)
        if base is None:
            history = History(payer_id=ref.payer_id, member_id=ref.member_id, spans=(), plans={})
            standings[ref] = MemberStanding(history=history)
        elif ref in folded:
            history, counts = folded[ref]
            standings[ref] = counts.of(replace(base, history=history))
        else:
            version, accumulators = stored.get(ref, (base.version, fresh.get(ref, ())))
            if version == base.version:
                standings[ref] = _Counts(accumulators=accumulators, hold_postings=base.hold_postings).of(base)
    return standings


@record(frozen=True, slots=True, kw_only=True)
class _Counts:
    """A member's accumulators, and the units that each of its pending holds keeps in them."""

    accumulators: Sequence[StoredAccumulator]
    hold_postings: Mapping[str, tuple[Posting, ...]]

    def of(self, base: MemberBase) -> MemberStanding:
        """How the member stands of whom these are the counts."""
        accumulators, versions = _in_use(self.accumulators)
        return MemberStanding(
            history=base.history,
            accumulators=accumulators,
            versions=versions,
            pending_events=base.pending_events,
            hold_postings=self.hold_postings,
            service_dates=base.service_dates,
            day_codes=base.day_codes,
            ahead_of_ledger=base.refold_requested,
        )


@OfTheSame
def _in_use(
    stored: Sequence[StoredAccumulator],
) -> tuple[tuple[Accumulator, ...], Mapping[AccumulatorKey, int]]:
    """The accumulators among these that a member has, and how many ledger entries are behind each.

    Those of one counter are the same objects for all members who have the same counter.
    """
    used = [accumulator for accumulator in stored if accumulator.in_use]
    states = tuple(accumulator.state for accumulator in used)
    return states, {accumulator.state.key: accumulator.version for accumulator in used}


def _folded(
    tx: Transaction, rules: Rules, refs: Sequence[MemberRef]
) -> dict[MemberRef, tuple[History, _Counts]]:
    """The counts of members who wait to be folded again, folded now, without saving anything.

    Each with the rest of the history that was folded.
    """
    if not refs:
        return {}
    folded = {}
    for ref, member in tx.books.read(refs).items():
        state = Fold(member.history, rules).state()
        versions = {key: stored.version for key, stored in member.accumulators.items()}
        counts = _Counts(
            accumulators=[
                StoredAccumulator(state=accumulator, version=versions.get(key, 0), in_use=True)
                for key, accumulator in state.accumulators.items()
            ],
            hold_postings={
                hold_id: hold.postings for hold_id, hold in state.holds.items() if hold.state == "pending"
            },
        )
        folded[ref] = replace(member.history, visits=(), holds=()), counts
    return folded
