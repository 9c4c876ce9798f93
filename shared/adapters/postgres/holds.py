"""Holds and overrides in Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb

from shared.adapters.postgres.hold_locks import end_holds
from shared.domain.errors import HoldKeyTaken, OverrideKeyTaken
from shared.domain.hold import Override
from shared.domain.hold_records import HoldRow, NewHold, NewOverride, OverrideRow
from shared.domain.records import MemberRef

_HOLD_COLUMNS = (
    """hold_id, payer_id, member_id, client_id, payload_digest, state, expires_at, content, answer"""
)

_KEY_CONSTRAINT = "hold_client_id_idempotency_key_key"

_OVERRIDE_COLUMNS = """override_id, payer_id, member_id, limit_id, service_date, quantity, expires_on,
    visit_id, approver, reason, created_at, revoked_at, payload_digest"""

_OVERRIDE_KEY_CONSTRAINT = "override_grant_client_id_idempotency_key_key"


class PostgresHolds:
    """Holds in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def next_arrival(self) -> int:
        """The next place among all that was accepted."""
        row = self._connection.execute("select nextval('arrival_seq')").fetchone()
        assert row is not None
        return int(row[0])

    def insert(self, hold: NewHold) -> None:
        """Store a granted hold. Raises HoldKeyTaken when the client's key has another hold already."""
        try:
            self._insert(hold)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name == _KEY_CONSTRAINT:
                # Not chained: the driver's text holds the key (contract I8).
                raise HoldKeyTaken from None
            raise

    def _insert(self, hold: NewHold) -> None:
        request = hold.request
        self._connection.execute(
            """
            with last as (
                update member set last_arrival = greatest(last_arrival, %(arrival)s)
                 where payer_id = %(payer_id)s and member_id = %(member_id)s
            )
            insert into hold (hold_id, payer_id, client_id, idempotency_key, payload_digest, member_id,
                              arrival, content, quantity, expires_at, state, outcome, answer, created_at)
            values (%(hold_id)s, %(payer_id)s, %(client_id)s, %(key)s, %(digest)s, %(member_id)s,
                    %(arrival)s, %(content)s, %(quantity)s, %(expires_at)s, %(state)s, %(outcome)s,
                    %(answer)s, %(created_at)s)
            """,
            {
                "hold_id": request.hold_id,
                "payer_id": request.ref.payer_id,
                "client_id": request.client_id,
                "key": request.idempotency_key,
                "digest": request.payload_digest,
                "member_id": request.ref.member_id,
                "arrival": hold.arrival,
                "content": Jsonb(dict(request.content), dumps=orjson.dumps),
                "quantity": request.quantity,
                "expires_at": request.expires_at,
                "state": hold.state,
                "outcome": Jsonb(hold.outcome, dumps=orjson.dumps),
                "answer": orjson.dumps(hold.answer).decode(),
                "created_at": hold.created_at,
            },
        )

    def find(self, hold_id: str) -> HoldRow | None:
        """One hold that the transaction may see."""
        return self._one(f"select {_HOLD_COLUMNS} from hold where hold_id = %s", [hold_id])

    def find_repeat(self, client_id: str, idempotency_key: str) -> HoldRow | None:
        """The hold that this client was granted under this key."""
        query = f"select {_HOLD_COLUMNS} from hold where client_id = %s and idempotency_key = %s"
        return self._one(query, [client_id, idempotency_key])

    def lock_key(self, client_id: str, idempotency_key: str) -> None:
        """Let one request at a time use this key, until the transaction ends."""
        self._connection.execute(
            "select pg_advisory_xact_lock(hashtextextended(%s || chr(31) || %s, 7202))",
            [client_id, idempotency_key],
        )

    def due(self, now: datetime, limit: int, skip: int = 0) -> list[HoldRow]:
        """Pending holds whose time is over, the oldest first, without the oldest `skip`."""
        rows = self._connection.execute(
            f"""select {_HOLD_COLUMNS} from hold
                 where state = 'pending' and ended_by is null and expires_at <= %s
                 order by expires_at, hold_id limit %s offset %s""",
            [now, limit, skip],
        )
        return [_hold_from(row) for row in rows]

    def ending(self, hold_ids: Iterable[str]) -> None:
        """Wait for visits on their way that name these holds; later ones arrive after the end."""
        end_holds(self._connection, hold_ids)

    def end(self, hold_id: str, end_state: str) -> int:
        """Mark a hold as ended; the arrival of its end."""
        row = self._connection.execute(
            """update hold set ended_by = nextval('arrival_seq'), end_state = %s
                where hold_id = %s and ended_by is null returning ended_by""",
            [end_state, hold_id],
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _one(self, query: str, values: Sequence[Any]) -> HoldRow | None:
        row = self._connection.execute(query, values).fetchone()
        return _hold_from(row) if row else None


class PostgresOverrides:
    """Overrides in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def insert(self, grant: NewOverride) -> None:
        """Store a granted override. Raises OverrideKeyTaken when the client's key has another already."""
        try:
            self._insert(grant)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name == _OVERRIDE_KEY_CONSTRAINT:
                # Not chained: the driver's text holds the key (contract I8).
                raise OverrideKeyTaken from None
            raise

    def _insert(self, grant: NewOverride) -> None:
        override, request = grant.override, grant.request
        self._connection.execute(
            """
            insert into override_grant (override_id, payer_id, client_id, member_id, limit_id, service_date,
                                        quantity, approver, reason, expires_on, visit_id, created_at,
                                        idempotency_key, payload_digest)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                override.override_id,
                grant.ref.payer_id,
                grant.client_id,
                grant.ref.member_id,
                override.limit_id,
                override.service_date,
                override.quantity,
                grant.approver,
                grant.reason,
                override.expires_on,
                override.visit_id,
                grant.created_at,
                request.idempotency_key if request else None,
                request.payload_digest if request else None,
            ],
        )

    def lock_key(self, client_id: str, idempotency_key: str) -> None:
        """Let one request at a time use this key, until the transaction ends."""
        self._connection.execute(
            "select pg_advisory_xact_lock(hashtextextended(%s || chr(31) || %s, 7203))",
            [client_id, idempotency_key],
        )

    def find_repeat(self, client_id: str, idempotency_key: str) -> OverrideRow | None:
        """The override that this client was granted under this key."""
        return self._one("client_id = %s and idempotency_key = %s", [client_id, idempotency_key])

    def find(self, override_id: str) -> OverrideRow | None:
        """One override that the transaction may see, kept from changing until it ends."""
        return self._one("override_id = %s", [override_id])

    def _one(self, which: str, values: Sequence[Any]) -> OverrideRow | None:
        row = self._connection.execute(
            f"select {_OVERRIDE_COLUMNS} from override_grant where {which} for no key update", values
        ).fetchone()
        if row is None:
            return None
        return OverrideRow(
            override=Override(
                override_id=row[0],
                limit_id=row[3],
                service_date=row[4],
                quantity=row[5],
                expires_on=row[6],
                visit_id=row[7],
            ),
            ref=MemberRef(payer_id=row[1], member_id=row[2]),
            approver=row[8],
            reason=row[9],
            created_at=row[10],
            revoked_at=row[11],
            payload_digest=bytes(row[12]) if row[12] is not None else None,
        )

    def revoke(self, override_id: str, now: datetime) -> None:
        """Mark an override as revoked."""
        self._connection.execute(
            "update override_grant set revoked_at = %s where override_id = %s and revoked_at is null",
            [now, override_id],
        )


def _hold_from(row: Sequence[Any]) -> HoldRow:
    return HoldRow(
        hold_id=row[0],
        ref=MemberRef(payer_id=row[1], member_id=row[2]),
        client_id=row[3],
        payload_digest=bytes(row[4]),
        state=row[5],
        expires_at=row[6],
        content=row[7],
        answer=row[8],
    )
