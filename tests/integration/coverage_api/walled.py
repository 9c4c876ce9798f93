"""A payer with one of everything, behind its walls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from werkzeug.test import TestResponse

from tests.api_service import Api, Json, check, enrollments, event
from tests.builders import MEMBER, PAYER
from tests.signing import jwk_set, register, signing_key, token_of

#: The payer of whoever looks at the other's walls.
OTHER = "medicare"

DOCUMENT = f"{PAYER}-policy"
PLAN: Json = {"name": "Employer plan", "funding": "fully_insured", "market": "group"}
GRANT: Json = {
    "payer_id": PAYER,
    "member_id": MEMBER,
    "limit_id": "dry-needling",
    "service_date": "2026-03-04",
    "quantity": 1,
    "approver": "desk",
    "reason": "appeal",
}
HELD = check(service_date="2098-01-01")
KEYED = {"Idempotency-Key": "k"}


def document(payer_id: str = PAYER) -> Json:
    """A policy of one payer."""
    return {
        "title": "A policy",
        "authority": "payer_policy",
        "source": {"citation": "a page"},
        "effective": {"from": "2025-01-01"},
        "applies_to": [{"payers": [payer_id], "plans": ["none"]}],
        "rules": [{"id": "covered", "codes": ["service:dry_needling"], "decision": "covered"}],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Walled:
    """A service in which one payer has a plan, a member, a visit, a check, holds, an override and a rule.

    `ids` are those of what the service named itself.
    """

    api: Api
    ids: dict[str, str]
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    def insider(self, role: str) -> str:
        """The key of a client of the payer."""
        return self.api.installation.key(role, PAYER)

    def outsider(self, role: str) -> str:
        """The key of a client of the other payer."""
        return self.api.installation.key(role, OTHER)

    def token(self, role: str, payer_id: str) -> str:
        """An access token of the client that has this role's key for a payer."""
        if (role, payer_id) not in self.tokens:
            self.api.installation.key(role, payer_id)
            [(client_id,)] = self.api.installation.rows(
                "select client_id from client where name = %s", f"{role}-{payer_id}"
            )
            register(self.api, client_id, document=jwk_set(signing_key()))
            self.tokens[role, payer_id] = token_of(self.api, client_id, signing_key())
        return self.tokens[role, payer_id]

    def send(self, method: str, path: str, body: Any, key: str) -> TestResponse:
        """Make a call, its path filled with the ids; bytes are sent as a stream of events."""
        filled = path.format_map(self.ids)
        if isinstance(body, bytes):
            kind = "application/x-ndjson"
            return self.api.call(method, filled, data=body, content_type=kind, key=key, headers=KEYED)
        return self.api.call(method, filled, body, key=key, headers=KEYED)


def build_walled(api: Api) -> Walled:
    """Make everything there is, as the payer's own clients would."""
    walled = Walled(api=api, ids={"client": f"ehr-{PAYER}"})
    ehr, admin = walled.insider("ehr"), walled.insider("admin")

    def made(method: str, path: str, body: Any, key: str, headers: Any = None) -> Json:
        answer = api.call(method, path, body, key=key, headers=headers)
        assert answer.status_code in {200, 201, 202}, answer.text
        return dict(answer.get_json())

    made("PUT", f"/v1/payers/{PAYER}/plans/employer", PLAN, admin)
    made("PUT", "/v1/enrollments", enrollments(), admin)
    made("PUT", f"/v1/rule-documents/{DOCUMENT}/versions/1", document(), admin)
    made("POST", "/v1/visit-events", event(1), ehr)
    api.installation.drain()
    walled.ids["check_id"] = made("POST", "/v1/eligibility-checks", check(), ehr)["check_id"]
    walled.ids["hold_id"] = made("POST", "/v1/holds", HELD, ehr, KEYED)["hold_id"]
    walled.ids["released_id"] = made("POST", "/v1/holds", HELD, ehr, {"Idempotency-Key": "r"})["hold_id"]
    walled.ids["override_id"] = made("POST", "/v1/overrides", GRANT, admin, KEYED)["override_id"]
    return walled
