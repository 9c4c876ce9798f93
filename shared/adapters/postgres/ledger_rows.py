"""Accumulators and ledger entries as rows: columns, statements and values, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import Any, Generic, TypeVar

import orjson

from shared.adapters.postgres.arrays import ARRAYS, Texts
from shared.adapters.postgres.trips import Errand, Statement
from shared.domain.accumulator import Accumulator, AccumulatorKey, DayUse, KeyName
from shared.domain.benefit_period import BenefitPeriod
from shared.domain.records import LedgerEntry, MemberRef, StoredAccumulator

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[T]):
    """A column of a payer-owned row, its Postgres type, and how its value is read off the object."""

    name: str
    type: str
    value: Callable[[T], Any]

    @property
    def sent_as(self) -> str:
        """The type of the array's elements: JSON goes as text, which the driver need not escape."""
        return "text" if self.type == "jsonb" else self.type


class RowSet(Generic[T]):
    """The statements that write many rows of one table at once, and the values they take."""

    def __init__(
        self,
        table: str,
        key: Sequence[str],
        columns: Sequence[Column[T]],
        *,
        columns_of: Callable[[Sequence[T]], Iterable[Sequence[Any]]] | None = None,
    ) -> None:
        """Name the table, its primary key after (payer, member), and its columns.

        `columns_of` reads all columns, in their order, off many objects at once, where that is quicker.
        """
        self._columns = columns
        self._columns_of = columns_of or (
            lambda values: [list(map(column.value, values)) for column in columns]
        )
        self.names = tuple(column.name for column in columns)
        names = ", ".join(("payer_id", "member_id", *self.names))
        values = ", ".join(
            (
                "unnest(%(payers)b::text[])",
                "unnest(%(members)b::text[])",
                *(f"unnest(%({c.name})b::{c.sent_as}[])::{c.type}" for c in columns),
            )
        )
        insert = f"insert into {table} ({names}) select {values}"
        updates = ", ".join(f"{name} = excluded.{name}" for name in self.names if name not in key)
        self._insert = Statement(f"insert_{table}", insert)
        self._upsert = Statement(
            f"upsert_{table}",
            f"{insert} on conflict (payer_id, member_id, {', '.join(key)}) do update set {updates}",
        )

    def inserting(self, rows: Sequence[tuple[MemberRef, T]]) -> Errand:
        """Writes rows that are not there yet."""
        return self._insert.errand(self._values(rows))

    def upserting(self, rows: Sequence[tuple[MemberRef, T]]) -> Errand:
        """Writes rows, over those that are there."""
        return self._upsert.errand(self._values(rows))

    def _values(self, rows: Sequence[tuple[MemberRef, T]]) -> dict[str, list[Any]]:
        values = [value for _, value in rows]
        arrays: dict[str, list[Any]] = {
            column.name: ARRAYS[column.sent_as](read)
            for column, read in zip(self._columns, self._columns_of(values), strict=True)
        }
        arrays["payers"] = Texts([ref.payer_id for ref, _ in rows])
        arrays["members"] = Texts([ref.member_id for ref, _ in rows])
        return arrays


def _days_to(state: Accumulator) -> str | None:
    """The dated units of an accumulator: as an object.

    `{"used": {date: [shared, granted, visits, ahead]}, "held": {date: units}}`
    """
    if not state.days and not state.held_days:
        return None
    used = {day.on.isoformat(): [day.shared, day.granted, day.visits, day.ahead] for day in state.days}
    held = {day.isoformat(): units for day, units in state.held_days}
    return orjson.dumps({"used": used, "held": held}).decode()


accumulator_columns: RowSet[StoredAccumulator] = RowSet(
    "accumulator",
    ("plan_id", "limit_id", "basis", "period_start", "period_end", "subject"),
    (
        Column(name="plan_id", type="text", value=attrgetter("state.key.plan_id")),
        Column(name="limit_id", type="text", value=attrgetter("state.key.limit_id")),
        Column(name="basis", type="text", value=attrgetter("state.key.period.basis")),
        Column(name="period_start", type="date", value=attrgetter("state.key.period.start")),
        Column(name="period_end", type="date", value=attrgetter("state.key.period.end")),
        Column(name="subject", type="text", value=attrgetter("state.key.period.subject")),
        Column(name="in_use", type="boolean", value=attrgetter("in_use")),
        Column(name="used", type="integer", value=attrgetter("state.used")),
        Column(name="held", type="integer", value=attrgetter("state.held")),
        Column(name="granted", type="integer", value=attrgetter("state.granted")),
        Column(name="opening", type="integer", value=attrgetter("state.opening")),
        Column(name="carried", type="integer", value=attrgetter("state.carried")),
        Column(name="visits", type="integer", value=attrgetter("state.visits")),
        Column(name="allowed", type="integer", value=attrgetter("state.allowed")),
        Column(name="days", type="jsonb", value=lambda a: _days_to(a.state)),
        Column(name="version", type="bigint", value=attrgetter("version")),
    ),
)


#: What `accumulator_from` takes, of a table with the alias `a`.
ACCUMULATOR_COLUMNS = ", ".join(f"a.{name}" for name in accumulator_columns.names)

_NO_DAYS: dict[str, dict[str, Any]] = {"used": {}, "held": {}}


def accumulator_from(
    values: Sequence[Any], known: dict[KeyName, AccumulatorKey] | None = None
) -> StoredAccumulator:
    """The stored accumulator of a row with `ACCUMULATOR_COLUMNS`, in that order.

    Rows that are read with the same `known` share keys that are equal.
    """
    plan_id, limit_id, basis, start, end, subject = values[:6]
    in_use, used, held, granted, opening, carried, visits, allowed, days, version = values[6:]
    name = (plan_id, limit_id, basis, start, end, subject)
    key = known.get(name) if known is not None else None
    if key is None:
        period = BenefitPeriod(basis=basis, start=start, end=end, subject=subject)
        key = AccumulatorKey(plan_id=plan_id, limit_id=limit_id, period=period)
        if known is not None:
            known[name] = key
    dated = days or _NO_DAYS
    state = Accumulator(
        key=key,
        used=used,
        held=held,
        granted=granted,
        opening=opening,
        carried=carried,
        visits=visits,
        allowed=allowed,
        days=tuple(
            DayUse(
                on=date.fromisoformat(day), shared=units[0], granted=units[1], visits=units[2], ahead=units[3]
            )
            for day, units in sorted(dated["used"].items())
        ),
        held_days=tuple((date.fromisoformat(day), units) for day, units in sorted(dated["held"].items())),
    )
    return StoredAccumulator(state=state, version=version, in_use=in_use)


#: The type of each column, in the order of an entry's fields.
_ENTRY_TYPES = (
    *("bigint", "text", "text", "text", "date", "date", "text", "bigint", "text", "text", "text", "date"),
    *("integer", "integer", "integer", "integer", "integer", "text", "text", "timestamptz", "bytea"),
)

ledger_columns: RowSet[LedgerEntry] = RowSet(
    "ledger_entry",
    ("entry_no",),
    tuple(
        Column(name=name, type=type_, value=attrgetter(name))
        for name, type_ in zip(LedgerEntry._fields, _ENTRY_TYPES, strict=True)
    ),
    columns_of=lambda entries: zip(*entries, strict=True),
)
