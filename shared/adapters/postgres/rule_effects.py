"""Which members a change of rules can touch, who waits for it, and what it changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import psycopg

from shared.adapters.postgres.member_rows import GIVEN_MEMBERS
from shared.domain.accumulator import AccumulatorKey
from shared.domain.benefit_period import BenefitPeriod
from shared.domain.records import Cause, MemberRef
from shared.domain.rule_effects import CountShift, VisitShift, VisitStanding
from shared.domain.visit import VisitKey

#: Members with a visit, a hold or an opening balance on a date in question, theirs or that of a member
#: who was merged into them.
_TOUCHED = """
  from member k
 where k.merged_into is null
   and (%(payers)s::text[] is null or k.payer_id = any (%(payers)s))
   and (k.payer_id, k.member_id) > (%(after_payer)s, %(after_member)s)
   and exists (
        select from member f
         where f.payer_id = k.payer_id and (f.member_id = k.member_id or f.merged_into = k.member_id)
           and (exists (select from visit v
                         where v.payer_id = f.payer_id and v.member_id = f.member_id
                           and {visit_dates})
                or exists (select from hold h
                            where h.payer_id = f.payer_id and h.member_id = f.member_id
                              and {hold_dates})
                or exists (select from opening_balance b
                            where b.payer_id = f.payer_id and b.member_id = f.member_id
                              and {balance_dates})))
