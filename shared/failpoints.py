"""Places where a process can be made to die at once, so that tests show what a crash there leaves behind.

What counts and answers follow from stands in `with around(Step...):`: commits, publishes, and writes of
projections. An operator's single decision (a dead letter, a duplicate, an opening balance) is one commit
with nothing behind it but a projection that is named, so it has no step; nor has what only notes something
(the last use of a key, a token, a job's run). Unarmed, which it always is but in such a test, that does
nothing. A process is armed for one edge of one step, when it starts, by
`NEEDLECAP_FAILPOINT` (`drain_commit.before`, or `drain_commit.before.3` for the third passage); there it
ends without any clean-up, as a killed one does.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Edge = Literal["before", "after"]
EDGES: tuple[Edge, ...] = ("before", "after")

#: What a process that died at a failpoint exits with: no signal, and no code of anything else here.
EXIT_CODE = 86


class Step(StrEnum):
    """Everything that a crash can come before or after."""

    # The API
    INBOX_COMMIT = "inbox_commit"
    BULK_COMMIT = "bulk_commit"
    CHECK_COMMIT = "check_commit"
    HOLD_COMMIT = "hold_commit"
    RELEASE_COMMIT = "release_commit"
    OVERRIDE_COMMIT = "override_commit"
    REVOKE_COMMIT = "revoke_commit"
    PLAN_COMMIT = "plan_commit"
    ENROLLMENT_COMMIT = "enrollment_commit"
    RULE_COMMIT = "rule_commit"
    AUDIT_COMMIT = "audit_commit"
    COUNTERS_SHOWN = "counters_shown"
    WAKE_FLAG = "wake_flag"
    WAKE_PUBLISH = "wake_publish"
    # The worker
    SHARD_CLAIM = "shard_claim"
    DRAIN_COMMIT = "drain_commit"
    SINGLE_COMMIT = "single_commit"
    FAILURE_COMMIT = "failure_commit"
    PROJECTION_WRITE = "projection_write"
    OUTBOX_COMMIT = "outbox_commit"
    EXPIRY_COMMIT = "expiry_commit"
    SWEEP_COMMIT = "sweep_commit"
    DRIFT_FORGET = "drift_forget"
    DRIFT_COMMIT = "drift_commit"
    PRUNE_COMMIT = "prune_commit"
    PERIOD_COMMIT = "period_commit"
    # The operator's commands
    REBUILD_COMMIT = "rebuild_commit"
    REBUILD_SHOWN = "rebuild_shown"
    RESTORE_COMMIT = "restore_commit"
    RECONCILE_FORGET = "reconcile_forget"
    RECONCILE_WRITE = "reconcile_write"
    MERGE_COMMIT = "merge_commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failpoint:
    """One edge of one step; the process dies at its `passage`-th time there, from 1."""

    step: Step
    edge: Edge
    passage: int = 1

    def __str__(self) -> str:
        """As the environment variable has it."""
        return f"{self.step}.{self.edge}.{self.passage}"


def parse_failpoint(text: str) -> Failpoint | None:
    """The failpoint that `STEP.EDGE` or `STEP.EDGE.PASSAGE` names. Raises ValueError; None for nothing."""
    if not text:
        return None
    step, _, rest = text.partition(".")
    named, _, passage = rest.partition(".")
    edge = next((edge for edge in EDGES if edge == named), None)
    if edge is None or (passage and not int(passage) >= 1):
        raise ValueError("no such failpoint")
    return Failpoint(step=Step(step), edge=edge, passage=int(passage or 1))


class _Trap:
    """The one failpoint that this process is armed for. Safe to share between threads."""

    def __init__(self, failpoint: Failpoint) -> None:
        self._failpoint = failpoint
        self._passages = itertools.count(1)

    @contextlib.contextmanager
    def around(self, step: Step) -> Iterator[None]:
        self._pass(step, "before")
        yield
        self._pass(step, "after")

    def _pass(self, step: Step, edge: Edge) -> None:
        armed = self._failpoint
        if (step, edge) == (armed.step, armed.edge) and next(self._passages) == armed.passage:
            os._exit(EXIT_CODE)


_NOTHING: AbstractContextManager[None] = contextlib.nullcontext()
_trap: _Trap | None = None


def arm(failpoint: Failpoint | None) -> None:
    """Have this process die at a failpoint; with None at none. Called where a process is put together."""
    global _trap  # noqa: PLW0603 - a process dies as a whole, so what arms it is the process's, too
    _trap = None if failpoint is None else _Trap(failpoint)


def around(step: Step) -> AbstractContextManager[None]:
    """Stands around a step. After a step that failed, its `after` is not passed."""
    return _NOTHING if _trap is None else _trap.around(step)
