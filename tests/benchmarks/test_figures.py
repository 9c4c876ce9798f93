"""What the benchmark says of its figures: medians, ratios turn by turn, and whether a goal was met."""

from __future__ import annotations

import pytest

from deploy.benchmarks.figures import Figure, Goal, Row
from deploy.benchmarks.report import targets_table


def test_figure_shows_its_median_and_spread() -> None:
    """One slow run neither hides nor decides."""
    assert Figure((1200.0, 900.0, 1000.0)).shown() == "1,000 (900 to 1,200)"
    assert Figure((0.125,)).shown() == "0.125"


def test_ratio_is_taken_turn_by_turn() -> None:
    """A machine that was slow for one turn was slow for both sides of it."""
    assert Figure((10.0, 20.0)).over(Figure((100.0, 200.0)), in_turns=True).runs == (0.1, 0.1)


def test_ratio_of_runs_made_one_after_the_other_is_to_the_median() -> None:
    """What was not measured in turns has no pairs, however many runs there are."""
    assert Figure((10.0, 30.0, 20.0)).over(Figure((1.0, 2.0, 9.0)), in_turns=False).runs == (5.0, 15.0, 10.0)


@pytest.mark.parametrize(
    ("number", "at_least", "at_most"),
    [(0.1, "no", "stretch"), (0.2, "yes", "stretch"), (0.4, "stretch", "yes"), (0.6, "stretch", "no")],
)
def test_goal_is_met_at_its_bound(number: float, at_least: str, at_most: str) -> None:
    """At least 0.2 and better 0.4; at most 0.4 and better 0.2."""
    assert Goal(target=0.2, stretch=0.4, at_least=True).verdict(Figure((number,))) == at_least
    assert Goal(target=0.4, stretch=0.2, at_least=False).verdict(Figure((number,))) == at_most


def test_verdict_says_when_single_runs_contradict_it() -> None:
    """A median between runs on both sides of the target proves little."""
    goal = Goal(target=0.2, stretch=0.4, at_least=True)
    assert goal.verdict(Figure((0.1, 0.3, 0.5))) == "yes, but not in every run"
    assert goal.verdict(Figure((0.1, 0.1, 0.5))) == "no, but in some runs"


def test_row_is_judged_by_its_ratio_where_it_has_a_floor() -> None:
    """The table shows what was measured, against what, and the verdict."""
    goal = Goal(target=0.15, stretch=0.25, at_least=True)
    row = Row(
        what="check",
        unit="req/s",
        figure=Figure((200.0,)),
        floor=Figure((1000.0,)),
        floor_name="no-op",
        goal=goal,
    )
    assert targets_table([row]).splitlines()[-1] == (
        "| check | 200 req/s | no-op: 1,000 | 0.2 | >= 0.15 | >= 0.25 | yes |"
    )
