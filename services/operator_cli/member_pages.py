"""Members in chunks: all, one payer's, or those of a file. Memory stays bounded however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.operator_cli.errors import OperatorError
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.postgres.transaction import PostgresTransaction
from shared.domain.client import EVERY_PAYER
from shared.domain.records import MemberRef

LINE_LENGTH_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberChoice:
    """Which members a command is about: of `payer_id` (None: all), named by a file or not."""

    payer_id: str | None
    file: Path | None = None


def require_payer(tx: PostgresTransaction, payer_id: str | None) -> None:
    """Raise OperatorError for a payer that is not known: a slip must not look like an empty answer."""
    if payer_id is not None and not tx.known_payers.existing([payer_id]):
        raise OperatorError("There is no such payer.")


def count_members(database: PostgresDatabase, choice: MemberChoice) -> int:
    """How many members a choice holds. Raises OperatorError for a payer that is not known."""
    with database.transaction(EVERY_PAYER) as tx:
        require_payer(tx, choice.payer_id)
        if choice.file is None:
            return tx.rebuilding.count_members(choice.payer_id)
    return sum(1 for _ in _lines(choice.file))


def member_pages(
    database: PostgresDatabase, choice: MemberChoice, members_max: int
) -> Iterator[list[MemberRef]]:
    """The members of a choice, at most so many at once, each page read in a transaction of its own.

    Raises OperatorError at a line of the file that names nobody, saying its number and not the name.
    """
    if choice.file is not None:
        yield from _pages_of_file(database, choice, members_max)
        return
    after: MemberRef | None = None
    while True:
        with database.transaction(EVERY_PAYER) as tx:
            page = tx.rebuilding.members_after(choice.payer_id, after, members_max)
        if not page:
            return
        yield page
        after = page[-1]


def _pages_of_file(
    database: PostgresDatabase, choice: MemberChoice, members_max: int
) -> Iterator[list[MemberRef]]:
    if choice.payer_id is None or choice.file is None:
        raise OperatorError("A member file needs --payer: its lines are members of one payer.")
    page: dict[MemberRef, int] = {}
    for number, name in _lines(choice.file):
        page.setdefault(MemberRef(payer_id=choice.payer_id, member_id=name), number)
        if len(page) == members_max:
            yield _checked(database, page)
            page = {}
    if page:
        yield _checked(database, page)


def _checked(database: PostgresDatabase, page: dict[MemberRef, int]) -> list[MemberRef]:
    with database.transaction(EVERY_PAYER) as tx:
        known = tx.rebuilding.known(page)
    unknown = [number for ref, number in page.items() if ref not in known]
    if unknown:
        raise OperatorError(f"The member file's line {unknown[0]} names nobody the payer has on record.")
    return list(page)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """(number, member id) of each line that is not empty."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            number = 0
            while line := lines.readline(LINE_LENGTH_MAX):
                number += 1
                if name := line.strip():
                    yield number, name
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError("The member file cannot be read.") from error
