"""Members as far as plain new visits need them, read for many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from shared.adapters.postgres.arrays import Texts
from shared.adapters.postgres.ledger_rows import ACCUMULATOR_COLUMNS, accumulator_from
from shared.adapters.postgres.member_rows import asking_special, member_arrays
from shared.adapters.postgres.plans import PLAN_COLUMNS, plan_from
from shared.adapters.postgres.trips import Row, Statement, Trips
from shared.domain.accumulator import AccumulatorKey, KeyName
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.records import MemberRef, PlainMember, StoredAccumulator

_SPAN = "e.plan_id, e.starts_on, e.ends_on, e.attributes"

# A row for each enrollment with each accumulator: most members have one of either. Both are looked up for
# each member, however few there were when the statement was planned: `offset` keeps it from being a join.
_MEMBERS = Statement(
    "plain_members",
    f"""
select m.place, {_SPAN}, {ACCUMULATOR_COLUMNS}
  from unnest(%(payers)b::text[], %(members)b::text[]) with ordinality as m (payer_id, member_id, place)
  left join lateral (select * from enrollment e
                      where e.payer_id = m.payer_id and e.member_id = m.member_id offset 0) e on true
  left join lateral (select * from accumulator a
                      where a.payer_id = m.payer_id and a.member_id = m.member_id offset 0) a on true
""",
)

_PLANS = Statement(
    "plans_of_payers", f"select {PLAN_COLUMNS} from plan where payer_id = any (%(payers)b::text[])"
)


def read_plain(
    trips: Trips, asks: Mapping[MemberRef, Sequence[date]]
) -> tuple[dict[MemberRef, PlainMember], dict[str, dict[str, Plan]]]:
    """Those of these locked members who can take plain new visits, and their payers' plans, by id."""
    refs = list(asks)
    payers = sorted({ref.payer_id for ref in refs})
    special, rows, plan_rows = trips.ask_all(
        asking_special(asks),
        _MEMBERS.errand(member_arrays(refs)),
        _PLANS.errand({"payers": Texts(payers)}),
    )
    plans: dict[str, dict[str, Plan]] = {payer: {} for payer in payers}
    for plan in map(plan_from, plan_rows):
        plans[plan.payer_id][plan.plan_id] = plan
    members = _members_from(refs, rows)
    for payer_id, member_id in special:
        members.pop(MemberRef(payer_id=payer_id, member_id=member_id), None)
    return members, plans


def _members_from(refs: Sequence[MemberRef], rows: Sequence[Row]) -> dict[MemberRef, PlainMember]:
    """The members of the rows of `_MEMBERS`. Those with equal spans share them, and keys that are equal."""
    keys: dict[KeyName, AccumulatorKey] = {}
    spans: dict[int, dict[date, tuple[Any, ...]]] = {}
    accumulators: dict[int, dict[KeyName, StoredAccumulator]] = {}
    for place, plan_id, start, end, attributes, *counts in rows:
        of_member = spans.setdefault(place, {})
        if plan_id is not None:
            of_member[start] = (plan_id, start, end, tuple(attributes))
        if counts[0] is not None:
            stored = accumulator_from(counts, keys)
            accumulators.setdefault(place, {})[stored.state.key.name] = stored
    made: dict[tuple[Any, ...], tuple[EnrollmentSpan, ...]] = {}
    members = {}
    for place, of_member in spans.items():
        name = tuple(of_member[start] for start in sorted(of_member))
        if name not in made:
            made[name] = tuple(
                EnrollmentSpan(plan_id=plan_id, start=start, end=end, attributes=attributes)
                for plan_id, start, end, attributes in name
            )
        members[refs[place - 1]] = PlainMember(spans=made[name], accumulators=accumulators.get(place, {}))
    return members
