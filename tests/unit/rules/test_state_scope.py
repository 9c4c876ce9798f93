"""Who may needle where: a prohibition decides, everything else stands beside the decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from shared.domain.evaluation import Evaluation
from tests.unit.rules.builders import PT, ask, codes, line, medicare, packaged, plan, situation

CONDITIONS = "covered_with_conditions"
OT = "occupational_therapist"


def scope_of(evaluation: Evaluation) -> tuple[str, ...]:
    """The reasons that speak of the state's scope."""
    return tuple(code for code in codes(evaluation) if code.startswith("state_scope"))


@pytest.mark.parametrize("state", ["CA", "HI", "NY"])
def test_prohibition_decides_and_overrules(state: str) -> None:
    """Where the law forbids, the payer's yes is overruled, with 185 and N95."""
    evaluation = ask(situation(state=state))
    assert (evaluation.decision, evaluation.claims) == ("not_covered", ())
    reason = evaluation.reasons[0]
    assert (reason.code, reason.carc, reason.rarc) == ("state_scope_prohibited", "185", "N95")
    assert reason.source is not None
    assert reason.source.authority == "law"
    assert [item.source.document_id for item in evaluation.overruled] == ["shp-dry-needling-employer"]
    assert "law outranks payer_policy" in evaluation.overruled[0].reason


def test_others_may_in_california() -> None:
    """Physicians and acupuncturists may where physical therapists may not."""
    for provider in ("physician", "acupuncturist"):
        assert scope_of(ask(situation(state="CA", provider=provider))) == ()
    assert scope_of(ask(situation(state="CA", provider="athletic_trainer"))) == ("state_scope_unknown",)


@pytest.mark.parametrize(
    ("state", "provider", "on", "expected"),
    [
        ("WI", PT, date(2026, 1, 1), ()),
        ("DC", PT, date(2026, 1, 1), ()),
        ("MN", PT, date(2026, 1, 1), ("state_scope_unknown",)),
        ("MA", PT, date(2026, 1, 1), ("state_scope_unknown",)),
        ("OR", PT, date(2025, 8, 6), ("state_scope_unknown",)),
        ("OR", PT, date(2025, 8, 7), ("state_scope_restricted",)),
        ("WA", PT, date(2023, 5, 1), ("state_scope_prohibited",)),
        ("WA", PT, date(2024, 6, 21), ("state_scope_prohibited",)),
        ("WA", PT, date(2024, 6, 22), ("state_scope_restricted",)),
        ("WA", OT, date(2026, 1, 1), ("state_scope_unknown",)),
        ("CO", OT, date(2026, 1, 1), ("state_scope_unknown",)),
        ("UT", OT, date(2026, 1, 1), ("state_scope_unknown",)),
        ("TN", OT, date(2026, 1, 1), ("state_scope_unknown",)),
        ("TN", "athletic_trainer", date(2026, 1, 1), ("state_scope_unknown",)),
        ("AK", OT, date(2026, 1, 1), ("state_scope_prohibited",)),
        ("PR", PT, date(2026, 1, 1), ("state_scope_unknown",)),
    ],
)
def test_row_in_force_on_the_service_date(
    state: str, provider: str, on: date, expected: tuple[str, ...]
) -> None:
    """Each state and profession answers by the row of that date, or as unknown."""
    evaluation = ask(situation(state=state, provider=provider, on=on))
    assert scope_of(evaluation) == expected
    assert (evaluation.decision == CONDITIONS) == ("state_scope_prohibited" not in expected)


def test_every_state_of_the_list_has_one_status() -> None:
    """Fifty states and the capital each have a status for physical therapists on a day of 2026."""
    scope = packaged().state_scope
    rows = {state: scope.row(state, PT, date(2026, 6, 1)) for state, who in scope.rows if who == PT}
    assert len(rows) == 51
    found: dict[str, int] = {}
    for row in rows.values():
        assert row is not None
        found[row.status] = found.get(row.status, 0) + 1
    assert found == {
        "allowed": 39,
        "prohibited": 3,
        "silent": 7,
        "allowed_with_endorsement": 1,
        "pending_rules": 1,
    }


@pytest.mark.parametrize("state", ["AZ", "CO", "DE", "FL", "GA", "TN"])
def test_training_is_advice(state: str) -> None:
    """What a state asks of those who may is said and changes nothing."""
    evaluation = ask(situation(state=state))
    assert scope_of(evaluation) == ()
    assert "state_training" in {advisory.code for advisory in evaluation.advisories}
    assert evaluation.decision == CONDITIONS


def test_missing_state_or_profession_is_named_and_changes_nothing() -> None:
    """What the scope needs is listed; the payer's answer stands."""
    unsaid = ask(situation(state=None, provider=None))
    assert unsaid.missing_inputs == ("state", "provider.type")
    assert (unsaid.decision, scope_of(unsaid)) == (CONDITIONS, ("state_scope_unknown",))


def test_prohibition_speaks_of_needling_alone() -> None:
    """Another line of the same visit is not touched by it."""
    evaluation = ask(situation(plan("aetna"), line("20560"), line("97110"), state="CA"))
    assert evaluation.lines[0].decision == "not_covered"
    assert evaluation.lines[1].decision == "unknown_verify_with_plan"


def test_prohibition_beats_a_government_program() -> None:
    """The law is above the program, whose yes would otherwise bind."""
    alaska = medicare(provider="occupational_therapist", state="AK")
    assert codes(ask(alaska))[0] == "state_scope_prohibited"


def test_unknown_member_stays_unknown_and_hears_of_the_prohibition() -> None:
    """Whether a member is known comes first; the state's word is beside it."""
    asked = replace(situation(state="CA"), plan=None, enrollment="unknown_member")
    evaluation = ask(asked)
    assert (evaluation.decision, codes(evaluation)) == ("unknown_verify_with_plan", ("not_enrolled",))
    assert "state_scope_prohibited" in {advisory.code for advisory in evaluation.advisories}
