"""Answers to eligibility checks, remembered: who asks the same of members who stand the same hears the same.

An answer is a function of what is kept beside it (the request, the member's standing, the catalog), and
nothing of it tells whose it is. So those inputs without the member's id are what an answer is remembered by,
of the request and of the dates and codes of the member's visits only what bears on an answer
(`shared/domain/bearing.py`). It is decided from just that, so that nothing else can have a part in it;
`replay.py`, which decides from all that was kept, shows that nothing was forgotten. How many events wait for
the member is only said: it is decided as if none did, and the number put in (`determination_record.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import orjson

from shared.accounting.codec import service_from
from shared.accounting.determination_body import determination_body
from shared.accounting.standing_codec import counts_apart, of_member, with_visits
from shared.domain.determination import Determination, MemberStanding, determine_from_visits
from shared.domain.enrollment import Plan, span_on
from shared.domain.evaluation import Audience
from shared.domain.history import History, Rules
from shared.domain.record import record
from shared.domain.service import Service

#: Answers kept for one catalog; one has some 5 KB with its inputs, a large one 10 KB.
REMEMBERED_MAX = 8_000

#: By whom it is for, what bears on it of what was asked, how the member's counts stand, and what bears on
#: it of the member's visits: the catalog that decided, and what it said.
_Name = tuple[Audience, bytes, bytes, tuple[date, ...], tuple[str, ...]]
_Remembered = dict[_Name, tuple[int, bytes]]

#: Texts of requests whose reading is kept, for those that come again to the letter; one has some 1 KB.
_READ_MAX = 4_000
#: By a request's text: the plan that it was read for, and what of it bears on its answer under that plan.
_Read = dict[bytes, tuple[Plan | None, bytes]]


@record(frozen=True, slots=True, kw_only=True)
class Answer:
    """A decided check: what it was decided from, and the body, but for what each answer is given anew.

    `request` and `standing` are JSON texts in UTF-8; `said` is what follows `opening_of` an answer, once the
    `pending_events` are told of.
    """

    catalog_version: int
    request: bytes
    standing: bytes
    said: bytes
    pending_events: int


def opening_of(check_id: str, decided_at: datetime) -> bytes:
    """The beginning of an answer's body: what it is given anew, in UTF-8."""
    given = orjson.dumps({"check_id": check_id, "decided_at": decided_at}, option=orjson.OPT_UTC_Z)
    return given[:-1] + b","


class Answers:
    """Decides checks. Safe to share between threads: a lost memory costs time only."""

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        # The rules; the newer half of the answers and the older (what is asked again comes into the newer);
        # and the requests that were read. All in one place, so that another thread never sees what was
        # remembered of other rules.
        self._memory: tuple[Rules | None, _Remembered, _Remembered, _Read] = (None, {}, {}, {})

    def decide(
        self,
        rules: Rules,
        standing: MemberStanding,
        request: Mapping[str, Any],
        audience: Audience,
        history: Callable[[], History],
    ) -> Answer:
        """The answer to a valid check, a JSON object in the contract's field names with its defaults.

        `history` reads the member's whole one, for the few checks that the accumulators do not answer.
        """
        newer, older, read = self._of(rules)
        on, hold_id = date.fromisoformat(request["service_date"]), request.get("hold_id")
        asked = orjson.dumps({name: value for name, value in request.items() if name != "member_id"})
        counts = counts_apart(standing, hold_id)
        dates = rules.dates_bearing_on(on, standing.recent_dates(on))
        codes = standing.day_codes.get(on, ())
        plan = _plan_on(standing.history, on)
        service = None
        of_plan, borne = read.get(asked, (None, b""))
        # An equal plan that is another object is only read once more; to compare them would take longer.
        if not borne or of_plan is not plan:
            service = _bearing(rules, plan, request)
            borne = orjson.dumps(service)
            read[asked] = (plan, borne)
        name = (audience, borne, counts, dates, codes)
        known = newer.get(name) or older.get(name)
        if known is None:
            service = service or _bearing(rules, plan, request)
            seen = replace(
                standing,
                pending_events=0,
                service_dates=dates,
                day_codes={on: codes} if codes else {},
            )
            found, stood = determine_from_visits(rules, seen, service, hold_id, history)
            if stood is not seen:
                # What it follows from is kept, and the answer remembered by that.
                counts = counts_apart(stood, hold_id)
                name = (audience, borne, counts, dates, codes)
            known = _said(found, audience)
        newer[name] = known
        catalog_version, said = known
        return Answer(
            catalog_version=catalog_version,
            request=of_member(request["member_id"], asked),
            standing=of_member(standing.history.member_id, with_visits(counts, standing, on)),
            said=said,
            pending_events=standing.pending_events,
        )

    def _of(self, rules: Rules) -> tuple[_Remembered, _Remembered, _Read]:
        """What is remembered of these rules: newer answers, older ones, which go first, and what was read."""
        known, newer, older, read = self._memory
        if known is not rules:
            newer, older, read = {}, {}, {}
        if len(newer) >= REMEMBERED_MAX // 2:
            newer, older = {}, newer
        if len(read) >= _READ_MAX:
            read = {}
        self._memory = (rules, newer, older, read)
        return newer, older, read


def _plan_on(history: History, on: date) -> Plan | None:
    """The member's plan on the date of a check."""
    span = span_on(history.spans, on)
    return history.plans.get(span.plan_id) if span else None


def _bearing(rules: Rules, plan: Plan | None, request: Mapping[str, Any]) -> Service:
    """What bears on the answer of what a check asks of a member in a plan."""
    return rules.bearing_on(request["payer_id"], plan, service_from(request))


def _said(found: Determination, audience: Audience) -> tuple[int, bytes]:
    """The catalog that decided, and the body without its opening brace."""
    body = orjson.dumps(determination_body(found, audience), option=orjson.OPT_UTC_Z)
    return found.evaluation.catalog_version, body[1:]
