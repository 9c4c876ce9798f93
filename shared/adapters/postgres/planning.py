"""How statements are planned where the planner cannot know better."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg

from shared.adapters.postgres.trips import Statement

#: What `in_index_order` does before and after, for statements that go in one trip.
IN_INDEX_ORDER = Statement(
    "in_index_order",
    "select set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true)",
).errand()
IN_ANY_ORDER = Statement(
    "in_any_order",
    "select set_config('enable_bitmapscan', 'on', true), set_config('enable_sort', 'on', true)",
).errand()


@contextlib.contextmanager
def in_index_order(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Within the block no statement of the transaction is planned to collect rows first and sort them then.

    The first few of many rows that an index has in order are a matter of microseconds. Until a table was
    analysed the planner expects one row where a whole backlog waits, as it does once the table was analysed
    while nothing waited. It finds collecting and sorting that one as cheap, by a bitmap or by an index in
    another order, and keeps the plan.
    """
    connection.execute(IN_INDEX_ORDER.statement.template)
    yield
    connection.execute(IN_ANY_ORDER.statement.template)
