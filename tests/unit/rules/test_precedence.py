"""Which document decides: authority, then the narrower scope, then the later; and which are overruled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.catalog import CatalogConflict
from shared.domain.evaluation import AUTHORITIES, Authority, Decision
from shared.domain.rule_document import RuleDocument
from shared.domain.service import Clinical
from tests.unit.rules.builders import (
    ask,
    catalog_of,
    claimed,
    codes,
    document,
    invented,
    line,
    plan,
)

UNKNOWN = "unknown_verify_with_plan"
MAINTENANCE = Clinical(purpose="maintenance")
ACTIVE = Clinical(purpose="active")


@dataclass(frozen=True, slots=True)
class Position:
    """What one document of an authority says: a decision where the purpose is maintenance, or always."""

    authority: Authority
    decision: Decision
    only_maintenance: bool


def document_of(position: Position, name: str) -> RuleDocument:
    """The document that takes a position."""
    rule: dict[str, object] = {
        "id": "position",
        "codes": ["service:dry_needling"],
        "decision": position.decision,
    }
    if position.decision in {"not_covered", UNKNOWN}:
        rule["reason"] = "excluded"
    if position.only_maintenance:
        rule["when"] = {"purpose": "maintenance"}
    scope = {"payers": ["invented-payer"]}
    if position.authority == "plan_document":
        scope["plans"] = ["plan-1"]
    return document(document_id=name, authority=position.authority, applies_to=[scope], rules=[rule])


positions = st.lists(
    st.builds(
        Position,
        authority=st.sampled_from(AUTHORITIES[:4]),
        decision=st.sampled_from(("covered", "not_covered", UNKNOWN)),
        only_maintenance=st.booleans(),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda position: position.authority,
)


@given(positions)
def test_highest_authority_that_speaks_decides(taken: list[Position]) -> None:
    """Of the documents whose rule holds, the highest decides, and every other is named as overruled."""
    catalog = catalog_of(*(document_of(position, f"d{n}") for n, position in enumerate(taken)))
    for clinical in (MAINTENANCE, ACTIVE):
        speaking = [p for p in taken if clinical is MAINTENANCE or not p.only_maintenance]
        speaking.sort(key=lambda p: AUTHORITIES.index(p.authority))
        evaluation = ask(invented(clinical=clinical), catalog)
        if not speaking:
            assert (evaluation.decision, evaluation.overruled) == (UNKNOWN, ())
            continue
        assert evaluation.decision == speaking[0].decision
        assert evaluation.source is not None
        assert evaluation.source.authority == speaking[0].authority
        lost = [(item.source.authority, item.decision) for item in evaluation.overruled]
        assert lost == [(p.authority, p.decision) for p in speaking[1:]]


@given(positions)
def test_missing_input_matters_only_if_it_could_change_the_answer(taken: list[Position]) -> None:
    """With the purpose not said the answer is that of both purposes if they agree, else unknown."""
    catalog = catalog_of(*(document_of(position, f"d{n}") for n, position in enumerate(taken)))
    either = {ask(invented(clinical=c), catalog).decision for c in (MAINTENANCE, ACTIVE)}
    unsaid = ask(invented(), catalog)
    if len(either) == 1:
        assert {unsaid.decision} == either
        assert unsaid.missing_inputs == ()
    else:
        assert (unsaid.decision, unsaid.missing_inputs) == (UNKNOWN, ("clinical.purpose",))


@given(st.permutations(range(4)), positions)
def test_order_of_loading_changes_nothing(order: list[int], taken: list[Position]) -> None:
    """The catalog is a set of documents: the order they are given in is not part of it."""
    documents = [document_of(position, f"d{n}") for n, position in enumerate(taken)]
    shuffled = [documents[n] for n in order if n < len(documents)]
    assert ask(invented(), catalog_of(*documents)) == ask(invented(), catalog_of(*shuffled))


def test_general_article_never_decides() -> None:
    """An article that says yes, alone, leaves the answer unknown and is shown as a hint."""
    article = document(
        document_id="an-article",
        authority="general_article",
        rules=[
            {
                "id": "yes",
                "codes": ["service:dry_needling"],
                "decision": "covered",
                "reason": {"code": "general_information_only", "text": "an article says so"},
            }
        ],
    )
    evaluation = ask(invented(), catalog_of(article))
    assert evaluation.decision == UNKNOWN
    assert codes(evaluation) == ("rule_not_loaded", "general_information_only")
    refused = document(
        rules=[
            {"id": "no", "codes": ["service:dry_needling"], "decision": "not_covered", "reason": "excluded"}
        ]
    )
    beaten = ask(invented(), catalog_of(article, refused))
    assert (beaten.decision, codes(beaten)) == ("not_covered", ("excluded",))
    assert [item.source.document_id for item in beaten.overruled] == ["an-article"]


def test_narrower_scope_of_the_same_authority_decides() -> None:
    """A policy for one region goes before the payer's general one, and the general one is named."""
    general = document(document_id="general")
    regional = document(
        """
        document_id: regional
        applies_to: [{payers: [invented-payer], region: [north]}]
        rules: [{id: refused, codes: ["service:dry_needling"], decision: not_covered, reason: excluded}]
        """
    )
    catalog = catalog_of(general, regional)
    north = ask(invented(of=plan("invented-payer", region="north")), catalog)
    assert north.decision == "not_covered"
    assert "same authority" in north.overruled[0].reason
    assert ask(invented(of=plan("invented-payer", region="south")), catalog).decision == "covered"


