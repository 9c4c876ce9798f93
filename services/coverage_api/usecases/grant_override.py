"""Grants units on top of a limit, such as an appeal has won: once per idempotency key, if there is one."""

from __future__ import annotations

from dataclasses import dataclass

from services.coverage_api.auditing import CallAudit
from services.coverage_api.errors import IdempotencyConflict
from services.coverage_api.ports import Tools
from services.coverage_api.usecases.showing import show_counters
from shared.accounting import overrides
from shared.accounting.check import search
from shared.accounting.retrying import retrying
from shared.domain.errors import Invalid, OverrideKeyTaken
from shared.domain.hold_records import NewOverride, OverrideRow
from shared.domain.records import CounterImage
from shared.failpoints import Step, around


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a request for an override came to: with `earlier`, it repeats the one that granted that."""

    grant: NewOverride
    earlier: OverrideRow | None


def grant_override(tools: Tools, audit: CallAudit, grant: NewOverride) -> Granted:
    """Store an override and let the visits next in order have its units, in one transaction.

    A request whose key was used before answers with the override that was granted then. Raises Invalid
    if the member's plan has limits on that date, but none with this id, and IdempotencyConflict when the
    key was used for something else.
    """
    granted, images = retrying(lambda: _grant(tools, audit, grant))
    show_counters(tools, images)
    return granted


def _grant(tools: Tools, audit: CallAudit, grant: NewOverride) -> tuple[Granted, list[CounterImage]]:
    """One transaction; the counters to show after it. Raises ConcurrentChange too."""
    with tools.store.transaction([grant.ref.payer_id]) as tx:
        if grant.request is not None:
            tx.overrides.lock_key(grant.client_id, grant.request.idempotency_key)
            earlier = tx.overrides.find_repeat(grant.client_id, grant.request.idempotency_key)
            if earlier is not None:
                if earlier.payload_digest != grant.request.payload_digest:
                    raise IdempotencyConflict
                tx.audit.record([audit.entry(201)])
                with around(Step.AUDIT_COMMIT):
                    tx.commit()
                return Granted(grant=grant, earlier=earlier), []
        standings = search(tx, tools.rules, {}, grant.ref, grant.override.service_date)
        known = {standing.limit.limit_id for standing in standings}
        if known and grant.override.limit_id not in known:
            raise Invalid([("/limit_id", "The member's plan has no such limit on that date.")])
        try:
            images = overrides.grant_override(tx, tools.rules, tools.clock(), grant)
        except OverrideKeyTaken as error:
            # The look-up above saw nothing of it: the override is of another payer.
            raise IdempotencyConflict from error
        tx.audit.record([audit.entry(201)])
        with around(Step.OVERRIDE_COMMIT):
            tx.commit()
    return Granted(grant=grant, earlier=None), images
