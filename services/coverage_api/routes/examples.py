"""An example of each body, for the OpenAPI document and `/docs`. Members, visits and clinics are invented.

They have a member, a plan, a rule document and visits of their own: whoever tries them changes nothing of
the sample members, nor of what the README shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

Json = dict[str, Any]

_PAYER = "security-health-plan"
_MEMBER: Json = {"payer_id": _PAYER, "member_id": "SAMPLE-DOCS"}
_SERVICE: Json = {
    "service_date": "2026-12-29",
    "lines": [{"procedure_code": "20560", "diagnosis_codes": ["M54.50"], "muscles": 2}],
    "provider": {"npi": "9000000101", "type": "physical_therapist"},
    "state": "WI",
}
_CHECK: Json = {**_MEMBER, **_SERVICE}
_RECORDED: Json = {
    "event_id": "docs-event-1",
    "type": "visit.recorded",
    "visit_id": "docs-visit-1",
    **_MEMBER,
    **_SERVICE,
}
_VOIDED: Json = {
    "event_id": "docs-event-2",
    "type": "visit.voided",
    "visit_id": "docs-visit-1",
    "payer_id": _PAYER,
}
_RULE_DOCUMENT: Json = {
    "title": "Example plan: 20 dry needling visits a plan year",
    "authority": "plan_document",
    "source": {"citation": "Example plan, section 1"},
    "effective": {"from": "2026-01-01"},
    "applies_to": [{"payers": [_PAYER], "plans": ["example"]}],
    "rules": [{"id": "covered", "codes": ["service:dry_needling"], "decision": "covered"}],
    "limits": [
        {
            "limit_id": "dry-needling",
            "label": "dry needling",
            "codes": ["service:dry_needling"],
            "allowed": 20,
            "measure": "visit",
            "period": {"basis": "plan_year"},
        }
    ],
}

#: By the name of the call: a JSON value, or the text of a stream.
EXAMPLES: Mapping[str, Any] = {
    "checkEligibility": _CHECK,
    "checkEligibilityBatch": {"checks": [_CHECK]},
    "recordVisitEvent": _RECORDED,
    "recordVisitEvents": {"events": [_RECORDED, _VOIDED]},
    "loadVisitEvents": "".join(orjson.dumps(event).decode() + "\n" for event in (_RECORDED, _VOIDED)),
    "searchAccumulators": {**_MEMBER, "service_date": "2026-12-29"},
    "searchVisits": {**_MEMBER, "start": "2026-01-01", "end": "2027-01-01"},
    # Far ahead, so that it can be tried whenever it is read.
    "placeHold": {**_CHECK, "quantity": 1, "expires_at": "2099-01-01T00:00:00Z"},
    "grantOverride": {
        **_MEMBER,
        "limit_id": "dry-needling",
        "service_date": "2026-12-29",
        "quantity": 2,
        "approver": "Example appeals desk",
        "reason": "Appeal granted",
    },
    "putPayer": {"name": "Security Health Plan"},
    "putPlan": {"name": "Example plan", "funding": "fully_insured", "market": "group"},
    "putEnrollments": {**_MEMBER, "spans": [{"plan_id": "example", "start": "2026-01-01"}]},
    "putRuleDocument": _RULE_DOCUMENT,
    "searchAudit": _MEMBER,
}
