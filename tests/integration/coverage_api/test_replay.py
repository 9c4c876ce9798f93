"""`needlecap determinations replay`: a recorded answer decided again is the same, whatever happened since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.operator_cli.main import main
from shared.adapters.catalog_files import packaged_catalog, parse_yaml
from tests.api_service import HASH_KEY, Api, Json, check, enrollments, event
from tests.builders import MEMBER, PAYER

LATER = "2099-01-01T00:00:00Z"
MEDICARE_LINE: Json = {"procedure_code": "20560", "diagnosis_codes": ["M54.50"], "modifiers": ["KX"]}


@pytest.fixture
def command(api: Api, redis_url: str, tmp_path: Path) -> Any:
    """Calls `needlecap` on the API's database."""

    def call(*arguments: str, given: str | None = None) -> Result:
        environment = {
            "DATABASE_URL": api.installation.database_url,
            "REDIS_URL": redis_url,
            "NEEDLECAP_HASH_KEY": HASH_KEY.hex(),
        }
        options = [*arguments, "--data-dir", str(tmp_path)]
        return CliRunner().invoke(main, options, env=environment, input=given)

    return call


def asked(api: Api, role: str = "ehr", **changes: Any) -> str:
    """The id of a check that was made now."""
    answer = api.post("/v1/eligibility-checks", check(**changes), role=role)
    assert answer.status_code == 201
    return str(answer.get_json()["check_id"])


def lowered() -> Json:
    """The next version of the payer's document, with two visits a plan year."""
    body: Json = parse_yaml(packaged_catalog() / "documents" / "security-health-plan.yaml").data
    body["version"] = 2
    body["effective"] = {"from": "2026-01-01"}
    body["source"] = {"citation": "invented"}
    body["limits"][0]["allowed"] = 2
    return body


def test_answers_are_the_same_after_everything_changed(api: Api, command: Any) -> None:
    """Visits, voids, holds, overrides, enrollments, plans, rules and merges change no old answer."""
    made = [asked(api), asked(api, role="portal"), asked(api, member_id="nobody")]
    api.post("/v1/visit-events/batch", {"events": [event(n) for n in range(1, 21)]})
    made.append(asked(api))
    api.installation.drain()
    made.append(asked(api))
    api.post(
        "/v1/visit-events", {"event_id": "x1", "type": "visit.voided", "visit_id": "v1", "payer_id": PAYER}
    )
    api.installation.drain()
    hold = api.post("/v1/holds", check(expires_at=LATER), headers={"Idempotency-Key": "k1"}).get_json()
    made += [asked(api), asked(api, hold_id=hold["hold_id"])]
    override = {
        "payer_id": PAYER,
        "member_id": MEMBER,
        "limit_id": "dry-needling",
        "service_date": "2026-03-04",
        "quantity": 2,
        "approver": "A. Approver",
        "reason": "an appeal was won",
    }
    assert api.post("/v1/overrides", override, role="admin").status_code == 201
    made.append(asked(api))
    assert api.put(f"/v1/rule-documents/{lowered()['document_id']}/versions/2", lowered()).status_code == 201
    made.append(asked(api))
    api.installation.drain()
    made.append(asked(api))
    plan = {"name": "Renamed", "funding": "fully_insured", "market": "group", "plan_year_start": "07-01"}
    assert api.put(f"/v1/payers/{PAYER}/plans/employer", plan).status_code == 200
    made.append(asked(api))
    api.installation.drain()
    api.put("/v1/enrollments", enrollments(spans=[]))
    made.append(asked(api))
    api.put("/v1/enrollments", enrollments(member_id="SAMPLE-OTHER"))
    merged = command("members", "merge", "--payer", PAYER, given=f"{MEMBER}\nSAMPLE-OTHER\n")
    assert merged.exit_code == 0, merged.output
    made += [asked(api), asked(api, hold_id="hld_slip")]
    answers = {api.get(f"/v1/eligibility-checks/{check_id}").get_json()["decision"] for check_id in made}
    assert len(answers) > 2
    result = command("determinations", "replay", *made)
    assert result.exit_code == 0, result.output
    said = result.stdout.splitlines()
    assert [line.split(",")[0] for line in said] == made
    assert all(": the same answer" in line for line in said)
    ahead = {
        check_id
        for check_id, line in zip(made, said, strict=True)
        if line.endswith("(its counts were ahead of the ledger)")
    }
    assert ahead == {made[8], made[10]}


