"""An operator's desk on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk import Desk, open_desk


@pytest.fixture
def desk(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Desk]:
    """A desk with a database, a Redis and a data directory of its own."""
    opened = open_desk(database_url, redis_url, tmp_path)
    yield opened
    opened.database.close()