""".format(
    **{
        f"{name}_dates": f"{column} >= coalesce(%(start)s::date, '-infinity')"
        f" and {column} < coalesce(%(end)s::date, 'infinity')"
        for name, column in (
            ("visit", "v.service_date"),
            ("hold", "(h.content ->> 'service_date')::date"),
            ("balance", "b.service_date"),
        )
    }
)

#: Where causes of a kind are on record whatever they changed.
_CAUSES = {
    "override": "override_grant where override_id = %s",
    "override.revoked": "override_grant where override_id = %s and revoked_at is not null",
    "hold": "hold where hold_id = %s",
    "hold.released": "hold where hold_id = %s and end_state = 'released'",
    "hold.expired": "hold where hold_id = %s and end_state = 'expired'",
    "merge": "member_merge where merge_id = %s",
    "duplicate.accepted": "duplicate_decision where decision_id = %s and decision = 'accepted'",
    "duplicate.rejected": "duplicate_decision where decision_id = %s and decision = 'rejected'",
    "opening_balance": "opening_statement where source || '#' || sequence = %s",
}


class PostgresRuleEffects:
    """Reads about changes of rules in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def count_touched(self, payers: Iterable[str] | None, start: date | None, end: date | None) -> int:
        """How many members of these payers (None: of all) have something dated in `[start, end)`."""
        row = self._connection.execute(
            f"select count(*) {_TOUCHED}", _range(payers, start, end, None)
        ).fetchone()
        return int(row[0]) if row else 0

    def touched_after(
        self,
        payers: Iterable[str] | None,
        start: date | None,
        end: date | None,
        after: MemberRef | None,
        limit: int,
    ) -> list[MemberRef]:
        """The next of these members in order, at most `limit`; from the first on after None."""
        rows = self._connection.execute(
            f"select k.payer_id, k.member_id {_TOUCHED} order by k.payer_id, k.member_id limit %(limit)s",
            {**_range(payers, start, end, after), "limit": limit},
        )
        return [MemberRef(payer_id=payer, member_id=member) for payer, member in rows]

    def refolds_waiting(self, payers: Iterable[str] | None) -> int:
        """How many members of these payers (None: of all) wait to be folded again."""
        row = self._connection.execute(
            """select count(*) from refold_request
                where %(payers)s::text[] is null or payer_id = any (%(payers)s)""",
            {"payers": sorted(payers) if payers is not None else None},
        ).fetchone()
        return int(row[0]) if row else 0

    # What was changed

    def changed_after(self, cause: Cause, after: MemberRef | None, limit: int) -> list[MemberRef]:
        """The next members in order for whom something was changed under a cause, at most `limit`."""
        rows = self._connection.execute(
            """
            select payer_id, member_id from (
                select payer_id, member_id from visit_change
                 where cause_kind = %(kind)s and cause_id = %(id)s
                union
                -- As its index says it: what a single event did is in the event's receipt.
                select payer_id, member_id from ledger_entry
                 where cause_kind not in ('visit.recorded', 'visit.corrected', 'visit.voided')
                   and cause_kind = %(kind)s and cause_id = %(id)s
            ) as changed
             where (payer_id, member_id) > (%(after_payer)s, %(after_member)s)
             order by payer_id, member_id limit %(limit)s
            """,
            {
                "kind": cause.kind,
                "id": cause.id,
                "after_payer": after.payer_id if after else "",
                "after_member": after.member_id if after else "",
                "limit": limit,
            },
        )
        return [MemberRef(payer_id=payer, member_id=member) for payer, member in rows]

    def is_on_record(self, cause: Cause) -> bool | None:
        """Whether there is such a cause; None for kinds that only what they changed tells of."""
        if cause.kind not in _CAUSES:
            return None
        found = self._connection.execute(f"select from {_CAUSES[cause.kind]} limit 1", [cause.id])
        return found.fetchone() is not None

    def visit_shifts(self, cause: Cause, refs: Sequence[MemberRef]) -> dict[MemberRef, list[VisitShift]]:
        """How visits of these members came to stand otherwise under a cause, once for each visit."""
        rows = self._connection.execute(
            f"""
            select c.payer_id, c.member_id, c.client_id, c.visit_id, c.service_date,
                   c.disposition_before, c.plan_before, c.reasons_before,
                   c.disposition_after, c.plan_after, c.reasons_after
              from visit_change c
              join {GIVEN_MEMBERS} on (c.payer_id, c.member_id) = (m.payer_id, m.member_id)
             where c.cause_kind = %(kind)s and c.cause_id = %(id)s
             order by c.change_no
            """,
            {**_members(refs), "kind": cause.kind, "id": cause.id},
        )
        found: dict[tuple[MemberRef, VisitKey], VisitShift] = {}
        for payer, member, client, visit, on, *standings in rows:
            key = VisitKey(client_id=client, visit_id=visit)
            name = MemberRef(payer_id=payer, member_id=member), key
            before, after = _standing(standings[:3]), _standing(standings[3:])
            first = found.get(name)
            found[name] = VisitShift(
                key=key, service_date=on, before=first.before if first else before, after=after
            )
        shifts: dict[MemberRef, list[VisitShift]] = defaultdict(list)
        for (ref, _), shift in found.items():
            shifts[ref].append(shift)
        return shifts

    def count_shifts(self, cause: Cause, refs: Sequence[MemberRef]) -> dict[MemberRef, list[CountShift]]:
        """How counts of these members moved under a cause, as the ledger has it."""
        rows = self._connection.execute(
            f"""
            select l.payer_id, l.member_id, l.plan_id, l.limit_id, l.basis, l.period_start, l.period_end,
                   l.subject, l.used_after, l.held_after, l.used_delta, l.held_delta
              from ledger_entry l
              join {GIVEN_MEMBERS} on (l.payer_id, l.member_id) = (m.payer_id, m.member_id)
             where l.cause_kind = %(kind)s and l.cause_id = %(id)s
             order by l.payer_id, l.member_id, l.entry_no
            """,
            {**_members(refs), "kind": cause.kind, "id": cause.id},
        )
        found: dict[tuple[MemberRef, AccumulatorKey], CountShift] = {}
        for payer, member, plan, limit, basis, start, end, subject, used, held, *deltas in rows:
            key = AccumulatorKey(
                plan_id=plan,
                limit_id=limit,
                period=BenefitPeriod(basis=basis, start=start, end=end, subject=subject),
            )
            name = MemberRef(payer_id=payer, member_id=member), key
            first = found.get(name)
            found[name] = CountShift(
                key=key,
                used_before=first.used_before if first else used - deltas[0],
                used_after=used,
                held_before=first.held_before if first else held - deltas[1],
                held_after=held,
            )
        shifts: dict[MemberRef, list[CountShift]] = defaultdict(list)
        for (ref, _), shift in found.items():
            if (shift.used_before, shift.held_before) != (shift.used_after, shift.held_after):
                shifts[ref].append(shift)
        return shifts


def _standing(columns: Sequence[Any]) -> VisitStanding:
    disposition, plan_id, reasons = columns
    return VisitStanding(disposition=disposition, plan_id=plan_id, reasons=tuple(reasons))


def _range(
    payers: Iterable[str] | None, start: date | None, end: date | None, after: MemberRef | None
) -> dict[str, Any]:
    return {
        "payers": sorted(payers) if payers is not None else None,
        "start": start,
        "end": end,
        "after_payer": after.payer_id if after else "",
        "after_member": after.member_id if after else "",
    }


def _members(refs: Iterable[MemberRef]) -> dict[str, Any]:
    wanted = list(refs)
    return {"payers": [ref.payer_id for ref in wanted], "members": [ref.member_id for ref in wanted]}
