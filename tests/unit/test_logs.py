"""Log lines are JSON and tell of an exception what happened where, never what its text says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shared.adapters.logs import described


def fail() -> None:
    """Raise something whose text speaks of a person."""
    raise ValueError("Key (member_id)=(SAMPLE-1) already exists.")


def test_exception_is_described_by_kind_and_place_alone() -> None:
    """The text of an exception, which a driver fills with rows, is not in the log (I8)."""
    with pytest.raises(ValueError, match="SAMPLE-1") as raised:
        fail()
    fields = described(raised.value)
    assert fields["kind"] == "ValueError"
    assert fields["raised_at"][-1].startswith(f"{__name__}:")
    assert "SAMPLE-1" not in json.dumps(fields)


PROGRAM = """
import logging, warnings, structlog
from shared.adapters.logs import configure_logs
configure_logs("warning")
structlog.get_logger().warning("ours", shard=3)
structlog.get_logger().info("not shown")
logging.getLogger("lib").info("not shown either")
try:
    raise ValueError("SAMPLE-1")
except ValueError:
    logging.getLogger("lib").exception("it %s\\nwith SAMPLE-2", "broke")
warnings.warn("old")
"""


def test_our_lines_and_libraries_lines_are_json_of_one_form() -> None:
    """Everything a process says is a JSON object a line, with level, time and a constant event."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=True
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["ours", "library_message", "library_message"]
    assert lines[0]["shard"] == 3
    assert (lines[1]["logger"], lines[1]["message"], lines[1]["kind"]) == ("lib", "it broke", "ValueError")
    assert "old" in lines[2]["message"]
    assert all({"level", "timestamp"} <= line.keys() for line in lines)
    assert "SAMPLE" not in ran.stdout + ran.stderr
