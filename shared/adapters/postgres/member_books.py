"""Members' books in Postgres: opened, read and saved for many members at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg

from shared.accounting.codec import content_from, posting_from
from shared.adapters.postgres import visit_rows
from shared.adapters.postgres.member_histories import Family, HistoryReader
from shared.adapters.postgres.member_rows import (
    OF_MEMBERS,
    current_names,
    lock_members,
    make_members,
    member_arrays,
    merged_into,
    read_members,
    special_members,
)
from shared.adapters.postgres.member_saving import save_members, save_visits
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
from shared.domain.same_day import codes_done
from shared.domain.visit import VisitKey

_BASES = f"""
select k.payer_id, k.member_id, k.version, k.merged_into, f.merged,
       (select count(*)
          from unnest(f.merged || k.member_id) as n (member_id)
          join visit_event e on e.payer_id = k.payer_id and e.member_id = n.member_id
                            and e.status = 'pending'),
       exists (select from refold_request r
                where r.payer_id = k.payer_id and r.member_id = k.member_id),
       (select json_object_agg(h.hold_id, h.outcome)
          from unnest(f.merged || k.member_id) as n (member_id)
          join hold h on h.payer_id = k.payer_id and h.member_id = n.member_id
                     and h.state = 'pending'),
       (select array_agg(v.service_date)
          from unnest(f.merged || k.member_id) as n (member_id)
          join visit v on v.payer_id = k.payer_id and v.member_id = n.member_id
                      and v.disposition in ('counted', 'partially_counted', 'over_limit',
                                            'not_covered')),
       (select json_agg(v.content)
          from unnest(f.merged || k.member_id) as n (member_id)
          join visit v on v.payer_id = k.payer_id and v.member_id = n.member_id
                      and v.service_date = any (%(days)b::date[])
                      and v.arrival is not null and v.voided_by is null)
  from member k {OF_MEMBERS.format("k")}
 cross join lateral (
       select array_agg(a.member_id) as merged from member a
        where a.payer_id = k.payer_id and a.merged_into = k.member_id
 ) f
"""


def _day_codes(contents: Iterable[Any]) -> dict[date, tuple[str, ...]]:
    """The codes of what took place by service date, from the contents of visits."""
    codes: dict[date, set[str]] = {}
    for content in map(content_from, contents):
        codes.setdefault(content.service.service_date, set()).update(codes_done(content))
    return {on: tuple(sorted(its)) for on, its in codes.items() if its}


class PostgresMemberBooks:
    """Members' books in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    # Loading

    def find_visits(self, keys: Iterable[tuple[str, VisitKey]]) -> dict[tuple[str, VisitKey], StoredVisit]:
        """The stored visits among (payer, visit key) pairs."""
        wanted = list(keys)
        rows = self._connection.execute(
            f"""
            select {visit_rows.COLUMNS} from visit v
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
        make_members(self._connection, ordered)
        names = self.current_names(ordered)
        rows: dict[MemberRef, MemberRow] = {}
        while missing := {names.get(ref, ref) for ref in ordered} - rows.keys():
            rows |= lock_members(self._connection, missing)
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
        if not asks:
            return {}, {}
        special = special_members(self._connection, asks)
        refs = [ref for ref in asks if ref not in special]
        parts = HistoryReader(self._connection, Family(members=refs))
        spans, accumulators = parts.spans(), parts.accumulators()
        members = {
            ref: PlainMember(
                spans=tuple(spans[ref]),
                accumulators={stored.state.key: stored for stored in accumulators[ref]},
            )
            for ref in refs
        }
        return members, parts.plans()

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
        What was done on the service dates `days` is told by its codes.
        """
        asked = sorted(set(days))
        rows = self._connection.execute(_BASES, {**member_arrays(in_order(refs)), "days": asked}).fetchall()
        merged = {
            MemberRef(payer_id=row[0], member_id=row[1]): MemberRef(payer_id=row[0], member_id=row[3])
            for row in rows
            if row[3] is not None
        }
        bases = self._bases([row for row in rows if row[3] is None])
        if merged:
            homes = self.bases(merged.values(), asked)
            bases |= {ref: homes[home] for ref, home in merged.items()}
        return bases

    def _bases(self, rows: list[Any]) -> dict[MemberRef, MemberBase]:
        members = [MemberRef(payer_id=row[0], member_id=row[1]) for row in rows]
        homes = {
            replace(ref, member_id=merged): ref
            for ref, row in zip(members, rows, strict=True)
            for merged in row[4] or ()
        }
        parts = HistoryReader(self._connection, Family(members=members, homes=homes))
        spans, overrides = parts.spans(), parts.overrides()
        balances, plans = parts.opening_balances(), parts.plans()
        bases = {}
        for payer_id, member_id, version, _, _, pending, refold, holds, dates, done in rows:
            ref = MemberRef(payer_id=payer_id, member_id=member_id)
            history = History(
                payer_id=payer_id,
                member_id=member_id,
                spans=tuple(spans[ref]),
                plans=plans[payer_id],
                overrides=tuple(overrides[ref]),
                opening_balances=tuple(balances[ref]),
            )
            bases[ref] = MemberBase(
                ref=ref,
                version=version,
                history=history,
                pending_events=pending,
                refold_requested=refold,
                hold_postings={
                    hold_id: tuple(posting_from(posting) for posting in outcome["postings"])
                    for hold_id, outcome in (holds or {}).items()
                },
                service_dates=tuple(sorted(dates or ())),
                day_codes=_day_codes(done or ()),
            )
        return bases

    def accumulators(self, refs: Iterable[MemberRef]) -> dict[MemberRef, list[StoredAccumulator]]:
        """The stored accumulators of members, by member."""
        wanted = in_order(refs)
        return HistoryReader(self._connection, Family(members=wanted)).accumulators() if wanted else {}

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
        save_members(self._connection, changes)

    def save_unattributed(self, payer_id: str, visits: Sequence[SavedVisit]) -> None:
        """Write visits of which no member is known yet. Raises ConcurrentChange, as `save` does."""
        nobody = MemberRef(payer_id=payer_id, member_id="")
        save_visits(self._connection, [(nobody, visit) for visit in visits])

    # Members to fold again

    def lock_payers(self, payer_ids: Iterable[str]) -> None:
        """Keep these payers' plans and rules as they are until the transaction ends.

        Whoever changes them takes the same rows `for no key update`.
        """
        self._connection.execute(
            "select from payer where payer_id = any (%s) order by payer_id for share", [sorted(payer_ids)]
        )

    def due_refolds(self, shards: Sequence[int], limit: int) -> list[MemberRef]:
        """Members of these shards to fold again, oldest request first."""
        rows = self._connection.execute(
            """select payer_id, member_id from refold_request
                where shard = any (%(shards)b::smallint[])
                order by requested_at, payer_id, member_id limit %(limit)s""",
            {"shards": list(shards), "limit": limit},
        )
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
