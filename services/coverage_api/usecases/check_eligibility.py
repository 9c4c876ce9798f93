"""Answers eligibility checks: decided on committed counts, recorded before they are answered (I1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from services.coverage_api.auditing import CallAudit
from services.coverage_api.ports import Tools
from shared.accounting.answers import Answers
from shared.accounting.check import member_standings, read_counters
from shared.domain.client import Client
from shared.domain.determination_record import DeterminationRecord, audience_of
from shared.domain.records import MemberRef
from shared.failpoints import Step, around
from shared.ports import Ahead


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


def check_eligibility(
    tools: Tools, answers: Answers, checks: Sequence[EligibilityCheck]
) -> list[DeterminationRecord]:
    """Decide checks, in order, and record the answers in one commit.

    The rules and the members are those of one snapshot. Raises StoreUnavailable; then nothing was
    answered, whatever was recorded.
    """
    if not checks:
        return []
    refs = [check.ref for check in checks]
    days = {date.fromisoformat(check.request["service_date"]) for check in checks}
    images = read_counters(tools.counters, refs)
    ahead = Ahead(members=refs, days=days)
    with tools.store.transaction(sorted({ref.payer_id for ref in refs}), ahead=ahead) as tx:
        rules = tools.rules.current(tx)
        standings = member_standings(tx, rules, images, refs, days)
        now = tools.clock()
        decided_at = orjson.dumps(now, option=orjson.OPT_UTC_Z)
        records = []
        for check, ref in zip(checks, refs, strict=True):
            answer = answers.decide(rules, standings[ref], check.request, audience_of(check.client.role))
            check_id = tools.new_id("chk")
            records.append(
                DeterminationRecord(
                    check_id=check_id,
                    payer_id=ref.payer_id,
                    client_id=check.client.client_id,
                    decided_at=now,
                    catalog_version=answer.catalog_version,
                    request=answer.request,
                    body=answer.body(check_id, decided_at),
                    standing=answer.standing,
                )
            )
        tx.determinations.record(records)
        tx.audit.record([check.audit.entry(201, ref=ref) for check, ref in zip(checks, refs, strict=True)])
        with around(Step.CHECK_COMMIT):
            tx.commit()
    return records
