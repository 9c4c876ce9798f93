"""What members' histories are made of, read for many members at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg

from shared.accounting.codec import service_from
from shared.adapters.postgres import visit_rows
from shared.adapters.postgres.arrays import Texts
from shared.adapters.postgres.grant_rows import (
    OPENING_BALANCE_COLUMNS,
    OPENING_BALANCE_ORDER,
    OVERRIDE_COLUMNS,
    opening_balance_from,
    override_from,
)
from shared.adapters.postgres.ledger_rows import ACCUMULATOR_COLUMNS, accumulator_from
from shared.adapters.postgres.member_rows import OF_MEMBERS, member_arrays
from shared.adapters.postgres.plans import PLAN_COLUMNS, plan_from
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.hold import Hold, OpeningBalance, Override
from shared.domain.records import MemberRef, StoredAccumulator, StoredHold, StoredVisit

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Members to be loaded, and those that were merged into them, whose rows are theirs too.

    `homes` leads from each merged member to the one it was merged into.
    """

    members: Sequence[MemberRef]
    homes: Mapping[MemberRef, MemberRef] = field(default_factory=dict)

    def arrays(self) -> dict[str, Texts]:
        """The parameters that `OF_MEMBERS` takes for the rows of all of them."""
        return member_arrays([*self.members, *self.homes])

    def home(self, payer_id: str, member_id: str) -> MemberRef:
        """Whose a row is that names this member."""
        ref = MemberRef(payer_id=payer_id, member_id=member_id)
        return self.homes.get(ref, ref)


class HistoryReader:
    """Reads the parts of a family's histories in one transaction; each answer is by member."""

    def __init__(self, connection: psycopg.Connection[Any], family: Family) -> None:
        """Work on an open transaction, for these members."""
        self._connection = connection
        self._family = family

    def spans(self) -> dict[MemberRef, list[EnrollmentSpan]]:
        """Enrollments, the earliest first. A merged member's are no longer anybody's."""
        columns = "e.plan_id, e.starts_on, e.ends_on, e.attributes"
        alone = Family(members=self._family.members)
        return _grouped(
            (
                ref,
                EnrollmentSpan(plan_id=plan_id, start=start, end=end, attributes=tuple(attributes)),
            )
            for ref, plan_id, start, end, attributes in self._rows(
                columns, "enrollment e", "e.starts_on", alone
            )
        )

    def visits(self) -> dict[MemberRef, list[StoredVisit]]:
        """Visits with what became of them, in order of arrival."""
        order = "v.arrival, v.client_id, v.visit_id"
        return _grouped(
            (ref, visit_rows.visit_from(row)[2])
            for ref, *row in self._rows(visit_rows.COLUMNS, "visit_in_full v", order)
        )

    def holds(self) -> tuple[dict[MemberRef, list[Hold]], dict[MemberRef, dict[str, StoredHold]]]:
        """Holds in order of arrival, and what became of each by its id."""
        holds: dict[MemberRef, list[Hold]] = defaultdict(list)
        stored: dict[MemberRef, dict[str, StoredHold]] = defaultdict(dict)
        columns = "h.hold_id, h.arrival, h.content, h.quantity, h.ended_by, h.end_state, h.state, h.outcome"
        for ref, hold_id, arrival, content, quantity, ended_by, end_state, state, outcome in self._rows(
            columns, "hold h", "h.arrival"
        ):
            holds[ref].append(
                Hold(
                    hold_id=hold_id,
                    arrival=arrival,
                    service=service_from(content),
                    quantity=quantity,
                    ended_by=ended_by,
                    end_state=end_state,
                )
            )
            stored[ref][hold_id] = StoredHold(state=state, outcome=outcome)
        return holds, stored

    def overrides(self) -> dict[MemberRef, list[Override]]:
        """Overrides that were not revoked, in the order they were granted."""
        columns = f"o.revoked_at, {OVERRIDE_COLUMNS}"
        return _grouped(
            (ref, override_from(row))
            for ref, revoked_at, *row in self._rows(
                columns, "override_grant o", "o.created_at, o.override_id"
            )
            if revoked_at is None
        )

    def opening_balances(self) -> dict[MemberRef, list[OpeningBalance]]:
        """Opening balances by source and date."""
        return _grouped(
            (ref, opening_balance_from(row))
            for ref, *row in self._rows(OPENING_BALANCE_COLUMNS, "opening_balance b", OPENING_BALANCE_ORDER)
        )

    def accumulators(self) -> dict[MemberRef, list[StoredAccumulator]]:
        """Accumulators. Those of a merged member stand at nothing: what it used is in its new home's."""
        return _grouped((ref, accumulator_from(values)) for ref, *values in self._accumulator_rows())

    def versioned_accumulators(self) -> dict[MemberRef, tuple[int, list[StoredAccumulator]]]:
        """Accumulators with the member's version at that moment; a member without any is absent."""
        version = """(select k.version from member k
                       where k.payer_id = a.payer_id and k.member_id = a.member_id)"""
        found: dict[MemberRef, tuple[int, list[StoredAccumulator]]] = {}
        for ref, at, *values in self._accumulator_rows(f"{version}, "):
            found.setdefault(ref, (at, []))[1].append(accumulator_from(values))
        return found

    def _accumulator_rows(self, before: str = "") -> Iterator[Any]:
        order = "a.plan_id, a.limit_id, a.period_start"
        alone = Family(members=self._family.members)
        return self._rows(before + ACCUMULATOR_COLUMNS, "accumulator a", order, alone)

    def plans(self) -> dict[str, dict[str, Plan]]:
        """Every plan of the members' payers, by payer and plan id."""
        payers = sorted({ref.payer_id for ref in self._family.members})
        plans: dict[str, dict[str, Plan]] = {payer: {} for payer in payers}
        rows = self._connection.execute(
            f"select {PLAN_COLUMNS} from plan where payer_id = any (%s)", [payers]
        )
        for plan in map(plan_from, rows):
            plans[plan.payer_id][plan.plan_id] = plan
        return plans

    def _rows(self, columns: str, table: str, order: str, family: Family | None = None) -> Iterator[Any]:
        """(whose it is, columns...) of each row of a table; `columns` leave out payer and member.

        `table` is its name and the one-letter alias that columns and order use.
        """
        family = family or self._family
        alias = table[-1]
        rows = self._connection.execute(
            f"""select {alias}.payer_id, {alias}.member_id, {columns}
                  from {table} {OF_MEMBERS.format(alias)} order by {order}""",
            family.arrays(),
        )
        if not family.homes:
            return ((MemberRef(payer_id=payer, member_id=member), *values) for payer, member, *values in rows)
        return ((family.home(payer, member), *values) for payer, member, *values in rows)


def _grouped(pairs: Iterable[tuple[MemberRef, T]]) -> dict[MemberRef, list[T]]:
    """Values by member, in the order they came; a member without any has an empty list."""
    groups: dict[MemberRef, list[T]] = defaultdict(list)
    for ref, value in pairs:
        groups[ref].append(value)
    return groups
