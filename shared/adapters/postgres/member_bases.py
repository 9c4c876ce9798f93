"""What an eligibility check needs of members, besides their accumulators: one statement for nearly all.

A statement costs both sides more than what it reads of a member, so everything comes in one. Each part
is asked for by the whole key: `offset 0` keeps a part from becoming a join, for which the plan might
read all that waits for a payer, once for each member. Members into whom others were merged, of which there
are few, are asked for once more, with all of their family.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import orjson

from shared.accounting.codec import content_from, posting_from
from shared.adapters.postgres.arrays import Dates
from shared.adapters.postgres.grant_rows import (
    OPENING_BALANCE_COLUMNS,
    OPENING_BALANCE_ORDER,
    OVERRIDE_COLUMNS,
    opening_balance_from,
    override_from,
)
from shared.adapters.postgres.member_rows import OF_MEMBERS, member_arrays
from shared.adapters.postgres.plans import PLAN_COLUMNS, plan_from
from shared.adapters.postgres.trips import Errand, Statement, Trips
from shared.domain.determination import RECENT_DAYS
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.history import History
from shared.domain.hold import OpeningBalance, Override
from shared.domain.records import MemberBase, MemberRef, in_order
from shared.domain.same_day import codes_done

#: Many members have the same spans and plans: so many different texts of each are read once.
SAME_MAX = 1_000

_RECENT = timedelta(days=RECENT_DAYS)


def _of_family(table: str, columns: str, rest: str = "true") -> str:
    """The rows of a table, with the one-letter alias that it ends with, of a member's whole family.

    `rest` is what else holds of the rows, and may end with their order.
    """
    alias = table[-1]
    return f"""unnest(f.names) as n (member_id)
         cross join lateral (
               select {columns} from {table}
                where {alias}.payer_id = k.payer_id and {alias}.member_id = n.member_id and {rest}
               offset 0) as {alias}"""


def _of_one(table: str, columns: str, rest: str = "true") -> str:
    """What is read of one table for a member into whom nobody was merged."""
    alias = table[-1]
    return f"""(select {columns} from {table}
                 where {alias}.payer_id = k.payer_id and {alias}.member_id = k.member_id and {rest}
                offset 0) as {alias}"""


#: A pending hold, in words that the index of all pending holds is not made of.
_PROMISED = "h.state not in ('posted', 'released', 'expired')"

#: What became of the needling visits that took place.
_NEEDLED = "'counted', 'partially_counted', 'over_limit', 'not_covered'"

#: Visits of dates that those about the days asked about may be too near to.
_NEAR = "v.service_date >= (%(near)b::date[])[1] and v.service_date <= (%(near)b::date[])[2]"

#: The order of the index of a member's visits, so that the planner takes that one. To one that knew of no
#: visit another index seemed as cheap; with it a check read all visits of a payer for each member.
_BY_DATE = "order by v.service_date"

#: Visits that are known and not voided, of the days that are asked about.
_ON_DAYS = "v.service_date = any (%(days)b::date[]) and v.arrival is not null and v.voided_by is null"

#: The statement, of a member alone or of its whole family; its first column says whether others were merged
#: into the member.
_TEMPLATE = f"""
select {{has_family}}, k.payer_id, k.member_id, k.version, k.merged_into,
       (select sum(e.waiting)
          from {{waiting}}),
       exists (select from refold_request r where r.payer_id = k.payer_id and r.member_id = k.member_id),
       (select json_object_agg(h.hold_id, h.outcome)
          from {{holds}}),
       (select array_agg(v.service_date)
          from {{dates}}),
       (select json_agg(v.content)
          from {{done}}),
       (select json_agg(json_build_array(e.plan_id, e.starts_on, e.ends_on, e.attributes)
                        order by e.starts_on)::text
          from enrollment e where e.payer_id = k.payer_id and e.member_id = k.member_id),
       (select json_agg(json_build_array({OVERRIDE_COLUMNS}) order by o.created_at, o.override_id)
          from {{overrides}}),
       (select json_agg(json_build_array({OPENING_BALANCE_COLUMNS}) order by {OPENING_BALANCE_ORDER})
          from {{balances}}),
       (select json_agg(json_build_array({PLAN_COLUMNS}) order by p.plan_id)::text
          from {{plans}})
  from member k {OF_MEMBERS.format("k")}