def test_later_document_of_the_same_scope_decides() -> None:
    """Of two policies as wide as each other the one in force later decides."""
    early = document(document_id="early", effective={"from": date(2020, 1, 1)})
    late = document(
        document_id="late",
        effective={"from": date(2025, 1, 1)},
        rules=[
            {"id": "no", "codes": ["service:dry_needling"], "decision": "not_covered", "reason": "excluded"}
        ],
    )
    catalog = catalog_of(early, late)
    assert ask(invented(), catalog).decision == "not_covered"
    assert ask(invented(on=date(2024, 12, 31)), catalog).decision == "covered"


def test_version_in_force_on_the_service_date_decides() -> None:
    """A later version takes over on its date; an earlier service keeps the earlier version."""
    first = document(limits=[{"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": 20}])
    second = document(
        version=2,
        effective={"from": date(2026, 7, 1)},
        limits=[{"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": 12}],
    )
    catalog = catalog_of(first, second)
    for on, version, allowed in ((date(2026, 6, 30), 1, 20), (date(2026, 7, 1), 2, 12)):
        claim = ask(invented(on=on), catalog).claims[0]
        assert (claim.source.version, claim.limit.allowed) == (version, allowed)


def test_later_version_of_the_same_date_replaces_the_earlier() -> None:
    """A version loaded for a time already past speaks of it instead of the one before."""
    again = document(
        version=2,
        rules=[
            {"id": "no", "codes": ["service:dry_needling"], "decision": "not_covered", "reason": "excluded"}
        ],
    )
    assert ask(invented(), catalog_of(document(), again)).decision == "not_covered"


def test_withdrawn_document_is_not_in_force() -> None:
    """A version that withdraws ends the document from its date on."""
    gone = document(version=2, effective={"from": date(2026, 1, 1)}, withdrawn=True, rules=None)
    catalog = catalog_of(document(), gone)
    assert codes(ask(invented(), catalog)) == ("rule_not_in_force",)
    assert ask(invented(on=date(2025, 12, 31)), catalog).decision == "covered"


def test_payers_never_share_rules() -> None:
    """A document of one payer says nothing of another's members."""
    asked = invented(of=plan("another-payer"))
    assert codes(ask(asked, catalog_of(document()))) == ("rule_not_loaded",)


def test_law_of_a_state_waits_for_the_state() -> None:
    """A mandate of one state may or may not hold where the state is not said, so the answer is unknown."""
    mandate = document(
        document_id="mandate",
        authority="law",
        applies_to=[{"any_payer": True, "state": ["WI"]}],
    )
    refusing = document(
        rules=[
            {"id": "no", "codes": ["service:dry_needling"], "decision": "not_covered", "reason": "excluded"}
        ]
    )
    catalog = catalog_of(mandate, refusing)
    assert ask(invented(state="WI"), catalog).decision == "covered"
    assert ask(invented(state="IA"), catalog).decision == "not_covered"
    unsaid = ask(invented(state=None), catalog)
    assert (unsaid.decision, unsaid.missing_inputs) == (UNKNOWN, ("state",))


