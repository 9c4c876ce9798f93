"""The ledger as it is read to be checked: entry by entry, and added up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg

from shared.adapters.postgres.ledger_rows import ledger_columns
from shared.adapters.postgres.member_rows import GIVEN_MEMBERS
from shared.domain.accumulator import AccumulatorKey
from shared.domain.ledger_check import LedgerEnd, LedgerMismatch, LedgerRow
from shared.domain.records import LedgerEntry, MemberRef

#: Rows that are fetched at once, however many there are.
_FETCH = 2_000

_ENTRY = ", ".join(f"l.{name}" for name in ledger_columns.names)

_KEY = "plan_id, limit_id, basis, period_start, period_end, subject"

_ALIASED = ", ".join(f"l.{name}" for name in _KEY.split(", "))

# Only rows that differ are touched: an upsert would lock, and so write, every row that it leaves alone.
_RESTORE = f"""
with posted as (
    select l.payer_id, l.member_id, {_ALIASED}, sum(l.used_delta)::integer as used,
           sum(l.held_delta)::integer as held, max(l.version) as version, max(l.allowed) as allowed,
           coalesce(sum(l.used_delta) filter (where l.visit_id is null and l.hold_id is null), 0)::integer
               as opening
      from ledger_entry l join {GIVEN_MEMBERS} on (l.payer_id, l.member_id) = (m.payer_id, m.member_id)
     group by l.payer_id, l.member_id, {_ALIASED}
)
insert into accumulator as a (payer_id, member_id, {_KEY}, in_use, used, held, granted, opening, carried,
                              visits, allowed, version)
select payer_id, member_id, {_KEY}, p.used + p.held > 0, p.used, p.held, 0, p.opening, 0, p.used,
       greatest(p.allowed, p.used + p.held), p.version
  from posted p left join accumulator k using (payer_id, member_id, {_KEY})
 where (k.used, k.held, k.opening, k.version) is distinct from (p.used, p.held, p.opening, p.version)
    or (p.used + p.held > 0 and not k.in_use)
on conflict (payer_id, member_id, {_KEY}) do update
   set used = excluded.used, held = excluded.held, opening = excluded.opening, version = excluded.version,
       granted = least(a.granted, excluded.used),
       allowed = greatest(a.allowed, excluded.used + excluded.held),
       in_use = a.in_use or excluded.in_use
returning payer_id, member_id
"""

_RESTORE_UNPOSTED = f"""
update accumulator a set used = 0, held = 0, granted = 0, opening = 0, version = 0
  from {GIVEN_MEMBERS}
 where (a.payer_id, a.member_id) = (m.payer_id, m.member_id) and (a.used, a.held, a.version) <> (0, 0, 0)
   and not exists (
       select from ledger_entry l
        where l.payer_id = a.payer_id and l.member_id = a.member_id and l.plan_id = a.plan_id
          and l.limit_id = a.limit_id and l.basis = a.basis and l.period_start = a.period_start
          and l.subject = a.subject and l.period_end = a.period_end)
