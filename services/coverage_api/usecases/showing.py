"""What follows a commit that changed counts: their Redis counters are brought up to date, if that can be."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from services.coverage_api.ports import Tools
from shared.domain.errors import CountersUnavailable
from shared.domain.records import CounterImage
from shared.failpoints import Step, around


def show_counters(tools: Tools, images: Sequence[CounterImage]) -> None:
    """Write the counters after the commit. What cannot be written now, the worker's sweep finds (I5)."""
    if images:
        with contextlib.suppress(CountersUnavailable), around(Step.COUNTERS_SHOWN):
            tools.counters.project(images)
