"""Answers eligibility checks: decided on committed counts, recorded before they are answered (I1)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any

from services.coverage_api.auditing import CallAudit
from services.coverage_api.known_keys import KeyChanged, prefixes_of
from services.coverage_api.ports import Tools
from shared.accounting.answers import Answer, Answers, opening_of
from shared.accounting.check import member_standings, read_counters, whole_history
from shared.domain.client import Client, CredentialRecord
from shared.domain.determination_record import DeterminationRecord, audience_of
from shared.domain.evaluation import Audience
from shared.domain.record import record
from shared.domain.records import MemberRef
from shared.failpoints import Step, around
from shared.ports import Ahead, Sent


@record(frozen=True, slots=True, kw_only=True)
class EligibilityCheck:
    """A valid check by a client, as a JSON object in the contract's field names with its defaults.

    `caller` is the client's key if it has still to be confirmed.
    """

    client: Client
    audit: CallAudit
    request: Mapping[str, Any]
    caller: CredentialRecord | None = None

    @property
    def audience(self) -> Audience:
        """Whom the answer is for."""
        return audience_of(self.client.role)

    @property
    def ref(self) -> MemberRef:
        """The member asked about."""
        return MemberRef(payer_id=self.request["payer_id"], member_id=self.request["member_id"])


def check_eligibility(
    tools: Tools,
    answers: Answers,
    checks: Sequence[EligibilityCheck],
    sent: Sent,
) -> list[DeterminationRecord | KeyChanged]:
    """Decide checks, in order, and record the answers in one commit; one for each, in order.

    Each member is seen as of one moment, and by the rules that ran right before. A check whose key
    does not stand any more is not decided. `sent` is called when only the commit is waited for. Raises
    StoreUnavailable; then nothing was answered, whatever was recorded.
    """
    if not checks:
        return []
    # Taken once, since a check makes its reference anew at each look.
    asked = [check.ref for check in checks]
    refs = list(dict.fromkeys(asked))
    days = {date.fromisoformat(check.request["service_date"]) for check in checks}
    images = read_counters(tools.counters, refs)
    ahead = Ahead(credentials=prefixes_of(checks), members=refs, days=days)
    with tools.store.transaction(sorted({ref.payer_id for ref in refs}), ahead=ahead) as tx:
        now = tools.clock()
        confirmed = tools.keys.confirm(tx, checks, now)
        rules, standings = member_standings(tx, tools.rules, images, refs, days)
        to_decide = list(itertools.compress(zip(checks, asked, strict=True), confirmed))
        said = []
        for check, ref in to_decide:
            answer = answers.decide(
                rules, standings[ref], check.request, check.audience, partial(whole_history, tx, ref)
            )
            said.append(_record(tools, check, ref, answer, now))
        tx.determinations.record(said)
        tx.audit.record([check.audit.entry(201, ref=ref) for check, ref in to_decide])
        with around(Step.CHECK_COMMIT):
            tx.commit(sent)
    records = iter(said)
    return [next(records) if stands else KeyChanged() for stands in confirmed]


def _record(
    tools: Tools, check: EligibilityCheck, ref: MemberRef, answer: Answer, now: datetime
) -> DeterminationRecord:
    check_id = tools.new_id("chk")
    return DeterminationRecord(
        check_id=check_id,
        payer_id=ref.payer_id,
        client_id=check.client.client_id,
        decided_at=now,
        catalog_version=answer.catalog_version,
        request=answer.request,
        opening=opening_of(check_id, now),
        said=answer.said,
        standing=answer.standing,
        pending_events=answer.pending_events,
    )
