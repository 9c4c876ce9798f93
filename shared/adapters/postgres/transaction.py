"""One transaction and the repositories that work in it. Repositories never commit."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import psycopg

from shared.adapters.postgres.inbox import PostgresInbox
from shared.adapters.postgres.member_books import PostgresMemberBooks


class PostgresTransaction:
    """The repositories of one open transaction, each made when first asked for."""

    def __init__(self, connection: psycopg.Connection[Any], *, payers: tuple[str, ...]) -> None:
        """Work on `connection`, on behalf of a caller who sees `payers`."""
        self._connection = connection
        self.payers = payers

    def commit(self) -> None:
        """Make everything done so far durable. Without it, leaving the block takes it all back."""
        self._connection.commit()

    @cached_property
    def inbox(self) -> PostgresInbox:
        """Visit events: accepted, pending, applied."""
        return PostgresInbox(self._connection)

    @cached_property
    def books(self) -> PostgresMemberBooks:
        """Members' histories and states."""
        return PostgresMemberBooks(self._connection)