def test_silent_higher_document_adds_its_terms() -> None:
    """A plan's booklet that sets a pool without deciding adds its limit to the policy that covers."""
    policy = document(limits=[{"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": 20}])
    booklet = document(
        """
        document_id: booklet
        authority: plan_document
        applies_to: [{payers: [invented-payer], plans: [plan-1]}]
        rules:
        limits: [{limit_id: rehab, codes: ["service:dry_needling", "97010-97799"], allowed: 60}]
        prior_authorization: {status: not_required}
        """
    )
    evaluation = ask(invented(), catalog_of(policy, booklet))
    assert claimed(evaluation) == {"rehab": 1, "dn": 1}
    assert evaluation.prior_authorization == "not_required"


def test_overruled_document_states_no_terms() -> None:
    """The limit of a policy that lost is not counted."""
    policy = document(limits=[{"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": 20}])
    booklet = document(
        document_id="booklet",
        authority="plan_document",
        applies_to=[{"payers": ["invented-payer"], "plans": ["plan-1"]}],
    )
    assert ask(invented(), catalog_of(policy, booklet)).claims == ()


def test_higher_document_redefines_or_replaces_a_limit() -> None:
    """The same limit id above counts instead; `replaces_limits` takes one away."""
    policy = document(
        rules=None, limits=[{"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": 20}]
    )
    booklet: dict[str, Any] = {
        "document_id": "booklet",
        "authority": "plan_document",
        "applies_to": [{"payers": ["invented-payer"], "plans": ["plan-1"]}],
    }
    more = document(**booklet, limits=[{"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": 30}])
    assert ask(invented(), catalog_of(policy, more)).claims[0].limit.allowed == 30
    none = document(**booklet, replaces_limits=["dn"])
    assert ask(invented(), catalog_of(policy, none)).claims == ()
    assert claimed(ask(invented(), catalog_of(policy, document(**booklet)))) == {"dn": 1}


def test_limits_of_a_plan_on_a_date() -> None:
    """All limits that may apply are listed, each id once, the higher document's."""
    policy = document(
        limits=[
            {"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": 20},
            {"limit_id": "rehab", "codes": ["97010-97799"], "allowed": 60},
        ]
    )
    booklet = document(
        document_id="booklet",
        authority="plan_document",
        applies_to=[{"payers": ["invented-payer"], "plans": ["plan-1"]}],
        limits=[{"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": 30}],
    )
    listed = catalog_of(policy, booklet).limits_on("invented-payer", plan("invented-payer"), date(2026, 1, 1))
    assert [(limit.limit_id, limit.allowed, source.document_id) for limit, source in listed] == [
        ("dn", 30, "booklet"),
        ("rehab", 60, "invented"),
    ]


def test_limits_of_one_visit_share_their_ordering() -> None:
    """Two documents whose limits one visit can feed may not order its visits differently."""
    received = document(limits=[{"limit_id": "dn", "codes": ["service:dry_needling"], "allowed": 20}])
    by_date = document(
        document_id="other",
        limits=[
            {"limit_id": "dn-2", "codes": ["20560"], "allowed": 20, "ordering": "service_date"},
        ],
    )
    with pytest.raises(CatalogConflict, match="ordering"):
        catalog_of(received, by_date)
    apart = document(
        document_id="other",
        limits=[{"limit_id": "pt", "codes": ["97110"], "allowed": 20, "ordering": "service_date"}],
    )
    assert catalog_of(received, apart).version == 2


def test_lines_without_a_rule_are_unknown_beside_covered_ones() -> None:
    """A code no rule lists is unknown for its line and leaves the needling line as it is."""
    evaluation = ask(invented(line("20560"), line("99213")), catalog_of(document()))
    assert [(one.decision, one.reason_codes) for one in evaluation.lines] == [
        ("covered", ("covered_by_rule",)),
        (UNKNOWN, ("code_not_listed",)),
    ]
    assert evaluation.decision == "covered"
