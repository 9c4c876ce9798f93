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
    pending holds, but for one that a visit releases, and one that a qualifying visit names if the
    visit's own year holds the hold or the hold's year the visit. A hold dated before the year that
    its visit opens lies in that year, if the year it would itself open holds the visit.
R9  On a day that is already counted in a `service_day` limit, a further visit is counted with 0.
R10 A late service in a rolling limit must find room in every window that contains its date, each
    measured by what is allowed on its own service date.
    A hold gives its unit to a visit of its own date; one of another date needs room without it.
R11 Units that a visit under an earlier plan used are carried in that visit's turn, as far as there is
    room under the later plan. Such a visit also opens the later plan's first-service year.
    Visits ordered by service date come last, unless some carry into limits ordered by arrival: then
    turns go stay by stay, and what is carried into such limits has its place by its visit's arrival.
    If the member comes back to a plan with such limits, visits ordered by service date come first.
R12 A visit's number counts what an opening balance says of visits or days, and carried visits.
R13 Units follow the lines: covered lines of a visit claim units, whatever becomes of its other lines.
R14 A limit whose period is not known (no authorization, no injury, no contract start; a date outside
    the authorization) makes the visit `not_countable`, since nobody can say whether it fits.
R15 An opening balance is clipped to the room there is on its own date. Of one source's statements on
    one period the highest sequence stands.
R16 An override raises the limit in the plan and period that its service date falls in; dated while
    the member is in no plan, in that period of any plan. On a rolling
    limit it serves the windows that contain its date; on an authorization or injury, each one.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from tests.model.coverage import Row, evaluate, first_service_year, limits_for, settled_by_rules
from tests.model.inputs import Key, MemberInputs, by_date, fold_visits

PASSES_MAX = 200


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


