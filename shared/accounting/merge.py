"""Merging members: two records of a payer that are one person (contract section 4).

From then on everything that names the merged member is the other's: visits, holds, overrides and
opening balances before and after. Nothing of it is rewritten; what is counted moves in the ledger, out
of the one's accumulators and into the other's, folded anew, so that it is a union by event and not a
sum of totals.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

from shared.accounting.operator_ports import OperatorTransaction
from shared.accounting.rebuild import Group, rebuild
from shared.domain.enrollment import EnrollmentSpan
from shared.domain.errors import Conflict, NotFound
from shared.domain.operator_records import NewMerge
from shared.domain.records import Cause, CounterImage, MemberRef
from shared.ports import RulesSource


class MemberNotFound(NotFound):
    """The payer has nothing on record of a member to be merged."""


class MergeRefused(Conflict):
    """These members cannot be merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What a merge did: the counters to show, and the spans of enrollment that were brought along."""

    images: tuple[CounterImage, ...] = ()
    spans_brought: int = 0
    done_before: bool = False


def merge_members(
    tx: OperatorTransaction,
    rules: RulesSource,
    now: datetime,
    merge: NewMerge,
    *,
    bring_enrollment: bool = True,
) -> Merged:
    """Merge `source` into `into` in this transaction, whose commit is the caller's.

    With `bring_enrollment`, dates on which only `source` was enrolled become `into`'s, so that what was
    covered stays so; the payer's next enrollment of `into` replaces them. The same merge again is
    nothing. Raises MemberNotFound and MergeRefused.
    """
    source, into = merge.source, merge.into
    if source == into:
        raise MergeRefused("Both ids are the same: a member cannot be merged into itself.")
    known = tx.rebuilding.known([source, into])
    unknown = [place for place, ref in (("first", source), ("second", into)) if ref not in known]
    if unknown:
        raise MemberNotFound(f"The payer has nothing on record of the {' and of the '.join(unknown)} id.")
    tx.books.lock_payers([source.payer_id])
    rows = tx.rebuilding.lock([source, into])
    if rows[source].home == into:
        return Merged(done_before=True)
    if rows[source].merged_into is not None:
        raise MergeRefused("The member of the first id was merged into another one before.")
    if rows[into].merged_into is not None:
        raise MergeRefused("The member of the second id was itself merged into another one; name that one.")
    brought = _bring_enrollment(tx, source, into) if bring_enrollment else 0
    tx.merges.record(merge, now)
    group = Group(members=frozenset([source, into]))
    found = rebuild(tx, rules, now, group, Cause(kind="merge", id=merge.merge_id))
    if isinstance(found, Group):
        raise MergeRefused("Their stored state is not what their events add up to; run a rebuild first.")
    return Merged(images=found.images, spans_brought=brought)


def _bring_enrollment(tx: OperatorTransaction, source: MemberRef, into: MemberRef) -> int:
    """Enroll `into` where only `source` was; how many spans that took."""
    stored = tx.books.read([source, into])
    own = stored[into].history.spans
    brought = spans_beyond(stored[source].history.spans, own)
    if brought:
        spans = sorted((*own, *brought), key=lambda span: span.start)
        tx.enrollments.replace(into.payer_id, into.member_id, spans)
    return len(brought)


def spans_beyond(spans: Iterable[EnrollmentSpan], others: Iterable[EnrollmentSpan]) -> list[EnrollmentSpan]:
    """What is left of `spans` on dates that no span of `others` covers. Spans are `[start, end)`."""
    left = list(spans)
    for other in others:
        left = [part for span in left for part in _without(span, other)]
    return left


def _without(span: EnrollmentSpan, other: EnrollmentSpan) -> list[EnrollmentSpan]:
    """The parts of a span before and after another."""
    end, other_end = span.end or date.max, other.end or date.max
    parts = []
    if span.start < min(end, other.start):
        parts.append(replace(span, end=span.end if end <= other.start else other.start))
    if other_end < end and other_end != date.max:
        parts.append(replace(span, start=max(span.start, other_end)))
    return parts
