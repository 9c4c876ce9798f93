"""The written confirmation: the recorded answer as a page that a person can print and keep."""

from __future__ import annotations

import base64
import hashlib
import html
import re

from werkzeug.test import TestResponse

from tests.api_service import Api, Json, check, event
from tests.builders import MEMBER, PAYER

HTML = {"Accept": "text/html"}


def confirmation(api: Api, role: str = "ehr", **changes: object) -> tuple[TestResponse, str]:
    """The page of a check, and what a person reads on it."""
    made = api.post("/v1/eligibility-checks", check(**changes)).get_json()
    page = api.get(f"/v1/eligibility-checks/{made['check_id']}", role=role, headers=HTML)
    assert page.status_code == 200
    body = re.sub(r"<style>.*?</style>", "", page.text, flags=re.DOTALL)
    return page, " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_page_says_who_asked_what_and_what_was_answered(api: Api) -> None:
    """Everything of the record that a person needs is there, in words."""
    lines = [{"procedure_code": "20560", "diagnosis_codes": ["M54.50"]}]
    page, said = confirmation(api, lines=lines, place_of_service="11")
    assert page.content_type == "text/html; charset=utf-8"
    for words in (
        "Covered, with conditions",
        "0 of 20 used in this plan year",
        "Asked by ehr-all",
        "Payer Security Health Plan",
        f"Member {MEMBER}",
        "Plan on that date Employer plan",
        "Service date March 4, 2026",
        "Type of provider physical therapist",
        "Place of service 11",
        "M54.50",
        "January 1, 2026 through December 31, 2026",
        "Prior authorization Not required",
        "The plan's cost sharing applies",
        "Whether a referral is needed.",
        "the count rests on an assumption",
        "Security Health Plan: dry needling for fully insured employer plans",
        "shp-dry-needling-employer, version 1",
        "Rule catalog 1.",
        "It is not a guarantee of coverage",
        "1-800-622-7790",
    ):
        assert words in said, words


def test_page_labels_claim_codes_as_anticipated(api: Api) -> None:
    """CARC and RARC are never shown as if a claim had been adjudicated."""
    _, said = confirmation(api, state="CA")
    assert "Not covered" in said
    assert "CARC 185, RARC N95 (anticipated)" in said
    assert "What was overruled shp-dry-needling-employer, version 1" in said


def test_page_names_what_the_request_did_not_say(api: Api) -> None:
    """A missing input is named in words where it could change the answer."""
    api.put(
        "/v1/payers/medicare/plans/original", {"name": "M", "funding": "government", "market": "medicare"}
    )
    spans: list[Json] = [{"plan_id": "original", "start": "2020-01-01", "end": None, "attributes": []}]
    api.put("/v1/enrollments", {"payer_id": "medicare", "member_id": MEMBER, "spans": spans})
    lines = [{"procedure_code": "20560", "diagnosis_codes": ["M54.50"]}]
    _, said = confirmation(api, payer_id="medicare", lines=lines, provider={"type": "physician"})
    assert "Not known: ask the plan" in said
    assert "Not stated, though a rule asks for it: Date the condition began." in said


def test_limit_without_a_maximum_is_shown_as_such(api: Api) -> None:
    """A limit that only numbers visits has neither an allowed number nor anything left."""
    document = {
        "title": "A plan without a maximum",
        "authority": "plan_document",
        "source": {"citation": "invented"},
        "effective": {"from": "2020-01-01"},
        "applies_to": [{"payers": [PAYER], "plans": ["employer"]}],
        "rules": [{"id": "covered", "codes": ["service:dry_needling"], "decision": "covered"}],
        "limits": [
            {
                "limit_id": "dry-needling",
                "codes": ["service:dry_needling"],
                "allowed": "unlimited",
                "measure": "visit",
                "period": {"basis": "lifetime"},
            }
        ],
    }
    assert api.put("/v1/rule-documents/unlimited/versions/1", document).status_code == 201
    _, said = confirmation(api)
    assert "Lifetime 0 0 no maximum no maximum unlimited, version 1" in said


def test_page_of_an_unknown_member(api: Api) -> None:
    """Without a plan there is nothing to count, and the page says so."""
    _, said = confirmation(api, member_id="nobody we know")
    assert "Not known: ask the plan" in said
    assert "Plan on that date none known" in said
    assert "No limit that is known counts this service for this member." in said


def test_page_says_what_was_said_then(api: Api) -> None:
    """Later visits do not change it: it shows the record, not the state."""
    made = api.post("/v1/eligibility-checks", check()).get_json()
    address = f"/v1/eligibility-checks/{made['check_id']}"
    before = api.get(address, headers=HTML).data
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    assert api.get(address, headers=HTML).data == before


def test_json_stays_the_default(api: Api) -> None:
    """Only who prefers HTML gets it; everybody else the same bytes as ever."""
    made = api.post("/v1/eligibility-checks", check())
    address = f"/v1/eligibility-checks/{made.get_json()['check_id']}"
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.9", "image/png", ""):
        answer = api.get(address, headers={"Accept": accept})
        assert (answer.data, answer.content_type) == (made.data, "application/json")
        assert answer.headers["Vary"] == "Accept"
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert api.get(address, headers={"Accept": browser}).mimetype == "text/html"


def test_page_is_for_those_who_may_see_the_answer(api: Api) -> None:
    """The same keys as for the JSON: another payer's is not there, an ops' is refused."""
    made = api.post("/v1/eligibility-checks", check()).get_json()
    address = f"/v1/eligibility-checks/{made['check_id']}"
    installation = api.installation
    assert api.get(address, headers=HTML, key=installation.key("ehr", "medicare")).status_code == 404
    assert api.get(address, headers=HTML, role="ops").status_code == 403
    assert api.get(address, headers=HTML, key="").status_code == 401
    assert api.get(address, headers=HTML, key=installation.key("portal", PAYER)).status_code == 200
    nowhere = api.get("/v1/eligibility-checks/chk_none", headers=HTML)
    assert (nowhere.status_code, nowhere.mimetype) == (404, "application/problem+json")


def test_page_needs_nothing_but_itself(api: Api) -> None:
    """No script, no address of anything else, and a policy that allows its own style sheet alone."""
    page, _ = confirmation(api)
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", f"style-src 'sha256-{digest}'", "frame-ancestors 'none'"} <= set(policy)
    assert not re.findall(r"<script|<link|<img|style=|\bsrc=|href=|url\(|https?:", page.text)
    assert page.headers["Cache-Control"] == "no-store"


def test_what_a_client_sent_is_shown_as_text(api: Api) -> None:
    """Markup in a request is not markup on the page."""
    evil = "<script>alert(1)</script>"
    page, said = confirmation(api, member_id=evil, provider={"credentials": ["<b>bold</b>"]})
    assert evil in said
    assert "<script" not in page.text
    assert "<b>" not in page.text
