"""Who names a hold and who ends it wait for each other, so that the order of their arrivals is final.

Without it a visit could have its place in the inbox before the end of a hold and come to light after
the end was answered: a hold that was said to be released would be posted after all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from shared.domain.inbox import NewEvent

#: The first key of the advisory locks that stand for holds; the second is a hash of the hold's id.
_HOLD_LOCKS = 7_203


def name_holds(connection: psycopg.Connection[Any], hold_ids: Iterable[str]) -> None:
    """Keep these holds from ending until the transaction ends; call it before events are given a place."""
    _lock(connection, "pg_advisory_xact_lock_shared", hold_ids)


def holds_named_by(events: Iterable[NewEvent]) -> list[str]:
    """The ids of the holds that these events name."""
    contents = (event.content for event in events if event.content is not None)
    return [hold_id for content in contents if (hold_id := content.get("hold_id")) is not None]


def end_holds(connection: psycopg.Connection[Any], hold_ids: Iterable[str]) -> None:
    """Wait for whoever is naming these holds, and let nobody else until the transaction ends."""
    _lock(connection, "pg_advisory_xact_lock", hold_ids)


def _lock(connection: psycopg.Connection[Any], function: str, hold_ids: Iterable[str]) -> None:
    wanted = sorted(set(hold_ids))
    if wanted:
        # The subquery is sorted first, so that two who lock several never wait in a circle.
        connection.execute(
            f"select {function}(%(space)s, h.number) from (select distinct hashtext(n.name) as number"
            " from unnest(%(holds)b::text[]) as n (name) order by 1) as h",
            {"space": _HOLD_LOCKS, "holds": wanted},
        )
