"""The scene of the state machine: one payer's plans, limits and members, and how anything is done to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from services.coverage_api.auditing import CallAudit
from tests.machine.audit import Audit
from tests.machine.breakage import Crash
from tests.machine.subject import Subject
from tests.machine.told import Row, Told
from tests.model.worlds import often
from tests.rules import limit_row, plain_rules
from tests.traffic import PLANS

T = TypeVar("T")

MEMBERS = ("SAMPLE-1", "SAMPLE-2", "SAMPLE-3")
PLAN_IDS = tuple(PLANS)
#: Both sides of the turns of the plan years, and some days in between.
DATES = tuple(
    date.fromisoformat(text)
    for text in ("2025-12-31", "2026-01-01", "2026-03-04", "2026-03-05", "2026-07-01")
)
#: A limit of each kind in a plan of its own, small enough to be reached, and a pool above some.
LIMITS = (
    limit_row("needling", 1, plans=["by-arrival"]),
    limit_row("needling", 1, plans=["by-date"], ordering="service_date"),
    limit_row("needling", 1, plans=["days"], measure="service_day"),
    limit_row("needling", 3, plans=["units"], measure="unit"),
    limit_row("needling", 1, plans=["first"], basis="first_service_year"),
    limit_row("needling", 1, plans=["rolling"], basis="rolling_days", rolling_days=60),
    limit_row("needling", 1, plans=["changed"]),
    limit_row("pool", 2, plans=["by-arrival", "units", "changed"], pool=["20560", "20561", "97110"]),
)

dates = st.sampled_from(DATES)
#: Most things happen to one member, so that limits are reached.
members = st.sampled_from([MEMBERS[0], MEMBERS[0], *MEMBERS])


@st.composite
def spans(draw: st.DrawFn) -> list[Row]:
    """A member's enrollment: in one plan, in one after the other, or in none."""
    plans = draw(st.lists(st.sampled_from(PLAN_IDS), min_size=1, max_size=2, unique=True))
    if draw(often(False, True)):
        return []
    start = date(2024, 2, 29)
    if len(plans) == 1:
        return [{"plan": plans[0], "start": start, "end": draw(often(None, date(2026, 7, 1)))}]
    moved_on = draw(st.sampled_from([date(2026, 3, 5), date(2026, 7, 1)]))
    return [
        {"plan": plans[0], "start": start, "end": moved_on},
        {"plan": plans[1], "start": moved_on, "end": None},
    ]


class Scene(RuleBasedStateMachine):
    """One payer, set up anew for each example."""

    def __init__(self, subject: Subject) -> None:
        """Take up the service where the last example left it, in good order."""
        super().__init__()
        self.subject = subject
        self.steps = 0
        subject.store.calm()
        subject.counters.away = False
        subject.counters.written = []

    def settle_in(self, enrolled: dict[str, list[Row]]) -> None:
        """Plans of each kind, and members enrolled in them."""
        self.told = Told(
            rules=plain_rules(*LIMITS),
            plans={plan_id: dict(plan) for plan_id, plan in PLANS.items()},
            members=list(MEMBERS),
            spans=enrolled,
        )
        self.payer = self.subject.settle_in(self.told)
        self.audit = Audit(subject=self.subject, payer=self.payer, told=self.told)
        self.subject.change_rules(self.told.rules, [self.payer])

    def do(self, work: Callable[[], T]) -> T:
        """What `work` comes to; it is begun again if the process ended in its midst."""
        self.subject.pass_time()
        try:
            return work()
        except Crash:
            return work()
        finally:
            self.subject.store.calm()

    def call(self) -> CallAudit:
        """A call about this payer."""
        return self.subject.call(self.payer)

    def show(self, images: Any) -> None:
        """Show counters after a commit, if Redis is there."""
        if not self.subject.counters.away:
            self.subject.counters.project(images)
