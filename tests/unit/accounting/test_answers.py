"""Remembered answers are the answers that would be given, to the byte, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from shared.accounting import answers
from shared.accounting.answers import Answers
from shared.accounting.standing_codec import of_member, standing_apart
from shared.domain.determination import MemberStanding
from shared.domain.history import History
from tests.builders import MEMBER, NOW, PAYER, history
from tests.rules import SimpleRules, limit_row, plain_rules

REQUEST = {
    "payer_id": PAYER,
    "member_id": MEMBER,
    "service_date": "2026-03-04",
    "lines": [{"procedure_code": "20560"}],
}
STANDING = MemberStanding(history=history())


def no_history() -> History:
    """No answer here needs it."""
    raise AssertionError


def of(member_id: str, standing: MemberStanding = STANDING) -> MemberStanding:
    """The same standing, of another member."""
    return replace(standing, history=replace(standing.history, member_id=member_id))


def test_second_member_who_stands_the_same_is_answered_the_same() -> None:
    """What is recorded of each names that member alone."""
    both = Answers()
    rules = SimpleRules()
    first = both.decide(rules, STANDING, REQUEST, "provider", no_history)
    second = both.decide(rules, of("SAMPLE-2"), {**REQUEST, "member_id": "SAMPLE-2"}, "provider", no_history)
    assert second.said == first.said
    assert MEMBER.encode() not in second.request + second.standing + second.said
    assert orjson.loads(second.request) == {**REQUEST, "member_id": "SAMPLE-2"}
    assert second.standing == of_member("SAMPLE-2", standing_apart(STANDING, None))


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


def test_body_is_json_with_its_id_and_time_first() -> None:
    """As the contract shows it."""
    answer = Answers().decide(SimpleRules(), STANDING, REQUEST, "provider", no_history)
    body = orjson.loads(answer.body("chk_1", NOW))
    assert list(body)[:3] == ["check_id", "decided_at", "decision"]
    assert (body["check_id"], body["decided_at"]) == ("chk_1", "2026-03-04T15:04:05Z")


def test_memory_is_bounded() -> None:
    """However many different things are asked."""
    some = Answers()
    rules = SimpleRules()
    for number in range(answers.REMEMBERED_MAX + 10):
        some.decide(rules, replace(STANDING, pending_events=number), REQUEST, "provider", no_history)
    assert some.remembered <= answers.REMEMBERED_MAX