"""


def _parts(of: Callable[..., str]) -> dict[str, str]:
    """What the statement reads of tables that grow with the members, by `_of_one` or `_of_family`."""
    return {
        "waiting": of("visit_event_waiting e", "count(*) as waiting"),
        "holds": of("hold h", "h.hold_id, h.outcome", _PROMISED),
        "dates": of("visit v", "v.service_date", f"{_NEAR} and v.disposition in ({_NEEDLED}) {_BY_DATE}"),
        "done": of("visit_in_full v", "v.content", _ON_DAYS),
        "overrides": of("override_grant o", "o.*", "o.revoked_at is null"),
        "balances": of("opening_balance b", "b.*"),
    }


_BASES = Statement(
    "bases",
    _TEMPLATE.format(
        **_parts(_of_one),
        has_family="""exists (select from member a where a.payer_id = k.payer_id
                                           and a.merged_into = k.member_id)""",
        plans="""plan p
         where p.payer_id = k.payer_id and p.plan_id = any (
               array(select e.plan_id from enrollment e
                      where e.payer_id = k.payer_id and e.member_id = k.member_id)
               || array(select b.plan_id from opening_balance b
                         where b.payer_id = k.payer_id and b.member_id = k.member_id))""",
    ),
)

_FAMILY_BASES = Statement(
    "family_bases",
    _TEMPLATE.format(
        **_parts(_of_family),
        has_family="false",
        plans=f"""(select e.plan_id from enrollment e
                 where e.payer_id = k.payer_id and e.member_id = k.member_id
                 union
                select b.plan_id from {_of_family("opening_balance b", "b.plan_id")}) as named (id)
         cross join lateral (
               select * from plan p where p.payer_id = k.payer_id and p.plan_id = named.id offset 0) as p""",
    )
    + """ cross join lateral (
       select coalesce(array_agg(a.member_id), '{}') || k.member_id as names from member a
        where a.payer_id = k.payer_id and a.merged_into = k.member_id
 ) f
""",
)


def asking_bases(refs: Iterable[MemberRef], days: Iterable[date]) -> Errand:
    """What `read_bases` asks first."""
    return _errand(_BASES, refs, sorted(set(days)))


def _errand(statement: Statement, refs: Iterable[MemberRef], days: list[date]) -> Errand:
    near = Dates([days[0] - _RECENT, days[-1] + _RECENT] if days else [])
    return statement.errand({**member_arrays(in_order(refs)), "days": Dates(days), "near": near})


def read_bases(trips: Trips, refs: Iterable[MemberRef], days: Iterable[date]) -> dict[MemberRef, MemberBase]:
    """Members without visits and accumulators; those never heard of are absent.

    Answers by the refs that were asked for: for a member that was merged into another, that other. Of
    plans there are those that a span or an opening balance names. What was done on the service dates
    `days` is told by its codes, and needling near them by its dates.
    """
    bases, merged, with_family = {}, {}, []
    asked = sorted(set(days))
    for has_family, *row in trips.ask(_errand(_BASES, refs, asked)):
        ref = MemberRef(payer_id=row[0], member_id=row[1])
        if row[3] is not None:
            merged[ref] = MemberRef(payer_id=row[0], member_id=row[3])
        elif has_family:
            with_family.append(ref)
        else:
            bases[ref] = _base(ref, row)
    if with_family:
        for _, *row in trips.ask(_errand(_FAMILY_BASES, with_family, asked)):
            ref = MemberRef(payer_id=row[0], member_id=row[1])
            bases[ref] = _base(ref, row)
    if merged:
        homes = read_bases(trips, merged.values(), asked)
        bases |= {ref: homes[home] for ref, home in merged.items()}
    return bases


def _base(ref: MemberRef, row: Sequence[Any]) -> MemberBase:
    version, _, waiting, refold, holds, dates, done, spans, overrides, balances, plans = row[2:]
    return MemberBase(
        ref=ref,
        version=version,
        history=History(
            payer_id=ref.payer_id,
            member_id=ref.member_id,
            spans=() if spans is None else _spans(spans),
            plans={} if plans is None else _plans(plans),
            overrides=tuple(map(_override, overrides or ())),
            opening_balances=tuple(map(_balance, balances or ())),
        ),
        pending_events=int(waiting),
        refold_requested=refold,
        hold_postings={
            hold_id: tuple(posting_from(posting) for posting in outcome["postings"])
            for hold_id, outcome in (holds or {}).items()
        },
        service_dates=tuple(sorted(dates or ())),
        day_codes=_day_codes(done or ()),
    )


def _day_codes(contents: Iterable[Any]) -> dict[date, tuple[str, ...]]:
    """The codes of what took place by service date, from the contents of visits."""
    codes: dict[date, set[str]] = {}
    for content in map(content_from, contents):
        codes.setdefault(content.service.service_date, set()).update(codes_done(content))
    return {on: tuple(sorted(its)) for on, its in codes.items() if its}


def _date(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


@functools.lru_cache(maxsize=SAME_MAX)
def _spans(text: str) -> tuple[EnrollmentSpan, ...]:
    return tuple(map(_span, orjson.loads(text)))


@functools.lru_cache(maxsize=SAME_MAX)
def _plans(text: str) -> Mapping[str, Plan]:
    return {plan.plan_id: plan for plan in map(_plan, orjson.loads(text))}


def _span(values: list[Any]) -> EnrollmentSpan:
    plan_id, start, end, attributes = values
    return EnrollmentSpan(
        plan_id=plan_id, start=date.fromisoformat(start), end=_date(end), attributes=tuple(attributes)
    )


def _override(values: list[Any]) -> Override:
    override_id, limit_id, on, quantity, expires_on, visit_id = values
    return override_from((override_id, limit_id, _date(on), quantity, _date(expires_on), visit_id))


def _balance(values: list[Any]) -> OpeningBalance:
    plan_id, limit_id, on, quantity, source, sequence = values
    return opening_balance_from((plan_id, limit_id, _date(on), quantity, source, sequence))


def _plan(values: list[Any]) -> Plan:
    *said, contract_start, carry_over = values
    return plan_from((*said, _date(contract_start), carry_over))
