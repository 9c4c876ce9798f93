"""Statements that go to the server in one trip."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from shared.adapters.postgres.arrays import Integers, Texts
from shared.adapters.postgres.trips import COMMIT, Connection, Statement, Trips, in_one_trip
from shared.domain.errors import StoreUnavailable

WORDS = Statement("words", "select w, length(w) from unnest(%(words)b::text[]) as w")
KEEP = Statement("keep", "insert into kept select * from unnest(%(words)b::text[])")
DIVIDE = Statement("divide", "select 1 / n from unnest(%(numbers)b::integer[]) as n")
KEPT = Statement("kept", "select word from kept order by word").errand()


@pytest.fixture
def connection(database_url: str) -> Iterator[Any]:
    """A connection with a table of its own."""
    with Connection.connect(database_url, autocommit=True, prepare_threshold=2) as made:
        made.execute("create temporary table kept (word text check (word <> 'bad'))")
        yield made


def begun(connection: Any, *ahead: Any) -> Trips:
    """A transaction that sees nobody."""
    trips = Trips(connection)
    trips.begin((), ahead)
    return trips


def test_what_was_asked_ahead_is_what_was_known_at_the_beginning(connection: Any) -> None:
    """The same question is answered without asking again, any other is asked."""
    words = WORDS.errand({"words": Texts(["a", "bcd"])})
    trips = begun(connection, words, KEPT)
    in_one_trip(connection, [KEEP.errand({"words": Texts(["late"])})])
    assert trips.ask(WORDS.errand({"words": Texts(["a", "bcd"])})) == [("a", 1), ("bcd", 3)]
    assert trips.ask(KEPT) == []
    assert trips.ask(WORDS.errand({"words": Texts(["ef"])})) == [("ef", 2)]


def test_transaction_sees_its_payers(connection: Any) -> None:
    """As row-level security reads them."""
    trips = Trips(connection)
    trips.begin(["one", "o'two"], ())
    seen = Statement("seen", "select current_setting('needlecap.payers')").errand()
    assert trips.ask(seen) == [("one,o'two",)]


def test_what_was_told_is_there_after_the_commit(connection: Any) -> None:
    """And not before; once, though the transaction is used further."""
    trips = begun(connection)
    trips.tell(KEEP.errand({"words": Texts(["a", "b"])}))
    assert trips.ask(KEPT) == []
    trips.commit()
    connection.rollback()
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert trips.ask(KEPT) == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("failing", "raised"), [(None, psycopg.errors.CheckViolation), (StoreUnavailable, StoreUnavailable)]
)
def test_fault_of_what_was_told_leaves_nothing(connection: Any, failing: Any, raised: Any) -> None:
    """It is raised by the commit as it was told to be, and the connection goes on working."""
    trips = begun(connection)
    trips.tell(KEEP.errand({"words": Texts(["a"])}))
    trips.tell(KEEP.errand({"words": Texts(["bad"])}), failing=failing)
    trips.tell(KEEP.errand({"words": Texts(["c"])}), failing=KeyError)
    with pytest.raises(raised):
        trips.commit()
    connection.rollback()
    assert begun(connection, KEPT).ask(KEPT) == []


def test_fault_of_a_question_is_raised_where_it_is_asked(connection: Any) -> None:
    """Also when it was asked ahead, and whatever came before it."""
    nothing = DIVIDE.errand({"numbers": Integers([0])})
    with pytest.raises(psycopg.errors.DivisionByZero):
        begun(connection, KEPT, nothing, KEPT)
    connection.rollback()
    with pytest.raises(psycopg.errors.DivisionByZero):
        begun(connection).ask(nothing)


def test_statement_that_cannot_be_prepared_is_tried_anew(connection: Any) -> None:
    """It was not prepared, so nobody may think it was; the one before it was."""
    words, later = WORDS.errand({"words": Texts(["a"])}), Statement("later", "select n from later").errand()
    with pytest.raises(psycopg.errors.UndefinedTable):
        in_one_trip(connection, [words, later])
    connection.execute("create temporary table later as select 7 as n")
    assert Trips(connection).ask_all(words, later) == [[("a", 1)], [(7,)]]


def test_more_than_either_side_takes_at_once_comes_through(connection: Any) -> None:
    """Both sides send several megabytes, so each has to take while it sends."""
    large = [letter * 4_000_000 for letter in "abc"]
    errands = [WORDS.errand({"words": Texts([word])}) for word in large]
    trips = begun(connection, *errands)
    assert [trips.ask(errand) for errand in errands] == [[(word, 4_000_000)] for word in large]


def test_lost_connection_is_an_operational_error(connection: Any, database_url: str) -> None:
    """As the driver says it, so that it becomes StoreUnavailable with the others."""
    trips = begun(connection)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        trips.ask(KEPT)
    assert connection.closed


def test_commit_alone_is_a_trip_of_its_own(connection: Any) -> None:
    """What was done in the transaction itself is kept."""
    trips = begun(connection)
    in_one_trip(connection, [KEEP.errand({"words": Texts(["own"])})])
    trips.commit()
    assert in_one_trip(connection, [COMMIT])
    assert trips.ask(KEPT) == [("own",)]


def test_what_cannot_be_sent_leaves_the_connection_as_it_was(connection: Any) -> None:
    """A text that is no UTF-8 is a fault of who asks, and the next statement works."""
    with pytest.raises(UnicodeEncodeError):
        Trips(connection).ask(WORDS.errand({"words": Texts(["\ud800"])}))
    assert Trips(connection).ask(WORDS.errand({"words": Texts(["a"])})) == [("a", 1)]
