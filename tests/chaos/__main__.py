"""`python -m tests.chaos`: the whole service under load while its parts are killed, then an exact audit."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.report import lines_of
from tests.chaos.run import Plan, run

MINUTES = 10.0
CLIENTS = 6
#: So many members that each has some tens of events at the end: enough to reach every limit.
MEMBERS_A_MINUTE = 300
PAUSE_SECONDS = 0.1
#: The least and the most seconds between two disturbances: some fall into the recovery from the last.
MISCHIEF_PAUSES = (0.5, 6.0)


def main() -> int:
    """Run, report, and return 1 if anything at all is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("CHAOS_MINUTES") or MINUTES))
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("CHAOS_SEED") or secrets.randbelow(10**9))
    )
    parser.add_argument("--keep", action="store_true", help="leave data and logs for a look at them")
    options = parser.parse_args()
    plan = Plan(
        seed=options.seed,
        seconds=60 * options.minutes,
        clients=CLIENTS,
        members=max(100, int(MEMBERS_A_MINUTE * options.minutes)),
        pause_seconds=PAUSE_SECONDS,
        mischief_pauses=MISCHIEF_PAUSES,
    )
    directory = Path(tempfile.mkdtemp(prefix="needlecap-chaos-"))
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - began:5.0f} s] {text}\n")
        sys.stderr.flush()

    outcome = run(plan, directory, say)
    for line in lines_of(outcome):
        sys.stdout.write(line + "\n")
    if options.keep or not outcome.is_right:
        sys.stdout.write(f"data and logs: {directory}\n")
    else:
        shutil.rmtree(directory)
    return 0 if outcome.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
