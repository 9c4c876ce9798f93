"""What the packaged rules answer, asked over HTTP as a client asks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_service import Api, Json, serving
from tests.servers import Postgres, Server

MEMBER = "SAMPLE-RULES-1"

CHRONIC_LOW_BACK_PAIN: Json = {
    "lines": [{"procedure_code": "20560", "diagnosis_codes": ["M54.50"]}],
    "provider": {"type": "physician"},
    "clinical": {"onset_on": "2025-10-01"},
}


@pytest.fixture(scope="module")
def rules_api(postgres: Postgres, valkey: Server) -> Iterator[Api]:
    """One service for all tests that only ask: each puts the plan it asks about."""
    with postgres.database("rules_over_http") as url, serving(url, valkey.url) as api:
        yield api


def ask(api: Api, payer_id: str, on: str, *, plan: Json | None = None, **changes: Any) -> Json:
    """The answer for a member of this payer who has been in one plan since 2019."""
    settings = {"name": "Plan", "funding": "fully_insured", "market": "group", **(plan or {})}
    assert api.put(f"/v1/payers/{payer_id}/plans/plan", settings).status_code in {200, 201}
    spans: list[Json] = [{"plan_id": "plan", "start": "2019-01-01", "end": None, "attributes": []}]
    enrolled = {"payer_id": payer_id, "member_id": MEMBER, "spans": spans}
    assert api.put("/v1/enrollments", enrolled).status_code == 200
    body = {
        "payer_id": payer_id,
        "member_id": MEMBER,
        "service_date": on,
        "lines": [{"procedure_code": "20560"}],
        "provider": {"type": "physical_therapist"},
        "state": "WI",
        **changes,
    }
    answer = api.post("/v1/eligibility-checks", body)
    assert answer.status_code == 201, answer.get_json()
    return dict(answer.get_json())


def codes(answer: Json) -> list[str]:
    """The codes of an answer's reasons."""
    return [reason["code"] for reason in answer["reasons"]]


def test_security_health_plan_covers_twenty_services_of_a_plan_year(rules_api: Api) -> None:
    """From 2021 on, with conditions, no authorization, cited."""
    answer = ask(rules_api, "security-health-plan", "2021-01-01")
    assert (answer["decision"], answer["prior_authorization"]) == ("covered_with_conditions", "not_required")
    (accumulator,) = answer["accumulators"]
    assert (accumulator["limit_id"], accumulator["allowed"]) == ("dry-needling", 20)
    assert answer["decided_by"]["document_id"] == "shp-dry-needling-employer"


def test_security_health_plan_rule_is_not_in_force_before_2021(rules_api: Api) -> None:
    """On the last day of 2020 the benefit does not exist yet, so it decides nothing."""
    answer = ask(rules_api, "security-health-plan", "2020-12-31")
    assert answer["decision"] == "unknown_verify_with_plan"
    assert codes(answer) == ["rule_not_in_force"]
    assert answer["decided_by"] is None
    assert answer["accumulators"] == []


def test_security_health_plan_rule_does_not_speak_of_self_funded_plans(rules_api: Api) -> None:
    """The page is about fully insured plans: another plan has to be asked."""
    answer = ask(rules_api, "security-health-plan", "2026-03-04", plan={"funding": "self_funded"})
    assert answer["decision"] == "unknown_verify_with_plan"
    assert "plan_not_matched" in codes(answer)


def test_medica_central_holds_needling_to_be_investigational(rules_api: Api) -> None:
    """MP9672 denies, so that there is no authorization to ask for."""
    answer = ask(rules_api, "medica-central", "2025-10-01")
    assert answer["decision"] == "not_covered"
    (reason,) = [r for r in answer["reasons"] if r["code"] == "investigational"]
    assert (reason["carc"], reason["source"]["document_id"]) == ("55", "medica-central-mp9672")
    assert answer["prior_authorization"] == "not_applicable"


def test_medica_central_version_before_september_2025_is_not_held(rules_api: Api) -> None:
    """That there was an earlier text is known, what it said is not."""
    answer = ask(rules_api, "medica-central", "2025-08-31")
    assert (answer["decision"], codes(answer)) == ("unknown_verify_with_plan", ["rule_not_loaded"])


def test_plan_document_overrules_the_payers_policy(bare_api: Api) -> None:
    """A plan's own document that covers decides for that plan, and MP9672 is named as overruled."""
    path = "/v1/rule-documents/medica-central-generous-plan/versions/1"
    put = bare_api.put(path, plan_document("plan"))
    assert put.status_code == 201, put.get_json()
    answer = ask(bare_api, "medica-central", "2025-10-01")
    assert answer["decision"] == "covered_with_conditions"
    assert answer["decided_by"]["document_id"] == "medica-central-generous-plan"
    assert answer["decided_by"]["authority"] == "plan_document"
    (lost,) = answer["overruled"]
    assert (lost["source"]["document_id"], lost["source"]["version"]) == ("medica-central-mp9672", 2)
    assert lost["decision"] == "not_covered"
    assert answer["accumulators"][0]["allowed"] == 6


