"""An operator who rebuilds, reconciles and verifies while all of it goes on."""

from __future__ import annotations

import random
import re
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.calls import Tally
from tests.running import NEEDLECAP

PAUSE_SECONDS = (2.0, 20.0)
COMMAND_SECONDS_MAX = 300
#: The commands, and what has to be nothing in what each says at its end.
COMMANDS: Mapping[tuple[str, ...], str] = {
    ("rebuild",): r"differing members: (\d+), visits not as their events say: (\d+)",
    ("rebuild", "--check"): r"differing members: (\d+), visits not as their events say: (\d+)",
    ("reconcile",): r"accumulators not as the ledger says: (\d+)",
    ("ledger", "verify"): r"members with a fault: (\d+)",
}
#: A command that meets a server that is away says so, and is called again some time.
AWAY = ("cannot answer", "cannot be reached")


def operate(
    environment: Mapping[str, str], directory: Path, dice: random.Random, tally: Tally, over: threading.Event
) -> None:
    """Call one command after the other until it is `over`; what any of them finds is a fault."""
    while not over.wait(dice.uniform(*PAUSE_SECONDS)):
        command = dice.choice(list(COMMANDS))
        done = subprocess.run(
            [NEEDLECAP, *command, "--data-dir", directory],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS_MAX,
        )
        said = done.stdout + done.stderr
        if done.returncode and any(words in said for words in AWAY):
            tally.count("commands that met a server away")
            continue
        found = re.search(COMMANDS[command], said)
        if done.returncode or found is None or any(int(number) for number in found.groups()):
            tally.fault(f"needlecap {' '.join(command)}, code {done.returncode}: {said[-400:]}")
        else:
            tally.count("commands")
