"""Members' books in Postgres: opened, read and saved for many members at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import psycopg

from shared.adapters.postgres import visit_rows
from shared.adapters.postgres.arrays import Integers, Smallints, Texts
from shared.adapters.postgres.member_bases import read_bases
from shared.adapters.postgres.member_histories import Family, HistoryReader
from shared.adapters.postgres.member_rows import (
    OF_MEMBERS,
    current_names,
    lock_members,
    make_members,
    member_arrays,
    merged_into,
    names_and_strangers,
    read_members,
)
from shared.adapters.postgres.member_saving import save_members, save_visits
from shared.adapters.postgres.plain_members import read_plain
from shared.adapters.postgres.trips import Statement, Trips
from shared.domain.enrollment import Plan
from shared.domain.history import History
from shared.domain.member_rows import MemberRow
from shared.domain.records import (
    MemberBase,
    MemberChanges,
    MemberRef,
    PlainMember,
    SavedVisit,
    StoredAccumulator,
    StoredMember,
    StoredVisit,
    in_order,
)
from shared.domain.visit import VisitKey

_LOCK_PAYERS = Statement(
    "lock_payers",
    "select payer_id from payer where payer_id = any (%(payers)b::text[]) order by payer_id for share",
)

_DUE_REFOLDS = Statement(
    "due_refolds",
    """
select payer_id, member_id from refold_request
 where shard = any (%(shards)b::smallint[])
 order by requested_at, payer_id, member_id limit (%(limit)b::integer[])[1]