def plan_document(plan_id: str) -> Json:
    """A plan's own document that covers six visits a calendar year with a copay."""
    return {
        "title": "A generous employer's plan",
        "authority": "plan_document",
        "source": {"citation": "the plan's summary, page 12"},
        "effective": {"from": "2025-01-01"},
        "applies_to": [{"payers": ["medica-central"], "plans": [plan_id]}],
        "rules": [
            {
                "id": "covered",
                "codes": ["service:dry_needling"],
                "decision": "covered_with_conditions",
                "conditions": ["cost_sharing_applies"],
            }
        ],
        "limits": [
            {
                "limit_id": "dry-needling",
                "codes": ["service:dry_needling"],
                "allowed": 6,
                "measure": "visit",
                "period": {"basis": "calendar_year"},
            }
        ],
        "cost_sharing": {"status": "stated", "copay_cents": 2500},
    }


def test_medicare_covers_chronic_low_back_pain_by_a_physician(rules_api: Api) -> None:
    """Low back pain of more than twelve weeks, treated by a physician."""
    answer = ask_medicare(rules_api, "2026-03-04")
    assert answer["decision"] == "covered_with_conditions"
    assert answer["decided_by"]["authority"] == "government_program"
    assert {a["limit_id"]: a["allowed"] for a in answer["accumulators"]} == {
        "medicare-needling-year": 20,
        "medicare-needling-90-days": 12,
    }


def test_medicare_does_not_pay_a_physical_therapist(rules_api: Api) -> None:
    """The same service by a physical therapist is not covered."""
    answer = ask_medicare(rules_api, "2026-03-04", provider={"type": "physical_therapist"})
    assert answer["decision"] == "not_covered"
    assert "provider_type_not_covered" in codes(answer)


def test_medicare_does_not_cover_neck_pain_and_does_not_count_it(bare_api: Api) -> None:
    """Neck pain is refused by the check and, reported all the same, takes no unit."""
    neck = [{"procedure_code": "20560", "diagnosis_codes": ["M54.2"]}]
    answer = ask_medicare(bare_api, "2026-03-04", lines=neck)
    assert answer["decision"] == "not_covered"
    assert "diagnosis_not_covered" in codes(answer)
    report_medicare(bare_api, 1, "2026-03-04", lines=neck)
    bare_api.installation.drain()
    outcome = bare_api.get("/v1/visit-events/e1").get_json()["outcome"]
    assert outcome["disposition"] == "not_covered"
    used = {a["used"] for a in ask_medicare(bare_api, "2026-03-05")["accumulators"]}
    assert used == {0}


def test_medicare_year_starts_with_the_first_service(bare_api: Api) -> None:
    """First service 2026-02-10, twenty used by September: none left until 2027-02-01."""
    days = [f"2026-{month:02}-{day:02}" for month in range(2, 9) for day in (10, 20, 27)][:20]
    for number, on in enumerate(days, 1):
        lines = [{"procedure_code": "20560", "modifiers": ["KX"], "diagnosis_codes": ["M54.50"]}]
        clinical = {"onset_on": "2025-10-01", "improving": True}
        report_medicare(bare_api, number, on, lines=lines, clinical=clinical)
    bare_api.installation.drain()
    kx = {
        "lines": [{"procedure_code": "20560", "modifiers": ["KX"], "diagnosis_codes": ["M54.50"]}],
        "clinical": {"onset_on": "2025-10-01", "improving": True},
    }
    exhausted = ask_medicare(bare_api, "2027-01-05", **kx)
    assert (exhausted["decision"], exhausted["reasons"][0]["code"]) == ("not_covered", "limit_exhausted")
    assert year_of(exhausted) == ("2026-02-10", "2027-02-01", 20, 0)
    fresh = ask_medicare(bare_api, "2027-02-01", **kx)
    assert fresh["decision"] == "covered_with_conditions"
    assert year_of(fresh) == ("2027-02-01", "2028-02-01", 0, 20)


def year_of(answer: Json) -> tuple[str, str, int, int]:
    """The start and end of the year of an answer, what is used of it, and what remains."""
    (year,) = [a for a in answer["accumulators"] if a["limit_id"] == "medicare-needling-year"]
    return year["period"]["start"], year["period"]["end"], year["used"], year["remaining"]


def ask_medicare(api: Api, on: str, **changes: Any) -> Json:
    """A check for a Medicare member with chronic low back pain, by a physician."""
    plan = {"funding": "government", "market": "medicare"}
    return ask(api, "medicare", on, plan=plan, **{**CHRONIC_LOW_BACK_PAIN, **changes})


def report_medicare(api: Api, number: int, on: str, **changes: Any) -> None:
    """Report such a visit."""
    body = {
        "event_id": f"e{number}",
        "type": "visit.recorded",
        "visit_id": f"v{number}",
        "payer_id": "medicare",
        "member_id": MEMBER,
        "service_date": on,
        "state": "WI",
        **CHRONIC_LOW_BACK_PAIN,
        **changes,
    }
    assert api.post("/v1/visit-events", body).status_code == 202


