"""A member's standing as it is kept beside an answer, so that the answer can be decided again.

It is written on the way of every check, so that it is written as the values are; reading takes more.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from typing import Any

import orjson

from shared.accounting.codec import period_from, posting_from, posting_to
from shared.accounting.same_objects import OfTheSame
from shared.domain.accumulator import Accumulator, AccumulatorKey, DayUse
from shared.domain.determination import MemberStanding
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.history import History, Posting
from shared.domain.hold import OpeningBalance, Override

Json = dict[str, Any]


def of_member(member_id: str, apart: bytes) -> bytes:
    """A JSON object in UTF-8 that says something of a member, from what it says besides the member's id."""
    return b'{"member_id":%b,%b' % (orjson.dumps(member_id), apart[1:])


def with_visits(counts: bytes, standing: MemberStanding, on: date) -> bytes:
    """What a check on a service date was decided from besides the member's id, as a JSON object in UTF-8.

    It is the same for all members who stand the same. `counts` are `counts_apart` of the same standing.
    """
    codes = standing.day_codes.get(on)
    visits = orjson.dumps(
        {
            "pending_events": standing.pending_events,
            "service_dates": standing.recent_dates(on),
            "day_codes": {on.isoformat(): codes} if codes else {},
        }
    )
    return b"%b,%b" % (counts[:-1], visits[1:])


def counts_apart(standing: MemberStanding, hold_id: str | None) -> bytes:
    """What a check is decided from, as `with_visits` has it, without what few rules or none look at.

    That is how many events wait, which no answer turns on, and the dates and codes of the member's visits.
    `hold_id` is the hold whose units counted as free; `freed` is null if the member has no such hold pending.
    """
    history = standing.history
    freed = standing.hold_postings.get(hold_id) if hold_id is not None else ()
    if freed == () and not (history.overrides or history.opening_balances or standing.ahead_of_ledger):
        return _plain_counts(
            # Read anew for each call; interned it is one object.
            sys.intern(history.payer_id),
            history.spans,
            history.plans,
            standing.accumulators,
            standing.versions,
        )
    return _counts(standing, freed)


@OfTheSame
def _plain_counts(
    payer_id: str,
    spans: tuple[EnrollmentSpan, ...],
    plans: Mapping[str, Plan],
    accumulators: tuple[Accumulator, ...],
    versions: Mapping[AccumulatorKey, int],
) -> bytes:
    """The counts of a member with nothing else to its name, of whom nothing is freed.

    Most members who stand the same have the same objects (`member_bases.py`, `counter_format.py`,
    `check.py`).
    """
    history = History(payer_id=payer_id, member_id="", spans=spans, plans=plans)
    return _counts(MemberStanding(history=history, accumulators=accumulators, versions=versions), ())


def _counts(standing: MemberStanding, freed: tuple[Posting, ...] | None) -> bytes:
    history = standing.history
    named = {span.plan_id for span in history.spans}
    named |= {balance.plan_id for balance in history.opening_balances}
    named |= {accumulator.key.plan_id for accumulator in standing.accumulators}
    return orjson.dumps(
        {
            "payer_id": history.payer_id,
            "spans": history.spans,
            "plans": [plan for plan_id, plan in history.plans.items() if plan_id in named],
            "overrides": history.overrides,
            "opening_balances": history.opening_balances,
            "accumulators": standing.accumulators,
            "versions": [standing.versions.get(a.key, 0) for a in standing.accumulators],
            "ahead_of_ledger": standing.ahead_of_ledger,
            "freed": None if freed is None else [posting_to(posting) for posting in freed],
        }
    )


def standing_from(fields: Mapping[str, Any], hold_id: str | None) -> MemberStanding:
    """A standing from what was kept of it: `with_visits`, `of_member`.

    A fault is a bug and raises KeyError, TypeError or ValueError. Answers that were given before the
    other visits of a day were looked at have no `day_codes`; those given before a hold that is not there
    was spoken of have an empty `freed`, and go on saying nothing of it.
    """
    accumulators = tuple(_accumulator_from(part) for part in fields["accumulators"])
    freed: dict[str, tuple[Posting, ...]] = {}
    if hold_id is not None and fields["freed"] is not None:
        freed[hold_id] = tuple(posting_from(posting) for posting in fields["freed"])
    return MemberStanding(
        history=History(
            payer_id=fields["payer_id"],
            member_id=fields["member_id"],
            spans=tuple(_span_from(part) for part in fields["spans"]),
            plans={part["plan_id"]: _plan_from(part) for part in fields["plans"]},
            overrides=tuple(_override_from(part) for part in fields["overrides"]),
            opening_balances=tuple(_balance_from(part) for part in fields["opening_balances"]),
        ),
        accumulators=accumulators,
        versions={
            accumulator.key: version
            for accumulator, version in zip(accumulators, fields["versions"], strict=True)
        },
        pending_events=fields["pending_events"],
        service_dates=tuple(date.fromisoformat(day) for day in fields["service_dates"]),
        day_codes={date.fromisoformat(on): tuple(codes) for on, codes in fields.get("day_codes", {}).items()},
        hold_postings=freed,
        ahead_of_ledger=fields["ahead_of_ledger"],
    )


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text is not None else None


def _span_from(fields: Json) -> EnrollmentSpan:
    return EnrollmentSpan(
        **{
            **fields,
            "start": date.fromisoformat(fields["start"]),
            "end": _day(fields["end"]),
            "attributes": tuple(fields["attributes"]),
        }
    )


def _plan_from(fields: Json) -> Plan:
    return Plan(**{**fields, "contract_start": _day(fields["contract_start"])})


def _override_from(fields: Json) -> Override:
    dates = {
        "service_date": date.fromisoformat(fields["service_date"]),
        "expires_on": _day(fields["expires_on"]),
    }
    return Override(**{**fields, **dates})


def _balance_from(fields: Json) -> OpeningBalance:
    return OpeningBalance(**{**fields, "service_date": date.fromisoformat(fields["service_date"])})


def _accumulator_from(fields: Json) -> Accumulator:
    key = fields["key"]
    return Accumulator(
        **{
            **fields,
            "key": AccumulatorKey(
                plan_id=key["plan_id"], limit_id=key["limit_id"], period=period_from(key["period"])
            ),
            "days": tuple(DayUse(**{**day, "on": date.fromisoformat(day["on"])}) for day in fields["days"]),
            "held_days": tuple((date.fromisoformat(on), units) for on, units in fields["held_days"]),
        }
    )