class Member(MemberInputs):
    """One member's inputs, folded over and over until nothing about the holds changes."""

    # -- the fixpoint ----------------------------------------------------------------------------

    def settle(self) -> Row:
        """Fold until every hold that is thought to be posted is, and keeps what its visit uses."""
        self._find_years()
        self.dated_first = any(map(self._carries_out_of_order, self.visits))
        self.stays = self._stays_in_turn() if self.dated_first else None
        for _ in range(PASSES_MAX):
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

    # -- one pass over everything ----------------------------------------------------------------

    def _pass(self) -> Row:
        result: Row = {"posts": [], "visits": {}, "countable": [], "taken": {}, "promised": {}, "days": set()}
        result["on_the_way"] = []
        self._open(result)
        for hold in self.holds:
            result["promised"][hold["hold_id"]] = self._promise(result, hold)
        for visit in sorted(self.visits, key=self._place):
            if visit["arrival"] is not None and self._ordering(visit) == "received":
                self._bring(result, visit)
            result["visits"][visit["key"]] = self._weigh(result, visit)
        self._bring(result)
        return result

    def _place(self, visit: Row) -> tuple[Any, ...]:
        if visit["arrival"] is None:
            return (0,)
        on, dated = visit["content"]["date"], self._ordering(visit) == "service_date"
        if self.stays is not None:
            stay = sum(start <= on for start in self.stays)
            return (1, stay, on if dated else date.min, visit["arrival"])
        if dated:
            return (1 if self.dated_first else 3, on, visit["arrival"])
        return (2, visit["arrival"])

    def _open(self, result: Row) -> None:
        """Post what was used elsewhere: of each source and period the newest statement."""
        newest: dict[tuple[Key, str], tuple[Row, Row]] = {}
        for opening in self.openings:
            for row in limits_for(self.rules, opening["plan"], opening["date"]):
                if row["limit_id"] != opening["limit_id"]:
                    continue
                span = self._span_in(opening["plan"], opening["date"])
                key = self._key(row, opening["plan"], {"date": opening["date"]}, span)
                if span is None or key is None:
                    continue
                place = (key, opening["source"])
                if place not in newest or newest[place][0]["sequence"] < opening["sequence"]:
                    newest[place] = (opening, row)
        for (key, _), (opening, row) in sorted(newest.items(), key=lambda item: str(item[0])):
            room = max(0, self._rest(result, key, row, opening["date"]))
            units = min(room, opening["quantity"])
            post = {"key": key, "date": opening["date"], "units": units, "kind": "opening", "visit": None}
            result["posts"].append(post)
            if units and row["basis"] == "rolling_days":
                result["days"].add((key, opening["date"]))

    def _promise(self, result: Row, hold: Row) -> dict[Key, int]:
        """What a hold keeps: its quantity in every limit it feeds, or nothing."""
        if self._dead(hold):
            return {}
        if hold["hold_id"] in self.kept:
            return dict(self.kept[hold["hold_id"]])
        span = self._span(hold["date"])
        if span is None:
            return {}
        kept: dict[Key, int] = {}
        for claim in evaluate(self.rules, span["plan"], hold)["claims"]:
            key = self._hold_key(hold, claim["row"], span)
            if key is None:
                continue
            if self._rest(result, key, claim["row"], hold["date"]) < hold["quantity"]:
                return {}
            kept[key] = hold["quantity"]
        return kept

    def _hold_key(self, hold: Row, row: Row, span: Row) -> Key | None:
        key = self._key(row, span["plan"], hold, span)
        takers = self.takers[hold["hold_id"]]
        if row["basis"] != "first_service_year" or key is None or not takers:
            return key
        own = first_service_year(hold["date"])
        visit = takers[0]["content"]
        if key[3:] == own and row["limit_id"] in self._fed_by_visit(takers[0], span["plan"]):
            theirs = self._key(row, span["plan"], visit, span)
            if theirs is not None and own[0] <= theirs[3] < own[1]:
                return theirs
        return key

    def _rest(self, result: Row, key: Key, row: Row, on: date, without: str | None = None) -> int:
        """What is left to share in an accumulator for a service date, `without` one hold's units."""
        allowed: int = row["allowed"] + sum(
            grant["quantity"]
            for grant in self.overrides
            if grant["visit_id"] is None and self._grant_applies(grant, key, row, on)
        )
        days: list[tuple[date, int]] = [
            (p["date"], p["units"]) for p in result["posts"] if p["key"] == key and p["kind"] != "granted"
        ]
        for hold in self.holds:
            hold_id = hold["hold_id"]
            kept = result["promised"].get(hold_id, {}).get(key, 0)
            if hold_id != without and hold_id not in result["taken"] and kept:
                days.append((hold["date"], kept))
        if row["basis"] != "rolling_days":
            return allowed - sum(units for _, units in days)
        length = timedelta(days=row["rolling_days"])
        ends = [on + timedelta(days=n) for n in range(row["rolling_days"])]
        return min(allowed - sum(units for day, units in days if end - length < day <= end) for end in ends)

    # -- one visit's turn ------------------------------------------------------------------------

    def _weigh(self, result: Row, visit: Row) -> Row:
        before = self._before_the_rules(visit)
        if before is not None:
            return {"disposition": before, "units": {}}
        content, received_on = visit["content"], visit["received_on"]
        span = self._span(content["date"])
        assert span is not None
        plan_id = span["plan"]
        first = evaluate(self.rules, plan_id, content, received_on=received_on)
        numbers = {
            claim["row"]["limit_id"]: self._number(result, self._key(claim["row"], plan_id, content, span))
            for claim in first["claims"]
        }
        result["numbers"] = numbers
        said = evaluate(self.rules, plan_id, content, received_on=received_on, numbers=numbers)
        settled = settled_by_rules(said)
        if settled is not None:
            return {"disposition": settled, "units": {}}
        decision = self.decisions.get(visit["key"])
        if decision != "accepted" and any(_repeats(visit, other) for other in result["countable"]):
            rejected = decision == "rejected"
            return {"disposition": "not_countable" if rejected else "possible_duplicate", "units": {}}
        claims = [{**c, "key": self._key(c["row"], plan_id, content, span)} for c in said["claims"]]
        if any(claim["key"] is None for claim in claims):
            return {"disposition": "not_countable", "units": {}}
        result["countable"].append(visit)
        return self._count(result, visit, claims)

    def _number(self, result: Row, key: Key | None) -> int:
        before = [p for p in result["posts"] if p["key"] == key]
        row = next((r for r in self.rules["limits"] if key is not None and r["limit_id"] == key[1]), None)
        whole = row is not None and row["measure"] in {"visit", "service_day"}
        elsewhere = sum(p["units"] for p in before if p["kind"] == "opening") if whole else 0
        counted = {
            p["visit"] for p in before if p["kind"] == "used" or (p["kind"] == "carried" and p["units"])
        }
        return 1 + elsewhere + len(counted)

    def _count(self, result: Row, visit: Row, claims: list[Row]) -> Row:
        content = visit["content"]
        hold = self._own_hold(result, visit, {claim["key"] for claim in claims})
        for claim in claims:
            key, row = claim["key"], claim["row"]
            same_day = row["measure"] == "service_day" and (key, content["date"]) in result["days"]
            claim["need"] = 0 if same_day else claim["quantity"]
            claim["grant"] = self._own_grant(result, visit, claim)
            claim["hold"] = result["promised"][hold["hold_id"]].get(key) if hold else None
            moved = hold is not None and row["basis"] == "rolling_days" and hold["date"] != content["date"]
            if moved and claim["hold"] is not None:
                claim["hold"] = 0
            without = hold["hold_id"] if hold is not None and moved else None
            # The rest is otherwise measured with the visit's own hold still taking room.
            shared = max(0, self._rest(result, key, row, content["date"], without))
            claim["room"] = claim["grant"] + (claim["hold"] or 0) + shared
        short = [c["row"]["limit_id"] for c in claims if c["room"] < min(1, c["need"])]
        if short:
            return {"disposition": "over_limit", "units": {}, "short": short}
        counted = _pieces(content["lines"], claims)
        if hold is not None:
            result["taken"][hold["hold_id"]] = {}
        for claim, units in zip(claims, counted, strict=True):
            self._post(result, visit, claim, units)
        full = all(units == c["need"] for c, units in zip(claims, counted, strict=True))
        units_by_key = {c["key"]: units for c, units in zip(claims, counted, strict=True) if units}
        return {"disposition": "counted" if full else "partially_counted", "units": units_by_key}

    def _own_grant(self, result: Row, visit: Row, claim: Row) -> int:
        on: date = visit["content"]["date"]
        total: int = 0
        for grant in self.overrides:
            named = grant["visit_id"] == visit["key"][1]
            if named and self._grant_applies(grant, claim["key"], claim["row"], on):
                total += grant["quantity"]
        used = [p for p in result["posts"] if p["key"] == claim["key"] and p["kind"] == "granted"]
        # Two clients may use one visit id: they share the grant, in order.
        total -= sum(p["units"] for p in used if p["visit"][1] == visit["key"][1])
        return total

    def _own_hold(self, result: Row, visit: Row, keys: set[Key]) -> Row | None:
        """The hold whose units wait for this visit, if it qualifies in the hold's limits and periods."""
        for hold in self.holds:
            takers = self.takers[hold["hold_id"]]
            if hold["hold_id"] == visit["content"]["hold"] and takers and takers[0]["key"] == visit["key"]:
                kept = result["promised"][hold["hold_id"]]
                return hold if kept and set(kept) <= keys else None
        return None

    def _post(self, result: Row, visit: Row, claim: Row, units: int) -> None:
        content, key = visit["content"], claim["key"]
        granted = min(units, claim["grant"])
        base = {"key": key, "date": content["date"], "visit": visit["key"]}
        result["posts"].append({**base, "units": granted, "kind": "granted"})
        result["posts"].append({**base, "units": units - granted, "kind": "used"})
        result["days"].add((key, content["date"]))
        if claim["hold"] is not None:
            result["taken"][content["hold"]][key] = min(units - granted, claim["hold"])
        self._carry(result, visit, claim, units)

    def _carry(self, result: Row, visit: Row, claim: Row, units: int) -> None:
        """Leave a counted visit's units under the plans that the member changed into later."""
        content = visit["content"]
        for plan_id in self._later_plans(visit):
            said = evaluate(
                self.rules,
                plan_id,
                content,
                received_on=visit["received_on"],
                numbers=result["numbers"],
            )
            for row in (c["row"] for c in said["claims"]):
                key = self._key(row, plan_id, content, self._span_in(plan_id, content["date"]))
                if row["limit_id"] == claim["row"]["limit_id"] and key is not None:
                    item = {"visit": visit, "key": key, "row": row, "units": units}
                    waits = self.stays is not None or self._ordering(visit) == "service_date"
                    if self.dated_first and waits and not by_date(self.rules, row):
                        result["on_the_way"].append(item)
                    else:
                        self._leave(result, item)

    def _bring(self, result: Row, before: Row | None = None) -> None:
        """Carry what is on its way, or into a visit's plan what arrived before it."""
        span = self._span(before["content"]["date"]) if before else None
        for item in sorted(result["on_the_way"], key=lambda item: item["visit"]["arrival"]):
            into = span is not None and item["key"][0] == span["plan"]
            if before is None or (into and item["visit"]["arrival"] < before["arrival"]):
                result["on_the_way"].remove(item)
                self._leave(result, item)

    def _leave(self, result: Row, item: Row) -> None:
        key, on = item["key"], item["visit"]["content"]["date"]
        room = max(0, self._rest(result, key, item["row"], on))
        post = {"key": key, "date": on, "visit": item["visit"]["key"], "kind": "carried"}
        result["posts"].append({**post, "units": min(item["units"], room)})

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
            for key, units in state["units"].items():
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
        return {"state": "pending", "units": dict(result["promised"][hold["hold_id"]])}


def _repeats(visit: Row, other: Row) -> bool:
    """Whether a visit looks like another that arrived before it."""
    mine, theirs = visit["content"], other["content"]
    return bool(
        other["arrival"] < visit["arrival"]
        and mine["date"] == theirs["date"]
        and mine["npi"] is not None
        and mine["npi"] == theirs["npi"]
        and {line["code"] for line in mine["lines"]} & {line["code"] for line in theirs["lines"]}
    )


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
