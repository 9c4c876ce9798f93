"""Worlds to fold: everything that a state is a function of, as plain dicts, few values and many clashes."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import strategies as st

from tests.rules import limit_row, plain_rules

Row = dict[str, Any]

MEMBERS = ("SAMPLE-1", "SAMPLE-2")
#: Dates close to the edges of the periods that the plans and limits below name.
DATES = tuple(
    date.fromisoformat(text)
    for text in [
        *("2025-06-30", "2025-12-31", "2026-01-01", "2026-02-28", "2026-03-01", "2026-03-04", "2026-03-05"),
        *("2026-03-21", "2026-05-01", "2026-06-30", "2026-07-01", "2026-12-31", "2027-01-01", "2027-02-28"),
        *("2027-03-01", "2028-02-29"),
    ]
)
_MIDDLE = date(2026, 5, 1)
#: Bases in which a visit needs to say nothing, and all.
CALENDAR_BASES = ("plan_year", "calendar_year", "enrollment_year", "first_service_year", "lifetime")
BASES = (*CALENDAR_BASES, "rolling_days", "contract_year", "authorization", "injury")
MEASURES = ("visit", "visit", "service_day", "service_line", "unit")


def often(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """The usual value in most worlds, one of the others in some."""
    return st.sampled_from([usual] * 12 + list(others))


@st.composite
def _limits(draw: st.DrawFn, number: int, bases: tuple[str, ...]) -> list[Row]:
    """One limit, in one row or in two that follow each other."""
    basis = draw(st.sampled_from(bases))
    row = limit_row(
        f"limit-{number}",
        draw(st.sampled_from([0, 1, 1, 2, 2, 2, 3, 4])),
        basis=basis,
        measure=draw(st.sampled_from(MEASURES)),
        rolling_days=draw(st.sampled_from([1, 5, 90])) if basis == "rolling_days" else None,
        pool=draw(often(["20560", "20561"], ["20560"], ["20560", "20561", "97110"])),
        network=draw(often(None, "in", "out")),
        exempt_diagnoses=draw(often([], ["F32"])),
        kx_from=draw(often(None, 2, 3)),
        plans=draw(often(None, ["plan-a"])),
    )
    if draw(often(False, True)):
        return [{**row, "end": _MIDDLE}, {**row, "start": _MIDDLE, "allowed": draw(st.integers(0, 4))}]
    return [row]


@st.composite
def rules(draw: st.DrawFn) -> Row:
    """Up to three limits that share one ordering, or one in each plan."""
    bases = draw(st.sampled_from([CALENDAR_BASES, CALENDAR_BASES, BASES]))
    limits = [row for number in range(1, draw(st.integers(1, 3)) + 1) for row in draw(_limits(number, bases))]
    orderings = st.sampled_from(["received", "service_date"])
    if draw(often(False, True, True)):
        # Each plan its own ordering: the limits that one visit can feed still share theirs.
        limits = [
            {**row, "plans": [plan], "ordering": ordering}
            for plan, ordering in (("plan-a", draw(orderings)), ("plan-b", draw(orderings)))
            for row in limits
        ]
    return plain_rules(*limits, ordering=draw(orderings), filing_days=draw(often(None, 30)))


@st.composite
def _plan(draw: st.DrawFn) -> Row:
    return {
        "funding": "fully_insured",
        "market": draw(st.sampled_from(["group", "individual"])),
        "region": None,
        "plan_year_start": draw(st.sampled_from(["01-01", "07-01", "02-29"])),
        "contract_start": draw(st.sampled_from([None, date(2024, 2, 29), date(2025, 7, 1)])),
        "carry_over": draw(st.sampled_from(["none", "same_product", "all"])),
    }


def _span(plan: str, start: str, end: str | None) -> Row:
    return {
        "plan": plan,
        "start": date.fromisoformat(start),
        "end": date.fromisoformat(end) if end else None,
    }


_ENROLLMENTS: tuple[tuple[Row, ...], ...] = (
    (_span("plan-a", "2024-02-29", None),),
    (_span("plan-a", "2024-02-29", None),),
    (_span("plan-a", "2024-02-29", "2026-03-05"), _span("plan-b", "2026-03-05", None)),
    (
        _span("plan-a", "2025-01-01", "2026-03-01"),
        _span("plan-b", "2026-03-01", "2026-03-21"),
        _span("plan-a", "2026-05-01", None),
    ),
)


@st.composite
def _member(draw: st.DrawFn, dates: st.SearchStrategy[date]) -> Row:
    openings = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "plan": st.sampled_from(["plan-a", "plan-a", "plan-b"]),
                    "limit_id": st.sampled_from(["limit-1", "limit-2"]),
                    "date": dates,
                    "quantity": st.integers(1, 2),
                    "source": st.sampled_from(["vendor", "payer"]),
                }
            ),
            max_size=2,
        )
    )
    return {
        "spans": list(draw(often(draw(st.sampled_from(_ENROLLMENTS)), ()))),
        "openings": [{**opening, "sequence": number} for number, opening in enumerate(openings)],
    }


@st.composite
def service(draw: st.DrawFn, dates: st.SearchStrategy[date]) -> Row:
    """A service as a check, a hold or a visit states it."""
    lines = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "code": often("20560", "20561", "97110", "99999"),
                    "quantity": st.sampled_from([1, 1, 1, 2, 3]),
                    "modifiers": often([], ["KX"]),
                    "diagnoses": often([], ["F32"], ["F99"]),
                }
            ),
            min_size=1,
            max_size=2,
        )
    )
    return {
        "date": draw(dates),
        "lines": lines,
        "npi": draw(st.sampled_from([None, None, None, "1234567893", "1999999992"])),
        "state": draw(often("WI", "HI")),
        "network": draw(st.sampled_from(["in", "in", "out", None])),
        "authorization": draw(
            st.sampled_from(
                [
                    {"number": "A1", "start": None, "end": None},
                    {"number": "A1", "start": None, "end": None},
                    {"number": "A1", "start": date(2026, 1, 1), "end": date(2026, 7, 1)},
                    {"number": "A2", "start": None, "end": None},
                    None,
                ]
            )
        ),
        "injury": draw(st.sampled_from(["knee", "knee", "knee", "hip", None])),
    }


@st.composite
def content(draw: st.DrawFn, dates: st.SearchStrategy[date]) -> Row:
    """What a recorded or corrected visit says."""
    return {
        **draw(service(dates)),
        "member": draw(often(MEMBERS[0], MEMBERS[1])),
        "self_pay": draw(often(False, True)),
        "status": draw(often("completed", "no_show", "cancelled")),
        "hold": draw(st.sampled_from([None, None, None, "h1", "h2"])),
    }


@st.composite
def _visit_events(draw: st.DrawFn, number: int, dates: st.SearchStrategy[date]) -> list[Row]:
    """What a client says of one visit: recorded, mostly, and now and then corrected or voided."""
    recorded = ["visit.recorded"]
    kinds = draw(
        often(
            recorded,
            [*recorded, "visit.corrected"],
            [*recorded, "visit.voided"],
            [*recorded, *recorded],
            ["visit.corrected"],
            [*recorded, "visit.corrected", "visit.corrected", "visit.voided", "visit.voided"],
        )
    )
    client = draw(often("c", "d"))
    return [
        {
            "client": client,
            "visit_id": f"v{number}",
            "type": kind,
            "received_on": draw(often(date(2026, 3, 10), date(2027, 2, 1))),
            "content": None if kind == "visit.voided" else draw(content(dates)),
        }
        for kind in kinds
    ]


@st.composite
def _grant(draw: st.DrawFn, dates: st.SearchStrategy[date]) -> Row:
    return {
        "member": MEMBERS[0],
        "limit_id": draw(st.sampled_from(["limit-1", "limit-2"])),
        "date": draw(dates),
        "quantity": draw(st.integers(1, 2)),
        "expires_on": draw(st.sampled_from([None, None, date(2026, 3, 21), date(2027, 1, 1)])),
        "visit_id": draw(st.sampled_from([None, None, "v1", "v2"])),
        "revoked": draw(often(False, True)),
    }


@st.composite
def worlds(draw: st.DrawFn, *, visits_max: int = 9) -> Row:
    """A world of one or two members, with everything that can happen to them."""
    # Few dates in one world, so that its visits meet in the same periods, windows and days.
    dates = st.sampled_from(draw(st.lists(st.sampled_from(DATES), min_size=1, max_size=4, unique=True)))
    visits = draw(st.sampled_from(range(1, visits_max + 1)))
    events = [event for number in range(1, visits + 1) for event in draw(_visit_events(number, dates))]
    holds = [
        {
            **draw(service(dates)),
            "hold_id": f"h{number}",
            "member": draw(often(MEMBERS[0], MEMBERS[1])),
            "quantity": draw(often(1, 2)),
        }
        for number in range(1, draw(st.integers(0, 2)) + 1)
    ]
    # Arrivals are even, so that a hold's end finds a place of its own between any two.
    places = draw(st.permutations(range(len(events) + len(holds))))
    for row, place in zip([*holds, *events], places, strict=True):
        row["arrival"] = 2 * place + 2
    for hold in holds:
        ended = draw(often(False, True))
        after = draw(st.integers(0, len(events)))
        hold["ended_by"] = hold["arrival"] + 1 + 2 * after if ended else None
        hold["end_state"] = draw(st.sampled_from(["released", "expired"])) if ended else None
    overrides = draw(st.lists(_grant(dates), max_size=2))
    decision = draw(often(None, "accepted", "rejected"))
    return {
        "rules": draw(rules()),
        "plans": {"plan-a": draw(_plan()), "plan-b": draw(_plan())},
        "members": {member: draw(_member(dates)) for member in MEMBERS},
        "events": sorted(events, key=lambda event: event["arrival"]),
        "holds": holds,
        "overrides": [{**grant, "override_id": f"o{n}"} for n, grant in enumerate(overrides)],
        "decisions": {("c", "v3"): decision} if decision else {},
    }
