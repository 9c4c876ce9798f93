"""The results as Markdown: machine, versions, date, the table of targets, floors and peers, and notes."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path

import psutil
import psycopg

from deploy.benchmarks.figures import Peer, Row
from deploy.benchmarks.footprint import Idle
from deploy.benchmarks.stack import DURABLE, Stack, redis_client

PACKAGES = ("flask", "granian", "marshmallow", "orjson", "psycopg", "redis", "celery")
_OPENING = """Measured on {day} by `make bench` at commit {commit}; README.md says how. Nothing here is
estimated, and nothing was measured with durability off. A target was set before anything was
measured, mostly as a share of what a floor or a peer does in the same run; a stretch is what we
would like."""
_HEAD = ("what", "measured, median (lowest to highest run)", "against", "ratio", "target", "stretch", "met")


def this_commit() -> str:
    """The commit that is measured, and whether anything was changed since; not known outside of a clone."""
    try:
        found = subprocess.run(
            ("git", "describe", "--always", "--dirty"),  # noqa: S607 - whichever git the machine has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def machine_lines(stack: Stack, database_url: str) -> list[str]:
    """What it ran on: nothing that names the machine or a place on it."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("show server_version").fetchone()
        names = (*DURABLE, "shared_buffers", "min_wal_size")
        settings = [f"{name} {_setting(connection, name)}" for name in names]
    client = redis_client(stack.valkey.url())
    valkey = client.info("server")
    client.close()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    servers = (
        f"Python {platform.python_version()}, PostgreSQL {row[0] if row else '?'},"
        f" Valkey {valkey.get('valkey_version', valkey['redis_version'])}"
    )
    memory_gib = psutil.virtual_memory().total / 2**30
    return [
        f"- Processor: {_processor()}, {os.cpu_count()} cores, of which the benchmark uses two",
        f"- Memory: {memory_gib:.0f} GiB; {platform.system()} {platform.release().split('-')[0]}",
        f"- {servers}",
        f"- {versions}",
        f"- PostgreSQL: {', '.join(settings)}; Valkey: append-only file, flushed each second",
    ]


def _setting(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute("select current_setting(%s)", [name]).fetchone()
    return str(row[0]) if row else "?"


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def targets_table(rows: Sequence[Row]) -> str:
    """The table of targets."""
    return table(_HEAD, (row.cells() for row in rows))


def peers_table(peers: Sequence[Peer]) -> str:
    """The table of floors and peers; lines for further ones can be added by hand or by code."""
    return table(
        ("floor or peer", "median (lowest to highest run)", "note"),
        ((peer.name, f"{peer.figure.shown()} {peer.unit}", peer.note) for peer in peers),
    )


def idle_table(idle: Sequence[Idle]) -> str:
    """The processes when nothing happens."""
    return table(
        ("idle", "processes", "threads", "memory (PSS)", "of one core"),
        (
            (
                part.name,
                str(part.processes),
                str(part.threads),
                f"{part.memory_mib:.0f} MiB",
                f"{part.core_percent:.1f}%",
            )
            for part in idle
        ),
    )


def notes(rows: Sequence[Row]) -> list[str]:
    """What the rows' notes say, as list items."""
    return [f"- {row.what}: {row.note}" for row in rows if row.note]


def document(
    *,
    at: datetime,
    commit: str,
    machine: Sequence[str],
    rows: Sequence[Row],
    peers: Sequence[Peer],
    idle: Sequence[Idle],
) -> str:
    """The whole file."""
    parts = [
        "# Benchmark results",
        _OPENING.format(day=f"{at:%Y-%m-%d}", commit=commit),
        "\n".join(machine),
        "## Against the targets",
        targets_table(rows),
        "\n".join(notes(rows)),
        "## Floors and peers, in the same run",
        peers_table(peers),
        "## Idle",
        idle_table(idle),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
