"""What is measured, against what, and whether it is enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """The runs of one measurement, in the order they were made."""

    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The run in the middle."""
        return statistics.median(self.runs)

    def over(self, floor: Figure, *, in_turns: bool) -> Figure:
        """The ratio to another measurement: turn by turn if they were made so, else to its median."""
        if in_turns:
            return Figure(tuple(run / other for run, other in zip(self.runs, floor.runs, strict=True)))
        return Figure(tuple(run / floor.median for run in self.runs))

    def shown(self) -> str:
        """The median, and in brackets the lowest and highest run."""
        if len(self.runs) == 1:
            return _number(self.median)
        return f"{_number(self.median)} ({_number(min(self.runs))} to {_number(max(self.runs))})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a number must come to: at least, or at most, `target`; better still, `stretch`."""

    target: float
    stretch: float
    at_least: bool
    unit: str = ""

    def verdict(self, found: Figure) -> str:
        """Which of the two the median reached, and whether single runs say otherwise of the target."""
        reached = {self._reached(run, self.target) for run in found.runs}
        doubt = ", but not in every run" if self._reached(found.median, self.target) else ", but in some runs"
        if self._reached(found.median, self.stretch):
            said = "stretch"
        else:
            said = "yes" if self._reached(found.median, self.target) else "no"
        return said + (doubt if len(reached) > 1 else "")

    def shown(self, bound: float) -> str:
        """A bound as the table writes it."""
        return f"{'>=' if self.at_least else '<='} {_number(bound)}{self.unit}"

    def _reached(self, number: float, bound: float) -> bool:
        return number >= bound if self.at_least else number <= bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. Without a `floor` the goal is for the figure itself.

    `in_turns` says that the runs of figure and floor were made by turns, so that each has its partner.
    """

    what: str
    unit: str
    figure: Figure
    floor: Figure | None = None
    floor_name: str = ""
    in_turns: bool = True
    goal: Goal | None = None
    note: str = ""

    @property
    def judged(self) -> Figure:
        """What the goal is for."""
        return self.figure if self.floor is None else self.figure.over(self.floor, in_turns=self.in_turns)

    def cells(self) -> Sequence[str]:
        """The line's cells: what, measured, against, ratio, target, stretch, met."""
        against = f"{self.floor_name}: {self.floor.shown()}" if self.floor else ""
        ratio = self.judged.shown() if self.floor else ""
        goal = self.goal
        bounds = (goal.shown(goal.target), goal.shown(goal.stretch)) if goal else ("reported", "")
        verdict = goal.verdict(self.judged) if goal else ""
        return (self.what, f"{self.figure.shown()} {self.unit}".strip(), against, ratio, *bounds, verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A floor or a peer, for the table of them."""

    name: str
    unit: str
    figure: Figure
    note: str = ""


def _number(value: float) -> str:
    """Three significant figures at least, and no more digits than say something."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
