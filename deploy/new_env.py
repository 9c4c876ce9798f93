"""Writes .env from .env.example, drawing each secret that is empty there. An .env that exists is kept.

    python3 deploy/new_env.py [DIRECTORY]

DIRECTORY (the repository's root by default) is where .env goes. Needs nothing but Python.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / ".env.example"
SECRET_BYTES = 32


def filled(example: str) -> str:
    """The example with 64 random hexadecimal digits for every variable without a value."""
    return re.sub(
        r"^([A-Z_]+)=$",
        lambda match: f"{match[1]}={secrets.token_hex(SECRET_BYTES)}",
        example,
        flags=re.MULTILINE,
    )


def main(directory: Path) -> int:
    """Write the file, readable by its owner alone, unless there is one already."""
    path = directory / ".env"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.stdout.write(f"{path} exists and stays as it is.\n")
        return 0
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(filled(EXAMPLE.read_text(encoding="utf-8")))
    sys.stdout.write(f"{path} written.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
