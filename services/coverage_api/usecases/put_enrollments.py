"""Replaces a member's enrollment spans, and counts the member's visits again in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from services.coverage_api.auditing import CallAudit
from services.coverage_api.ports import Tools
from services.coverage_api.usecases.showing import show_counters
from shared.accounting.posting import Posting
from shared.accounting.retrying import retrying
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.errors import Invalid
from shared.domain.records import Cause, CounterImage, MemberRef
from shared.failpoints import Step, around


def put_enrollments(
    tools: Tools, audit: CallAudit, ref: MemberRef, spans: Sequence[EnrollmentSpan], request_id: str
) -> tuple[EnrollmentSpan, ...]:
    """Put these spans in the place of the member's others; the same again is nothing. Earliest first.

    The change is listed in the ledger under `request_id`. Raises Invalid for spans that overlap or
    name a plan that is not there, and MemberMerged for a member that was merged into another.
    """
    _refuse_overlaps(spans)
    ordered = tuple(sorted(spans, key=lambda span: span.start))
    images = retrying(lambda: _replace(tools, audit, ref, spans, ordered, request_id))
    show_counters(tools, images)
    return ordered


def _replace(
    tools: Tools,
    audit: CallAudit,
    ref: MemberRef,
    spans: Sequence[EnrollmentSpan],
    ordered: tuple[EnrollmentSpan, ...],
    request_id: str,
) -> list[CounterImage]:
    """One transaction; the counters to show after it. Raises ConcurrentChange."""
    with tools.store.transaction([ref.payer_id]) as tx:
        posting = Posting(tx, tools.rules, tools.clock())
        posting.open([ref])
        history = posting.book(ref).history
        _refuse_unknown_plans(spans, history.plans)
        if history.spans != ordered:
            tx.enrollments.replace(ref.payer_id, ref.member_id, ordered)
            cause = Cause(kind="enrollment", id=request_id)
            posting.book(ref).refold(replace(history, spans=ordered), cause)
        images = posting.save()
        tx.audit.record([audit.entry(200)])
        with around(Step.ENROLLMENT_COMMIT):
            tx.commit()
    return images


def _refuse_overlaps(spans: Sequence[EnrollmentSpan]) -> None:
    """Raises Invalid, pointing at each span that begins before an earlier one has ended."""
    by_start = sorted(range(len(spans)), key=lambda i: spans[i].start)
    faults = [
        (f"/spans/{later}", f"Overlaps the span at /spans/{earlier}.")
        for earlier, later in pairwise(by_start)
        if (end := spans[earlier].end) is None or spans[later].start < end
    ]
    if faults:
        raise Invalid(faults)


def _refuse_unknown_plans(spans: Sequence[EnrollmentSpan], plans: Mapping[str, Plan]) -> None:
    faults = [
        (f"/spans/{i}/plan_id", "The payer has no such plan.")
        for i, span in enumerate(spans)
        if span.plan_id not in plans
    ]
    if faults:
        raise Invalid(faults)
