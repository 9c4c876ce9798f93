"""What the service takes up: Valkey's memory per member, and its processes when nothing happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import psutil

from deploy.benchmarks.figures import Figure, Goal, Row
from deploy.benchmarks.stack import Site, redis_client

COUNTERS = b"nc:*"


class NoCounters(Exception):
    """There is nothing to weigh."""


def counter_keys(site: Site) -> list[bytes]:
    """The keys of all counters of a site."""
    client = redis_client(site.redis_url)
    found = list(client.scan_iter(match=COUNTERS, count=1000))
    client.close()
    return found


def measure_counter_bytes(site: Site) -> Row:
    """What the server's memory shrinks by when all counters are deleted, per counter. They come back."""
    client = redis_client(site.redis_url)
    keys = counter_keys(site)
    if not keys:
        raise NoCounters
    before = _used_memory(client)
    for start in range(0, len(keys), 1000):
        client.delete(*keys[start : start + 1000])
    client.memory_purge()
    after = _used_memory(client)
    client.close()
    return Row(
        what="Valkey memory per member with one active counter",
        unit=f"bytes, of {len(keys):,} members",
        figure=Figure(((before - after) / len(keys),)),
        goal=Goal(target=200, stretch=120, at_least=False, unit=" bytes"),
    )


def _used_memory(client: Any) -> int:
    return int(cast("dict[str, int]", client.info("memory"))["used_memory"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """One part of the service while nothing happens."""

    name: str
    processes: int
    threads: int
    memory_mib: float
    core_percent: float


def measure_idle(pids: Mapping[str, int], seconds: float) -> list[Idle]:
    """Each part's processes, memory (its share of shared pages counted, PSS) and use of a core.

    Of what is there at the end; a connection's server process may end meanwhile.
    """
    before = {name: _cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    return [_idle(name, pid, before[name], seconds) for name, pid in pids.items()]


def _idle(name: str, pid: int, before: Mapping[int, float], seconds: float) -> Idle:
    after = _cpu_seconds(pid)
    threads, memory = 0, 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            threads += process.num_threads()
            memory += process.memory_full_info().pss
    return Idle(
        name=name,
        processes=len(after),
        threads=threads,
        memory_mib=memory / 2**20,
        core_percent=sum(used - before.get(at, 0.0) for at, used in after.items()) * 100 / seconds,
    )


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _cpu_seconds(pid: int) -> dict[int, float]:
    """Processor seconds so far, of each process of a tree by its id."""
    found = {}
    for process in _tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    return found


def idle_row(found: list[Idle]) -> Row:
    """The line of API, worker and beat together."""
    ours = [part for part in found if part.name in {"api", "worker", "beat"}]
    return Row(
        what="idle: API + worker + beat",
        unit=f"MiB in {sum(part.processes for part in ours)} processes",
        figure=Figure((sum(part.memory_mib for part in ours),)),
    )
