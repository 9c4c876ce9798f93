"""The table of counter cases names every case once, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
TABLE = TESTS / "counter_cases.md"


def test_table_names_every_case_once() -> None:
    """Forty-five cases, in order, each with a test or a reason."""
    rows = re.findall(r"^\| (E\d+) \| .+ \| (.+) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [case for case, _ in rows] == [f"E{n:02}" for n in range(1, 46)]
    assert all(len(told) > 20 for _, told in rows)


def test_table_names_tests_that_exist() -> None:
    """Each test it names is defined somewhere in the suite."""
    sources = "".join(file.read_text(encoding="utf-8") for file in TESTS.rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)\(", sources, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", TABLE.read_text(encoding="utf-8")))
    assert named
    assert not named - defined
