"""`needlecap load opening-balances`: what members had used elsewhere, from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TextIO

import click

from services.operator_cli.commands.load import load_group
from services.operator_cli.opening_files import RefusedLine, StatementLine, read_statements
from services.operator_cli.operations import Operations, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.settings import Settings
from shared.accounting.drain import DRAIN_SECONDS
from shared.accounting.opening_balances import REFUSALS, Fate, state_opening_balances
from shared.accounting.retrying import retrying
from shared.domain.client import EVERY_PAYER
from shared.domain.operator_records import OpeningStatement

#: A chunk is one transaction: its members are locked while they are folded again.
STATEMENTS_MAX = 200
#: Statements that changed nothing for a reason, of which more lines than this are not said.
LINES_SHOWN_MAX = 1_000


@load_group.command("opening-balances")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@with_settings
def opening_balances_command(*, settings: Settings, file: TextIO) -> None:
    """Load what members had used elsewhere (CSV with a header, or NDJSON; - is standard input).

    Each line is a statement of a source: payer_id, member_id, plan_id, limit_id, service_date,
    quantity, source, sequence. A newer sequence of a source replaces what it stated on the same
    period, an older one is ignored and said. Safe to send again, whole or in part. Lines that are
    refused are said by number, and the exit code is then 1.
    """
    fates: Counter[str] = Counter()
    said = 0
    with open_operations(settings) as operations, progress_bar("statements", None) as advance:
        for lines in _chunks(read_statements(file)):
            for number, why in _load(operations, lines, fates):
                said += 1
                if said <= LINES_SHOWN_MAX:
                    click.echo(f"line {number}: {why}", err=True)
            advance(len(lines))
    if said > LINES_SHOWN_MAX:
        click.echo(f"... and {said - LINES_SHOWN_MAX} more", err=True)
    counts = ", ".join(f"{fates[name]} {name}" for name in ("added", "replaced", "ignored", "repeated"))
    click.echo(f"opening balances: {counts}, {fates['refused']} refused")
    if fates["refused"]:
        raise click.exceptions.Exit(1)


def _load(
    operations: Operations, lines: Sequence[StatementLine | RefusedLine], fates: Counter[str]
) -> Iterator[tuple[int, str]]:
    """Load a chunk in one commit; (line number, why) of each line that changed nothing for a reason."""
    statements = {
        line.number: OpeningStatement(
            statement_id=operations.new_id("ops"), ref=line.ref, balance=line.balance
        )
        for line in lines
        if isinstance(line, StatementLine)
    }
    reasons = {line.number: line.why for line in lines if isinstance(line, RefusedLine)}
    with operations.database.transaction(EVERY_PAYER) as tx:
        payers = tx.known_payers.existing(sorted({one.ref.payer_id for one in statements.values()}))
    for number in [number for number, one in statements.items() if one.ref.payer_id not in payers]:
        del statements[number]
        reasons[number] = "there is no such payer"
    found = _state(operations, list(statements.values()))
    for number, fate in zip(statements, found, strict=True):
        if fate in REFUSALS:
            reasons[number] = REFUSALS[fate]
            continue
        fates[fate] += 1
        if fate == "ignored":
            yield number, "ignored: the source has stated something newer on this period"
    fates["refused"] += len(reasons)
    yield from sorted(reasons.items())


def _state(operations: Operations, statements: Sequence[OpeningStatement]) -> tuple[Fate, ...]:
    def work() -> tuple[Fate, ...]:
        with operations.database.transaction(EVERY_PAYER, seconds=DRAIN_SECONDS) as tx:
            stated = state_opening_balances(tx, operations.rules, operations.clock(), statements)
            tx.commit()
        operations.show(stated.images)
        return stated.fates

    return retrying(work) if statements else ()


def _chunks(lines: Iterator[StatementLine | RefusedLine]) -> Iterator[list[StatementLine | RefusedLine]]:
    while chunk := list(islice(lines, STATEMENTS_MAX)):
        yield chunk


#: The command is found in the group `load`.
COMMANDS: tuple[click.Command, ...] = ()