def test_article_never_decides_and_is_given_as_a_hint(rules_api: Api) -> None:
    """Cigna is said by an article not to cover: that is a hint beside an unknown."""
    answer = ask(rules_api, "cigna", "2026-03-04")
    assert answer["decision"] == "unknown_verify_with_plan"
    hints = [r for r in answer["reasons"] if r["code"] == "general_information_only"]
    assert "article-is-dry-needling-covered" in {hint["source"]["document_id"] for hint in hints}
    assert {hint["source"]["authority"] for hint in hints} == {"general_article"}
    assert {hint["carc"] for hint in hints} == {None}


def test_california_lets_no_physical_therapist_needle(rules_api: Api) -> None:
    """State law goes before the payer's policy, which is named as overruled."""
    answer = ask(rules_api, "security-health-plan", "2026-03-04", state="CA")
    assert answer["decision"] == "not_covered"
    reason = answer["reasons"][0]
    assert (reason["code"], reason["carc"], reason["rarc"]) == ("state_scope_prohibited", "185", "N95")


def test_washington_changed_its_mind(rules_api: Api) -> None:
    """A physical therapist in Washington: prohibited in 2023, not any more in 2025."""
    before = ask(rules_api, "security-health-plan", "2023-06-01", state="WA")
    after = ask(rules_api, "security-health-plan", "2025-06-01", state="WA")
    assert (before["decision"], before["reasons"][0]["code"]) == ("not_covered", "state_scope_prohibited")
    assert after["decision"] == "covered_with_conditions"
    assert "state_scope_prohibited" not in codes(after)


@pytest.mark.parametrize(
    ("key", "value", "pointer"),
    [
        ("decision", "maybe", "/rules/0/decision"),
        ("codes", ["service:juggling"], "/rules/0/codes/0"),
        ("when", {"moon": "full"}, "/rules/0/when/moon"),
    ],
)
def test_broken_document_is_refused_and_the_running_catalog_stays(
    rules_api: Api, key: str, value: Any, pointer: str
) -> None:
    """What is wrong is named with its place and what was expected; nothing of it runs or is kept."""
    before = ask(rules_api, "medica-central", "2025-10-01")
    body = plan_document("plan")
    body["rules"][0][key] = value
    refused = rules_api.put("/v1/rule-documents/medica-central-generous-plan/versions/1", body)
    assert refused.status_code == 422
    assert pointer in [error["pointer"] for error in refused.get_json()["errors"]]
    after = ask(rules_api, "medica-central", "2025-10-01")
    assert (after["decision"], after["catalog_version"]) == ("not_covered", before["catalog_version"])
    listed = rules_api.get("/v1/rule-documents", role="admin").get_json()["rule_documents"]
    assert "medica-central-generous-plan" not in {row["document_id"] for row in listed}


def test_openapi_document_describes_every_field_of_an_answer(rules_api: Api) -> None:
    """An answer with one field more, wherever it is, is not what the document says."""
    answer = ask_medicare(rules_api, "2026-03-04")
    described = {"$ref": "#/components/schemas/Determination"}
    rules_api.truth.validate(described, answer, complete=True)
    estimate, (first, *_) = answer["self_pay_estimate"], answer["accumulators"]
    for place in (answer, answer["lines"][0], first, first["period"], estimate, estimate["source"]):
        place["undescribed"] = 1
        with pytest.raises(AssertionError, match="undescribed"):
            rules_api.truth.validate(described, answer, complete=True)
        del place["undescribed"]


def test_source_says_what_it_is_and_where_it_can_be_read(rules_api: Api) -> None:
    """The citation names the text, the title says what that is; an address is there where one is known."""
    shp = ask(rules_api, "security-health-plan", "2026-03-04")["decided_by"]
    assert shp["citation"] == "000_879107c43c50977a.txt"
    assert shp["title"] == "Security Health Plan: dry needling for fully insured employer plans"
    assert shp["url"] is None
    medicare = ask_medicare(rules_api, "2026-03-04")["decided_by"]
    assert medicare["url"].startswith("https://www.cms.gov/")
    law = ask(rules_api, "security-health-plan", "2026-03-04", state="CA")["decided_by"]
    assert law["url"] == "https://legalclarity.org/why-is-dry-needling-illegal-in-california"


def test_every_source_of_an_answer_is_a_document_of_the_catalog_or_names_itself(rules_api: Api) -> None:
    """Whatever is cited has a title; articles are listed with the rule documents."""
    listed = rules_api.get("/v1/rule-documents", role="admin").get_json()["rule_documents"]
    known = {row["document_id"] for row in listed} | {"code-list", "state-scope-of-practice"}
    answer = ask(rules_api, "cigna", "2026-03-04", lines=[{"procedure_code": "20560", "muscles": 4}])
    sources = list(sources_in(answer))
    assert {source["document_id"] for source in sources} <= known
    assert "article-health-news" in known
    assert all(source["title"] for source in sources)


def sources_in(value: Any) -> Iterator[Json]:
    """Every source that a part of an answer names."""
    if isinstance(value, dict):
        if "citation" in value:
            yield value
        for part in value.values():
            yield from sources_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from sources_in(part)
