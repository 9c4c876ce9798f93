"""Several statements in one trip to the server, each prepared once for a connection (libpq's pipeline mode).

A trip costs this side more than a statement does, and waiting for it lets go of the interpreter. So what a
transaction is known to need is asked with its beginning, and what nobody needs an answer of is told with its
commit. The driver's own pipeline sends as much at once, but spends on each statement what a trip costs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from shared.adapters.postgres.arrays import packed
from shared.domain.record import record
from shared.ports import Sent, nobody_waits

Row = tuple[Any, ...]

_PARAMETER = re.compile(r"%\((\w+)\)b")

_ANSWERED = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


class Connection(psycopg.Connection[Row]):
    """A connection that knows which statements were prepared on it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin with none."""
        super().__init__(*args, **kwargs)
        self.prepared: set[bytes] = set()


class Statement:
    """A statement with parameters `%(name)b`, each an array of `arrays.py` or text."""

    def __init__(self, name: str, text: str) -> None:
        """`name` is no other statement's."""
        self.name = name.encode()
        self.template = text
        self._order = list(dict.fromkeys(_PARAMETER.findall(text)))
        self.text = _PARAMETER.sub(lambda found: f"${self._order.index(found[1]) + 1}", text).encode()

    def errand(self, given: Mapping[str, Any] | None = None) -> Errand:
        """This statement with its parameters."""
        return Errand(self, [(given or {})[name] for name in self._order])


@record(frozen=True, slots=True)
class Errand:
    """A statement to be run with what it is given, in its parameters' order; it has no hash."""

    statement: Statement
    given: list[Any]

    def packed(self) -> Errand:
        """The same with its parameters as they will be sent, for those who have the time now and not later.

        Raises what packing raises for values that are not of their array's type.
        """
        return Errand(self.statement, [packed(value) for value in self.given])


BEGIN = Statement("begin", "begin").errand()
COMMIT = Statement("commit", "commit").errand()
#: Lets a transaction see payers (row-level security).
SEEING = Statement("seeing", "select set_config('needlecap.payers', %(payers)b::text, true)")


class Trips:
    """The errands of one transaction. Its repositories ask and tell through it."""

    def __init__(self, connection: Connection) -> None:
        """Go on `connection`."""
        self._connection = connection
        self._ahead: list[tuple[Errand, list[Row]]] = []
        self._told: list[tuple[Errand, Callable[[psycopg.Error], Exception] | None]] = []
        self._once_committed: list[Callable[[], None]] = []

    def begin(self, payers: Sequence[str], ahead: Sequence[Errand]) -> None:
        """Begin a transaction that sees `payers`, and ask what it will ask for. Raises the first fault."""
        seeing = SEEING.errand({"payers": ",".join(payers)})
        _, _, *answers = self._answered([BEGIN, seeing, *ahead])
        self._ahead = list(zip(ahead, map(self._rows, answers), strict=True))

    def ask(self, errand: Errand) -> list[Row]:
        """The rows that a statement reads: those that were asked for ahead, if it was among them.

        Once: who asks again wants to know how it is by then.
        """
        for place, (asked, rows) in enumerate(self._ahead):
            if asked == errand:
                del self._ahead[place]
                return rows
        [answer] = self._answered([errand])
        return self._rows(answer)

    def ask_all(self, *errands: Errand) -> list[list[Row]]:
        """The rows that each of these statements reads, all in one trip."""
        return [self._rows(answer) for answer in self._answered(errands)]

    def do(self, *errands: Errand) -> list[int]:
        """Have these statements write, all in one trip; how many rows each wrote."""
        return [result.command_tuples or 0 for result in self._answered(errands)]

    def tell(self, errand: Errand, *, failing: Callable[[psycopg.Error], Exception] | None = None) -> None:
        """Have a statement run right before the commit.

        A fault of it is raised there, as what `failing` makes of it.
        """
        self._told.append((errand, failing))

    def once_committed(self, act: Callable[[], None]) -> None:
        """Have something done when it is known that what was told is durable."""
        self._once_committed.append(act)

    def commit(self, sent: Sent = nobody_waits) -> None:
        """Run what was told, and commit. Once that is sent, `sent` is called.

        Raises the first fault of what was told; then nothing is committed. Raises OperationalError when the
        connection is lost; then it is not known.
        """
        told, self._told = self._told, []
        results = in_one_trip(self._connection, [*(errand for errand, _ in told), COMMIT], sent)
        for (_, failing), result in zip(told, results, strict=False):
            fault = fault_of(result)
            if fault is not None:
                raise (fault if failing is None else failing(fault)) from fault
        _require(results[-1:])
        for act in self._once_committed:
            act()

    def _answered(self, errands: Sequence[Errand]) -> list[PGresult]:
        return _require(in_one_trip(self._connection, errands))

    def _rows(self, result: PGresult) -> list[Row]:
        return _rows_of(self._connection, result)


