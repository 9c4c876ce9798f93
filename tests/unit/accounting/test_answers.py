"""Remembered answers are the answers that would be given, to the byte, and nobody else's."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import orjson
import pytest

from shared.accounting import answers
from shared.accounting.answers import Answer, Answers, opening_of
from shared.accounting.codec import service_from
from shared.accounting.determination_body import determination_body
from shared.accounting.rules import CatalogRules
from shared.accounting.standing_codec import of_member
from shared.domain.adjudication import adjudicate
from shared.domain.determination import MemberStanding, determine
from shared.domain.determination_record import telling_of
from shared.domain.history import History, Posting
from shared.domain.limit import BASES
from shared.domain.service import Authorization
from tests.builders import MEMBER, NOW, PAYER, history, plan, service, visit
from tests.rules import SimpleRules, limit_row, plain_rules
from tests.standings import standing_apart
from tests.unit.rules.builders import catalog_of, document, packaged
from tests.unit.rules.drawn_requests import changed, drawn_request, generator

NEEDLED = {"procedure_code": "20560", "diagnosis_codes": ["M54.50"]}
REQUEST = {
    "payer_id": PAYER,
    "member_id": MEMBER,
    "service_date": "2026-03-04",
    "lines": [NEEDLED],
}
STANDING = MemberStanding(history=history())
ON = date(2026, 3, 4)


def remembered(some: Answers) -> int:
    """How many answers are kept."""
    _, newer, older, _ = some._memory
    return len(newer.keys() | older.keys())


def no_history() -> History:
    """No answer here needs it."""
    raise AssertionError


def of(member_id: str, standing: MemberStanding = STANDING) -> MemberStanding:
    """The same standing, of another member."""
    return replace(standing, history=replace(standing.history, member_id=member_id))


def given(answer: Answer) -> bytes:
    """The body without its id and time."""
    return b"{" + telling_of(answer.pending_events, answer.said)


def test_second_member_who_stands_the_same_is_answered_the_same() -> None:
    """What is recorded of each names that member alone."""
    both = Answers()
    rules = SimpleRules()
    first = both.decide(rules, STANDING, REQUEST, "provider", no_history)
    second = both.decide(rules, of("SAMPLE-2"), {**REQUEST, "member_id": "SAMPLE-2"}, "provider", no_history)
    assert second.said == first.said
    assert MEMBER.encode() not in second.request + second.standing + second.said
    assert orjson.loads(second.request) == {**REQUEST, "member_id": "SAMPLE-2"}
    assert second.standing == of_member("SAMPLE-2", standing_apart(STANDING, ON, None))


def test_hold_that_the_member_has_not_pending_is_spoken_of() -> None:
    """Where another asked of the same counts without a hold, or with one that is there."""
    some, rules = Answers(), SimpleRules()
    naming = {**REQUEST, "hold_id": "hld_1"}
    pending = replace(STANDING, hold_postings={"hld_1": ()})
    said = [
        orjson.loads(b"{" + some.decide(rules, standing, request, "provider", no_history).said)
        for standing, request in ((STANDING, REQUEST), (STANDING, naming), (pending, naming))
    ]
    assert [[advisory["code"] for advisory in one["advisories"]] for one in said] == [
        [],
        ["hold_not_pending"],
        [],
    ]


@pytest.mark.parametrize(
    ("standing", "request_", "audience", "rules"),
    [
        (replace(STANDING, pending_events=1), REQUEST, "provider", None),
        (STANDING, {**REQUEST, "service_date": "2026-03-05"}, "provider", None),
        (STANDING, {**REQUEST, "hold_id": "hld_1"}, "provider", None),
        (STANDING, REQUEST, "member", None),
        (STANDING, REQUEST, "provider", plain_rules(limit_row(allowed=3))),
    ],
    ids=["standing", "request", "hold", "audience", "rules"],
)
def test_whatever_differs_is_decided_for_itself(
    standing: MemberStanding, request_: dict[str, Any], audience: Any, rules: dict[str, Any] | None
) -> None:
    """After another answer was remembered the same is said as with nothing remembered."""
    used = Answers()
    own = SimpleRules(rules)
    before = used.decide(own if rules is None else SimpleRules(), STANDING, REQUEST, "provider", no_history)
    assert used.decide(own, standing, request_, audience, no_history) == Answers().decide(
        own, standing, request_, audience, no_history
    )
    assert before == Answers().decide(SimpleRules(), STANDING, REQUEST, "provider", no_history)


def test_what_no_rule_reads_is_answered_from_memory() -> None:
    """Who treats and under which number is kept with each answer, and decides none."""
    some, rules = Answers(), CatalogRules(packaged())
    first = some.decide(rules, STANDING, REQUEST, "provider", no_history)
    other = {**REQUEST, "provider": {"npi": "1234567893"}, "lines": [{**NEEDLED, "diagnosis_codes": ["Z00"]}]}
    second = some.decide(rules, STANDING, other, "provider", no_history)
    assert remembered(some) == 1
    assert second.said == first.said
    assert orjson.loads(second.request) == other


#: Some of what clinics say, of which the rest of the document asks nothing.
EARLY = {"all": [{"network": "out"}, {"diagnosis": ["M54.5"]}, {"onset_days": {"at_most": 83}}]}


def under(basis: str) -> CatalogRules:
    """Rules that read most of what a request says, with a limit of such periods."""
    needling = ["service:dry_needling"]
    document_ = document(
        applies_to=[{"payers": [PAYER], "plans": ["employer"]}],
        authority="plan_document",
        rules=[
            {
                "id": "early",
                "codes": needling,
                "when": EARLY,
                "decision": "not_covered",
                "reason": "excluded",
            },
            {"id": "covered", "codes": needling, "decision": "covered"},
        ],
        limits=[{"limit_id": "own", "codes": needling, "allowed": 2, "period": {"basis": basis}}],
    )
    return CatalogRules(catalog_of(document_))


def after(rules: CatalogRules, visits: int) -> MemberStanding:
    """A member after so many visits under the first authorization and for the first injury."""
    told: dict[str, Any] = {"authorization": Authorization(number="A1"), "injury_id": "I1"}
    days = [date(2026, 2, number) for number in range(1, visits + 1)]
    seen = tuple(visit(on.day, service=service(on, network="in", **told)) for on in days)
    folded = adjudicate(history(visits=seen), rules).accumulators
    return replace(STANDING, accumulators=tuple(folded.values()))


@pytest.mark.parametrize("basis", [basis for basis in BASES if basis != "rolling_days"])
def test_remembered_answer_is_what_the_whole_request_is_answered(basis: str) -> None:
    """Whatever is asked of whoever stands however, in any order, and whatever was asked before."""
    rules, some, draw = under(basis), Answers(), generator(3)
    standings = [after(rules, visits) for visits in range(3)]
    asked = 0
    for _ in range(50):
        drawn, standing = drawn_request(draw), draw.choice(standings)
        for request in (drawn, *(changed(drawn, draw) for _ in range(3))):
            whole = {**request, "payer_id": PAYER, "member_id": MEMBER}
            answer = some.decide(rules, standing, whole, "provider", no_history)
            decided = determine(rules, standing, service_from(whole))
            assert given(answer) == orjson.dumps(determination_body(decided, "provider"))
            asked += 1
    # Some were answered from memory.
    assert remembered(some) < asked * 0.8


#: Beside a service of these codes on the same day needling is no service of its own, to these rules.
BESIDE = {"other_codes_on_day": ["97810", "97811"]}


def test_of_other_visits_only_what_bears_on_the_answer_makes_it_another() -> None:
    """That they are too many within a week, and what was done on the day; never when the others were."""
    needling = ["service:dry_needling"]
    rules_ = [
        {"id": "beside", "codes": needling, "when": BESIDE, "decision": "not_covered", "reason": "excluded"},
        {"id": "covered", "codes": needling, "decision": "covered"},
    ]
    applies = [{"payers": [PAYER], "plans": ["employer"]}]
    own = document(applies_to=applies, authority="plan_document", rules=rules_)
    some, rules, draw = Answers(), CatalogRules(catalog_of(own)), generator(5)
    said = set()
    for _ in range(60):
        dates = sorted(ON + timedelta(days=draw.randint(-9, 9)) for _ in range(draw.randint(0, 6)))
        days = {ON, *dates}
        codes = {
            day: tuple(sorted(draw.sample(["20560", "97810", "97140"], draw.randint(1, 2)))) for day in days
        }
        standing = replace(STANDING, service_dates=tuple(dates), day_codes=codes)
        answer = some.decide(rules, standing, REQUEST, "provider", no_history)
        decided = determine(rules, standing, service_from(REQUEST))
        assert given(answer) == orjson.dumps(determination_body(decided, "provider"))
        assert answer.standing == of_member(MEMBER, standing_apart(standing, ON, None))
        body = orjson.loads(b"{" + answer.said)
        said.add((body["decision"], bool(body["advisories"])))
    assert said == set(itertools.product(("covered", "not_covered"), (False, True)))
    # What was done on the day is one of seven things, and the others are too many or not.
    assert remembered(some) <= 14


def test_events_that_wait_are_told_of_and_decide_nothing() -> None:
    """However many, of whoever has holds: what is remembered of one number is said with the others."""
    some, rules = Answers(), under("plan_year")
    [counted] = after(rules, 1).accumulators
    promised = {"hld_1": (Posting(key=counted.key, on=ON, units=1, allowed=2),)}
    holding = replace(STANDING, accumulators=(replace(counted, held=1),), hold_postings=promised)
    standings = (replace(STANDING, accumulators=(counted,)), holding)
    names: tuple[str | None, ...] = (None, "hld_1", "hld_2")
    for pending, stood, hold_id in itertools.product((3, 0, 1, 12, 120), standings, names):
        standing, request = replace(stood, pending_events=pending), {**REQUEST, "hold_id": hold_id}
        answer = some.decide(rules, standing, request, "provider", no_history)
        decided = determine(rules, standing, service_from(request), hold_id)
        assert given(answer) == orjson.dumps(determination_body(decided, "provider"))
        assert answer.standing == of_member(MEMBER, standing_apart(standing, ON, hold_id))
        limits = orjson.loads(given(answer))["accumulators"]
        assert {limit["pending_events"] for limit in limits} == {pending}
    # Without the hold it makes no difference which is named that is not there.
    assert remembered(some) == 5


def test_same_request_bears_otherwise_on_another_plan() -> None:
    """What was read of a request for a plan that asks nothing is not all that it says to one that asks."""
    rules, some = under("injury"), Answers()
    other = plan("other", market="individual")
    elsewhere = MemberStanding(history=history(plans=[other]))
    for injury_id in ("I1", "I2"):
        request = {**REQUEST, "injury_id": injury_id}
        for standing in (elsewhere, STANDING):
            said = some.decide(rules, standing, request, "provider", no_history)
            assert said == Answers().decide(rules, standing, request, "provider", no_history)
        assert injury_id.encode() in said.said


def test_body_is_json_with_its_id_and_time_first() -> None:
    """As the contract shows it."""
    answer = Answers().decide(SimpleRules(), STANDING, REQUEST, "provider", no_history)
    body = orjson.loads(opening_of("chk_1", NOW) + answer.said)
    assert list(body)[:3] == ["check_id", "decided_at", "decision"]
    assert (body["check_id"], body["decided_at"]) == ("chk_1", "2026-03-04T15:04:05Z")


def test_memory_is_bounded() -> None:
    """However many different things are asked."""
    some = Answers()
    rules = SimpleRules()
    for number in range(answers.REMEMBERED_MAX + 10):
        request = {**REQUEST, "service_date": (ON + timedelta(days=number)).isoformat()}
        some.decide(rules, STANDING, request, "provider", no_history)
    assert remembered(some) <= answers.REMEMBERED_MAX
