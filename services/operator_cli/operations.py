"""What the operator's commands work with: the database, the running rules and the counters."""

from __future__ import annotations

import contextlib
import getpass
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property

import psycopg
from ulid import ULID

from services.operator_cli.errors import OperatorError, ServerError
from services.operator_cli.settings import Settings
from shared import failpoints
from shared.adapters.catalog_source import CatalogSource
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.domain.errors import CountersUnavailable, NeedlecapError, StoreUnavailable
from shared.domain.records import CounterImage
from shared.failpoints import Step, around

#: One for the work, one for the rules, which are read beside it.
CONNECTIONS_MAX = 3


class Operations:
    """The parts of a running installation; each is opened when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        """Open nothing yet."""
        self._settings = settings

    @cached_property
    def database(self) -> PostgresDatabase:
        """The database, seen under the services' role with every payer."""
        return PostgresDatabase(self._settings.database_url, connections_max=CONNECTIONS_MAX)

    @cached_property
    def rules(self) -> CatalogSource:
        """The rules of the running catalog."""
        return CatalogSource(self.database)

    @cached_property
    def counters(self) -> RedisCounters:
        """The Redis counters."""
        return RedisCounters(connect(self._settings.redis_url), hash_key=self._settings.hash_key)

    @property
    def hash_key(self) -> bytes:
        """The installation's hash key, 32 bytes."""
        return self._settings.hash_key

    def clock(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    def new_id(self, word: str) -> str:
        """A new id that begins with a word and sorts by when it was made."""
        return f"{word}_{ULID()}"

    def show(self, images: Sequence[CounterImage]) -> bool:
        """Show committed counters in Redis; False if it is away and the worker's sweep has to do it."""
        try:
            with around(Step.REBUILD_SHOWN):
                self.counters.project(images)
        except CountersUnavailable:
            return False
        return True

    def close(self) -> None:
        """Give up what was opened."""
        if "database" in self.__dict__:
            self.database.close()


@contextlib.contextmanager
def open_operations(settings: Settings) -> Iterator[Operations]:
    """The parts of the running installation.

    What they raise becomes an OperatorError: a store that cannot answer a ServerError.
    """
    # The pool would log each attempt in the driver's words; the error that ends it says what counts.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    failpoints.arm(settings.environment.failpoint)
    operations = Operations(settings)
    try:
        yield operations
    except StoreUnavailable as error:
        raise ServerError(
            "The database cannot answer at the moment, or has no rule catalog yet; is `needlecap run` "
            "running? What was done before stays done; run the command again."
        ) from error
    except NeedlecapError as error:
        raise OperatorError(str(error)) from error
    except psycopg.Error as error:
        # What the driver says may hold a row, and with it a person (I8).
        raise OperatorError(f"The database refused: {type(error).__name__}.") from error
    finally:
        operations.close()


def current_operator() -> str:
    """The name of whoever runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"