class Trip:
    """One errand that goes by itself: sent by one thread, its rows waited for by the same or another."""

    def __init__(self, connection: Connection, errand: Errand) -> None:
        """Go on `connection`, on which nothing else is done until the answer is there."""
        self._connection = connection
        self._errand = errand
        self._unknown: list[Statement] | None = None

    def set_out(self) -> None:
        """Send it, as much as goes at once. Raises OperationalError when the connection is lost."""
        self._unknown = _queue(self._connection, [self._errand])
        self._connection.pgconn.flush()

    def rows(self) -> list[Row]:
        """The rows that it reads, once it has set out. Raises its fault."""
        assert self._unknown is not None, "it has not set out"
        [answer] = _require(_answers(self._connection, self._unknown, nobody_waits))
        return _rows_of(self._connection, answer)


def _rows_of(connection: Connection, result: PGresult) -> list[Row]:
    reader = Transformer(connection)
    reader.set_pgresult(result)
    rows: list[Row] = reader.load_rows(0, result.ntuples, tuple)
    return rows


def in_one_trip(
    connection: Connection, errands: Sequence[Errand], sent: Sent = nobody_waits
) -> list[PGresult]:
    """What each of these errands came to, in order; after one that failed, none was run.

    When all is sent and only the server is waited for, `sent` is called.

    Raises the fault of a statement that cannot be prepared, OperationalError when the connection is lost, and
    what packing raises for values that are not of their array's type; then nothing was sent.
    """
    return _answers(connection, _queue(connection, errands), sent)


def _queue(connection: Connection, errands: Sequence[Errand]) -> list[Statement]:
    """Have these errands wait to be sent; the statements among them that are not prepared yet."""
    pgconn = connection.pgconn
    unknown = {errand.statement.name: errand.statement for errand in errands}
    for name in connection.prepared & unknown.keys():
        del unknown[name]
    # What cannot be packed is found before anything is sent.
    all_parameters = [[packed(value) for value in errand.given] for errand in errands]
    pgconn.enter_pipeline_mode()
    for statement in unknown.values():
        pgconn.send_prepare(statement.name, statement.text)
    for errand, parameters in zip(errands, all_parameters, strict=True):
        pgconn.send_query_prepared(errand.statement.name, parameters, [Format.BINARY] * len(parameters))
    pgconn.pipeline_sync()
    return list(unknown.values())


def _answers(connection: Connection, unknown: Sequence[Statement], sent: Sent) -> list[PGresult]:
    """Send what waits, and take the results; `unknown` are the statements that are prepared with it."""
    pgconn = connection.pgconn
    results = connection.wait(_to_sync(pgconn, sent))
    pgconn.exit_pipeline_mode()
    for statement, result in zip(unknown, results, strict=False):
        # Each by itself: one that was prepared before another failed would be refused the next time.
        if result.status in _ANSWERED:
            connection.prepared.add(statement.name)
    _require(results[: len(unknown)])
    return results[len(unknown) :]


def _to_sync(pgconn: PGconn, sent: Sent) -> Generator[Wait, Ready | int, list[PGresult]]:
    """Send what was queued, and take the results of everything up to the sync."""
    while pgconn.flush():
        # The server may be waiting too, for us to take what it has answered.
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    sent()
    results: list[PGresult] = []
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)


def fault_of(result: PGresult) -> psycopg.Error | None:
    """Why an errand failed; None if it did not, also when it was not run because another failed."""
    return error_from_result(result) if result.status == ExecStatus.FATAL_ERROR else None


def _require(results: list[PGresult]) -> list[PGresult]:
    """These results, if all were answered. Raises the first fault."""
    for result in results:
        if result.status not in _ANSWERED:
            raise fault_of(result) or psycopg.OperationalError("not run, since another statement failed")
    return results