returning a.payer_id, a.member_id
"""


class PostgresLedger:
    """Ledger entries in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def count_entries(self, payer_id: str | None) -> int:
        """How many entries the members' rows speak of, of one payer or of all."""
        row = self._connection.execute(
            """select coalesce(sum(ledger_entries), 0)::bigint from member
                where %(payer)s::text is null or payer_id = %(payer)s""",
            {"payer": payer_id},
        ).fetchone()
        return int(row[0]) if row else 0

    def walk(self, refs: Iterable[MemberRef]) -> Iterator[LedgerRow]:
        """Every entry of these members, in order, with what the member's row says; all of one moment.

        A member without entries comes once, without one. Few rows are in memory at a time.
        """
        with self._connection.cursor(name="ledger_walk") as cursor:
            cursor.itersize = _FETCH
            # One statement, so that the rows of members and their entries are of one moment.
            cursor.execute(
                f"""
                select k.payer_id, k.member_id, k.ledger_entries, k.ledger_head, {_ENTRY}
                  from member k join {GIVEN_MEMBERS} on (k.payer_id, k.member_id) = (m.payer_id, m.member_id)
                  left join ledger_entry l on l.payer_id = k.payer_id and l.member_id = k.member_id
                 order by k.payer_id, k.member_id, l.entry_no
                """,
                _members(refs),
            )
            for payer, member, entries, head, *entry in cursor:
                end = LedgerEnd(
                    ref=MemberRef(payer_id=payer, member_id=member), entries=entries, head=bytes(head)
                )
                yield LedgerRow(end=end, entry=_entry_from(entry) if entry[0] is not None else None)

    def counts_at(
        self, ref: MemberRef, versions: Mapping[AccumulatorKey, int]
    ) -> dict[AccumulatorKey, tuple[int, int]]:
        """(used, held) of each accumulator at a version; absent where the ledger has no such version."""
        keys = list(versions)
        rows = self._connection.execute(
            """
            select n.place, l.used_after, l.held_after
              from unnest(%(plans)s::text[], %(limits)s::text[], %(bases)s::text[], %(starts)s::date[],
                          %(ends)s::date[], %(subjects)s::text[], %(versions)s::bigint[]) with ordinality
                   as n (plan_id, limit_id, basis, period_start, period_end, subject, version, place)
              join ledger_entry l
                on (l.plan_id, l.limit_id, l.basis, l.period_start, l.period_end, l.subject, l.version)
                 = (n.plan_id, n.limit_id, n.basis, n.period_start, n.period_end, n.subject, n.version)
             where l.payer_id = %(payer)s and l.member_id = %(member)s
            """,
            {
                "payer": ref.payer_id,
                "member": ref.member_id,
                "plans": [key.plan_id for key in keys],
                "limits": [key.limit_id for key in keys],
                "bases": [key.period.basis for key in keys],
                "starts": [key.period.start for key in keys],
                "ends": [key.period.end for key in keys],
                "subjects": [key.period.subject for key in keys],
                "versions": [versions[key] for key in keys],
            },
        )
        return {keys[place - 1]: (used, held) for place, used, held in rows}

    def mismatches(self, refs: Iterable[MemberRef]) -> list[LedgerMismatch]:
        """The accumulators of these members whose rows are not what their entries add up to."""
        rows = self._connection.execute(
            f"""
            with kept as (
                select a.payer_id, a.member_id, {_aliased("a")}, a.used, a.held, a.version
                  from accumulator a
                  join {GIVEN_MEMBERS} on (a.payer_id, a.member_id) = (m.payer_id, m.member_id)
            ),
            posted as (
                select l.payer_id, l.member_id, {_aliased("l")}, sum(l.used_delta)::bigint as used,
                       sum(l.held_delta)::bigint as held, count(*) as version, max(l.entry_no) as entry_no
                  from ledger_entry l
                  join {GIVEN_MEMBERS} on (l.payer_id, l.member_id) = (m.payer_id, m.member_id)
                 group by l.payer_id, l.member_id, {_aliased("l")}
            )
            select payer_id, member_id, limit_id, coalesce(kept.used, 0), coalesce(kept.held, 0),
                   coalesce(kept.version, 0), coalesce(posted.used, 0), coalesce(posted.held, 0),
                   coalesce(posted.version, 0), coalesce(posted.entry_no, 0)
              from kept full join posted using (payer_id, member_id, {_KEY})
             where (coalesce(kept.used, 0), coalesce(kept.held, 0), coalesce(kept.version, 0))
                is distinct from
                   (coalesce(posted.used, 0), coalesce(posted.held, 0), coalesce(posted.version, 0))
             order by payer_id, member_id, 10
            """,
            _members(refs),
        )
        return [
            LedgerMismatch(
                ref=MemberRef(payer_id=row[0], member_id=row[1]),
                limit_id=row[2],
                used=row[3],
                held=row[4],
                version=row[5],
                posted_used=row[6],
                posted_held=row[7],
                posted_version=row[8],
                entry_no=row[9],
            )
            for row in rows
        ]

    def restore(self, refs: Iterable[MemberRef]) -> list[MemberRef]:
        """Set the counts and versions of these members' accumulators to what their entries add up to.

        The members are locked. Returns those of whom something was set; the rest of their state is to
        be folded again, since entries do not tell all of it.
        """
        given = _members(refs)
        rows = self._connection.execute(_RESTORE, given).fetchall()
        rows += self._connection.execute(_RESTORE_UNPOSTED, given).fetchall()
        return sorted({MemberRef(payer_id=payer, member_id=member) for payer, member in rows})


def _members(refs: Iterable[MemberRef]) -> dict[str, Any]:
    wanted = list(refs)
    return {"payers": [ref.payer_id for ref in wanted], "members": [ref.member_id for ref in wanted]}


def _aliased(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in _KEY.split(", "))


def _entry_from(values: Sequence[Any]) -> LedgerEntry:
    """The entry of a row with `ledger_columns.names`, in that order."""
    return LedgerEntry._make((*values[:-1], bytes(values[-1])))
