"""What the operator's use cases need from the world, beyond what the services share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from shared.domain.enrollment import EnrollmentSpan
from shared.domain.hold import OpeningBalance
from shared.domain.member_rows import LedgerSums, MemberRow
from shared.domain.operator_records import NewDecision, NewMerge, OpeningStatement, StatementEffect
from shared.domain.records import MemberRef
from shared.domain.visit import DuplicateDecision, VisitEvent, VisitName
from shared.ports import MemberBooks, Transaction


class NamedBooks(MemberBooks, Protocol):
    """Members' books, with the names that merged members go by."""

    def current_names(self, refs: Iterable[MemberRef]) -> Mapping[MemberRef, MemberRef]:
        """Into whom those of these members that were merged were merged; the others are absent."""
        ...


class Rebuilding(Protocol):
    """What a state is rebuilt from, whatever the state says now."""

    def known(self, refs: Iterable[MemberRef]) -> set[MemberRef]:
        """Those of these members that were ever heard of."""
        ...

    def lock(self, refs: Iterable[MemberRef]) -> Mapping[MemberRef, MemberRow]:
        """Lock exactly these members' rows in order, making those not heard of yet."""
        ...

    def events_of(self, names: Iterable[VisitName]) -> Mapping[VisitName, list[VisitEvent]]:
        """Every applied event of these visits; visits without any are absent."""
        ...

    def owners_of(self, names: Iterable[VisitName]) -> Mapping[VisitName, str | None]:
        """The member that each of these visits' rows names; visits without a row are absent."""
        ...

    def shards_of(self, names: Iterable[VisitName]) -> list[int]:
        """The shards in which these visits' events are applied."""
        ...

    def decisions_on(self, names: Iterable[VisitName]) -> Mapping[VisitName, DuplicateDecision]:
        """The operator's last decision on each of these visits that has one."""
        ...

    def ledger_sums(self, refs: Iterable[MemberRef]) -> Mapping[MemberRef, LedgerSums]:
        """What the ledger entries of these members add up to; members without any are absent."""
        ...


class Duplicates(Protocol):
    """Decisions on possible duplicates."""

    def record(self, decision: NewDecision, now: datetime) -> None:
        """Keep a decision, beside those before it."""
        ...


class Merges(Protocol):
    """Merges of members."""

    def record(self, merge: NewMerge, now: datetime) -> None:
        """Make `source`, and everyone merged into it before, lead to `into`, and keep the merge."""
        ...


class Enrollments(Protocol):
    """Members' enrollments."""

    def replace(self, payer_id: str, member_id: str, spans: Sequence[EnrollmentSpan]) -> None:
        """Put these spans, which do not overlap, in the place of all the member's others."""
        ...


class OpeningBalances(Protocol):
    """What members had used elsewhere."""

    def of(self, ref: MemberRef) -> list[OpeningBalance]:
        """What was stated of this very member, not of those merged into it."""
        ...

    def put(self, ref: MemberRef, balance: OpeningBalance, now: datetime) -> None:
        """Store a balance in the place of what its source stated before for the same date."""
        ...

    def keep(self, statements: Sequence[tuple[OpeningStatement, StatementEffect]], now: datetime) -> None:
        """Keep statements as they came, with what they did."""
        ...


class OperatorTransaction(Transaction, Protocol):
    """One open transaction with everything the operator's use cases work on."""

    @property
    def books(self) -> NamedBooks:
        """Members' histories and states."""
        ...

    @property
    def rebuilding(self) -> Rebuilding:
        """What states are rebuilt from."""
        ...

    @property
    def duplicates(self) -> Duplicates:
        """Decisions on possible duplicates."""
        ...

    @property
    def merges(self) -> Merges:
        """Merges of members."""
        ...

    @property
    def enrollments(self) -> Enrollments:
        """Members' enrollments."""
        ...

    @property
    def opening_balances(self) -> OpeningBalances:
        """What members had used elsewhere."""
        ...


class OperatorDatabase(Protocol):
    """Hands out transactions."""

    def transaction(
        self, payers: Sequence[str], *, seconds: float | None = None
    ) -> AbstractContextManager[OperatorTransaction]:
        """One transaction that sees `payers`. Raises StoreUnavailable when it cannot answer in time."""
        ...
