"""A stand-in for the running service that knows just enough to be taken on a tour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.operator_cli.api_client import ApiAnswer

Json = dict[str, Any]
STATUSES = {"/v1/visit-events/batch": 200, "/v1/accumulators/search": 200, "/v1/eligibility-checks": 201}
DECISIONS = {"medica-central": "not_covered", "cigna": "unknown_verify_with_plan"}


class CountingService:
    """Answers as the contract says, for a limit of `allowed` visits a calendar year.

    `late_receipts` is how many times a receipt is asked for before its event is applied; at a call
    whose path is `broken_path` it answers `broken_status`.
    """

    def __init__(
        self,
        *,
        allowed: int = 20,
        late_receipts: int = 0,
        broken_path: str | None = None,
        broken_status: int = 503,
    ) -> None:
        self.allowed = allowed
        self.late_receipts = late_receipts
        self.broken_path = broken_path
        self.broken_status = broken_status
        self.calls: list[str] = []
        self._outcomes: dict[str, Json] = {}
        self._used: dict[tuple[str, str], int] = {}

    def call(
        self, role: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> ApiAnswer:
        """See Caller."""
        self.calls.append(f"{role} {method} {path}")
        if path == self.broken_path:
            return _answer(self.broken_status, {"type": "/problems/indeterminate"})
        if method == "GET":
            return self._receipt(path.rpartition("/")[2])
        if path == "/v1/visit-events":
            return self._record(body)
        return _answer(200 if method == "PUT" else STATUSES[path], self._said(path, body))

    def _said(self, path: str, body: Json) -> Json:
        if path == "/v1/visit-events/batch":
            receipts = [self._record(event).body for event in body["events"]]
            return {"results": [{"status": 202, "receipt": receipt} for receipt in receipts]}
        if path == "/v1/accumulators/search":
            return {"accumulators": [self._accumulator(body)]}
        if path == "/v1/eligibility-checks":
            return self._determination(body)
        return {**body, "plan_year_start": "01-01"}

    def _receipt(self, event_id: str) -> ApiAnswer:
        if self.late_receipts:
            self.late_receipts -= 1
            return _answer(200, {"status": "pending", "outcome": None})
        return _answer(200, self._outcomes[event_id])

    def _record(self, event: Json) -> ApiAnswer:
        if event["event_id"] in self._outcomes:
            return ApiAnswer(
                status=200, headers={"idempotent-replay": "true"}, body=self._outcomes[event["event_id"]]
            )
        before = self._count(event)
        after = min(before + 1, self.allowed)
        self._used[event["member_id"], event["service_date"][:4]] = after
        outcome = {
            "disposition": "counted" if after > before else "over_limit",
            "reasons": [{"code": "limit_exhausted", "carc": "119"}],
            "accumulators": [{"used_before": before, "used_after": after, "allowed": self.allowed}],
        }
        receipt = {"event_id": event["event_id"], "status": "applied", "outcome": outcome}
        self._outcomes[event["event_id"]] = receipt
        return _answer(200, receipt)

    def _count(self, asked: Json) -> int:
        return self._used.get((asked["member_id"], asked["service_date"][:4]), 0)

    def _accumulator(self, asked: Json) -> Json:
        used = self._count(asked)
        return {
            "period": {"start": f"{asked['service_date'][:4]}-01-01"},
            "allowed": self.allowed,
            "used": used,
            "remaining": self.allowed - used,
        }

    def _determination(self, asked: Json) -> Json:
        payer = asked["payer_id"]
        if payer in DECISIONS:
            return {
                "decision": DECISIONS[payer],
                "prior_authorization": {"cigna": "unknown", "medica-central": "not_applicable"}[payer],
                "reasons": [{"code": "investigational", "carc": "55"}],
                "accumulators": [],
            }
        full = self._count(asked) >= self.allowed
        return {
            "decision": "not_covered" if full else "covered_with_conditions",
            "reasons": [{"code": "limit_exhausted" if full else "within_limit", "carc": "119"}],
            "accumulators": [self._accumulator(asked)],
        }


def _answer(status: int, body: Json) -> ApiAnswer:
    return ApiAnswer(status=status, headers={}, body=body)
