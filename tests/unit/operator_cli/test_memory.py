"""How much memory the embedded PostgreSQL keeps pages in."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from services.operator_cli.runner.memory import MIB, pages_mib, usable_bytes


@pytest.mark.parametrize(
    ("memory_mib", "pages"),
    [(256, 128), (1024, 128), (2048, 256), (4096, 512), (8192, 1024), (24 * 1024, 1024)],
)
def test_pages_take_an_eighth_of_the_memory_within_bounds(memory_mib: int, pages: int) -> None:
    """At least what PostgreSQL takes by itself, at most what a million members need."""
    assert pages_mib(memory_mib * MIB) == pages


def test_a_container_has_the_memory_that_it_may_take(tmp_path: Path) -> None:
    """The least of all limits counts; one that is not there, or says that there is none, is none."""
    unlimited, limited = tmp_path / "memory.max", tmp_path / "limit_in_bytes"
    unlimited.write_text("max\n")
    limited.write_text(f"{64 * MIB}\n")
    assert usable_bytes([unlimited, limited, tmp_path / "missing"]) == 64 * MIB


def test_without_a_limit_all_memory_of_the_machine_may_be_used(tmp_path: Path) -> None:
    """Where no file speaks of a limit, or it is beyond what there is."""
    beyond = tmp_path / "limit_in_bytes"
    beyond.write_text(str(2**63))
    assert usable_bytes([tmp_path / "missing"]) == psutil.virtual_memory().total
    assert usable_bytes([beyond]) == psutil.virtual_memory().total
