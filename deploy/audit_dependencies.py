"""Audit the locked dependencies: each has hashes, and none has a known vulnerability.

The first is checked from the files alone. For the second `uv audit` asks an advisory service (osv.dev, or
the one that `--service-url` names); where none can be reached, that is said, and the exit code is 2: a lock
that nobody looked up is not a lock without vulnerabilities.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = (ROOT / "requirements.lock", *sorted((ROOT / "deploy" / "images").glob("requirements-*.txt")))

FOUND, NOT_AUDITED = 1, 2
SECONDS_MAX = 300

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+==[^\s;]+)\s*(;[^\\]+)?", re.ASCII)


def requirements(text: str) -> Iterator[tuple[str, int]]:
    """Each requirement of a lock, with its marker, and how many hashes it has."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        match = _REQUIREMENT.match(block)
        if match:
            marker = f" {match[2].strip()}" if match[2] else ""
            yield match[1] + marker, block.count("--hash=sha256:")


def unhashed(paths: Sequence[Path]) -> list[str]:
    """Requirements that could be anything of their name, since no hash says what they are."""
    return [
        f"{path.name}: {name}"
        for path in paths
        for name, hashes in requirements(path.read_text(encoding="utf-8"))
        if not hashes
    ]


def main(options: Sequence[str]) -> int:
    """Audit; 0 if nothing is wrong and everything was looked at."""
    bare = unhashed(LOCKS)
    for line in bare:
        sys.stderr.write(f"no hash: {line}\n")
    names = [name for name, _ in requirements(LOCKS[0].read_text(encoding="utf-8"))]
    sys.stdout.write(f"{len(names)} locked requirements, each with hashes: {'no' if bare else 'yes'}\n")
    with tempfile.TemporaryDirectory() as directory:
        listed = "".join(f"    {name!r},\n" for name in names)
        Path(directory, "pyproject.toml").write_text(
            '[project]\nname = "audited"\nversion = "0"\nrequires-python = ">=3.11"\n'
            f"dependencies = [\n{listed}]\n",
            encoding="utf-8",
        )
        uv = Path(sys.executable).with_name("uv")
        audit = subprocess.run(  # noqa: S603 - our own tool, with what the caller of this script gave
            [uv, "audit", "--no-config", "--project", directory, *options],
            cwd=directory,
            check=False,
            timeout=SECONDS_MAX,
        )
    if audit.returncode == FOUND:
        return FOUND
    if audit.returncode:
        sys.stderr.write("NOT AUDITED for known vulnerabilities: no advisory service could be asked.\n")
        return NOT_AUDITED
    return FOUND if bare else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
