"""What was known of a member at a moment, from what is never changed: ledger, merges, grants, arrivals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg

from shared.adapters.postgres.grant_rows import (
    OPENING_BALANCE_COLUMNS,
    OPENING_BALANCE_ORDER,
    OVERRIDE_COLUMNS,
    opening_balance_from,
    override_from,
)
from shared.adapters.postgres.ledger_sums import LEDGER_SUMS, sums_from
from shared.domain.hold import OpeningBalance, Override
from shared.domain.known_state import KnownState
from shared.domain.records import MemberRef

#: A chain of merges is followed no longer than this: each is made by hand.
_MERGES_MAX = 100

# The member whose books a name led to at the moment, with everyone who had been merged into it.
_FAMILY = """
recursive led (member_id, step) as (
    select %(member)s::text, 0
     union all
    select g.into_member_id, l.step + 1
      from led l
      join member_merge g on g.payer_id = %(payer)s and g.member_id = l.member_id
                         and g.merged_at <= %(moment)s
     where l.step < %(merges)s
),
home as (select member_id from led order by step desc limit 1),
family (member_id) as (
    select member_id from home
     union
    select g.member_id from family f
      join member_merge g on g.payer_id = %(payer)s and g.into_member_id = f.member_id
                         and g.merged_at <= %(moment)s
)
"""

# A member's entries up to the first that was recorded after the moment. One numbered behind that may bear an
# earlier time, if whoever wrote it waited for the member: without those before it, it would add up to a state
# that never was.
_ENTRIES = """ledger_entry l
 where l.payer_id = %(payer)s and l.member_id = %(home)s
   and l.entry_no < all (select later.entry_no from ledger_entry later
                          where later.payer_id = %(payer)s and later.member_id = %(home)s
                            and later.recorded_at > %(moment)s
                          order by later.entry_no limit 1)
"""


class PostgresPast:
    """The past of members in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def known_at(self, ref: MemberRef, moment: datetime) -> KnownState:
        """What was known of a member at a moment; nothing of one who had not been heard of."""
        given = {
            "payer": ref.payer_id,
            "member": ref.member_id,
            "moment": moment,
            "merges": _MERGES_MAX,
        }
        row = self._connection.execute(f"with {_FAMILY} select member_id from home", given).fetchone()
        assert row is not None, "a name leads at least to itself"
        home = MemberRef(payer_id=ref.payer_id, member_id=row[0])
        rows = self._connection.execute(
            LEDGER_SUMS.format(source=_ENTRIES), {**given, "home": home.member_id}
        )
        return KnownState(
            ref=home,
            ledger=sums_from(rows)[home],
            overrides=self._overrides(given),
            opening_balances=self._opening_balances(given),
            pending_events=self._pending(given),
        )

    def _overrides(self, given: dict[str, Any]) -> tuple[Override, ...]:
        rows = self._connection.execute(
            f"""
            with {_FAMILY}
            select {OVERRIDE_COLUMNS}
              from override_grant o join family f on f.member_id = o.member_id
             where o.payer_id = %(payer)s and o.created_at <= %(moment)s
               and (o.revoked_at is null or o.revoked_at > %(moment)s)
             order by o.created_at, o.override_id
            """,
            given,
        )
        return tuple(map(override_from, rows))

    def _opening_balances(self, given: dict[str, Any]) -> tuple[OpeningBalance, ...]:
        rows = self._connection.execute(
            f"""
            with {_FAMILY}
            select {OPENING_BALANCE_COLUMNS}
              from opening_balance b join family f on f.member_id = b.member_id
             where b.payer_id = %(payer)s and b.recorded_at <= %(moment)s
             order by {OPENING_BALANCE_ORDER}
            """,
            given,
        )
        return tuple(map(opening_balance_from, rows))

    def _pending(self, given: dict[str, Any]) -> int:
        """Events that had been accepted and not applied: those that wait still, and those applied since."""
        row = self._connection.execute(
            f"""
            with {_FAMILY}
            select count(*) from (
                select w.arrival from visit_event_waiting w join family f on f.member_id = w.member_id
                 where w.payer_id = %(payer)s and w.received_at <= %(moment)s
                 union
                select e.arrival from visit v join family f on f.member_id = v.member_id
                  join visit_event e
                    on (e.payer_id, e.client_id, e.visit_id) = (v.payer_id, v.client_id, v.visit_id)
                 cross join lateral (select a.applied_at as at from visit_event_applied a
                                      where a.arrival = e.arrival
                                      union all
                                     select d.dead_since from visit_event_dead d where d.arrival = e.arrival
                                     offset 0) ended
                 where v.payer_id = %(payer)s and e.received_at <= %(moment)s and ended.at > %(moment)s
            ) waiting
            """,
            given,
        ).fetchone()
        return int(row[0]) if row else 0
