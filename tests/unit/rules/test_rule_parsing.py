"""Reading rule documents: what is wrong is refused with the key and what was expected there."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pytest

from shared.adapters.catalog_files import packaged_catalog
from shared.domain.document_reader import Fault, RuleDocumentInvalid
from shared.domain.predicate_parsing import _LEAVES
from shared.domain.rule_parsing import canonical_json, parse_rule_document
from tests.unit.rules.builders import body, document, packaged
from tests.unit.rules.schema import schema_errors

DN = ["service:dry_needling"]
COVERED = {"id": "covered", "codes": DN, "decision": "covered"}
LIMIT = {"limit_id": "dn", "codes": DN, "allowed": 20}


def faults_of(data: object, **given: Any) -> dict[str, str]:
    """What is refused, by key path."""
    with pytest.raises(RuleDocumentInvalid) as refused:
        parse_rule_document(data, packaged().vocabulary, **given)
    return {fault.key_path: fault.expected for fault in refused.value.faults}


def rule(**changes: Any) -> list[dict[str, Any]]:
    """One rule, changed."""
    return [{**COVERED, **changes}]


def when(condition: object) -> dict[str, Any]:
    """A document whose rule has a condition."""
    return body(rules=rule(when=condition))


def criterion(**changes: Any) -> dict[str, Any]:
    """A document whose rule has one criterion, changed; None leaves out."""
    merged = {"id": "x", "test": {"state": "WI"}, "reason": "excluded", **changes}
    return body(rules=rule(criteria=[{k: v for k, v in merged.items() if v is not None}]))


def limit(**changes: Any) -> dict[str, Any]:
    """A document with one limit, changed."""
    return body(limits=[{**LIMIT, **changes}])


def test_base_document_parses() -> None:
    """The document that the cases below break is whole."""
    parsed = document()
    assert (parsed.document_id, parsed.version, parsed.authority) == ("invented", 1, "payer_policy")
    assert parsed.codes.codes == {"20560", "20561"}
    assert schema_errors(body()) == []


#: (what is wrong, key path, part of what was expected). The schema refuses these too.
BY_SCHEMA: list[tuple[dict[str, Any], str, str]] = [
    (body(document_id=None), "document_id", "is required"),
    (body(document_id="Not an id"), "document_id", "lower-case"),
    (body(version=0), "version", "at least 1"),
    (body(version=True), "version", "whole number"),
    (body(version="1"), "version", "whole number"),
    (body(title=" "), "title", "text"),
    (body(authority="boss"), "authority", "law, government_program"),
    (body(source=None), "source", "citation"),
    (body(source={"url": "x"}), "source.citation", "is required"),
    (body(effective=None), "effective", "from"),
    (body(effective={}), "effective.from", "calendar date"),
    (body(effective={"from": "2021-1-1"}), "effective.from", "2021-01-01"),
    (body(applies_to=[]), "applies_to", "is required"),
    (body(applies_to=[{}]), "applies_to[0].payers", "any_payer"),
    (body(applies_to=[{"payers": ["a"], "market": ["gruop"]}]), "applies_to[0].market[0]", "group"),
    (body(applies_to=[{"payers": ["a"], "state": ["Wisconsin"]}]), "applies_to[0].state[0]", "WI"),
    (body(nonsense=1), "nonsense", "unknown key"),
    (body(rules=[{**COVERED, "codes": [20560]}]), "rules[0].codes[0]", "text in quotes"),
    (body(rules=rule(codes=["2056"])), "rules[0].codes[0]", "20560"),
    (body(rules=rule(codes=[])), "rules[0].codes", "at least one"),
    (body(rules=rule(codes=["20560", "20560"])), "rules[0].codes[1]", "twice"),
    (body(rules=rule(decision="maybe")), "rules[0].decision", "covered_with_conditions"),
    (body(rules=rule(decision="not_covered")), "rules[0].reason", "is required"),
    (
        body(rules=rule(criteria=[{"id": "x", "reason": "excluded"}])),
        "rules[0].criteria[0].test",
        "condition",
    ),
    (
        body(rules=rule(criteria=[{"id": "x", "test": {"state": "WI"}}])),
        "rules[0].criteria[0].reason",
        "reason",
    ),
    (when({}), "rules[0].when", "condition"),
    (when({"provider": "physician"}), "rules[0].when.provider", "unknown condition"),
    (when({"provider_type": "doctor"}), "rules[0].when.provider_type[0]", "physician"),
    (when({"all": []}), "rules[0].when.all", "at least one"),
    (when({"not": {"any": [{"network": "inside"}]}}), "rules[0].when.not.any[0].network[0]", "in, out"),
    (when({"diagnosis": {"some": ["M54"]}}), "rules[0].when.diagnosis", "primary"),
    (when({"modifiers": "KX"}), "rules[0].when.modifiers", "a list"),
    (when({"improving": "yes"}), "rules[0].when.improving", "true or false"),
    (when({"onset_weeks": {}}), "rules[0].when.onset_weeks", "at_least"),
    (when({"onset_weeks": {"at_least": -1}}), "rules[0].when.onset_weeks.at_least", "at least 0"),
    (when({"service_date": {}}), "rules[0].when.service_date", "from"),
    (when({"authorization": "maybe"}), "rules[0].when.authorization", "valid"),
    (when({"visit_number": {"at_least": 2}}), "rules[0].when.visit_number.limit", "is required"),
    (limit(allowed=-1), "limits[0].allowed", "at least 0"),
    (limit(allowed=2.5), "limits[0].allowed", "whole number"),
    (limit(allowed=None), "limits[0].allowed", "is required"),
    (limit(measure="session"), "limits[0].measure", "service_day"),
    (limit(period={"basis": "month"}), "limits[0].period.basis", "plan_year"),
    (limit(ordering="newest"), "limits[0].ordering", "received"),
    (limit(extensions=[{"beyond": 12, "criteria": []}]), "limits[0].extensions[0].criteria", "at least one"),
    (body(prior_authorization={"status": "sometimes"}), "prior_authorization.status", "not_applicable"),
    (
        body(cost_sharing={"status": "stated", "coinsurance_percent": 120}),
        "cost_sharing.coinsurance_percent",
        "100",
    ),
    (body(documentation=[{"code": "Plan of care", "text": "x"}]), "documentation[0].code", "plan_of_care"),
    (body(timely_filing={"days": 1, "months": 1}), "timely_filing", "exactly one"),
    (body(contacts=[{"audience": "patient", "name": "x", "note": "y"}]), "contacts[0].audience", "member"),
    (body(floor_for=["medicare_part_c"]), "floor_for[0]", "medicare_advantage"),
]
#: The same for what only the parser sees: names that are not defined, parts that contradict each other.
BY_PARSER: list[tuple[dict[str, Any], str, str]] = [
    (body(effective={"from": date(2021, 1, 1), "until": date(2021, 1, 1)}), "effective.until", "after"),
    (body(effective={"from": datetime(2021, 1, 1)}), "effective.from", "calendar date"),  # noqa: DTZ001
    (body(effective={"from": "2021-02-30"}), "effective.from", "calendar date"),
    (body(rules=rule(codes=["service:reiki"])), "rules[0].codes[0]", "service:acupuncture"),
    (body(rules=rule(codes=["pool:all"])), "rules[0].codes[0]", "expected a code"),
    (body(rules=rule(codes=["97799-97010"])), "rules[0].codes[0]", "range"),
    (body(rules=[COVERED, COVERED]), "rules[1]", "used twice"),
    (body(rules=rule(reason="made_up")), "rules[0].reason", "reason code"),
    (body(rules=rule(reason={"code": "excluded", "carc": "15"})), "rules[0].reason", "stopped"),
    (body(rules=rule(reason={"code": "excluded", "carc": "28"})), "rules[0].reason", "stopped"),
    (body(rules=rule(reason={"code": "excluded", "carc": "999"})), "rules[0].reason", "CARC"),
    (body(rules=rule(reason={"code": "excluded", "carc": "96"})), "rules[0].reason", "RARC"),
    (body(rules=rule(conditions=["made_up"])), "rules[0].conditions[0]", "condition"),
    (body(rules=rule(limits=["nowhere"])), "rules[0].limits", "nowhere"),
    (
        body(rules=rule(decision="not_covered", reason="excluded", conditions=["cost_sharing_applies"])),
        "rules[0].criteria",
        "only with a decision that covers",
    ),
    (
        body(
            rules=rule(
                criteria=[
                    {"id": "x", "test": {"state": "WI"}, "otherwise": "condition", "reason": "excluded"}
                ]
            )
        ),
        "rules[0].criteria[0].condition",
        "is required",
    ),
    (when({"diagnosis": ["group:backs"]}), "rules[0].when.diagnosis[0]", "diagnosis_groups"),
    (when({"diagnosis": ["lumbago"]}), "rules[0].when.diagnosis", "ICD-10-CM"),
    (when({"onset_weeks": {"at_least": 5, "at_most": 4}}), "rules[0].when.onset_weeks.at_most", "at least 5"),
    (
        when({"visit_number": {"limit": "nowhere", "at_least": 2}}),
        "rules[0].when.visit_number.limit",
        "uses_limits",
    ),
    (when({"documented_service": "reiki"}), "rules[0].when.documented_service", "dry_needling"),
    (body(limits=[LIMIT, LIMIT]), "limits[1]", "used twice"),
    (limit(period={"basis": "rolling_days"}), "limits[0].period.rolling_days", "rolling_days"),
    (
        limit(period={"basis": "plan_year", "rolling_days": 90}),
        "limits[0].period.rolling_days",
        "only with it",
    ),
    (
        limit(
            extensions=[
                {"beyond": 20, "criteria": [{"id": "x", "test": {"state": "WI"}, "reason": "excluded"}]}
            ]
        ),
        "limits[0].extensions[0].beyond",
        "less than the 20",
    ),
    (
        body(limits=[LIMIT, {**LIMIT, "limit_id": "dn-2", "ordering": "service_date"}]),
        "limits[1].ordering",
        "expected received",
    ),
    (body(text_held=False), "text_held", "no rules"),
    (body(rules=None), "rules", "is required"),
    (body(applies_to=[{"any_payer": True}]), "applies_to", "name its payers"),
    (body(authority="plan_document"), "applies_to", "name its plans"),
    (body(authority="general_article", limits=[LIMIT]), "limits", "never decides"),
    (body(authority="general_article"), "rules[0].reason", "general_information_only"),
    (body(diagnosis_groups={"backs": {"except": ["M54"]}}), "diagnosis_groups.backs.include", "is required"),
    (body(pools={"all": ["x"]}), "pools.all[0]", "expected a code"),
]


@pytest.mark.parametrize(("data", "path", "expected"), BY_SCHEMA)
def test_fault_is_refused_by_parser_and_schema(data: dict[str, Any], path: str, expected: str) -> None:
    """A fault of form names its key and what was expected, and the schema refuses it too."""
    found = faults_of(data)
    assert expected in found[path]
    assert schema_errors(data) != []


@pytest.mark.parametrize(("data", "path", "expected"), BY_PARSER)
def test_fault_of_meaning_is_refused(data: dict[str, Any], path: str, expected: str) -> None:
    """A name that is not defined, or parts that contradict each other, are refused at their key."""
    found = faults_of(data)
    assert path in found
    assert expected in found[path]


def test_decision_that_is_none_is_one_fault() -> None:
    """What a no would need besides is not asked of a word that means nothing."""
    with pytest.raises(RuleDocumentInvalid) as refused:
        document(rules=rule(decision="maybe", conditions=["cost_sharing_applies"]))
    assert [fault.key_path for fault in refused.value.faults] == ["rules[0].decision"]


def test_every_fault_is_reported_at_once() -> None:
    """One look shows all that is wrong."""
    found = faults_of(body(title=" ", authority="boss", rules=rule(codes=["x"])))
    assert set(found) == {"title", "authority", "rules[0].codes[0]"}


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_anything_but_a_mapping_is_refused(data: object) -> None:
    """A document is a mapping."""
    assert "expected a mapping" in faults_of(data)["(document)"]


def test_deeply_nested_condition_is_refused() -> None:
    """A condition nested beyond use is a fault, not a crash."""
    nested: dict[str, Any] = {"state": "WI"}
    for _ in range(2_000):
        nested = {"not": nested}
    assert any("less deeply" in expected for expected in faults_of(when(nested)).values())


def test_address_fills_in_and_must_agree() -> None:
    """Id and version of an address stand in for absent ones and refuse others."""
    bare = {k: v for k, v in body().items() if k not in {"document_id", "version"}}
    parsed = parse_rule_document(bare, packaged().vocabulary, document_id="from-address", version=7)
    assert (parsed.document_id, parsed.version) == ("from-address", 7)
    found = faults_of(body(), document_id="another", version=2)
    assert found == {"document_id": "expected another", "version": "expected 2"}


def test_fault_as_pointer() -> None:
    """A fault of a request is named by a JSON pointer, escaped as RFC 6901 says."""
    fault = Fault(("rules", 0, "a/b~c"), "x")
    assert fault.pointer == "/rules/0/a~1b~0c"
    with pytest.raises(RuleDocumentInvalid) as refused:
        document(title=None)
    assert refused.value.errors[0][0] == "/title"


def test_json_and_yaml_of_one_document_are_the_same() -> None:
    """Dates as dates or as text make the same document, and its kept body reads back to it."""
    from_yaml = document()
    from_json = parse_rule_document(json.loads(canonical_json(body())), packaged().vocabulary)
    assert from_yaml == from_json
    assert parse_rule_document(json.loads(from_yaml.body), packaged().vocabulary) == from_yaml


def test_schema_knows_every_key_of_the_packaged_documents() -> None:
    """The schema file is a valid schema and lies beside the catalog it describes."""
    schema = json.loads((packaged_catalog() / "rule-document.schema.json").read_text(encoding="utf-8"))
    assert schema["title"] == "Needlecap rule document"


def test_own_reason_code_needs_a_text() -> None:
    """A reason the vocabulary lacks may be brought, marked as its own and said in words."""
    own = {"code": "x_no_needles", "text": "the plan pays for no needles"}
    assert document(rules=rule(decision="not_covered", reason=own)).rules[0].reason is not None
    assert "rules[0].reason" in faults_of(
        body(rules=rule(decision="not_covered", reason={"code": "x_no_needles"}))
    )


def test_schema_and_parser_know_the_same_keys() -> None:
    """Each mapping of the format has the same keys in the schema as in the parser, which lists them."""
    schema = json.loads((packaged_catalog() / "rule-document.schema.json").read_text(encoding="utf-8"))
    parts = schema["$defs"]
    strange: dict[str, Any] = {"?": 1}
    needs = {"id": "x", "test": {"state": "WI"}, "reason": "excluded", **strange}
    broken = body(
        **strange,
        rules=rule(**strange, criteria=[needs]),
        limits=[{**LIMIT, **strange}],
        applies_to=[{"payers": ["invented-payer"], **strange}],
        source={"citation": "x", **strange},
        effective={"from": "2020-01-01", **strange},
        prior_authorization={"status": "required", **strange},
        cost_sharing={"status": "none", **strange},
        documentation=[{"code": "x", "text": "x", **strange}],
        timely_filing={"days": 1, **strange},
        contacts=[{"audience": "any", "name": "x", "note": "x", **strange}],
        assumptions=[{"about": "x", "text": "x", **strange}],
    )
    expected = {
        "?": schema,
        "rules[0].?": parts["rule"],
        "rules[0].criteria[0].?": parts["criterion"],
        "limits[0].?": parts["limit"],
        "applies_to[0].?": parts["scope"],
        "source.?": schema["properties"]["source"],
        "effective.?": schema["properties"]["effective"],
        "prior_authorization.?": parts["access"],
        "cost_sharing.?": parts["costSharing"],
        "documentation[0].?": parts["documentation"],
        "timely_filing.?": parts["timelyFiling"],
        "contacts[0].?": parts["contact"],
        "assumptions[0].?": parts["assumption"],
    }
    found = faults_of(broken)
    assert set(found) == set(expected)
    for path, part in expected.items():
        known = found[path].removeprefix("unknown key; expected one of: ").split(", ")
        assert set(known) == set(part["properties"]), path
    conditions = parts["condition"]["oneOf"][0]["properties"]
    assert set(conditions) == {"all", "any", "not", "stated", *_LEAVES}
