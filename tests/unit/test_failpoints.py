"""Failpoints: a closed list of names, nothing at all unarmed, and the end of the process where armed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from environs import Env

from shared import failpoints
from shared.adapters.environment import SettingsError, failpoint_in
from shared.failpoints import EDGES, EXIT_CODE, Failpoint, Step, around, parse_failpoint

PASSING = """
from shared.failpoints import Step, arm, around, parse_failpoint
arm(parse_failpoint({armed!r}))
for _ in range(2):
    with around(Step.DRAIN_COMMIT):
        print("done", flush=True)
print("lived", flush=True)
"""


@pytest.mark.parametrize(
    ("armed", "said"),
    [
        ("", ["done", "done", "lived"]),
        ("hold_commit.before", ["done", "done", "lived"]),
        ("drain_commit.before", []),
        ("drain_commit.after", ["done"]),
        ("drain_commit.before.2", ["done"]),
        ("drain_commit.after.3", ["done", "done", "lived"]),
    ],
)
def test_process_dies_at_the_armed_edge_and_nowhere_else(armed: str, said: list[str]) -> None:
    """Before or after the step, at the passage that was asked for."""
    code = PASSING.format(armed=armed)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == said
    assert done.returncode == (0 if "lived" in said else EXIT_CODE)


def test_unarmed_points_share_one_thing_that_does_nothing() -> None:
    """Nothing is made, looked up or counted where nothing is armed."""
    assert around(Step.DRAIN_COMMIT) is around(Step.HOLD_COMMIT) is failpoints._NOTHING


def test_every_name_is_read_back() -> None:
    """What a failpoint is called in the environment is what it was."""
    for step in Step:
        for edge in EDGES:
            named = Failpoint(step=step, edge=edge, passage=3)
            assert parse_failpoint(str(named)) == named
    assert parse_failpoint("") is None


@pytest.mark.parametrize(
    "text", ["x", "drain_commit", "drain_commit.during", "x.before", "drain_commit.after.0"]
)
def test_unknown_names_are_refused_at_the_start(text: str) -> None:
    """A slip of the pen must not pass for a crash that did no harm."""
    with pytest.raises(ValueError, match=r"no such failpoint|not a valid Step"):
        parse_failpoint(text)


def test_refusal_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As every fault of the environment does."""
    monkeypatch.setenv("NEEDLECAP_FAILPOINT", "somewhere")
    with pytest.raises(SettingsError, match="NEEDLECAP_FAILPOINT"):
        failpoint_in(Env())
