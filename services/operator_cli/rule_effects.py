"""What a change of rules would do, or did, to members, chunk by chunk and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from services.operator_cli.member_handles import shown
from services.operator_cli.operations import Operations
from services.operator_cli.progress import Advance
from services.operator_cli.rule_catalog import Candidate
from shared.accounting.rule_preview import preview
from shared.accounting.rules import CatalogRules
from shared.domain.client import EVERY_PAYER
from shared.domain.records import Cause, MemberRef
from shared.domain.rule_effects import CountShift, MemberEffect, VisitShift

#: A chunk is one transaction, and its members' histories are in memory together.
MEMBERS_MAX = 200
SECONDS_MAX = 60.0
MEMBERS_SHOWN_MAX = 100
#: How often the number of members who wait is looked at, and how long it may stay as it is.
POLL_SECONDS = 0.2
STALL_SECONDS = 60.0


@dataclass(slots=True)
class PayerTotals:
    """What a change means for one payer's members."""

    members: int = 0
    visits: Counter[tuple[str, str]] = field(default_factory=Counter)
    holds: int = 0
    used_before: int = 0
    used_after: int = 0


@dataclass(slots=True, kw_only=True)
class EffectReport:
    """Effects added up by payer; the first members of all are kept to be shown one by one.

    `tells_holds` is False where it is not known which holds stand otherwise, but only the units they hold.
    """

    tells_holds: bool = True
    totals: dict[str, PayerTotals] = field(default_factory=dict)
    kept: list[MemberEffect] = field(default_factory=list)

    def add(self, effect: MemberEffect) -> None:
        """Add what is otherwise with one member."""
        totals = self.totals.setdefault(effect.ref.payer_id, PayerTotals())
        totals.members += 1
        totals.visits.update((v.before.disposition, v.after.disposition) for v in effect.visits)
        totals.holds += len(effect.holds)
        totals.used_before += sum(count.used_before for count in effect.counts)
        totals.used_after += sum(count.used_after for count in effect.counts)
        if len(self.kept) < MEMBERS_SHOWN_MAX:
            self.kept.append(effect)

    @property
    def members(self) -> int:
        """How many members are touched."""
        return sum(totals.members for totals in self.totals.values())

    def lines(self, hash_key: bytes, *, show_members: bool) -> Iterator[str]:
        """The report in words. Visits and dates are named only beside members named by their ids."""
        for payer_id, totals in sorted(self.totals.items()):
            holds = f"holds {totals.holds}, " if self.tells_holds else ""
            yield (
                f"payer {payer_id}: members {totals.members}, visits {totals.visits.total()}, "
                f"{holds}units used {totals.used_before} -> {totals.used_after}"
            )
            yield from _moves(totals.visits, "  ")
        for effect in self.kept:
            member = shown(hash_key, effect.ref, show_members=show_members)
            yield f"payer {effect.ref.payer_id}, member {member}:"
            if show_members:
                yield from (f"  {_visit(shift)}" for shift in effect.visits)
            else:
                moves: Counter[tuple[str, str]] = Counter(
                    (v.before.disposition, v.after.disposition) for v in effect.visits
                )
                yield from _moves(moves, "  ")
            for hold in effect.holds:
                yield (
                    f"  hold {hold.hold_id}: {hold.before} with {hold.units_before} units -> "
                    f"{hold.after} with {hold.units_after}"
                )
            yield from (f"  {_count(shift)}" for shift in effect.counts)
        if self.members > len(self.kept):
            yield f"... and {self.members - len(self.kept)} more members"


def _moves(moves: Counter[tuple[str, str]], indent: str) -> Iterator[str]:
    for (before, after), visits in sorted(moves.items()):
        if before == after:
            yield f"{indent}{before}, for other reasons or under another plan: visits {visits}"
        else:
            yield f"{indent}{before} -> {after}: visits {visits}"


def _visit(shift: VisitShift) -> str:
    on = f" of {shift.service_date}" if shift.service_date else ""
    before, after = (
        f"{standing.disposition} ({', '.join(standing.reasons) or 'no reason'})"
        for standing in (shift.before, shift.after)
    )
    return f"visit {shift.key.visit_id}{on}: {before} -> {after}"


def _count(shift: CountShift) -> str:
    period = shift.key.period
    held = ""
    if shift.held_before or shift.held_after:
        held = f", held {shift.held_before} -> {shift.held_after}"
    return (
        f"limit {shift.key.limit_id}, plan {shift.key.plan_id}, {period.basis} from {period.start}: "
        f"used {shift.used_before} -> {shift.used_after}{held}"
    )


def touched(operations: Operations, candidate: Candidate) -> int:
    """How many members have something on the dates that a document touches."""
    changed = candidate.changed
    if changed is None:
        return 0
    with operations.database.transaction(EVERY_PAYER, seconds=SECONDS_MAX) as tx:
        return tx.rule_effects.count_touched(changed.payers, changed.start, changed.end)


def preview_effects(operations: Operations, candidate: Candidate, advance: Advance) -> EffectReport:
    """Fold those members with the running catalog and with the candidate. Writes nothing."""
    report = EffectReport()
    changed = candidate.changed
    if changed is None:
        return report
    running, wanted = CatalogRules(candidate.running), CatalogRules(candidate.candidate)
    after: MemberRef | None = None
    while True:
        with operations.database.transaction(EVERY_PAYER, seconds=SECONDS_MAX) as tx:
            page = tx.rule_effects.touched_after(
                changed.payers, changed.start, changed.end, after, MEMBERS_MAX
            )
            for effect in preview(tx, running, wanted, page):
                report.add(effect)
        if not page:
            return report
        advance(len(page))
        after = page[-1]


def changed_effects(operations: Operations, cause: Cause) -> EffectReport:
    """What was changed under a cause, as it was recorded: visits, and units used and held."""
    report = EffectReport(tells_holds=False)
    after: MemberRef | None = None
    while True:
        with operations.database.transaction(EVERY_PAYER, seconds=SECONDS_MAX) as tx:
            page = tx.rule_effects.changed_after(cause, after, MEMBERS_MAX)
            visits = tx.rule_effects.visit_shifts(cause, page)
            counts = tx.rule_effects.count_shifts(cause, page)
        if not page:
            return report
        for ref in page:
            effect = MemberEffect(
                ref=ref, visits=tuple(visits.get(ref, ())), counts=tuple(counts.get(ref, ()))
            )
            if effect:
                report.add(effect)
        after = page[-1]


def wait_for_refolds(
    waiting: Callable[[], int],
    monotonic: Callable[[], float],
    pause: Callable[[float], None],
    advance: Advance,
) -> bool:
    """Look until nobody waits to be folded again; False once nothing has moved for STALL_SECONDS."""
    left = waiting()
    moved_at = monotonic()
    while left:
        if monotonic() - moved_at >= STALL_SECONDS:
            return False
        pause(POLL_SECONDS)
        now_left = waiting()
        if now_left < left:
            moved_at = monotonic()
        advance(left - now_left)
        left = now_left
    return True


def refolds_waiting(operations: Operations, payers: Sequence[str] | None) -> int:
    """How many members of these payers (None: of all) wait to be folded again."""
    with operations.database.transaction(EVERY_PAYER) as tx:
        return tx.rule_effects.refolds_waiting(payers)
