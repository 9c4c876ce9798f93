"""Holds: promised, released, expired. Posting one is the adjudication's, when a visit names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from shared.accounting.book import MemberBook
from shared.accounting.codec import Json, hold_outcome_to, service_from
from shared.accounting.determination_body import limit_standing_to
from shared.accounting.settling import open_settled
from shared.domain.adjudication import Fold
from shared.domain.determination import (
    Determination,
    MemberStanding,
    determine,
    determine_from_visits,
)
from shared.domain.errors import Conflict
from shared.domain.evaluation import COVERING, LimitClaim, Reason
from shared.domain.history import History, Rules, VisitOutcome
from shared.domain.hold import Hold, HoldState
from shared.domain.hold_records import HoldRequest, HoldRow, NewHold
from shared.domain.limit_reasons import standing_reason
from shared.domain.records import Cause, CounterImage
from shared.domain.same_day import SameDay
from shared.domain.service import Service
from shared.ports import RulesSource, Transaction

#: The codes of reasons that say how a service stands to a limit.
_OF_LIMITS = frozenset({"within_limit", "partly_within_limit", "limit_exhausted"})


class HoldRefused(Conflict):
    """The service cannot be held."""

    def __init__(self, code: str, reasons: Sequence[Reason], images: Sequence[CounterImage]) -> None:
        """`code` names the problem; `images` show what settling the member changed, to be committed."""
        super().__init__(next((reason.text for reason in reasons), None))
        self.code = code
        self.reasons = tuple(reasons)
        self.images = tuple(images)


class HoldPosted(Conflict):
    """The hold was posted: its units belong to a visit, so void or correct the visit instead."""


def place_hold(
    tx: Transaction, rules: RulesSource, now: datetime, request: HoldRequest
) -> tuple[Json, list[CounterImage]]:
    """Promise units to a scheduled service, after every pending event of the member.

    Returns the answer for the client and the counters to show after the commit, which is the
    caller's. Raises HoldRefused, `limit_exhausted` when there is no room, `not_covered` when the rules do
    not cover the service, `coverage_unknown` when they do not tell, `nothing_to_hold` when no limit counts
    it; the caller commits then too, since the member's pending events were applied.
    """
    posting = open_settled(tx, rules, now, [request.ref])
    book = posting.book(request.ref)
    service = service_from(request.content)
    current = rules.current(tx)
    standing = standing_of(book, service)
    found, _ = determine_from_visits(current, standing, service, None, lambda: book.history)
    if found.decision not in COVERING or not found.limits:
        raise HoldRefused(_refusal(found), found.reasons, posting.save())
    hold = Hold(
        hold_id=request.hold_id, arrival=tx.holds.next_arrival(), service=service, quantity=request.quantity
    )
    held = replace(book.history, holds=(*book.history.holds, hold))
    if not _has_room(current, book, held, hold, found):
        raise HoldRefused("limit_exhausted", _why_no_room(found, hold.quantity), posting.save())
    book.refold(held, Cause(kind="hold", id=request.hold_id))
    outcome = book.fold.hold(request.hold_id)
    answer = {
        "hold_id": request.hold_id,
        "state": outcome.state,
        "quantity": request.quantity,
        "expires_at": request.expires_at.isoformat().replace("+00:00", "Z"),
        "accumulators": standings_for(current, book, service),
    }
    tx.holds.insert(
        NewHold(
            request=request,
            arrival=hold.arrival,
            state=outcome.state,
            outcome=hold_outcome_to(outcome),
            answer=answer,
            created_at=now,
        )
    )
    return answer, posting.save()


def _has_room(rules: Rules, book: MemberBook, held: History, hold: Hold, found: Determination) -> bool:
    """Whether the units that a hold asks for are free, all of them and in every limit it feeds.

    A hold goes ahead of the order, so it must not be granted at the cost of visits that are counted.
    Only where service dates make the order may it take the place of a later one, as its visit would.
    """
    if any(limit.room < hold.quantity for limit in found.limits):
        return False
    trial = Fold(held, rules)
    if not trial.hold(hold.hold_id).postings:
        return False
    if any(limit.limit.ordering == "service_date" for limit in found.limits):
        return True
    return all(_units(trial.outcome(visit.key)) >= _units(book.outcome(visit.key)) for visit in held.visits)


def _units(outcome: VisitOutcome | None) -> int:
    return sum(posting.units for posting in outcome.postings) if outcome else 0


def _refusal(found: Determination) -> str:
    """The code of a refusal that the rules or an exhausted limit decide."""
    if any(reason.code == "limit_exhausted" for reason in found.reasons):
        return "limit_exhausted"
    if found.decision in COVERING:
        return "nothing_to_hold"
    return "not_covered" if found.decision == "not_covered" else "coverage_unknown"


def _why_no_room(found: Determination, quantity: int) -> tuple[Reason, ...]:
    """The reasons of a check, but first what its limits say of all the units that were asked to be held."""
    short = tuple(
        standing_reason(
            LimitClaim(limit=limit.limit, quantity=quantity, lines=(), source=limit.source),
            limit.used,
            limit.held,
            limit.allowed,
            quantity=quantity,
            fitting=limit.room,
        )
        for limit in found.limits
        if limit.room < quantity
    )
    if not short:
        return found.reasons
    return (*short, *(reason for reason in found.reasons if reason.code not in _OF_LIMITS))


def release_hold(
    tx: Transaction, rules: RulesSource, now: datetime, row: HoldRow
) -> tuple[HoldState, list[CounterImage]]:
    """Take a promise back. One that ended before stays as it ended; raises HoldPosted for a posted one."""
    return _end(tx, rules, now, [row], "released")


def expire_due(
    tx: Transaction, rules: RulesSource, now: datetime, limit: int, skip: int = 0
) -> tuple[int, list[CounterImage]]:
    """End up to `limit` pending holds whose time is over, each member's pending events applied first.

    The oldest `skip` of them are left as they are. Returns how many expired, and the counters to show
    after the commit. Safe to run twice.
    """
    rows = tx.holds.due(now, limit, skip)
    if not rows:
        return 0, []
    _, images = _end(tx, rules, now, rows, "expired")
    return len(rows), images


def _end(
    tx: Transaction,
    rules: RulesSource,
    now: datetime,
    rows: Sequence[HoldRow],
    end_state: Literal["released", "expired"],
) -> tuple[HoldState, list[CounterImage]]:
    tx.holds.ending(row.hold_id for row in rows)
    posting = open_settled(tx, rules, now, [row.ref for row in rows])
    state: HoldState = end_state
    for row in rows:
        book = posting.book(row.ref)
        state = book.fold.hold(row.hold_id).state
        if state == "posted" and end_state == "released":
            raise HoldPosted
        if state != "pending":
            continue
        arrival = tx.holds.end(row.hold_id, end_state)
        holds = tuple(
            replace(hold, ended_by=arrival, end_state=end_state) if hold.hold_id == row.hold_id else hold
            for hold in book.history.holds
        )
        book.refold(replace(book.history, holds=holds), Cause(kind=f"hold.{end_state}", id=row.hold_id))
        state = book.fold.hold(row.hold_id).state
    return state, posting.save()


def standing_of(book: MemberBook, service: Service) -> MemberStanding:
    """An open book as a check of this service sees a member, with nothing pending."""
    stored, on = book.image().accumulators, service.service_date
    return MemberStanding(
        history=replace(book.history, visits=(), holds=()),
        day_codes={on: SameDay(book.history.visits).codes_before(on)},
        accumulators=tuple(accumulator.state for accumulator in stored),
        versions={accumulator.state.key: accumulator.version for accumulator in stored},
    )


def standings_for(rules: Rules, book: MemberBook, service: Service) -> list[Json]:
    """The limits that a service feeds, as an answer shows them."""
    return [
        limit_standing_to(limit) for limit in determine(rules, standing_of(book, service), service).limits
    ]