def test_first_service_year_and_rolling_limit_are_decided_again(api: Api, command: Any) -> None:
    """Counts with dates, of two limits, give the same answer too."""
    plan = {"name": "Original Medicare", "funding": "government", "market": "medicare"}
    api.put("/v1/payers/medicare/plans/original", plan)
    spans = [{"plan_id": "original", "start": "2020-01-01", "end": None, "attributes": ["part_b"]}]
    api.put("/v1/enrollments", {"payer_id": "medicare", "member_id": MEMBER, "spans": spans})
    service: Json = {
        "payer_id": "medicare",
        "lines": [MEDICARE_LINE],
        "provider": {"type": "physician"},
        "clinical": {"onset_on": "2025-01-01", "improving": True},
    }
    made = [asked(api, service_date="2026-02-01", **service)]
    for number in range(1, 14):
        day = f"2026-0{number // 5 + 1}-{number % 5 * 6 + 1:02}"
        api.post("/v1/visit-events", event(number, service_date=day, **service))
    api.installation.drain()
    made += [
        asked(api, service_date=day, **service)
        for day in ("2026-03-28", "2026-05-05", "2027-03-01", "2025-12-15")
    ]
    for number in range(1, 14, 3):
        voided = {"type": "visit.voided", "visit_id": f"v{number}", "payer_id": "medicare"}
        api.post("/v1/visit-events", {"event_id": f"x{number}", **voided})
    api.installation.drain()
    result = command("determinations", "replay", *made)
    assert result.exit_code == 0, result.output
    assert result.stdout.count(": the same answer") == len(made)


def _tamper(api: Api, said: str, instead: str) -> None:
    """Change what was answered, as only the tables' owner can."""
    api.installation.write("alter table determination_text disable trigger all")
    api.installation.write("update determination_text set text = replace(text, %s, %s)", said, instead)


def test_changed_record_is_noticed(api: Api, command: Any) -> None:
    """An answer that was tampered with is not what its inputs give, and is said with the key that differs."""
    check_id = asked(api)
    _tamper(api, '"used":0', '"used":7')
    result = command("determinations", "replay", check_id)
    assert result.exit_code == 1
    assert "~ accumulators[dry-needling].used: 7 -> 0" in result.stdout
    assert MEMBER not in result.output


def test_counts_are_held_against_the_ledger(api: Api, command: Any) -> None:
    """Inputs that were changed together with the answer are not what the ledger says of that version."""
    api.post("/v1/visit-events", event(1))
    api.installation.drain()
    check_id = asked(api)
    _tamper(api, '"used":1', '"used":3')
    api.installation.write(
        "update determination set standing = jsonb_set(standing::jsonb, '{accumulators,0,used}', '3')::json"
    )
    result = command("determinations", "replay", check_id)
    assert result.exit_code == 1
    assert "in the ledger: ~ employer/dry-needling/2026-01-01 version 1.used: 3 -> 1" in result.stdout


def test_answer_without_its_inputs_is_not_guessed_at(api: Api, command: Any) -> None:
    """What an answer was decided from is needed; an id that is not there is said."""
    check_id = asked(api)
    api.installation.write("update determination set standing = null")
    kept_not = command("determinations", "replay", check_id)
    assert kept_not.exit_code == 1
    assert "was not kept with it" in kept_not.stderr
    nowhere = command("determinations", "replay", "chk_none")
    assert nowhere.exit_code == 1
    assert "There is no check chk_none." in nowhere.stderr
