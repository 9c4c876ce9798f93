"""Between the reference model's plain dicts and the product's values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from shared.domain.accumulator import AccumulatorKey
from shared.domain.enrollment import EnrollmentSpan, Plan
from shared.domain.history import History, MemberState, Posting
from shared.domain.hold import Hold, OpeningBalance, Override
from shared.domain.service import Authorization, Provider, Service, ServiceLine
from shared.domain.visit import Visit, VisitContent, VisitEvent, VisitKey, fold_events
from tests.builders import PAYER

Row = dict[str, Any]


def service_of(row: Row) -> Service:
    """The service that a plain content or hold states."""
    held = row["authorization"]
    return Service(
        service_date=row["date"],
        lines=tuple(
            ServiceLine(
                procedure_code=line["code"],
                quantity=line["quantity"],
                modifiers=tuple(line["modifiers"]),
                diagnosis_codes=tuple(line["diagnoses"]),
            )
            for line in row["lines"]
        ),
        provider=Provider(npi=row["npi"]),
        state=row["state"],
        network=row["network"],
        authorization=Authorization(**held) if held else None,
        injury_id=row["injury"],
    )


def content_of(row: Row) -> VisitContent:
    """The content that a plain event states."""
    return VisitContent(
        member_id=row["member"],
        service=service_of(row),
        self_pay=row["self_pay"],
        visit_status=row["status"],
        hold_id=row["hold"],
    )


def event_of(row: Row) -> VisitEvent:
    """The visit event of a plain one."""
    return VisitEvent(
        arrival=row["arrival"],
        client_id=row["client"],
        event_id=f"e{row['arrival']}",
        type=row["type"],
        payer_id=PAYER,
        visit_id=row["visit_id"],
        received_on=row["received_on"],
        content=content_of(row["content"]) if row["content"] else None,
    )


def plans_of(world: Row) -> dict[str, Plan]:
    """The plans of a world."""
    return {
        plan_id: Plan(
            payer_id=PAYER,
            plan_id=plan_id,
            name=plan_id,
            funding=plan["funding"],
            market=plan["market"],
            region=plan["region"],
            plan_year_start=plan["plan_year_start"],
            contract_start=plan["contract_start"],
            carry_over=plan["carry_over"],
        )
        for plan_id, plan in world["plans"].items()
    }


def visits_of(world: Row) -> dict[str | None, list[Visit]]:
    """The world's visits by the member they are attributed to, folded by the product."""
    accepted: dict[VisitKey, list[VisitEvent]] = defaultdict(list)
    for event in sorted(map(event_of, world["events"]), key=lambda event: event.arrival):
        key = VisitKey(client_id=event.client_id, visit_id=event.visit_id)
        decision = world["decisions"].get((key.client_id, key.visit_id))
        if fold_events(key, accepted[key], decision).accepts(event):
            accepted[key].append(event)
    by_member: dict[str | None, list[Visit]] = defaultdict(list)
    for key, events in accepted.items():
        decision = world["decisions"].get((key.client_id, key.visit_id))
        visit = fold_events(key, events, decision)
        by_member[visit.member_id].append(visit)
    return by_member


def holds_of(world: Row, member: str) -> tuple[Hold, ...]:
    """A member's holds."""
    return tuple(
        Hold(
            hold_id=hold["hold_id"],
            arrival=hold["arrival"],
            service=service_of(hold),
            quantity=hold["quantity"],
            ended_by=hold["ended_by"],
            end_state=hold["end_state"],
        )
        for hold in world["holds"]
        if hold["member"] == member
    )


def overrides_of(world: Row, member: str) -> tuple[Override, ...]:
    """A member's overrides that were not revoked."""
    return tuple(
        Override(
            override_id=grant["override_id"],
            limit_id=grant["limit_id"],
            service_date=grant["date"],
            quantity=grant["quantity"],
            expires_on=grant["expires_on"],
            visit_id=grant["visit_id"],
        )
        for grant in world["overrides"]
        if grant["member"] == member and not grant["revoked"]
    )


def spans_of(world: Row, member: str) -> tuple[EnrollmentSpan, ...]:
    """A member's enrollment."""
    about = world["members"].get(member, {"spans": []})
    return tuple(
        EnrollmentSpan(plan_id=span["plan"], start=span["start"], end=span["end"]) for span in about["spans"]
    )


def openings_of(world: Row, member: str) -> tuple[OpeningBalance, ...]:
    """A member's opening balances."""
    about = world["members"].get(member, {"openings": []})
    return tuple(
        OpeningBalance(
            plan_id=opening["plan"],
            limit_id=opening["limit_id"],
            service_date=opening["date"],
            quantity=opening["quantity"],
            source=opening["source"],
            sequence=opening["sequence"],
        )
        for opening in about["openings"]
    )


def history_of(world: Row, member: str, visits: Iterable[Visit] | None = None) -> History:
    """Everything a member's state is a function of; with `visits`, those instead of the world's."""
    return History(
        payer_id=PAYER,
        member_id=member,
        spans=spans_of(world, member),
        plans=plans_of(world),
        visits=tuple(visits_of(world)[member] if visits is None else visits),
        holds=holds_of(world, member),
        overrides=overrides_of(world, member),
        opening_balances=openings_of(world, member),
    )


def members_of(world: Row) -> list[str]:
    """Every member that a world speaks of."""
    named = {member for member in visits_of(world) if member is not None}
    return sorted(named | set(world["members"]))


# The product's answers in the reference model's shape


def _key(key: AccumulatorKey) -> tuple[Any, ...]:
    period = key.period
    return (key.plan_id, key.limit_id, period.basis, period.start, period.end, period.subject)


def _units(postings: Iterable[Posting], *, carried: bool = False) -> dict[tuple[Any, ...], int]:
    units: dict[tuple[Any, ...], int] = {}
    for posting in postings:
        if posting.units and posting.carried == carried:
            units[_key(posting.key)] = units.get(_key(posting.key), 0) + posting.units
    return units


def told_of(states: dict[str, MemberState]) -> Row:
    """What members' states say, as the reference model would say it."""
    told: Row = {"visits": {}, "holds": {}, "accumulators": {}}
    for member, state in states.items():
        for key, outcome in state.visits.items():
            told["visits"][key.client_id, key.visit_id] = {
                "disposition": outcome.disposition,
                "units": _units(outcome.postings),
            }
        for hold_id, hold in state.holds.items():
            told["holds"][hold_id] = {"state": hold.state, "units": _units(hold.postings)}
        for name, accumulator in state.accumulators.items():
            if accumulator.used or accumulator.held:
                counts = {"used": accumulator.used, "held": accumulator.held}
                told["accumulators"][(member, *_key(name))] = counts
    return told


def asked_of(reference: Row) -> Row:
    """The reference model's answer, reduced to what both tell."""
    return {
        "visits": {
            key: {"disposition": said["disposition"], "units": said["units"]}
            for key, said in reference["visits"].items()
        },
        "holds": reference["holds"],
        "accumulators": {
            key: {"used": sum(found["used"].values()), "held": sum(found["held"].values())}
            for key, found in reference["accumulators"].items()
        },
    }
