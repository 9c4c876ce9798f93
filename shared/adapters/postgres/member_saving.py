"""What a batch changed for members, written for many members at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import psycopg
from psycopg.errors import UniqueViolation

from shared.adapters.postgres import visit_changes, visit_rows
from shared.adapters.postgres.arrays import Bigints, Blobs, packed
from shared.adapters.postgres.ledger_rows import accumulator_columns, ledger_columns
from shared.adapters.postgres.member_rows import member_arrays
from shared.adapters.postgres.trips import Errand, Statement, Trips
from shared.domain.errors import ConcurrentChange
from shared.domain.records import MemberChanges, MemberRef, PlainVisit, SavedVisit

_RAISE_VERSIONS = Statement(
    "raise_versions",
    """
update member k
   set version = c.version, ledger_entries = c.entries, ledger_head = c.head,
       last_arrival = greatest(k.last_arrival, c.last_arrival)
  from unnest(%(payers)b::text[], %(members)b::text[], %(versions)b::bigint[],
              %(entries)b::bigint[], %(heads)b::bytea[], %(arrivals)b::bigint[])
       as c (payer_id, member_id, version, entries, head, last_arrival)
 where (k.payer_id, k.member_id) = (c.payer_id, c.member_id)
""",
)

_QUEUE = Statement(
    "queue_counters",
    """
insert into counter_outbox (payer_id, member_id, version)
select unnest(%(payers)b::text[]), unnest(%(members)b::text[]), unnest(%(versions)b::bigint[])
on conflict (payer_id, member_id) do update set version = excluded.version, queued_at = now()
""",
)


def save_members(connection: psycopg.Connection[Any], trips: Trips, changes: Sequence[MemberChanges]) -> None:
    """Write everything that changed, and queue the members for projection.

    The members are locked. Raises ConcurrentChange when a visit is no longer as it was read.
    """
    if not changes:
        return
    _save_holds(connection, changes)
    save_visits(
        connection,
        trips,
        [(change.ref, visit) for change in changes for visit in change.visits],
        [(change.ref, visit) for change in changes for visit in change.plain_visits],
        [*_counting(changes), *_raising_versions(changes)],
    )


def save_visits(
    connection: psycopg.Connection[Any],
    trips: Trips,
    rows: Sequence[tuple[MemberRef, SavedVisit]],
    plain: Sequence[tuple[MemberRef, PlainVisit]] = (),
    besides: Sequence[Errand] = (),
) -> None:
    """Write visits, listing those that something else than an event changed; and do what is `besides`.

    Raises ConcurrentChange when one is no longer as it was read.
    """
    listed = [(ref, visit) for ref, visit in rows if visit.cause is not None]
    if listed:
        connection.execute(visit_changes.RECORD, visit_changes.values(listed))
    saving = [*([visit_rows.saving_plain(plain)] if plain else []), *visit_rows.saving(rows)]
    try:
        written = trips.do(*saving, *besides)
    except UniqueViolation as error:
        if error.diag.constraint_name != visit_rows.KEY:
            raise
        raise ConcurrentChange from error
    if sum(written[: len(saving)]) != len(rows) + len(plain):
        raise ConcurrentChange


def _counting(changes: Sequence[MemberChanges]) -> list[Errand]:
    errands = []
    accumulators = [(change.ref, stored) for change in changes for stored in change.accumulators]
    if accumulators:
        errands.append(accumulator_columns.upserting(accumulators))
    entries = [(change.ref, entry) for change in changes for entry in change.entries]
    if entries:
        errands.append(ledger_columns.inserting(entries))
    return errands


def _save_holds(connection: psycopg.Connection[Any], changes: Sequence[MemberChanges]) -> None:
    rows = [row for change in changes if change.holds for row in change.holds.items()]
    if rows:
        connection.execute(
            """
            update hold h set state = n.state, outcome = n.outcome::jsonb
              from unnest(%(ids)b::text[], %(states)b::text[], %(outcomes)b::text[])
                   as n (hold_id, state, outcome)
             where h.hold_id = n.hold_id
            """,
            {
                "ids": [hold_id for hold_id, _ in rows],
                "states": [stored.state for _, stored in rows],
                "outcomes": [orjson.dumps(stored.outcome).decode() for _, stored in rows],
            },
        )


def _raising_versions(changes: Sequence[MemberChanges]) -> list[Errand]:
    # Packed once for both.
    both: dict[str, list[Any]] = {
        **member_arrays(change.ref for change in changes),
        "versions": Bigints([change.version for change in changes]),
    }
    given = {
        **{name: packed(array) for name, array in both.items()},
        "entries": Bigints([change.ledger_entries for change in changes]),
        "heads": Blobs([change.ledger_head for change in changes]),
        "arrivals": Bigints([_last_arrival(change) for change in changes]),
    }
    return [_RAISE_VERSIONS.errand(given), _QUEUE.errand(given)]


def _last_arrival(change: MemberChanges) -> int:
    if change.plain_visits:
        # They come last in their member's order, the last of them at the end.
        return change.plain_visits[-1].event.arrival
    return max([saved.visit.arrival or 0 for saved in change.visits], default=0)
