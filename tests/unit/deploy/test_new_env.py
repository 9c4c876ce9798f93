"""The script that draws the secrets of an installation in containers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploy.new_env import EXAMPLE, ROOT, main


def _values(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_every_empty_value_is_drawn_and_no_other_changed(tmp_path: Path) -> None:
    """Secrets are random and different from each other; settings with a default keep it."""
    assert main(tmp_path) == 0
    example, written = _values(EXAMPLE), _values(tmp_path / ".env")
    secrets = [written[name] for name, value in example.items() if not value]
    assert len(secrets) == 4
    assert len(set(secrets)) == 4
    assert all(len(bytes.fromhex(secret)) == 32 for secret in secrets)
    assert {name: written[name] for name, value in example.items() if value} == {
        name: value for name, value in example.items() if value
    }


def test_file_is_the_owners_alone_and_never_replaced(tmp_path: Path) -> None:
    """Nobody else can read it, and a second run cannot lose the secrets of a running installation."""
    assert main(tmp_path) == 0
    before = (tmp_path / ".env").read_text()
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert main(tmp_path) == 0
    assert (tmp_path / ".env").read_text() == before


def test_script_needs_nothing_but_python(tmp_path: Path) -> None:
    """It runs before anything is installed."""
    script = ROOT / "deploy" / "new_env.py"
    subprocess.run([sys.executable, "-I", "-S", script, tmp_path], check=True, capture_output=True)
    assert (tmp_path / ".env").exists()
