"""Members as rows: made, locked, read, and who was merged into whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import psycopg

from shared.adapters.postgres.arrays import Dates, Texts
from shared.adapters.postgres.trips import Errand, Statement, Trips
from shared.domain.member_rows import MemberRow
from shared.domain.records import MemberRef, in_order

#: The members in `member_arrays`, as a table.
GIVEN_MEMBERS = "unnest(%(payers)s::text[], %(members)s::text[]) as m (payer_id, member_id)"

#: Keeps, of the table with the alias that it is formatted with, the rows of the members in `member_arrays`.
OF_MEMBERS = """join unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
    on {0}.payer_id = m.payer_id and {0}.member_id = m.member_id"""

_COLUMNS = """k.payer_id, k.member_id, k.version, k.ledger_entries, k.ledger_head, k.merged_into,
    k.last_arrival"""


# Each part is served by an index: one condition of them all would be tried row by row. Tables that fill while
# a worker runs are looked up member by member: a join that was planned while one was empty would compare each
# row that came with each member. While `visit` is empty all its indexes look alike to the planner, too; only
# the right one can give this order, and serve this way to compare.
_SPECIAL = Statement(
    "special_members",
    """
with asked as materialized (
    select * from unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
)
select a.payer_id, a.member_id from asked a
 cross join lateral (select from override_grant o
                      where o.payer_id = a.payer_id and o.member_id = a.member_id limit 1) found
 union all
select a.payer_id, a.member_id from asked a
 cross join lateral (select from opening_balance b
                      where b.payer_id = a.payer_id and b.member_id = a.member_id limit 1) found
 union all
select a.payer_id, a.member_id from asked a
 cross join lateral (select from refold_request r
                      where r.payer_id = a.payer_id and r.member_id = a.member_id limit 1) found
 union all
select a.payer_id, a.member_id from asked a
  join member k on k.payer_id = a.payer_id and k.merged_into = a.member_id
 where k.merged_into is not null
 union all
select d.payer_id, d.member_id
  from unnest(%(day_payers)b::text[], %(day_members)b::text[], %(days)b::date[])
       as d (payer_id, member_id, service_date)
 cross join lateral (select from visit v
                      where (v.payer_id, v.member_id, v.service_date)
                            between (d.payer_id, d.member_id, d.service_date)
                                and (d.payer_id, d.member_id, d.service_date)
                      order by v.payer_id, v.member_id, v.service_date limit 1) found
""",
)

_NAMES_AND_STRANGERS = Statement(
    "names_and_strangers",
    """
select m.place, k.merged_into
  from unnest(%(payers)b::text[], %(members)b::text[]) with ordinality as m (payer_id, member_id, place)
  left join member k on k.payer_id = m.payer_id and k.member_id = m.member_id
 where k.member_id is null or k.merged_into is not null
 order by m.place
""",
)

_LOCK = Statement(
    "lock_members",
    """
select m.place, k.version, k.ledger_entries, k.ledger_head, k.merged_into, k.last_arrival
  from member k
  join unnest(%(payers)b::text[], %(members)b::text[]) with ordinality as m (payer_id, member_id, place)
    on k.payer_id = m.payer_id and k.member_id = m.member_id
 order by k.payer_id, k.member_id
   for no key update of k