""",
)


class PostgresMemberBooks:
    """Members' books in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any], trips: Trips) -> None:
        """Work on an open transaction, whose questions go by `trips` where they may be asked ahead."""
        self._connection = connection
        self._trips = trips

    # Loading

    def find_visits(self, keys: Iterable[tuple[str, VisitKey]]) -> dict[tuple[str, VisitKey], StoredVisit]:
        """The stored visits among (payer, visit key) pairs."""
        wanted = list(keys)
        rows = self._connection.execute(
            f"""
            select {visit_rows.COLUMNS} from visit_in_full v
              join unnest(%(payers)b::text[], %(clients)b::text[], %(visits)b::text[])
                   as k (payer_id, client_id, visit_id)
                on (v.payer_id, v.client_id, v.visit_id) = (k.payer_id, k.client_id, k.visit_id)
            """,
            {
                "payers": [payer for payer, _ in wanted],
                "clients": [key.client_id for _, key in wanted],
                "visits": [key.visit_id for _, key in wanted],
            },
        )
        found = (visit_rows.visit_from(row) for row in rows)
        return {(payer, visit.visit.key): visit for payer, _, visit in found}

    def lock(self, refs: Iterable[MemberRef]) -> dict[MemberRef, MemberRow]:
        """Lock these members in order, making those not heard of yet; each name with the row it leads to.

        For a member that was merged into another that is the row of that other.
        """
        ordered = in_order(refs)
        if not ordered:
            return {}
        names, strangers = names_and_strangers(self._trips, ordered)
        if strangers:
            make_members(self._connection, strangers)
        rows: dict[MemberRef, MemberRow] = {}
        while missing := {names.get(ref, ref) for ref in ordered} - rows.keys():
            rows |= lock_members(self._trips, missing)
            if any(row.merged_into is not None for row in rows.values()):
                # A merge was committed while we waited for its lock: it leads further.
                names = self.current_names(ordered)
        return {ref: rows[names.get(ref, ref)] for ref in ordered}

    def load(self, rows: Mapping[MemberRef, MemberRow]) -> dict[MemberRef, StoredMember]:
        """Load locked members whole, by the names that led to them."""
        homes = {row.ref: row for row in rows.values()}
        loaded = self._load(list(homes.values())) if homes else {}
        return {ref: loaded[row.ref] for ref, row in rows.items()}

    def plain(
        self, asks: Mapping[MemberRef, Sequence[date]]
    ) -> tuple[dict[MemberRef, PlainMember], dict[str, dict[str, Plan]]]:
        """Those of these locked members who can take plain new visits, and their payers' plans, by id.

        Not one with an override, an opening balance, a merge or a request to be folded again, nor one
        with a visit on one of the dates asked for.
        """
        return read_plain(self._trips, asks) if asks else ({}, {})

    def read(self, refs: Iterable[MemberRef]) -> dict[MemberRef, StoredMember]:
        """Load members whole without locking them; those never heard of are absent.

        Answers by the refs that were asked for: for a member that was merged into another, that other.
        """
        ordered = in_order(refs)
        names = self.current_names(ordered)
        rows = read_members(self._connection, {names.get(ref, ref) for ref in ordered})
        loaded = self._load(list(rows.values()))
        return {ref: loaded[name] for ref in ordered if (name := names.get(ref, ref)) in loaded}

    def current_names(self, refs: Iterable[MemberRef]) -> dict[MemberRef, MemberRef]:
        """Into whom those of these members that were merged were merged; the others are absent."""
        return current_names(self._connection, refs)

    def bases(self, refs: Iterable[MemberRef], days: Iterable[date] = ()) -> dict[MemberRef, MemberBase]:
        """Members without visits and accumulators; those never heard of are absent.

        Answers by the refs that were asked for: for a member that was merged into another, that other.
        What was done on the service dates `days` is told by its codes, and needling near them by its dates.
        """
        return read_bases(self._trips, refs, days)

    def accumulators(self, refs: Iterable[MemberRef]) -> dict[MemberRef, list[StoredAccumulator]]:
        """The stored accumulators of members, by member."""
        wanted = in_order(refs)
        return HistoryReader(self._connection, Family(members=wanted)).accumulators() if wanted else {}

    def versioned_accumulators(
        self, refs: Iterable[MemberRef]
    ) -> dict[MemberRef, tuple[int, list[StoredAccumulator]]]:
        """The stored accumulators of members, each with that member's version; one without any is absent."""
        wanted = in_order(refs)
        return (
            HistoryReader(self._connection, Family(members=wanted)).versioned_accumulators() if wanted else {}
        )

    def _load(self, rows: Sequence[MemberRow]) -> dict[MemberRef, StoredMember]:
        members = [row.ref for row in rows]
        family = Family(members=members, homes=merged_into(self._connection, members))
        parts = HistoryReader(self._connection, family)
        spans, visits, plans = parts.spans(), parts.visits(), parts.plans()
        holds, stored_holds = parts.holds()
        overrides, balances = parts.overrides(), parts.opening_balances()
        accumulators = parts.accumulators()
        loaded = {}
        for row in rows:
            ref = row.ref
            history = History(
                payer_id=ref.payer_id,
                member_id=ref.member_id,
                spans=tuple(spans[ref]),
                plans=plans[ref.payer_id],
                visits=tuple(stored.visit for stored in visits[ref]),
                holds=tuple(holds[ref]),
                overrides=tuple(overrides[ref]),
                opening_balances=tuple(balances[ref]),
            )
            loaded[ref] = StoredMember(
                ref=ref,
                version=row.version,
                ledger_entries=row.ledger_entries,
                ledger_head=row.ledger_head,
                history=history,
                accumulators={stored.state.key: stored for stored in accumulators[ref]},
                visits={stored.visit.key: stored for stored in visits[ref]},
                holds=stored_holds[ref],
            )
        return loaded

    # Saving

    def save(self, changes: Sequence[MemberChanges]) -> None:
        """Write everything that changed, and queue the members for projection.

        Raises ConcurrentChange when a visit is no longer as it was read.
        """
        save_members(self._connection, self._trips, changes)

    def save_unattributed(self, payer_id: str, visits: Sequence[SavedVisit]) -> None:
        """Write visits of which no member is known yet. Raises ConcurrentChange, as `save` does."""
        nobody = MemberRef(payer_id=payer_id, member_id="")
        save_visits(self._connection, self._trips, [(nobody, visit) for visit in visits])

    # Members to fold again

    def lock_payers(self, payer_ids: Iterable[str]) -> None:
        """Keep these payers' plans and rules as they are until the transaction ends.

        Whoever changes them takes the same rows `for no key update`.
        """
        self._trips.ask(_LOCK_PAYERS.errand({"payers": Texts(sorted(payer_ids))}))

    def due_refolds(self, shards: Sequence[int], limit: int) -> list[MemberRef]:
        """Members of these shards to fold again, oldest request first."""
        given = {"shards": Smallints(shards), "limit": Integers([limit])}
        rows = self._trips.ask(_DUE_REFOLDS.errand(given))
        return [MemberRef(payer_id=payer, member_id=member) for payer, member in rows]

    def requested_refolds(self, refs: Iterable[MemberRef]) -> dict[MemberRef, str]:
        """Those of these members that are to be folded again, with why."""
        rows = self._connection.execute(
            f"""select r.payer_id, r.member_id, r.reason
                  from refold_request r {OF_MEMBERS.format("r")} order by 1, 2""",
            member_arrays(refs),
        )
        return {MemberRef(payer_id=payer, member_id=member): reason for payer, member, reason in rows}

    def refolded(self, refs: Iterable[MemberRef]) -> None:
        """Forget the requests to fold these members again."""
        done = list(refs)
        if done:
            self._connection.execute(
                """
                delete from refold_request r
                 using unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
                 where (r.payer_id, r.member_id) = (m.payer_id, m.member_id)
                """,
                member_arrays(done),
            )
