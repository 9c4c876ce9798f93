"""Makes or replaces a plan; what its members' visits came to is folded again."""

from __future__ import annotations

from dataclasses import dataclass

from services.coverage_api.auditing import CallAudit
from services.coverage_api.ports import Tools
from shared.domain.enrollment import Plan
from shared.failpoints import Step, around


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """A plan as it stands. `version` begins at 1 and rises with each change."""

    plan: Plan
    version: int
    is_new: bool


def put_plan(tools: Tools, audit: CallAudit, plan: Plan) -> StoredPlan:
    """Put a plan in the place of the one with its id, if there is one. The same plan again is nothing.

    A change asks, in the same transaction, for every member ever enrolled in the plan to be folded
    again (contract section 4). The payer's lock keeps that from missing one who is being enrolled.
    """
    with tools.store.transaction([plan.payer_id]) as tx:
        tx.known_payers.lock(plan.payer_id)
        found = tx.plans.find(plan.payer_id, plan.plan_id)
        if found is None:
            tx.plans.insert(plan)
            tx.audit.record([audit.entry(201)])
            with around(Step.PLAN_COMMIT):
                tx.commit()
            return StoredPlan(plan=plan, version=1, is_new=True)
        before, version = found
        if before == plan:
            return StoredPlan(plan=plan, version=version, is_new=False)
        tx.plans.replace(plan)
        shards = tx.plans.request_refolds(plan.payer_id, plan.plan_id)
        tx.audit.record([audit.entry(200)])
        with around(Step.PLAN_COMMIT):
            tx.commit()
    tools.wakeups.wake(shards)
    return StoredPlan(plan=plan, version=version + 1, is_new=False)
