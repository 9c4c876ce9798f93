"""Receipts: what a client is told of an event it sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from shared.domain.receipt import Receipt, StoredReceipt


class PostgresReceipts:
    """Receipts of the events that the transaction may see."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def find(self, events: Sequence[tuple[str, str]]) -> dict[tuple[str, str], StoredReceipt]:
        """The receipts of events named by (client id, event id), as they stand."""
        rows = self._connection.execute(
            """
            select e.client_id, e.event_id, e.status, e.received_at, e.outcome, e.payload_digest,
                   e.payer_id, e.member_id
              from visit_event_in_full e
              join unnest(%(clients)b::text[], %(events)b::text[]) as k (client_id, event_id)
                on e.client_id = k.client_id and e.event_id = k.event_id
            """,
            {"clients": [client for client, _ in events], "events": [event for _, event in events]},
        )
        return {
            (client_id, event_id): StoredReceipt(
                receipt=Receipt(event_id=event_id, status=status, received_at=received_at, outcome=outcome),
                payload_digest=bytes(digest),
                payer_id=payer_id,
                member_id=member_id,
            )
            for client_id, event_id, status, received_at, outcome, digest, payer_id, member_id in rows
        }
