"""Opening balances: what sources state that members had used elsewhere, with where it is known from.

A source's newer statement on a period replaces its older one; it never adds to it. One that comes too
late is kept as it came and has no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from shared.accounting.book import MemberBook
from shared.accounting.operator_ports import OperatorTransaction
from shared.accounting.posting import Posting
from shared.domain.benefit_period import BenefitPeriod, period_for
from shared.domain.enrollment import span_on
from shared.domain.history import Rules
from shared.domain.hold import OpeningBalance
from shared.domain.limit import Limit
from shared.domain.operator_records import OpeningStatement, StatementEffect
from shared.domain.records import Cause, CounterImage
from shared.domain.service import Service
from shared.ports import RulesSource

#: What became of a statement. `repeated`: it was known word for word. The last three changed nothing.
Fate = Literal["added", "replaced", "ignored", "repeated", "contradicts", "plan_unknown", "limit_unknown"]

#: Statements that are at fault, and why.
REFUSALS: dict[Fate, str] = {
    "contradicts": "the source stated something else under this sequence before",
    "plan_unknown": "the payer has no such plan",
    "limit_unknown": "no such limit applies to the plan on that date",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What became of each statement, in order, and the counters to show after the commit."""

    fates: tuple[Fate, ...]
    images: tuple[CounterImage, ...]


def state_opening_balances(
    tx: OperatorTransaction, rules: RulesSource, now: datetime, statements: Sequence[OpeningStatement]
) -> Stated:
    """Take statements in, in order, and fold their members again.

    The commit is the caller's. Safe to run twice: a statement that is known is only said to be.
    """
    posting = Posting(tx, rules, now)
    posting.open_for([], [statement.ref for statement in statements])
    current = rules.current(tx)
    fates = tuple(_take(tx, posting, current, now, statement) for statement in statements)
    return Stated(fates=fates, images=tuple(posting.save()))


def _take(
    tx: OperatorTransaction, posting: Posting, rules: Rules, now: datetime, statement: OpeningStatement
) -> Fate:
    book, balance = posting.book(statement.ref), statement.balance
    limit = _limit_of(book, rules, balance)
    if isinstance(limit, str):
        return limit
    known = tx.opening_balances.of(statement.ref)
    fate = _fate(balance, _on_same_period(book, limit, balance, known))
    if fate in {"contradicts", "repeated"}:
        return fate
    effect: StatementEffect = (
        "ignored" if fate == "ignored" else "replaced" if fate == "replaced" else "added"
    )
    tx.opening_balances.keep([(statement, effect)], now)
    if effect != "ignored":
        tx.opening_balances.put(statement.ref, balance, now)
        stated = tx.books.bases([statement.ref])[statement.ref].history.opening_balances
        cause = Cause(kind="opening_balance", id=f"{balance.source}#{balance.sequence}")
        book.refold(replace(book.history, opening_balances=stated), cause)
    return fate


def _limit_of(book: MemberBook, rules: Rules, balance: OpeningBalance) -> Limit | Fate:
    plan = book.history.plans.get(balance.plan_id)
    if plan is None:
        return "plan_unknown"
    limits = rules.limits_on(book.history.payer_id, plan, balance.service_date)
    found = next((limit for limit, _ in limits if limit.limit_id == balance.limit_id), None)
    return found or "limit_unknown"


def _fate(balance: OpeningBalance, before: Sequence[OpeningBalance]) -> Fate:
    """What a statement does, beside those of its source on the same period."""
    newest = max(before, key=lambda one: one.sequence, default=None)
    if newest is None:
        return "added"
    if balance.sequence > newest.sequence:
        return "replaced"
    same = next((one for one in before if one.sequence == balance.sequence), None)
    if same is None:
        return "ignored"
    return "repeated" if same == balance else "contradicts"


def _on_same_period(
    book: MemberBook, limit: Limit, balance: OpeningBalance, known: Sequence[OpeningBalance]
) -> list[OpeningBalance]:
    period = _period_of(book, limit, balance)
    names = (balance.plan_id, balance.limit_id, balance.source)
    return [
        one
        for one in known
        if (one.plan_id, one.limit_id, one.source) == names
        and (one.service_date == balance.service_date or _contains(period, one.service_date))
    ]


def _period_of(book: MemberBook, limit: Limit, balance: OpeningBalance) -> BenefitPeriod | None:
    """The period that a balance's date names; None where more than the calendar is needed to say."""
    history, on = book.history, balance.service_date
    span = span_on(history.spans, on) or next(
        (one for one in history.spans if one.plan_id == balance.plan_id), None
    )
    if span is None or limit.basis == "first_service_year":
        return None
    return period_for(limit, history.plans[balance.plan_id], span, Service(service_date=on, lines=()))


def _contains(period: BenefitPeriod | None, on: date) -> bool:
    return period is not None and period.contains(on)
