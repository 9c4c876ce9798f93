"""Members' histories and states in Postgres, loaded and saved for many members at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import psycopg

from shared.accounting.codec import posting_from, service_from
from shared.adapters.postgres import visit_changes, visit_rows
from shared.adapters.postgres.ledger_rows import accumulator_columns, accumulator_from, ledger_columns
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.errors import ConcurrentChange
from shared.domain.history import History
from shared.domain.hold import Hold, OpeningBalance, Override
from shared.domain.records import (
    MemberBase,
    MemberChanges,
    MemberRef,
    SavedVisit,
    StoredAccumulator,
    StoredHold,
    StoredMember,
    StoredVisit,
)
from shared.domain.visit import VisitKey

_MEMBER_COLUMNS = "k.payer_id, k.member_id, k.version, k.ledger_entries, k.ledger_head, k.merged_into"

_OF_MEMBERS = """join unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
    on {0}.payer_id = m.payer_id and {0}.member_id = m.member_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """Members to be loaded, and those that were merged into them, whose rows are theirs too."""

    members: Sequence[MemberRef]
    homes: Mapping[MemberRef, MemberRef] = field(default_factory=dict)

    def given(self) -> dict[str, list[str]]:
        """The parameters that `_OF_MEMBERS` takes for the rows of all of them."""
        return _given([*self.members, *self.homes])

    def home(self, payer_id: str, member_id: str) -> MemberRef:
        """Whose a row is that names this member."""
        ref = MemberRef(payer_id=payer_id, member_id=member_id)
        return self.homes.get(ref, ref)


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

    def open(self, refs: Iterable[MemberRef]) -> dict[MemberRef, StoredMember]:
        """Lock these members in order, making those not heard of yet, and load them whole.

        Answers by the refs that were asked for: for a member that was merged into another, that other.
        """
        ordered = sorted(set(refs))
        if not ordered:
            return {}
        given = _given(ordered)
        self._connection.execute(
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
            given,
        )
        names = self.current_names(ordered)
        rows: dict[MemberRef, Any] = {}
        while missing := {names.get(ref, ref) for ref in ordered} - rows.keys():
            rows |= self._lock(missing)
            if any(merged_into is not None for *_, merged_into in rows.values()):
                # A merge was committed while we waited for its lock: it leads further.
                names = self.current_names(ordered)
        wanted = {names.get(ref, ref) for ref in ordered}
        loaded = self._load([row for ref, row in rows.items() if ref in wanted])
        return {ref: loaded[names.get(ref, ref)] for ref in ordered}

    def read(self, refs: Iterable[MemberRef]) -> dict[MemberRef, StoredMember]:
        """Load members whole without locking them; those never heard of are absent.

        Answers by the refs that were asked for: for a member that was merged into another, that other.
        """
        ordered = sorted(set(refs))
        names = self.current_names(ordered)
        rows = self._connection.execute(
            f"""select {_MEMBER_COLUMNS} from member k {_OF_MEMBERS.format("k")}""",
            _given(sorted({names.get(ref, ref) for ref in ordered})),
        ).fetchall()
        loaded = self._load(rows)
        return {ref: loaded[name] for ref in ordered if (name := names.get(ref, ref)) in loaded}

    def current_names(self, refs: Iterable[MemberRef]) -> dict[MemberRef, MemberRef]:
        """Into whom those of these members that were merged were merged; the others are absent."""
        rows = self._connection.execute(
            f"""select k.payer_id, k.member_id, k.merged_into
                  from member k {_OF_MEMBERS.format("k")} where k.merged_into is not null""",
            _given(list(refs)),
        )
        return {
            MemberRef(payer_id=payer, member_id=member): MemberRef(payer_id=payer, member_id=into)
            for payer, member, into in rows
        }

    def _lock(self, refs: Iterable[MemberRef]) -> dict[MemberRef, Any]:
        rows = self._connection.execute(
            f"""
            select {_MEMBER_COLUMNS} from member k
              {_OF_MEMBERS.format("k")}
             order by k.payer_id, k.member_id
               for no key update of k
            """,
            _given(sorted(refs)),
        )
        return {MemberRef(payer_id=row[0], member_id=row[1]): row for row in rows}

    def _family(self, members: Sequence[MemberRef]) -> _Family:
        """These members with those that were merged into them."""
        rows = self._connection.execute(
            """
            select k.payer_id, k.member_id, k.merged_into from member k
              join unnest(%(payers)b::text[], %(members)b::text[]) as m (payer_id, member_id)
                on k.payer_id = m.payer_id and k.merged_into = m.member_id
             where k.merged_into is not null
            """,
            _given(members),
        )
        return _Family(
            members=members,
            homes={
                MemberRef(payer_id=payer, member_id=member): MemberRef(payer_id=payer, member_id=into)
                for payer, member, into in rows
            },
        )

    def bases(self, refs: Iterable[MemberRef]) -> dict[MemberRef, MemberBase]:
        """Members without visits and accumulators; those never heard of are absent.

        Answers by the refs that were asked for: for a member that was merged into another, that other.
        """
        rows = self._connection.execute(
            f"""
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
                                                        'not_covered'))
              from member k {_OF_MEMBERS.format("k")}
             cross join lateral (
                   select array_agg(a.member_id) as merged from member a
                    where a.payer_id = k.payer_id and a.merged_into = k.member_id
             ) f
            """,
            _given(sorted(set(refs))),
        ).fetchall()
        merged = {
            MemberRef(payer_id=row[0], member_id=row[1]): MemberRef(payer_id=row[0], member_id=row[3])
            for row in rows
            if row[3] is not None
        }
        bases = self._bases([row for row in rows if row[3] is None])
        if merged:
            homes = self.bases(merged.values())
            bases |= {ref: homes[home] for ref, home in merged.items()}
        return bases

    def _bases(self, rows: list[Any]) -> dict[MemberRef, MemberBase]:
        members = [MemberRef(payer_id=row[0], member_id=row[1]) for row in rows]
        homes = {
            replace(ref, member_id=merged): ref
            for ref, row in zip(members, rows, strict=True)
            for merged in row[4] or ()
        }
        family = _Family(members=members, homes=homes)
        spans, overrides = self._spans(family), self._overrides(family)
        balances, plans = self._opening_balances(family), self._plans({ref.payer_id for ref in members})
        bases = {}
        for payer_id, member_id, version, _, _, pending, refold, holds, dates in rows:
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
            )
        return bases

    def accumulators(self, refs: Iterable[MemberRef]) -> dict[MemberRef, list[StoredAccumulator]]:
        """The stored accumulators of members, by member."""
        wanted = sorted(set(refs))
        return self._accumulators(_Family(members=wanted)) if wanted else {}

    def _load(self, rows: list[Any]) -> dict[MemberRef, StoredMember]:
        family = self._family([MemberRef(payer_id=row[0], member_id=row[1]) for row in rows])
        spans = self._spans(family)
        visits = self._visits(family)
        holds, stored_holds = self._holds(family)
        overrides = self._overrides(family)
        balances = self._opening_balances(family)
        accumulators = self._accumulators(family)
        plans = self._plans({payer for payer, *_ in rows})
        loaded = {}
        for payer_id, member_id, version, entries, head, _ in rows:
            ref = MemberRef(payer_id=payer_id, member_id=member_id)
            history = History(
                payer_id=payer_id,
                member_id=member_id,
                spans=tuple(spans[ref]),
                plans=plans[payer_id],
                visits=tuple(stored.visit for stored in visits[ref]),
                holds=tuple(holds[ref]),
                overrides=tuple(overrides[ref]),
                opening_balances=tuple(balances[ref]),
            )
            loaded[ref] = StoredMember(
                ref=ref,
                version=version,
                ledger_entries=entries,
                ledger_head=bytes(head),
                history=history,
                accumulators={stored.state.key: stored for stored in accumulators[ref]},
                visits={stored.visit.key: stored for stored in visits[ref]},
                holds=stored_holds[ref],
            )
        return loaded

    def _rows(self, columns: str, table: str, alias: str, order: str, family: _Family) -> Iterator[Any]:
        """(whose it is, columns...) of each row of a table; `columns` leave out payer and member."""
        rows = self._connection.execute(
            f"""select {alias}.payer_id, {alias}.member_id, {columns}
                  from {table} {alias} {_OF_MEMBERS.format(alias)} order by {order}""",
            family.given(),
        )
        return ((family.home(payer, member), *values) for payer, member, *values in rows)

    def _spans(self, family: _Family) -> dict[MemberRef, list[EnrollmentSpan]]:
        spans: dict[MemberRef, list[EnrollmentSpan]] = defaultdict(list)
        columns = "e.plan_id, e.starts_on, e.ends_on, e.attributes"
        # A merged member's spans are no longer anybody's.
        alone = _Family(members=family.members)
        for ref, plan_id, start, end, attributes in self._rows(
            columns, "enrollment", "e", "e.starts_on", alone
        ):
            spans[ref].append(
                EnrollmentSpan(plan_id=plan_id, start=start, end=end, attributes=tuple(attributes))
            )
        return spans

    def _visits(self, family: _Family) -> dict[MemberRef, list[StoredVisit]]:
        visits: dict[MemberRef, list[StoredVisit]] = defaultdict(list)
        order = "v.arrival, v.client_id, v.visit_id"
        for ref, *row in self._rows(visit_rows.COLUMNS, "visit", "v", order, family):
            visits[ref].append(visit_rows.visit_from(row)[2])
        return visits

    def _holds(
        self, family: _Family
    ) -> tuple[dict[MemberRef, list[Hold]], dict[MemberRef, dict[str, StoredHold]]]:
        holds: dict[MemberRef, list[Hold]] = defaultdict(list)
        stored: dict[MemberRef, dict[str, StoredHold]] = defaultdict(dict)
        columns = "h.hold_id, h.arrival, h.content, h.quantity, h.ended_by, h.end_state, h.state, h.outcome"
        for ref, hold_id, arrival, content, quantity, ended_by, end_state, state, outcome in self._rows(
            columns, "hold", "h", "h.arrival", family
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

    def _overrides(self, family: _Family) -> dict[MemberRef, list[Override]]:
        overrides: dict[MemberRef, list[Override]] = defaultdict(list)
        columns = """o.override_id, o.limit_id, o.service_date, o.quantity, o.expires_on, o.visit_id,
            o.revoked_at"""
        for ref, override_id, limit_id, on, quantity, expires_on, visit_id, revoked_at in self._rows(
            columns, "override_grant", "o", "o.created_at, o.override_id", family
        ):
            if revoked_at is None:
                overrides[ref].append(
                    Override(
                        override_id=override_id,
                        limit_id=limit_id,
                        service_date=on,
                        quantity=quantity,
                        expires_on=expires_on,
                        visit_id=visit_id,
                    )
                )
        return overrides

    def _opening_balances(self, family: _Family) -> dict[MemberRef, list[OpeningBalance]]:
        balances: dict[MemberRef, list[OpeningBalance]] = defaultdict(list)
        columns = "b.plan_id, b.limit_id, b.service_date, b.quantity, b.source, b.sequence"
        order = "b.source, b.service_date, b.plan_id, b.limit_id, b.member_id"
        for ref, plan_id, limit_id, on, quantity, source, sequence in self._rows(
            columns, "opening_balance", "b", order, family
        ):
            balances[ref].append(
                OpeningBalance(
                    plan_id=plan_id,
                    limit_id=limit_id,
                    service_date=on,
                    quantity=quantity,
                    source=source,
                    sequence=sequence,
                )
            )
        return balances

    def _accumulators(self, family: _Family) -> dict[MemberRef, list[StoredAccumulator]]:
        accumulators: dict[MemberRef, list[StoredAccumulator]] = defaultdict(list)
        columns = ", ".join(f"a.{name}" for name in accumulator_columns.names)
        # Those of a merged member stand at nothing: what it used is in its new home's.
        alone = _Family(members=family.members)
        for ref, *values in self._rows(
            columns, "accumulator", "a", "a.plan_id, a.limit_id, a.period_start", alone
        ):
            accumulators[ref].append(accumulator_from(values))
        return accumulators

    def _plans(self, payers: set[str]) -> dict[str, dict[str, Plan]]:
        plans: dict[str, dict[str, Plan]] = {payer: {} for payer in payers}
        rows = self._connection.execute(
            """select payer_id, plan_id, name, funding, market, region, plan_year_start, contract_start,
                      carry_over
                 from plan where payer_id = any (%s)""",
            [sorted(payers)],
        )
        for payer_id, plan_id, name, funding, market, region, year_start, contract_start, carry_over in rows:
            plans[payer_id][plan_id] = Plan(
                payer_id=payer_id,
                plan_id=plan_id,
                name=name,
                funding=funding,
                market=market,
                region=region,
                plan_year_start=year_start,
                contract_start=contract_start,
                carry_over=carry_over,
            )
        return plans

    # Saving

    def save(self, changes: Sequence[MemberChanges]) -> None:
        """Write everything that changed, and queue the members for projection."""
        if not changes:
            return
        self._save_accumulators(changes)
        self._append_ledger(changes)
        self._save_visits([(change.ref, visit) for change in changes for visit in change.visits])
        self._save_holds(changes)
        self._connection.execute(
            """
            update member k
               set version = c.version, ledger_entries = c.entries, ledger_head = c.head
              from unnest(%(payers)b::text[], %(members)b::text[], %(versions)b::bigint[],
                          %(entries)b::bigint[],
                          %(heads)b::bytea[]) as c (payer_id, member_id, version, entries, head)
             where (k.payer_id, k.member_id) = (c.payer_id, c.member_id)
            """,
            {
                "payers": [c.ref.payer_id for c in changes],
                "members": [c.ref.member_id for c in changes],
                "versions": [c.version for c in changes],
                "entries": [c.ledger_entries for c in changes],
                "heads": [c.ledger_head for c in changes],
            },
        )
        self._connection.execute(
            """
            insert into counter_outbox (payer_id, member_id, version)
            select * from unnest(%(payers)b::text[], %(members)b::text[], %(versions)b::bigint[])
            on conflict (payer_id, member_id) do update set version = excluded.version, queued_at = now()
            """,
            {
                "payers": [c.ref.payer_id for c in changes],
                "members": [c.ref.member_id for c in changes],
                "versions": [c.version for c in changes],
            },
        )

    def _save_accumulators(self, changes: Sequence[MemberChanges]) -> None:
        rows = [(change.ref, stored) for change in changes for stored in change.accumulators]
        if rows:
            self._connection.execute(accumulator_columns.upsert, accumulator_columns.values(rows))

    def _append_ledger(self, changes: Sequence[MemberChanges]) -> None:
        rows = [(change.ref, entry) for change in changes for entry in change.entries]
        if rows:
            self._connection.execute(ledger_columns.insert, ledger_columns.values(rows))

    def _save_visits(self, rows: Sequence[tuple[MemberRef, SavedVisit]]) -> None:
        if not rows:
            return
        listed = [(ref, visit) for ref, visit in rows if visit.cause is not None]
        if listed:
            self._connection.execute(visit_changes.RECORD, visit_changes.values(listed))
        saved = self._connection.execute(visit_rows.SAVE, visit_rows.values(rows))
        if saved.rowcount != len(rows):
            raise ConcurrentChange

    def save_unattributed(self, payer_id: str, visits: Sequence[SavedVisit]) -> None:
        """Write visits of which no member is known yet."""
        self._save_visits([(MemberRef(payer_id=payer_id, member_id=""), visit) for visit in visits])

    def _save_holds(self, changes: Sequence[MemberChanges]) -> None:
        rows = [(hold_id, stored) for change in changes for hold_id, stored in change.holds.items()]
        if rows:
            self._connection.execute(
                """
                update hold h set state = n.state, outcome = n.outcome::jsonb
                  from unnest(%(ids)b::text[], %(states)b::text[], %(outcomes)b::text[])
                       as n (hold_id, state, outcome)
                 where h.hold_id = n.hold_id
                """,
                {
                    "ids": [hold_id for hold_id, _ in rows],
                    "states": [stored.state for _, stored in rows],
                    "outcomes": [orjson.dumps(stored.outcome).decode() for _, stored in rows],
                },
            )

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
        return dict(self._rows("r.reason", "refold_request", "r", "1, 2", _Family(members=list(refs))))

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
                _given(done),
            )


def _given(refs: Sequence[MemberRef]) -> dict[str, list[str]]:
    """The parameters that `_OF_MEMBERS` takes."""
    return {"payers": [ref.payer_id for ref in refs], "members": [ref.member_id for ref in refs]}
