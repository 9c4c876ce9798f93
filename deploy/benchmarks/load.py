"""Load from another process: runs `load_client.py` on the other core and reads what it found."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.benchmarks.commands import output_of
from deploy.benchmarks.cores import Cores
from deploy.benchmarks.load_client import Result
from services.operator_cli.runner.ports import LOOPBACK

CLIENT = Path(__file__).with_name("load_client.py")
CONNECTIONS = 32
#: A client that is this busy may be what is measured.
CLIENT_SHARE_MAX_PERCENT = 85


class UnexpectedAnswers(Exception):
    """The server answered something else than the measurement expects, or the client had no time left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A call of a running API."""

    port: int
    path: str
    key: str
    expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a load came to. Latencies in microseconds; `answered_at_ns` on the machine's monotonic clock."""

    per_second: float
    p99_us: int
    client_share_percent: int
    answered_at_ns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How to send: for `seconds`, or each body once. `per_second` paces; `stamps` notes when.

    With `warming` nothing is counted, so the answers may be refusals too, while a server fills its pools.
    """

    seconds: float
    repeat: bool = True
    per_second: int | None = None
    stamps: bool = False
    warming: bool = False


def drive(target: Target, bodies: Sequence[str], load: Load, cores: Cores) -> Answers:
    """Send bodies to a call. Raises UnexpectedAnswers."""
    result = _run_client(target, bodies, load, cores)
    if set(result.statuses) != {str(target.expected)} and not load.warming:
        raise UnexpectedAnswers(f"{target.path}: {result.statuses}\n{result.first_answer[:2000]}")
    share = result.client_core_share_percent
    if share > CLIENT_SHARE_MAX_PERCENT:
        raise UnexpectedAnswers(f"{target.path}: the client used {share} percent of its core")
    return Answers(
        per_second=result.answered / result.seconds,
        p99_us=result.p99_us,
        client_share_percent=share,
        answered_at_ns=tuple(result.answered_at_ns),
    )


def _run_client(target: Target, bodies: Sequence[str], load: Load, cores: Cores) -> Result:
    job = {
        "host": LOOPBACK,
        "port": target.port,
        "path": target.path,
        "headers": {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"},
        "bodies": list(bodies),
        "connections": CONNECTIONS,
        "seconds": load.seconds,
        "repeat": load.repeat,
        "per_second": load.per_second,
        "stamps": load.stamps,
    }
    text = output_of(
        (sys.executable, str(CLIENT)), [cores.other], seconds_max=load.seconds + 60, given=json.dumps(job)
    )
    return Result(**json.loads(text))
