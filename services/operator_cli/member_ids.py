"""Members' ids as operators give them: in a file or on standard input, since everybody sees arguments."""

from __future__ import annotations

from typing import TextIO

import click

from services.operator_cli.errors import OperatorError

MEMBER_ID_LENGTH_MAX = 200

#: UTF-8, also behind the mark that some editors begin it with: read as part of an id, it would make another.
MEMBER_IDS_FILE = click.File(encoding="utf-8-sig")


def read_member_ids(file: TextIO, count: int) -> list[str]:
    """The ids of a file that holds so many, each on a line of its own; empty lines say nothing.

    Raises BadParameter where it holds others, OperatorError where it is not UTF-8. Neither repeats any.
    """
    try:
        # As long as the ids may be, and some blanks.
        lines = file.read(2 * count * MEMBER_ID_LENGTH_MAX).split("\n")
    except UnicodeDecodeError as error:
        raise OperatorError("The file is not UTF-8 text.") from error
    ids = [stripped for line in lines if (stripped := line.strip())]
    if len(ids) != count or max(map(len, ids)) > MEMBER_ID_LENGTH_MAX:
        wanted = "one id" if count == 1 else f"{count} ids"
        raise click.BadParameter(
            f"must hold {wanted} of 1 to {MEMBER_ID_LENGTH_MAX} characters, each on a line of its own"
        )
    return ids
