"""`make bench`: measure the service beside its floors and peers, and write down what was found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from deploy.benchmarks.cores import two_cores
from deploy.benchmarks.plan import FULL, QUICK
from deploy.benchmarks.report import document, peers_table, targets_table, this_commit
from deploy.benchmarks.session import FILLED_PARTS, PARTS, Session
from deploy.benchmarks.stack import Stack

RESULTS = Path(__file__).with_name("RESULTS.md")
ONLY_HELP = f"""these parts alone; nothing is written. {", ".join(FILLED_PARTS)} ask a database with visits:
without inbox its streams and drains are run first, and not shown"""


def main() -> None:
    """Run what the arguments ask for."""
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    if arguments.large is not None:
        plan = replace(plan, large_members=arguments.large)
    began, commit = time.monotonic(), this_commit()

    def say(text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - began:5.0f} s] {text}\n")
        sys.stderr.flush()

    with tempfile.TemporaryDirectory(prefix="needlecap-bench-") as directory:
        stack = Stack(Path(directory), two_cores())
        with stack.running():
            session = Session(stack, plan, say)
            session.run(arguments.only or PARTS)
            text = document(
                at=datetime.now(UTC),
                commit=commit,
                machine=session.machine,
                rows=session.rows,
                peers=session.peers,
                idle=session.idle,
            )
    sys.stdout.write(f"{targets_table(session.rows)}\n\n{peers_table(session.peers)}\n")
    if not arguments.quick and not arguments.only:
        RESULTS.write_text(text, encoding="utf-8")
        say(f"written: {RESULTS.name}")
    say("done")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="about a minute, one run of each, nothing written"
    )
    parser.add_argument("--large", type=int, help="members of the large database")
    parser.add_argument("--only", nargs="+", choices=PARTS, help=ONLY_HELP)
    return parser.parse_args()


if __name__ == "__main__":
    main()