""",
)


def member_arrays(refs: Iterable[MemberRef]) -> dict[str, Texts]:
    """Members as the arrays `payers` and `members`, in the order given."""
    wanted = list(refs)
    return {
        "payers": Texts([ref.payer_id for ref in wanted]),
        "members": Texts([ref.member_id for ref in wanted]),
    }


def make_members(connection: psycopg.Connection[Any], refs: Iterable[MemberRef]) -> None:
    """Make those of these members that were never heard of, in order, so that nobody waits in a circle."""
    connection.execute(
        """
        insert into member (payer_id, member_id)
        select m.payer_id, m.member_id
          from unnest(%(payers)b::text[], %(members)b::text[])
               with ordinality as m (payer_id, member_id, place)
         where not exists (select from member k
                            where k.payer_id = m.payer_id and k.member_id = m.member_id)
         order by m.place
        on conflict do nothing
        """,
        member_arrays(in_order(refs)),
    )


def names_and_strangers(
    trips: Trips, refs: Sequence[MemberRef]
) -> tuple[dict[MemberRef, MemberRef], list[MemberRef]]:
    """Into whom those of these members that were merged were merged; and those never heard of."""
    rows = trips.ask(_NAMES_AND_STRANGERS.errand(member_arrays(refs)))
    names = {
        refs[place - 1]: MemberRef(payer_id=refs[place - 1].payer_id, member_id=into)
        for place, into in rows
        if into is not None
    }
    return names, [refs[place - 1] for place, into in rows if into is None]


def lock_members(trips: Trips, refs: Iterable[MemberRef]) -> dict[MemberRef, MemberRow]:
    """Lock exactly these members' rows, in order; those never heard of are absent."""
    wanted = in_order(refs)
    [rows] = trips.ask_all(_LOCK.errand(member_arrays(wanted)))
    found = {}
    for place, version, entries, head, into, last in rows:
        ref = wanted[place - 1]
        found[ref] = MemberRow(
            ref=ref,
            version=version,
            ledger_entries=entries,
            ledger_head=head,
            merged_into=into,
            last_arrival=last,
        )
    return found


def read_members(
    connection: psycopg.Connection[Any], refs: Iterable[MemberRef]
) -> dict[MemberRef, MemberRow]:
    """Exactly these members' rows, not locked; those never heard of are absent."""
    rows = connection.execute(
        f"""select {_COLUMNS} from member k {OF_MEMBERS.format("k")}""", member_arrays(in_order(refs))
    )
    return _by_ref(rows)


def current_names(
    connection: psycopg.Connection[Any], refs: Iterable[MemberRef]
) -> dict[MemberRef, MemberRef]:
    """Into whom those of these members that were merged were merged; the others are absent."""
    rows = connection.execute(
        f"""select k.payer_id, k.member_id, k.merged_into
              from member k {OF_MEMBERS.format("k")} where k.merged_into is not null""",
        member_arrays(refs),
    )
    return _merges(rows)


def merged_into(connection: psycopg.Connection[Any], refs: Iterable[MemberRef]) -> dict[MemberRef, MemberRef]:
    """The members that were merged into these, each with the one it was merged into."""
    rows = connection.execute(
        """
        select k.payer_id, k.member_id, k.merged_into from member k
          join unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
            on k.payer_id = m.payer_id and k.merged_into = m.member_id
         where k.merged_into is not null
        """,
        member_arrays(refs),
    )
    return _merges(rows)


def asking_special(asks: Mapping[MemberRef, Sequence[date]]) -> Errand:
    """What names those of these members of whom more than enrollment and counts is to be looked at.

    They have an override, an opening balance, a merged member or a request to be folded again, or a
    visit on one of the dates asked for.
    """
    days = [(ref, day) for ref, dates in asks.items() for day in dates]
    return _SPECIAL.errand(
        {
            **member_arrays(asks),
            "day_payers": Texts([ref.payer_id for ref, _ in days]),
            "day_members": Texts([ref.member_id for ref, _ in days]),
            "days": Dates([day for _, day in days]),
        }
    )


def _by_ref(rows: Iterable[tuple[Any, ...]]) -> dict[MemberRef, MemberRow]:
    found = (
        MemberRow(
            ref=MemberRef(payer_id=payer, member_id=member),
            version=version,
            ledger_entries=entries,
            ledger_head=bytes(head),
            merged_into=into,
            last_arrival=last,
        )
        for payer, member, version, entries, head, into, last in rows
    )
    return {row.ref: row for row in found}


def _merges(rows: Iterable[tuple[Any, ...]]) -> dict[MemberRef, MemberRef]:
    return {
        MemberRef(payer_id=payer, member_id=member): MemberRef(payer_id=payer, member_id=into)
        for payer, member, into in rows
    }
