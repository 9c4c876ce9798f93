"""The reference model's own answer to "what do the rules and the calendar say?", from plain dicts.

Written from the contract's sections 3 to 5 alone, and slow on purpose: nothing is remembered, every
question is answered by looking through everything again. Shares no code with the product.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

Row = dict[str, Any]
Period = tuple[date, date, str]


def anchored_year(month_day: str, on: date) -> Period:
    """The year that opens on a month and day and holds `on`; February 29 falls on March 1 if need be."""
    month, day = int(month_day[:2]), int(month_day[3:])

    def opening(year: int) -> date:
        try:
            return date(year, month, day)
        except ValueError:
            return date(year, 3, 1)

    for year in (on.year - 1, on.year):
        if opening(year) <= on < opening(year + 1):
            return opening(year), opening(year + 1), ""
    raise AssertionError("every date lies in a year")


def first_service_year(opened_on: date) -> Period:
    """The year a first service opens: it ends after the eleven full months that follow its month."""
    return opened_on, date(opened_on.year + 1, opened_on.month, 1), ""


def first_service_years(dates: list[date]) -> list[Period]:
    """The years that these service dates open, each by the first date that lies in no earlier one."""
    years: list[Period] = []
    for day in sorted(dates):
        if not any(start <= day < end for start, end, _ in years):
            years.append(first_service_year(day))
    return years


def period_of(row: Row, plan: Row, span: Row | None, service: Row, years: list[Period]) -> Period | None:
    """The benefit period of a limit that a service falls in, or None where it falls in none.

    `years` are the first-service years known. A rolling limit has no period of its own: its place is
    the service date.
    """
    on: date = service["date"]
    basis = row["basis"]
    if basis == "first_service_year":
        found = [year for year in years if year[0] <= on < year[1]]
        return found[0] if found else first_service_year(on)
    if basis in {"lifetime", "rolling_days"}:
        return date.min, date.max, ""
    if basis in {"injury", "authorization"}:
        subject = service.get("injury") if basis == "injury" else _authorization_on(service)
        return (date.min, date.max, subject) if subject else None
    contract = plan["contract_start"]
    anchors = {
        "plan_year": plan["plan_year_start"],
        "calendar_year": "01-01",
        "contract_year": contract.strftime("%m-%d") if contract else None,
        "enrollment_year": span["start"].strftime("%m-%d") if span else None,
    }
    anchor = anchors[basis]
    return anchored_year(anchor, on) if anchor else None


def _authorization_on(service: Row) -> str | None:
    """The number of the authorization that a service has, if it is valid on its date."""
    held = service.get("authorization")
    if held is None:
        return None
    on, start, end = service["date"], held["start"], held["end"]
    valid = (start is None or start <= on) and (end is None or on < end)
    return str(held["number"]) if valid else None


def limits_for(rules: Row, plan_id: str, on: date) -> list[Row]:
    """The limit rows in force for a plan on a date."""
    return [
        row
        for row in rules["limits"]
        if (row["plans"] is None or plan_id in row["plans"])
        and (row["start"] is None or row["start"] <= on)
        and (row["end"] is None or on < row["end"])
    ]


def _line_decision(rules: Row, service: Row, line: Row) -> str:
    if line["code"] in rules["unlisted_codes"]:
        return "unknown"
    if service["state"] in rules["unknown_states"]:
        return "unknown"
    if any(code in rules["excluded_diagnoses"] for code in line["diagnoses"]):
        return "not_covered"
    return "covered"


def _feeds(row: Row, service: Row, line: Row) -> bool:
    primary = line["diagnoses"][0] if line["diagnoses"] else None
    return (
        line["code"] in row["pool"]
        and (row["network"] is None or row["network"] == service["network"])
        and primary not in row["exempt_diagnoses"]
    )


def evaluate(
    rules: Row, plan_id: str, service: Row, *, received_on: date | None = None, numbers: Row | None = None
) -> Row:
    """What the rules say of a service: `{"decision", "needling", "claims": [{"row", "lines", "quantity"}]}`.

    `numbers` gives, by limit id, the visit's number in that limit's period; absent, it is the first.
    """
    lines = service["lines"]
    rows = limits_for(rules, plan_id, service["date"])
    said = [_line_decision(rules, service, line) for line in lines]
    for row in rows:
        number = (numbers or {}).get(row["limit_id"], 1)
        if row["kx_from"] is not None and number >= row["kx_from"]:
            for i, line in enumerate(lines):
                if said[i] == "covered" and _feeds(row, service, line) and "KX" not in line["modifiers"]:
                    said[i] = "not_covered"
    limit_days = rules["filing_days"]
    if None not in {received_on, limit_days} and received_on > service["date"] + timedelta(days=limit_days):
        said = ["not_covered" for _ in lines]
    claims = []
    for row in rows:
        matching = [i for i, line in enumerate(lines) if said[i] == "covered" and _feeds(row, service, line)]
        quantity = {
            "visit": 1,
            "service_day": 1,
            "service_line": len(matching),
            "unit": sum(lines[i]["quantity"] for i in matching),
        }[row["measure"]]
        if matching:
            claims.append({"row": row, "lines": matching, "quantity": quantity})
    needling = [i for i, line in enumerate(lines) if line["code"] in rules["needling_codes"]]
    governing = [said[i] for i in needling or range(len(lines))]
    decision = next(d for d in ("not_covered", "unknown", "covered") if d in governing)
    return {"decision": decision, "needling": bool(needling), "claims": claims}


def settled_by_rules(said: Row) -> str | None:
    """The disposition that an evaluation settles by itself; None when a line claims units."""
    if said["claims"]:
        return None
    if not said["needling"]:
        return "not_countable"
    return "not_covered" if said["decision"] == "not_covered" else "not_countable"
