"""The reference model: what the contract's section 4 makes of a list of inputs, told slowly.

Plain dicts, no increments: every pass recomputes every sum from the list of postings. It was written
from the contract before the product's fold was read, and shares no code with it. Where the contract
is silent it takes these readings:

R1  A visit is attributed to the member of its present content; unknown visits (`visit_not_known`)
    to the member of their correction, if there is one.
R2  "Same code" of a possible duplicate: the two visits share at least one procedure code. The
    earlier visit is live and passes every test but room; a suspected duplicate does not.
R3  An operator's rejection keeps a visit out, as `not_countable`, while it repeats a live visit; once
    that one is voided, it counts.
R4  A unit of a divisible limit that finds no room in one limit does not count in another; a visit
    counts at all only where every limit it feeds has room.
R5  Of one visit's own grant, its hold and the shared units, the grant is used first, then the hold.
R6  Holds keep their units ahead of every visit, among themselves by arrival; one that does not fit
    (in any limit it feeds) keeps nothing. Of a posted hold the visit keeps what it uses, no more.
R7  The first visit, by arrival of its `visit.recorded`, that names a hold before its end and either
    does not take place (no-show, cancelled, voided: the hold is released) or counts in every limit
    and period of the hold (it is posted) settles it. A hold that nothing settled stays as it is.
R8  The first-service year is opened by visits that qualify (whatever their number or room) and by
    pending holds that no such visit names. A hold dated before the year that its visit opens lies
    in that year, if the year it would itself open holds the visit.
R9  On a day that is already counted in a `service_day` limit, a further visit is counted with 0.
R10 A late service in a rolling limit must find room in every window that contains its date, each
    measured by what is allowed on its own service date.
    A hold gives its unit to a visit of its own date; one of another date needs room without it.
R11 Units that a visit under an earlier plan used are carried in that visit's turn, as far as there is
    room under the later plan.
    Such a visit also opens the later plan's first-service year.
R12 A visit's number counts what an opening balance says of visits or days, and carried visits.
R13 Units follow the lines: covered lines of a visit claim units, whatever becomes of its other lines.
R14 A limit whose period is not known (no authorization, no injury, no contract start; a date outside
    the authorization) makes the visit `not_countable`, since nobody can say whether it fits.
R15 An opening balance is clipped to the room there is on its own date. Of one source's statements on
    one period the highest sequence stands.
R16 An override raises the limit in the plan and period that its service date falls in. On a rolling
    limit it serves the windows that contain its date; on an authorization or injury, each one.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from tests.model.coverage import (
    Period,
    Row,
    evaluate,
    first_service_years,
    limits_for,
    period_of,
)

Key = tuple[str, str, str, date, date, str]
PASSES_MAX = 200


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


def reference(world: Row) -> Row:
    """`{"visits", "holds", "accumulators"}` of every member of a world, each from all of its inputs."""
    visits = fold_visits(world["events"])
    members = set(world["members"])
    members |= {v["content"]["member"] for v in visits.values() if v["content"] is not None}
    answer: Row = {"visits": {}, "holds": {}, "accumulators": {}}
    for key, visit in visits.items():
        if visit["content"] is None:
            answer["visits"][key] = {"disposition": "not_countable", "units": {}}
    for member in sorted(members):
        mine = [v for v in visits.values() if v["content"] is not None and v["content"]["member"] == member]
        state = Member(world, member, mine).settle()
        answer["visits"].update(state["visits"])
        answer["holds"].update(state["holds"])
        for key, found in state["accumulators"].items():
            answer["accumulators"][member, *key] = found
    return answer


class Member:
    """One member's inputs, folded over and over until nothing about the holds changes."""

    def __init__(self, world: Row, member: str, visits: list[Row]) -> None:
        """Take a member's part of the world."""
        self.rules = world["rules"]
        self.plans = world["plans"]
        self.decisions = world["decisions"]
        about = world["members"].get(member, {"spans": [], "openings": []})
        self.spans, self.openings = about["spans"], about["openings"]
        self.visits = visits
        self.holds = sorted(
            (h for h in world["holds"] if h["member"] == member), key=lambda h: h["arrival"]
        )
        self.overrides = [o for o in world["overrides"] if o["member"] == member and not o["revoked"]]
        #: For each hold, the visits that may still post it; and what it keeps in each accumulator once posted.
        self.takers = {h["hold_id"]: self._takers(h) for h in self.holds}
        self.kept: dict[str, dict[Key, int]] = {}
        self.years: dict[tuple[str, str], list[Period]] = {}

    # -- who may post a hold ---------------------------------------------------------------------

    def _takers(self, hold: Row) -> list[Row]:
        """The visits that name a hold in time, by arrival, up to the first that releases it."""
        naming = [
            v
            for v in self.visits
            if v["arrival"] is not None
            and not v["voided"]
            and v["content"]["hold"] == hold["hold_id"]
            and (hold["ended_by"] is None or v["arrival"] < hold["ended_by"])
        ]
        takers = []
        for visit in sorted(naming, key=lambda v: v["arrival"]):
            takers.append(visit)
            if visit["content"]["status"] != "completed":
                break
        return takers

    def _released_by_visit(self, hold: Row) -> bool:
        takers = self.takers[hold["hold_id"]]
        return bool(takers) and takers[0]["content"]["status"] != "completed"

    def _dead(self, hold: Row) -> bool:
        """Whether a hold is over and nobody posted it."""
        if self._released_by_visit(hold):
            return True
        return hold["ended_by"] is not None and not self.takers[hold["hold_id"]]

    # -- the fixpoint ----------------------------------------------------------------------------

    def settle(self) -> Row:
        """Fold until every hold that is thought to be posted is, and keeps what its visit uses."""
        for _ in range(PASSES_MAX):
            self._find_years()
            result = self._pass()
            if not self._revise(result):
                return self._answer(result)
        raise AssertionError("the holds never settle")

    def _revise(self, result: Row) -> bool:
        """Correct what was assumed of the holds; False if it was right."""
        for hold in self.holds:
            hold_id = hold["hold_id"]
            if self._dead(hold) or not self.takers[hold_id]:
                continue
            taken = result["taken"].get(hold_id)
            if taken is None:
                self.takers[hold_id].pop(0)
                self.kept.pop(hold_id, None)
                return True
            if self.kept.get(hold_id) != taken:
                self.kept[hold_id] = taken
                return True
        return False

    def _find_years(self) -> None:
        """The first-service years of every plan and limit."""
        dates: dict[tuple[str, str], list[date]] = {}
        services = [
            (v["content"], v["received_on"]) for v in self.visits if self._reason_not_countable(v) is None
        ]
        services += [
            (h, None)
            for h in self.holds
            if not self._dead(h) and h["hold_id"] not in self.kept and self._span(h["date"])
        ]
        for service, received_on in services:
            plan_id = self._plan_id(service["date"])
            said = evaluate(self.rules, plan_id, service, received_on=received_on)
            if said["decision"] == "covered":
                for claim in said["claims"]:
                    dates.setdefault((plan_id, claim["row"]["limit_id"]), []).append(service["date"])
        self.years = {key: first_service_years(days) for key, days in dates.items()}

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

    def _reason_not_countable(self, visit: Row) -> str | None:
        content = visit["content"]
        if visit["arrival"] is None:
            return "visit_not_known"
        if visit["voided"]:
            return "voided"
        if content["self_pay"]:
            return "self_pay"
        if content["status"] != "completed":
            return "not_completed"
        if self._span(content["date"]) is None:
            return "not_enrolled"
        said = evaluate(self.rules, self._plan_id(content["date"]), content)
        return None if said["needling"] or said["claims"] else "not_dry_needling"

    def _general_grants(self, key: Key, row: Row, on: date) -> int:
        """Units granted to everybody in this period on this service date."""
        total = 0
        for grant in self.overrides:
            if grant["visit_id"] is None and self._grant_applies(grant, key, row, on):
                total += grant["quantity"]
        return total

    def _grant_applies(self, grant: Row, key: Key, row: Row, on: date) -> bool:
        if grant["limit_id"] != row["limit_id"] or (grant["expires_on"] and on >= grant["expires_on"]):
            return False
        span = self._span(grant["date"])
        if span is None or span["plan"] != key[0]:
            return False
        if row["basis"] == "rolling_days":
            return bool(grant["date"] <= on < grant["date"] + timedelta(days=row["rolling_days"]))
        if row["basis"] in {"authorization", "injury"}:
            return bool(key[3] <= grant["date"] < key[4])
        return self._key(row, key[0], {"date": grant["date"]}, span) == key

    # -- one pass over everything ----------------------------------------------------------------

    def _pass(self) -> Row:
        result: Row = {"posts": [], "visits": {}, "countable": [], "taken": {}, "reserved": {}, "days": set()}
        self._open(result)
        for hold in self.holds:
            result["reserved"][hold["hold_id"]] = self._reserve(result, hold)
        for visit in sorted(self.visits, key=self._place):
            result["visits"][visit["key"]] = self._weigh(result, visit)
        return result

    def _place(self, visit: Row) -> tuple[Any, ...]:
        if visit["arrival"] is None:
            return (0,)
        if self.rules["ordering"] == "service_date":
            return (1, visit["content"]["date"], visit["arrival"])
        return (1, visit["arrival"])

    def _open(self, result: Row) -> None:
        """Post what was used elsewhere: of each source and period the newest statement."""
        newest: dict[tuple[Key, str], Row] = {}
        for opening in self.openings:
            for row in limits_for(self.rules, opening["plan"], opening["date"]):
                if row["limit_id"] != opening["limit_id"]:
                    continue
                key = self._key(row, opening["plan"], opening, self._span(opening["date"]))
                if key is None:
                    continue
                place = (key, opening["source"])
                if place not in newest or newest[place]["sequence"] < opening["sequence"]:
                    newest[place] = opening
        for (key, _), opening in newest.items():
            post = {"key": key, "date": opening["date"], "units": opening["quantity"], "kind": "opening"}
            result["posts"].append(post)

    def _reserve(self, result: Row, hold: Row) -> dict[Key, int]:
        """What a hold keeps: its quantity in every limit it feeds, or nothing."""
        if self._dead(hold):
            return {}
        if hold["hold_id"] in self.kept:
            return dict(self.kept[hold["hold_id"]])
        span = self._span(hold["date"])
        if span is None:
            return {}
        said = evaluate(self.rules, span["plan"], hold)
        if said["decision"] != "covered":
            return {}
        kept: dict[Key, int] = {}
        for claim in said["claims"]:
            key = self._key(claim["row"], span["plan"], hold, span)
            if key is None:
                continue
            if self._rest(result, key, claim["row"], hold["date"]) < hold["quantity"]:
                return {}
            kept[key] = hold["quantity"]
        return kept

    def _rest(self, result: Row, key: Key, row: Row, on: date) -> int:
        """What is left to share in an accumulator for a service date."""
        allowed: int = row["allowed"] + self._general_grants(key, row, on)
        days: list[tuple[date, int]] = [
            (p["date"], p["units"]) for p in result["posts"] if p["key"] == key and p["kind"] != "granted"
        ]
        for hold_id, kept in result["reserved"].items():
            gone = result["taken"].get(hold_id, {}).get(key, 0)
            left = kept.get(key, 0) - gone
            if left > 0:
                days.append((next(h["date"] for h in self.holds if h["hold_id"] == hold_id), left))
        if row["basis"] != "rolling_days":
            return allowed - sum(units for _, units in days)
        length = timedelta(days=row["rolling_days"])
        ends = [on + timedelta(days=n) for n in range(row["rolling_days"])]
        return min(allowed - sum(units for day, units in days if end - length < day <= end) for end in ends)

    # -- one visit's turn ------------------------------------------------------------------------

    def _weigh(self, result: Row, visit: Row) -> Row:
        reason = self._reason_not_countable(visit)
        if reason is not None:
            return {"disposition": "voided" if reason == "voided" else "not_countable", "units": {}}
        content = visit["content"]
        span = self._span(content["date"])
        assert span is not None
        plan_id, received_on = span["plan"], visit["received_on"]
        first = evaluate(self.rules, plan_id, content, received_on=received_on)
        numbers = {
            claim["row"]["limit_id"]: self._number(result, self._key(claim["row"], plan_id, content, span))
            for claim in first["claims"]
        }
        said = evaluate(self.rules, plan_id, content, received_on=received_on, numbers=numbers)
        if said["decision"] != "covered":
            what = "not_covered" if said["decision"] == "not_covered" else "not_countable"
            return {"disposition": what, "units": {}}
        repeats = any(self._repeats(visit, other) for other in result["countable"])
        result["countable"].append(visit)
        if repeats and self.decisions.get(visit["key"]) != "accepted":
            return {"disposition": "possible_duplicate", "units": {}}
        claims = []
        for claim in said["claims"]:
            key = self._key(claim["row"], plan_id, content, span)
            if key is not None:
                claims.append({**claim, "key": key})
        return self._count(result, visit, claims)

    def _number(self, result: Row, key: Key | None) -> int:
        before = [p for p in result["posts"] if p["key"] == key]
        elsewhere = sum(p["units"] for p in before if p["kind"] == "opening")
        counted = {p["visit"] for p in before if p["kind"] == "used" or (p["kind"] == "carried" and p["units"])}
        return 1 + elsewhere + len(counted)

    @staticmethod
    def _repeats(visit: Row, other: Row) -> bool:
        mine, theirs = visit["content"], other["content"]
        return bool(
            other["arrival"] < visit["arrival"]
            and mine["date"] == theirs["date"]
            and mine["npi"] is not None
            and mine["npi"] == theirs["npi"]
            and {line["code"] for line in mine["lines"]} & {line["code"] for line in theirs["lines"]}
        )

    def _count(self, result: Row, visit: Row, claims: list[Row]) -> Row:
        content = visit["content"]
        for claim in claims:
            day = (claim["key"], content["date"])
            same_day = claim["row"]["measure"] == "service_day" and day in result["days"]
            claim["need"] = 0 if same_day else claim["quantity"]
            claim["grant"] = self._own_grant(result, visit, claim)
            claim["hold"] = self._own_hold(result, visit, claim["key"])
            # The rest is measured with the visit's own hold still taking room.
            shared = max(0, self._rest(result, claim["key"], claim["row"], content["date"]))
            claim["room"] = claim["grant"] + (claim["hold"] or 0) + shared
        short = [c["row"]["limit_id"] for c in claims if c["room"] < min(1, c["need"])]
        if short:
            return {"disposition": "over_limit", "units": {}, "short": short}
        counted = _pieces(content["lines"], claims)
        for claim, units in zip(claims, counted, strict=True):
            self._post(result, visit, claim, units)
        full = all(units == c["need"] for c, units in zip(claims, counted, strict=True))
        units_by_key = {c["key"]: units for c, units in zip(claims, counted, strict=True) if units}
        return {"disposition": "counted" if full else "partially_counted", "units": units_by_key}

    def _own_grant(self, result: Row, visit: Row, claim: Row) -> int:
        on, total = visit["content"]["date"], 0
        for grant in self.overrides:
            if grant["visit_id"] == visit["key"][1] and self._grant_applies(
                grant, claim["key"], claim["row"], on
            ):
                total += grant["quantity"]
        used = [p for p in result["posts"] if p["key"] == claim["key"] and p["kind"] == "granted"]
        # Two clients may use one visit id: they share the grant, in order.
        return total - sum(p["units"] for p in used if p["visit"][1] == visit["key"][1])

    def _own_hold(self, result: Row, visit: Row, key: Key) -> int | None:
        """What the visit's hold keeps for it here; None if it keeps nothing here."""
        hold_id = visit["content"]["hold"]
        takers = self.takers.get(hold_id, [])
        if not takers or takers[0]["key"] != visit["key"]:
            return None
        kept: dict[Key, int] = result["reserved"].get(hold_id, {})
        return kept.get(key)

    def _post(self, result: Row, visit: Row, claim: Row, units: int) -> None:
        content, key = visit["content"], claim["key"]
        granted = min(units, claim["grant"])
        from_hold = min(units - granted, claim["hold"] or 0)
        base = {"key": key, "date": content["date"], "visit": visit["key"]}
        result["posts"].append({**base, "units": granted, "kind": "granted"})
        result["posts"].append({**base, "units": units - granted, "kind": "used"})
        result["days"].add((key, content["date"]))
        hold_id = content["hold"]
        if claim["hold"] is not None:
            result["taken"].setdefault(hold_id, {})[key] = from_hold
        self._carry(result, visit, claim, units)

    def _carry(self, result: Row, visit: Row, claim: Row, units: int) -> None:
        """Leave a counted visit's units under the plans that the member changed into later."""
        content, here = visit["content"], claim["key"][0]
        later = {s["plan"]: s for s in reversed(self.spans) if s["start"] > content["date"]}
        for plan_id, span in sorted(later.items()):
            if plan_id == here or not self._carries(here, plan_id):
                continue
            for row in limits_for(self.rules, plan_id, content["date"]):
                if row["limit_id"] != claim["row"]["limit_id"]:
                    continue
                key = self._key(row, plan_id, content, span)
                if key is None:
                    continue
                room = max(0, self._rest(result, key, row, content["date"]))
                post = {"key": key, "date": content["date"], "visit": visit["key"], "kind": "carried"}
                result["posts"].append({**post, "units": min(units, room)})

    def _carries(self, here: str, there: str) -> bool:
        plan, before = self.plans[there], self.plans[here]
        if plan["carry_over"] == "same_product":
            return all(plan[field] == before[field] for field in ("funding", "market", "region"))
        return bool(plan["carry_over"] == "all")

    # -- the answer ------------------------------------------------------------------------------

    def _answer(self, result: Row) -> Row:
        accumulators: Row = {}
        for post in result["posts"]:
            if post["units"]:
                found = accumulators.setdefault(post["key"], {"used": {}, "held": {}})
                found["used"][post["date"]] = found["used"].get(post["date"], 0) + post["units"]
        holds: Row = {}
        for hold in self.holds:
            holds[hold["hold_id"]] = state = self._hold_state(hold, result)
            if state["state"] != "pending":
                continue
            for key, units in result["reserved"][hold["hold_id"]].items():
                found = accumulators.setdefault(key, {"used": {}, "held": {}})
                found["held"][hold["date"]] = found["held"].get(hold["date"], 0) + units
        return {"visits": result["visits"], "holds": holds, "accumulators": accumulators}

    def _hold_state(self, hold: Row, result: Row) -> Row:
        if self._released_by_visit(hold):
            return {"state": "released", "units": {}}
        if hold["hold_id"] in result["taken"]:
            return {"state": "posted", "units": {}}
        if hold["ended_by"] is not None:
            return {"state": hold["end_state"], "units": {}}
        return {"state": "pending", "units": dict(result["reserved"][hold["hold_id"]])}


def _pieces(lines: list[Row], claims: list[Row]) -> list[int]:
    """How many units of each claim count, going through the lines unit by unit.

    A unit of a line counts where every divisible limit that its line feeds still has room.
    """
    counted = [0] * len(claims)
    divisible = [n for n, c in enumerate(claims) if c["row"]["measure"] in {"unit", "service_line"}]
    for n, claim in enumerate(claims):
        if n not in divisible:
            counted[n] = claim["need"]
    for i, line in enumerate(lines):
        feeding = [n for n in divisible if i in claims[n]["lines"]]
        for unit in range(line["quantity"]):
            moved = [n for n in feeding if claims[n]["row"]["measure"] == "unit" or unit == 0]
            if any(counted[n] >= claims[n]["room"] for n in moved):
                break
            for n in moved:
                counted[n] += 1
    return counted
