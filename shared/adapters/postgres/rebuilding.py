"""What a state is rebuilt from: members' rows, applied events, operators' decisions, the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from shared.accounting.codec import content_from
from shared.adapters.postgres.ledger_sums import LEDGER_SUMS, sums_from
from shared.adapters.postgres.member_rows import GIVEN_MEMBERS, lock_members, make_members, member_arrays
from shared.adapters.postgres.trips import Trips
from shared.domain.member_rows import LedgerSums, MemberRow
from shared.domain.records import MemberRef
from shared.domain.visit import DuplicateDecision, VisitEvent, VisitKey, VisitName
from shared.messages import shard_of

_OF_VISITS = """unnest(%(payers)s::text[], %(clients)s::text[], %(visits)s::text[])
    as n (payer_id, client_id, visit_id)"""


class PostgresRebuilding:
    """Reads for a rebuild in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any], trips: Trips) -> None:
        """Work on an open transaction."""
        self._connection = connection
        self._trips = trips

    # Members

    def count_members(self, payer_id: str | None) -> int:
        """How many members there are, of one payer or of all."""
        row = self._connection.execute(
            "select count(*) from member where %(payer)s::text is null or payer_id = %(payer)s",
            {"payer": payer_id},
        ).fetchone()
        return int(row[0]) if row else 0

    def members_after(self, payer_id: str | None, after: MemberRef | None, limit: int) -> list[MemberRef]:
        """The next members in order, at most `limit`; from the first on after None."""
        rows = self._connection.execute(
            """
            select payer_id, member_id from member
             where (%(payer)s::text is null or payer_id = %(payer)s)
               and (payer_id, member_id) > (%(after_payer)s, %(after_member)s)
             order by payer_id, member_id limit %(limit)s
            """,
            {
                "payer": payer_id,
                "after_payer": after.payer_id if after else "",
                "after_member": after.member_id if after else "",
                "limit": limit,
            },
        )
        return [MemberRef(payer_id=payer, member_id=member) for payer, member in rows]

    def known(self, refs: Iterable[MemberRef]) -> set[MemberRef]:
        """Those of these members that were ever heard of."""
        rows = self._connection.execute(
            f"""select k.payer_id, k.member_id from member k
                  join {GIVEN_MEMBERS} on (k.payer_id, k.member_id) = (m.payer_id, m.member_id)""",
            member_arrays(refs),
        )
        return {MemberRef(payer_id=payer, member_id=member) for payer, member in rows}

    def lock(self, refs: Iterable[MemberRef]) -> dict[MemberRef, MemberRow]:
        """Lock exactly these members' rows in order, making those not heard of yet."""
        wanted = sorted(set(refs))
        make_members(self._connection, wanted)
        return lock_members(self._trips, wanted)

    def changed(self, refs: Sequence[MemberRef], reason: str) -> None:
        """Raise the versions of members whose accumulators were set, and have them folded again."""
        given: dict[str, Any] = {**member_arrays(refs), "reason": reason}
        given["shards"] = [shard_of(ref.payer_id, ref.member_id) for ref in refs]
        self._connection.execute(
            f"""
            update member k set version = k.version + 1
              from {GIVEN_MEMBERS} where (k.payer_id, k.member_id) = (m.payer_id, m.member_id)
            """,
            given,
        )
        self._connection.execute(
            """
            insert into refold_request (payer_id, member_id, shard, reason)
            select m.payer_id, m.member_id, m.shard, %(reason)s
              from unnest(%(payers)s::text[], %(members)s::text[], %(shards)s::smallint[])
                   as m (payer_id, member_id, shard)
             order by 1, 2
            on conflict do nothing
            """,
            given,
        )

    # Visits

    def events_of(self, names: Iterable[VisitName]) -> dict[VisitName, list[VisitEvent]]:
        """Every applied event of these visits; visits without any are absent."""
        rows = self._connection.execute(
            f"""
            select e.payer_id, e.client_id, e.visit_id, e.arrival, e.event_id, e.type,
                   (e.received_at at time zone 'UTC')::date, e.content
              from visit_event_in_full e
              join {_OF_VISITS}
                on (e.payer_id, e.client_id, e.visit_id) = (n.payer_id, n.client_id, n.visit_id)
             where e.status = 'applied'
             order by e.arrival
            """,
            _visits(names),
        )
        events: dict[VisitName, list[VisitEvent]] = defaultdict(list)
        for payer, client, visit, arrival, event_id, kind, received_on, content in rows:
            events[payer, VisitKey(client_id=client, visit_id=visit)].append(
                VisitEvent(
                    arrival=arrival,
                    client_id=client,
                    event_id=event_id,
                    type=kind,
                    payer_id=payer,
                    visit_id=visit,
                    received_on=received_on,
                    content=content_from(content) if content is not None else None,
                )
            )
        return events

    def last_arrival(self) -> int:
        """The arrival of the newest event; 0 where there is none."""
        row = self._connection.execute("select coalesce(max(arrival), 0) from visit_event").fetchone()
        return int(row[0]) if row else 0

    def visits_adrift(self, payer_id: str | None, after: int, to: int) -> list[VisitName]:
        """Visits with an applied event that arrived in `(after, to]` with no row sure whose they are."""
        rows = self._connection.execute(
            """
            select distinct e.payer_id, e.client_id, e.visit_id from visit_event_in_full e
             where e.status = 'applied' and e.arrival > %(after)s and e.arrival <= %(to)s
               and (%(payer)s::text is null or e.payer_id = %(payer)s)
               and not exists (
                    select from visit_in_full v
                     where (v.payer_id, v.client_id, v.visit_id) = (e.payer_id, e.client_id, e.visit_id)
                       and v.member_id = v.content ->> 'member_id')
            """,
            {"payer": payer_id, "after": after, "to": to},
        )
        return [_name(row) for row in rows]

    def owners_of(self, names: Iterable[VisitName]) -> dict[VisitName, str | None]:
        """The member that each of these visits' rows names; visits without a row are absent."""
        rows = self._connection.execute(
            f"""
            select v.payer_id, v.client_id, v.visit_id, v.member_id from visit v
              join {_OF_VISITS}
                on (v.payer_id, v.client_id, v.visit_id) = (n.payer_id, n.client_id, n.visit_id)
            """,
            _visits(names),
        )
        return {_name(row): row[3] for row in rows}

    def shards_of(self, names: Iterable[VisitName]) -> list[int]:
        """The shards in which these visits' events are applied."""
        rows = self._connection.execute(
            f"""
            select distinct e.shard from visit_event e
              join {_OF_VISITS}
                on (e.payer_id, e.client_id, e.visit_id) = (n.payer_id, n.client_id, n.visit_id)
            """,
            _visits(names),
        )
        return sorted(shard for (shard,) in rows)

    def decisions_on(self, names: Iterable[VisitName]) -> dict[VisitName, DuplicateDecision]:
        """The operator's last decision on each of these visits that has one."""
        rows = self._connection.execute(
            f"""
            select distinct on (d.payer_id, d.client_id, d.visit_id)
                   d.payer_id, d.client_id, d.visit_id, d.decision
              from duplicate_decision d
              join {_OF_VISITS}
                on (d.payer_id, d.client_id, d.visit_id) = (n.payer_id, n.client_id, n.visit_id)
             order by d.payer_id, d.client_id, d.visit_id, d.decided_at desc, d.decision_id desc
            """,
            _visits(names),
        )
        return {_name(row): row[3] for row in rows}

    # The ledger

    def ledger_sums(self, refs: Iterable[MemberRef]) -> dict[MemberRef, LedgerSums]:
        """What the ledger entries of these members add up to; members without any are absent."""
        rows = self._connection.execute(
            LEDGER_SUMS.format(
                source=f"ledger_entry l join {GIVEN_MEMBERS}"
                " on (l.payer_id, l.member_id) = (m.payer_id, m.member_id)"
            ),
            member_arrays(refs),
        )
        return sums_from(rows)


def _visits(names: Iterable[VisitName]) -> dict[str, Any]:
    wanted = list(names)
    return {
        "payers": [payer for payer, _ in wanted],
        "clients": [key.client_id for _, key in wanted],
        "visits": [key.visit_id for _, key in wanted],
    }


def _name(row: Any) -> VisitName:
    return row[0], VisitKey(client_id=row[1], visit_id=row[2])
