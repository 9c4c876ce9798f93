"""Possible duplicates: the same visit told twice under two names (contract section 4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from shared.domain.service import Provider, ServiceLine
from shared.domain.visit import DuplicateDecision, Visit, VisitKey
from tests.builders import service, visit
from tests.folding import DAY, counted, dispositions, fold, reasons, used
from tests.rules import limit_row, plain_rules

NPI = "1234567893"


def told(number: int, on: date = DAY, npi: str | None = NPI, codes: tuple[str, ...] = ("20560",)) -> Visit:
    """A visit with a stated provider."""
    return visit(number, service=service(on, codes, provider=Provider(npi=npi)))


def test_the_same_visit_under_another_name_waits_for_an_operator() -> None:
    """E03: same member, date, code and NPI: the second is flagged (18) and not counted."""
    state = fold(told(1), told(2))
    assert dispositions(state) == {"v1": "counted", "v2": "possible_duplicate"}
    assert used(state) == {"dry-needling": 1}
    (reason,) = next(o.reasons for k, o in state.visits.items() if k.visit_id == "v2")
    assert reason.carc == "18"
    assert "visit v1," in reason.text


def test_another_clients_report_of_the_same_visit_is_flagged_too() -> None:
    """Two clients may even use the same visit id: it is still another visit."""
    other = replace(told(2), key=VisitKey(client_id="d", visit_id="v1"))
    state = fold(told(1), other)
    assert [outcome.disposition for _, outcome in sorted(state.visits.items())] == [
        "counted",
        "possible_duplicate",
    ]
    (reason,) = state.visits[other.key].reasons
    assert "v1" not in reason.text, "another client's id is not theirs to see"


@pytest.mark.parametrize(
    "second",
    [
        told(2, date(2026, 3, 5)),
        told(2, npi="1999999992"),
        told(2, npi=None),
        told(2, codes=("20561",)),
    ],
)
def test_a_difference_makes_two_visits(second: Visit) -> None:
    """Another date, provider or code, or no provider stated, is no duplicate."""
    assert counted(fold(told(1), second)) == ["v1", "v2"]


@pytest.mark.parametrize(
    ("decision", "disposition"), [("accepted", "counted"), ("rejected", "not_countable")]
)
def test_an_operator_decides(decision: DuplicateDecision, disposition: str) -> None:
    """Accepted it counts, rejected it never does while the other stands."""
    state = fold(told(1), replace(told(2), duplicate_decision=decision))
    assert dispositions(state)["v2"] == disposition
    assert (reasons(state, "v2") == ["duplicate_rejected"]) == (decision == "rejected")


@pytest.mark.parametrize("decision", [None, "rejected"])
def test_the_second_counts_once_the_first_is_voided(decision: DuplicateDecision | None) -> None:
    """What repeats nothing any more is a visit like any other."""
    gone = replace(told(1), voided_by=9)
    state = fold(gone, replace(told(2), duplicate_decision=decision))
    assert dispositions(state) == {"v1": "voided", "v2": "counted"}


def test_a_visit_over_the_limit_is_repeated_too() -> None:
    """The earlier visit need not have found room: it is countable."""
    state = fold(visit(1), told(2), told(3), rules=plain_rules(limit_row(allowed=1)))
    assert dispositions(state) == {"v1": "counted", "v2": "over_limit", "v3": "possible_duplicate"}


def test_a_visit_that_was_not_countable_is_not_repeated() -> None:
    """A cash visit, and one that was refused for want of a modifier, may be told again rightly."""
    cash = visit(1, service=service(DAY, ("20560",), provider=Provider(npi=NPI)), self_pay=True)
    assert counted(fold(cash, told(2))) == ["v2"]
    with_kx = ServiceLine(procedure_code="20560", modifiers=("KX",))
    again = visit(3, service=service(DAY, lines=(with_kx,), provider=Provider(npi=NPI)))
    state = fold(visit(1), told(2), again, rules=plain_rules(limit_row(kx_from=2)))
    assert dispositions(state) == {"v1": "counted", "v2": "not_covered", "v3": "counted"}


def test_the_earlier_arrival_is_the_original_in_either_order() -> None:
    """By service date too, of two of one date the one that arrived first counts."""
    rules = plain_rules(ordering="service_date")
    assert dispositions(fold(told(2), told(1), rules=rules)) == {"v1": "counted", "v2": "possible_duplicate"}
