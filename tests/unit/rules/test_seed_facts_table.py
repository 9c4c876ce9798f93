"""The table of seed facts names every fact once, and only tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TABLE = Path(__file__).parents[2] / "seed_facts.md"
TESTS = Path(__file__).parent


def test_table_names_every_fact_and_contradiction_once() -> None:
    """Sixty facts and ten contradictions, in order."""
    ids = re.findall(r"^\| ([FX]\d+) \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert ids == [f"F{n:02}" for n in range(1, 61)] + [f"X{n}" for n in range(1, 11)]


def test_table_names_tests_that_exist() -> None:
    """Each test it names is defined, and each fact's test is in the table."""
    table = TABLE.read_text(encoding="utf-8")
    sources = "".join(file.read_text(encoding="utf-8") for file in TESTS.glob("test_seed_*.py"))
    defined = set(re.findall(r"^def (test_[fx]\d\d_\w+)", sources, re.MULTILINE))
    assert set(re.findall(r"`(test_[fx]\d\d_\w+)`", table)) == defined
