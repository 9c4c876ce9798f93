"""The crash matrix: of each step, what leads to it, what is done again afterwards, and how it has to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.failpoints import EDGES, Edge, Failpoint, Step
from shared.messages import CLOSE_PERIODS, EXPIRE_HOLDS, PRUNE_AUDIT, SAMPLE_DRIFT, SWEEP
from tests.builders import PAYER
from tests.crashes.scenes import (
    Scene,
    ask_check,
    counted,
    damaged,
    end_enrollment,
    heal,
    hold_due,
    hold_first,
    long_over,
    member_file,
    merge_file,
    override_first,
    own_plan,
    own_plan_renamed,
    poisoned,
    release,
    rename_plan,
    report_one,
    revoke,
    rule_document,
    search_accumulators,
    stream,
    two_members,
    wrongly_shown,
)
from tests.crashes.site import Request

Json = dict[str, Any]
Process = Literal["api", "worker", "command"]
#: What a case of the worker sends it, beside the wake-ups of its events.
TASKS: Mapping[Step, str] = {
    Step.SWEEP_COMMIT: SWEEP,
    Step.EXPIRY_COMMIT: EXPIRE_HOLDS,
    Step.DRIFT_FORGET: SAMPLE_DRIFT,
    Step.DRIFT_COMMIT: SAMPLE_DRIFT,
    Step.PRUNE_COMMIT: PRUNE_AUDIT,
    Step.PERIOD_COMMIT: CLOSE_PERIODS,
}


def _nothing(_scene: Scene) -> None:
    """Nothing has to be there."""


def _no_request(_scene: Scene) -> Request:
    raise AssertionError("only cases of the API make a request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A step as it is come to.

    `taken` are the units used and held in the end, and the entries of the ledger; `effects` counts what
    has to be there once. `repeats_show` says that what was committed without an answer stays beside what
    the repeat commits, as answers that were recorded do.
    """

    step: Step
    process: Process
    prepare: Callable[[Scene], None] = _nothing
    request: Callable[[Scene], Request] = _no_request
    arguments: Callable[[Scene], list[str]] = lambda _scene: []
    repair: Callable[[Scene], None] = _nothing
    taken: tuple[int, int, int] = (0, 0, 0)
    effects: str | None = None
    repeats_show: bool = False
    label: str = ""

    @property
    def name(self) -> str:
        """What the case is called."""
        return f"{self.step}{self.label}"


_EVENTS = "select count(*) from visit_event where member_id = %s"
_HOLDS = "select count(*) from hold where member_id = %s"
_ENDED = "select count(*) from hold where member_id = %s and state <> 'pending'"
_GRANTS = "select count(*) from override_grant where member_id = %s"

