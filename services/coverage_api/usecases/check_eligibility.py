"""Answers eligibility checks: decided on committed counts, recorded before they are answered (I1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.coverage_api.auditing import CallAudit
from services.coverage_api.ports import Tools
from shared.accounting.check import CheckRequest, decide_on_record, read_counters
from shared.accounting.codec import service_from
from shared.accounting.determination_body import determination_body
from shared.accounting.standing_codec import standing_to
from shared.domain.client import Client
from shared.domain.determination_record import DeterminationRecord, audience_of
from shared.domain.evaluation import Audience
from shared.domain.records import MemberRef
from shared.failpoints import Step, around


@dataclass(frozen=True, slots=True, kw_only=True)
class EligibilityCheck:
    """A valid check by a client, as a JSON object in the contract's field names with its defaults."""

    client: Client
    audit: CallAudit
    request: Mapping[str, Any]

    @property
    def ref(self) -> MemberRef:
        """The member asked about."""
        return MemberRef(payer_id=self.request["payer_id"], member_id=self.request["member_id"])

    @property
    def audience(self) -> Audience:
        """Whom the answer is for."""
        return audience_of(self.client.role)


def check_eligibility(tools: Tools, checks: Sequence[EligibilityCheck]) -> list[DeterminationRecord]:
    """Decide checks, in order, and record the answers in one commit.

    Raises StoreUnavailable; then nothing was answered, whatever was recorded.
    """
    if not checks:
        return []
    requests = [
        CheckRequest(ref=c.ref, service=service_from(c.request), hold_id=c.request.get("hold_id"))
        for c in checks
    ]
    images = read_counters(tools.counters, [request.ref for request in requests])
    with tools.store.transaction(sorted({request.ref.payer_id for request in requests})) as tx:
        decided = decide_on_record(tx, tools.rules, images, requests)
        now = tools.clock()
        records = []
        for check, (determination, standing) in zip(checks, decided, strict=True):
            check_id = tools.new_id("chk")
            body = determination_body(determination, check.audience)
            records.append(
                DeterminationRecord(
                    check_id=check_id,
                    payer_id=check.ref.payer_id,
                    client_id=check.client.client_id,
                    decided_at=now,
                    catalog_version=determination.evaluation.catalog_version,
                    request=orjson.dumps(check.request),
                    body=orjson.dumps(
                        {"check_id": check_id, "decided_at": now, **body}, option=orjson.OPT_UTC_Z
                    ),
                    standing=standing_to(standing, check.request.get("hold_id")),
                )
            )
        tx.determinations.record(records)
        tx.audit.record([check.audit.entry(201, ref=check.ref) for check in checks])
        with around(Step.CHECK_COMMIT):
            tx.commit()
    return records
