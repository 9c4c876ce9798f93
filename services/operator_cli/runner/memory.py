"""How much of the machine's memory PostgreSQL may keep pages in (`shared_buffers`)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

MIB = 1024 * 1024
#: PostgreSQL gets one of so many parts, which leaves room for the services, and for the files that the
#: operating system keeps in memory besides. Only pages that are touched take any.
PARTS_OF_MEMORY = 8
#: PostgreSQL's own default.
PAGES_MIB_MIN = 128
#: A million members, their enrollments and the indexes of both are 340 MiB; what is written for their visits
#: stays beside them until a checkpoint. With 256 MiB whoever read a page had to write another one out first.
PAGES_MIB_MAX = 1024

#: Where Linux says what a container may take: by the second version of control groups, and by the first.
CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def pages_mib(memory_bytes: int) -> int:
    """MiB in which PostgreSQL keeps pages, where so much memory may be used."""
    return min(max(memory_bytes // PARTS_OF_MEMORY // MIB, PAGES_MIB_MIN), PAGES_MIB_MAX)


def usable_bytes(limits: Iterable[Path] = CONTAINER_LIMITS) -> int:
    """The machine's memory, or what this container may take of it: each of `limits` that is there says so."""
    return min([psutil.virtual_memory().total, *(bytes_ for path in limits for bytes_ in _limit(path))])


def _limit(path: Path) -> list[int]:
    """The number in a file; none where it says that there is no limit, or nothing at all."""
    try:
        said = path.read_text(encoding="ascii").strip()
    except OSError:
        return []
    return [int(said)] if said.isdecimal() else []
