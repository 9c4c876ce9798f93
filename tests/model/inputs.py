"""What one member's part of a world says, asked again each time: the reference model's questions."""

from __future__ import annotations

from datetime import date, timedelta

from tests.model.coverage import (
    Period,
    Row,
    evaluate,
    first_service_year,
    first_service_years,
    limits_for,
    period_of,
    settled_by_rules,
)

Key = tuple[str, str, str, date, date, str]


def fold_visits(events: list[Row]) -> dict[tuple[str, str], Row]:
    """Each visit as its events, in order of arrival, add up to."""
    visits: dict[tuple[str, str], Row] = {}
    for event in sorted(events, key=lambda e: e["arrival"]):
        key = (event["client"], event["visit_id"])
        visit = visits.setdefault(
            key, {"key": key, "arrival": None, "content": None, "corrected": False, "voided": False}
        )
        if event["type"] == "visit.voided":
            visit["voided"] = True
        elif event["type"] == "visit.corrected":
            if not visit["voided"]:
                visit["content"], visit["corrected"] = event["content"], True
        elif visit["arrival"] is None:
            visit["arrival"], visit["received_on"] = event["arrival"], event["received_on"]
            if not visit["corrected"]:
                visit["content"] = event["content"]
    return visits


class MemberInputs:
    """One member's visits, holds, overrides, enrollment and balances, and what follows from them."""

    def __init__(self, world: Row, member: str, visits: list[Row]) -> None:
        """Take a member's part of the world."""
        self.rules = world["rules"]
        self.plans = world["plans"]
        self.decisions = world["decisions"]
        about = world["members"].get(member, {"spans": [], "openings": []})
        self.spans, self.openings = about["spans"], about["openings"]
        self.visits = visits
        self.holds = sorted((h for h in world["holds"] if h["member"] == member), key=lambda h: h["arrival"])
        self.overrides = [o for o in world["overrides"] if o["member"] == member and not o["revoked"]]
        #: For each hold, the visits that may still settle it; and what it keeps once it is posted.
        self.takers = {h["hold_id"]: self._takers(h) for h in self.holds}
        self.kept: dict[str, dict[Key, int]] = {}
        self.years: dict[tuple[str, str], list[Period]] = {}

    # -- who may post a hold ---------------------------------------------------------------------

    def _takers(self, hold: Row) -> list[Row]:
        """The visits that name a hold in time, by arrival, up to the first that releases it."""
        takers = []
        for visit in sorted(self.visits, key=lambda v: v["arrival"] or 0):
            if visit["arrival"] is None or visit["content"]["hold"] != hold["hold_id"]:
                continue
            if hold["ended_by"] is not None and visit["arrival"] >= hold["ended_by"]:
                continue
            takers.append(visit)
            if not _takes_place(visit):
                break
        return takers

    def _released_by_visit(self, hold: Row) -> bool:
        takers = self.takers[hold["hold_id"]]
        return bool(takers) and not _takes_place(takers[0])

    def _dead(self, hold: Row) -> bool:
        """Whether a hold is over and nobody posts it."""
        if self._released_by_visit(hold):
            return True
        return hold["ended_by"] is not None and not self.takers[hold["hold_id"]]

    def _find_years(self) -> None:
        """The first-service years of every plan and limit."""
        dates: dict[tuple[str, str], list[date]] = {}
        for visit in self.visits:
            if self._before_the_rules(visit) is None:
                for plan_id in [self._plan_id(visit["content"]["date"]), *self._later_plans(visit)]:
                    for limit_id in self._fed(plan_id, visit["content"], visit["received_on"]):
                        dates.setdefault((plan_id, limit_id), []).append(visit["content"]["date"])
        for hold in self.holds:
            settled = not all(map(_takes_place, self.takers[hold["hold_id"]]))
            if hold["ended_by"] is not None or settled or not self._span(hold["date"]):
                continue
            plan_id = self._plan_id(hold["date"])
            for limit_id in self._fed(plan_id, hold, None):
                takers = [v for v in self.takers[hold["hold_id"]] if _in_one_year(v, hold)]
                if not any(limit_id in self._fed_by_visit(v, plan_id) for v in takers):
                    dates.setdefault((plan_id, limit_id), []).append(hold["date"])
        for opening in self.openings:
            dates.setdefault((opening["plan"], opening["limit_id"]), []).append(opening["date"])
        self.years = {key: first_service_years(days) for key, days in dates.items()}

    def _fed(self, plan_id: str, service: Row, received_on: date | None) -> list[str]:
        said = evaluate(self.rules, plan_id, service, received_on=received_on)
        return [claim["row"]["limit_id"] for claim in said["claims"]]

    def _fed_by_visit(self, visit: Row, plan_id: str) -> list[str]:
        """The limits of a plan that a visit qualifies for."""
        if self._before_the_rules(visit) is not None or self._plan_id(visit["content"]["date"]) != plan_id:
            return []
        return self._fed(plan_id, visit["content"], visit["received_on"])

    # -- small questions -------------------------------------------------------------------------

    def _span(self, on: date) -> Row | None:
        for span in self.spans:
            if span["start"] <= on and (span["end"] is None or on < span["end"]):
                found: Row = span
                return found
        return None

    def _plan_id(self, on: date) -> str:
        span = self._span(on)
        assert span is not None
        plan_id: str = span["plan"]
        return plan_id

    def _key(self, row: Row, plan_id: str, service: Row, span: Row | None) -> Key | None:
        years = self.years.get((plan_id, row["limit_id"]), [])
        period = period_of(row, self.plans[plan_id], span, service, years)
        return None if period is None else (plan_id, row["limit_id"], row["basis"], *period)

    def _before_the_rules(self, visit: Row) -> str | None:
        """What a visit's own events and the member's enrollment settle before any rule is asked."""
        content = visit["content"]
        if visit["arrival"] is None:
            return "not_countable"
        if visit["voided"]:
            return "voided"
        if content["self_pay"] or content["status"] != "completed":
            return "not_countable"
        if self._span(content["date"]) is None:
            needling = any(line["code"] in self.rules["needling_codes"] for line in content["lines"])
            return "not_covered" if needling and self.spans else "not_countable"
        return None

    def _grant_applies(self, grant: Row, key: Key, row: Row, on: date) -> bool:
        if grant["limit_id"] != row["limit_id"] or (grant["expires_on"] and on >= grant["expires_on"]):
            return False
        span = self._span(grant["date"])
        if span is not None and span["plan"] != key[0]:
            return False
        if row["basis"] == "rolling_days":
            return bool(grant["date"] <= on < grant["date"] + timedelta(days=row["rolling_days"]))
        if row["basis"] in {"authorization", "injury"}:
            return True
        named = self._span_in(key[0], grant["date"])
        return self._key(row, key[0], {"date": grant["date"]}, named) == key

    def _ordering(self, visit: Row) -> str:
        """The ordering that the limits a visit can feed share."""
        default: str = self.rules["ordering"]
        if self._before_the_rules(visit) is not None:
            return default
        plan_id, content = self._plan_id(visit["content"]["date"]), visit["content"]
        said = evaluate(self.rules, plan_id, content, received_on=visit["received_on"])
        return next((claim["row"].get("ordering", default) for claim in said["claims"]), default)

    def _carries_out_of_order(self, visit: Row) -> bool:
        """Whether a visit whose turn comes by service date carries into a limit ordered by arrival."""
        if self._before_the_rules(visit) is not None or self._ordering(visit) == "received":
            return False
        content, received_on = visit["content"], visit["received_on"]
        here, *there = (
            evaluate(self.rules, plan_id, content, received_on=received_on)
            for plan_id in (self._plan_id(content["date"]), *self._later_plans(visit))
        )
        if settled_by_rules(here) is not None:
            return False
        claims = [claim for said in there for claim in said["claims"]]
        return any(not by_date(self.rules, claim["row"]) for claim in claims)

    def _stays_in_turn(self) -> list[date] | None:
        """When each stay in a plan begins; None if the member comes back to one ordered by arrival."""
        spans = sorted(self.spans, key=lambda span: span["start"])
        stays = [
            span
            for number, span in enumerate(spans)
            if number == 0 or spans[number - 1]["plan"] != span["plan"]
        ]
        for number, stay in enumerate(stays):
            if stay["plan"] in [earlier["plan"] for earlier in stays[:number]]:
                limits = limits_for(self.rules, stay["plan"], stay["start"])
                if not all(by_date(self.rules, row) for row in limits):
                    return None
        return [stay["start"] for stay in stays]

    def _later_plans(self, visit: Row) -> list[str]:
        """The plans that the member changes into after a visit and that bring the count along."""
        on = visit["content"]["date"]
        here = self.plans[self._plan_id(on)]
        plans = sorted({s["plan"] for s in self.spans if s["start"] > on} - {self._plan_id(on)})
        return [plan_id for plan_id in plans if _carries(here, self.plans[plan_id])]

    def _span_in(self, plan_id: str, on: date) -> Row | None:
        """The member's span in a plan that covers a date, else the next to begin, else the last."""
        own: list[Row] = [s for s in self.spans if s["plan"] == plan_id]
        open_yet = [s for s in own if s["end"] is None or on < s["end"]]
        if open_yet:
            return min(open_yet, key=lambda s: s["start"])
        return max(own, key=lambda s: s["start"], default=None)


def by_date(rules: Row, limit: Row) -> bool:
    """Whether a limit's visits have their turns by service date."""
    return bool(limit.get("ordering", rules["ordering"]) == "service_date")


def _takes_place(visit: Row) -> bool:
    return not visit["voided"] and bool(visit["content"]["status"] == "completed")


def _carries(here: Row, there: Row) -> bool:
    """Whether a change between two plans brings the count along."""
    if there["carry_over"] == "same_product":
        return all(there[field] == here[field] for field in ("funding", "market", "region"))
    return bool(there["carry_over"] == "all")


def _in_one_year(visit: Row, hold: Row) -> bool:
    """Whether one of two dates lies in the first-service year that the other would open."""
    on, held_on = visit["content"]["date"], hold["date"]
    return any(
        start <= other < end
        for day, other in ((on, held_on), (held_on, on))
        for start, end, _ in [first_service_year(day)]
    )