CASES: tuple[Case, ...] = (
    Case(
        step=Step.INBOX_COMMIT,
        process="api",
        request=report_one("/v1/visit-events", 202),
        taken=(1, 0, 1),
        effects=_EVENTS,
    ),
    Case(
        step=Step.BULK_COMMIT,
        process="api",
        request=stream,
        taken=(5, 0, 5),
        effects=_EVENTS.replace("count(*)", "count(*) - 4"),
    ),
    Case(
        step=Step.CHECK_COMMIT,
        process="api",
        request=ask_check,
        effects="select count(*) from determination where request->>'member_id' = %s",
        repeats_show=True,
    ),
    Case(step=Step.HOLD_COMMIT, process="api", request=Scene.hold, taken=(0, 1, 1), effects=_HOLDS),
    Case(step=Step.COUNTERS_SHOWN, process="api", request=Scene.hold, taken=(0, 1, 1), effects=_HOLDS),
    Case(
        step=Step.RELEASE_COMMIT,
        process="api",
        prepare=hold_first,
        request=release,
        taken=(0, 0, 2),
        effects=_ENDED,
    ),
    Case(step=Step.OVERRIDE_COMMIT, process="api", request=Scene.override, effects=_GRANTS),
    Case(
        step=Step.REVOKE_COMMIT,
        process="api",
        prepare=override_first,
        request=revoke,
        effects=f"{_GRANTS} and revoked_at is not null",
    ),
    Case(
        step=Step.PLAN_COMMIT,
        process="api",
        prepare=own_plan,
        request=rename_plan,
        taken=(2, 0, 2),
        effects="select version - 1 from plan where plan_id ="
        " (select plan_id from enrollment where member_id = %s)",
    ),
    Case(
        step=Step.ENROLLMENT_COMMIT,
        process="api",
        prepare=counted(1),
        request=end_enrollment,
        taken=(0, 0, 2),
        effects="select count(*) from enrollment where member_id = %s and ends_on = '2026-01-01'",
    ),
    Case(
        step=Step.RULE_COMMIT,
        process="api",
        request=rule_document,
        effects="select count(*) from rule_document where activated_in is not null"
        " and document_id = 'crash-' || replace(lower(substr(%s, 14)), '_', '-')",
    ),
    Case(
        step=Step.AUDIT_COMMIT,
        process="api",
        request=search_accumulators,
        effects="select count(*) from audit_entry where request_id = lower(substr(%s, 14))",
        repeats_show=True,
    ),
    Case(
        step=Step.WAKE_FLAG,
        process="api",
        request=report_one("/v1/visit-events", 202),
        taken=(1, 0, 1),
        effects=_EVENTS,
    ),
    Case(
        step=Step.WAKE_PUBLISH,
        process="api",
        request=report_one("/v1/visit-events", 202),
        taken=(1, 0, 1),
        effects=_EVENTS,
    ),
    *(
        Case(
            step=step, process="worker", prepare=lambda scene: scene.report(3), taken=(3, 0, 3), effects=None
        )
        for step in (
            Step.SHARD_CLAIM,
            Step.DRAIN_COMMIT,
            Step.PROJECTION_WRITE,
            Step.OUTBOX_COMMIT,
            Step.SWEEP_COMMIT,
            Step.PRUNE_COMMIT,
        )
    ),
    Case(
        step=Step.DRAIN_COMMIT,
        label="_of_a_refold",
        process="worker",
        prepare=own_plan_renamed,
        taken=(2, 0, 2),
    ),
    Case(step=Step.SINGLE_COMMIT, process="worker", prepare=poisoned, repair=heal, taken=(4, 0, 4)),
    Case(step=Step.FAILURE_COMMIT, process="worker", prepare=poisoned, repair=heal, taken=(4, 0, 4)),
    Case(step=Step.EXPIRY_COMMIT, process="worker", prepare=hold_due, taken=(0, 0, 2), effects=_ENDED),
    Case(step=Step.PERIOD_COMMIT, process="worker", prepare=long_over, taken=(1, 0, 1)),
    Case(step=Step.DRIFT_FORGET, process="worker", prepare=wrongly_shown, taken=(1, 0, 1)),
    Case(step=Step.DRIFT_COMMIT, process="worker", prepare=wrongly_shown, taken=(1, 0, 1)),
    *(
        Case(
            step=step,
            process="command",
            prepare=damaged,
            arguments=lambda scene: ["rebuild", "--payer", PAYER, "--member-file", member_file(scene)],
            taken=(2, 0, 2),
        )
        for step in (Step.REBUILD_COMMIT, Step.REBUILD_SHOWN)
    ),
    Case(
        step=Step.RESTORE_COMMIT,
        process="command",
        prepare=damaged,
        arguments=lambda scene: [
            *("rebuild", "--from-ledger", "--payer", PAYER, "--member-file", member_file(scene))
        ],
        taken=(2, 0, 2),
    ),
    *(
        Case(
            step=step,
            process="command",
            prepare=wrongly_shown,
            arguments=lambda _scene: ["reconcile", "--payer", PAYER],
            taken=(1, 0, 1),
        )
        for step in (Step.RECONCILE_FORGET, Step.RECONCILE_WRITE)
    ),
    Case(
        step=Step.MERGE_COMMIT,
        process="command",
        prepare=two_members,
        arguments=lambda scene: [
            *("members", "merge", "--payer", PAYER),
            *("--member-ids-file", merge_file(scene), "--reason", "one person"),
        ],
        taken=(2, 0, 2),
    ),
)

MATRIX: tuple[tuple[Case, Edge], ...] = tuple((case, edge) for case in CASES for edge in EDGES)


def failpoint_of(case: Case, edge: Edge) -> Failpoint:
    """Where a process of the case is to die."""
    return Failpoint(step=case.step, edge=edge)
