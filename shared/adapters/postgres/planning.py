"""How statements are planned where the planner cannot know better."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg


@contextlib.contextmanager
def in_index_order(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Within the block no statement of the transaction is planned to collect rows first and sort them then.

    The first few of many rows that an index has in order are a matter of microseconds. Until a table was
    analysed the planner expects one row where a whole backlog waits, as it does once the table was analysed
    while nothing waited. It finds collecting and sorting that one as cheap, by a bitmap or by an index in
    another order, and keeps the plan.
    """
    connection.execute("set local enable_bitmapscan = off; set local enable_sort = off")
    yield
    connection.execute("set local enable_bitmapscan = on; set local enable_sort = on")
