"""`needlecap dead-letters`: visit events that failed too often and wait for an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import click
from rich.table import Table

from services.operator_cli.errors import OperatorError
from services.operator_cli.member_pages import require_payer
from services.operator_cli.operations import Operations, current_operator, open_operations
from services.operator_cli.options import with_list_limit, with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.settings import Settings
from services.operator_cli.tables import print_table
from shared.domain.client import EVERY_PAYER
from shared.domain.operator_records import DeadEvent

#: How many events are changed in one transaction.
EVENTS_MAX = 500
REASON_LENGTH_MAX = 500

#: Changes some dead events in a transaction of its own; those that it changed.
Change = Callable[[Sequence[int]], list[int]]


@click.group("dead-letters")
def dead_letters_group() -> None:
    """Look after visit events that failed too often; the others of their members go on without them."""


@dead_letters_group.command("list")
@click.option("--payer", "payer_id", help="List this payer's only.")
@click.option("--discarded", is_flag=True, help="List those that were discarded instead.")
@with_list_limit
@with_settings
def list_command(*, settings: Settings, payer_id: str | None, discarded: bool, limit: int) -> None:
    """Show dead events by their numbers, with what kind of error they met."""
    with open_operations(settings) as operations, operations.database.transaction(EVERY_PAYER) as tx:
        require_payer(tx, payer_id)
        total = tx.dead_letters.count(payer_id, discarded=discarded)
        events = tx.dead_letters.after(payer_id, 0, limit, discarded=discarded)
    if events:
        print_table(_table(events, discarded=discarded))
    word = "discarded" if discarded else "dead"
    click.echo(f"{word} events: {total}, shown: {len(events)}")


@dead_letters_group.command("retry")
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1))
@click.option("--all", "every", is_flag=True, help="Retry every dead event that was not discarded.")
@click.option("--payer", "payer_id", help="With --all: this payer's only.")
@with_settings
def retry_command(*, settings: Settings, numbers: tuple[int, ...], every: bool, payer_id: str | None) -> None:
    """Have dead events applied again, each in the place where it arrived.

    NUMBERS are those that `list` shows. The worker takes them up by itself. An event that is not dead
    any more is left as it is.
    """
    _require_choice(numbers, every=every, payer_id=payer_id)
    with open_operations(settings) as operations:

        def retry(chunk: Sequence[int]) -> list[int]:
            with operations.database.transaction(EVERY_PAYER) as tx:
                changed = tx.dead_letters.retry(chunk)
                tx.commit()
            return changed

        _change(operations, numbers, payer_id, retry, "retried")


@dead_letters_group.command("discard")
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1))
@click.option("--all", "every", is_flag=True, help="Discard every dead event.")
@click.option("--payer", "payer_id", help="With --all: this payer's only.")
@click.option("--reason", required=True, help="Why they are given up, as it is recorded.")
@click.option("--by", default=current_operator, show_default="you", help="Who decided it.")
@with_settings
def discard_command(
    *,
    settings: Settings,
    numbers: tuple[int, ...],
    every: bool,
    payer_id: str | None,
    reason: str,
    by: str,
) -> None:
    """Give dead events up, for good. They stay on record, and stay counted as dead.

    NUMBERS are those that `list` shows.
    """
    _require_choice(numbers, every=every, payer_id=payer_id)
    if not 0 < len(reason.strip()) <= REASON_LENGTH_MAX:
        raise click.BadParameter(f"1 to {REASON_LENGTH_MAX} characters", param_hint="--reason")
    with open_operations(settings) as operations:

        def discard(chunk: Sequence[int]) -> list[int]:
            with operations.database.transaction(EVERY_PAYER) as tx:
                changed = tx.dead_letters.discard(chunk, by, reason.strip(), operations.clock())
                tx.commit()
            return changed

        _change(operations, numbers, payer_id, discard, "discarded")


def _require_choice(numbers: Sequence[int], *, every: bool, payer_id: str | None) -> None:
    if bool(numbers) == every:
        raise click.UsageError("name events by their numbers, or all of them with --all")
    if payer_id is not None and not every:
        raise click.UsageError("--payer goes with --all")


def _change(
    operations: Operations, numbers: Sequence[int], payer_id: str | None, change: Change, word: str
) -> None:
    """Change the chosen events chunk by chunk; say what was not changed, and fail on unknown numbers."""
    with operations.database.transaction(EVERY_PAYER) as tx:
        require_payer(tx, payer_id)
        total = len(numbers) or tx.dead_letters.count(payer_id, discarded=False)
        statuses = tx.dead_letters.statuses(numbers)
    changed = 0
    with progress_bar("events", total) as advance:
        for chunk in _chunks(numbers or _all_dead(operations, payer_id)):
            done = change(chunk)
            changed += len(done)
            advance(len(chunk))
            for number in set(numbers).intersection(chunk).difference(done):
                click.echo(f"event {number} is left as it is: {statuses.get(number, 'not known')}", err=True)
    click.echo(f"{word}: {changed}")
    if any(number not in statuses for number in numbers):
        raise OperatorError("There is no event of some of these numbers.")


def _all_dead(operations: Operations, payer_id: str | None) -> Iterator[int]:
    """The number of every dead event, the oldest first, read page by page."""
    after = 0
    while True:
        with operations.database.transaction(EVERY_PAYER) as tx:
            page = tx.dead_letters.after(payer_id, after, EVENTS_MAX, discarded=False)
        if not page:
            return
        yield from (event.arrival for event in page)
        after = page[-1].arrival


def _chunks(numbers: Iterable[int]) -> Iterator[list[int]]:
    left = iter(numbers)
    while chunk := list(islice(left, EVENTS_MAX)):
        yield chunk


def _table(events: Sequence[DeadEvent], *, discarded: bool) -> Table:
    columns = ["number", "payer", "client", "event", "type", "failure", "attempts", "received", "dead since"]
    table = Table(*columns, *(["discarded", "by", "why"] if discarded else []))
    for event in events:
        cells = [
            str(event.arrival),
            event.payer_id,
            event.client_name,
            event.event_id,
            event.type,
            event.failure or "",
            str(event.attempts),
            f"{event.received_at:%Y-%m-%d %H:%M:%S}",
            f"{event.dead_since:%Y-%m-%d %H:%M:%S}",
        ]
        if event.discarded_at is not None:
            at = f"{event.discarded_at:%Y-%m-%d %H:%M:%S}"
            cells += [at, event.discarded_by or "", event.discard_reason or ""]
        table.add_row(*cells)
    return table


COMMANDS = (dead_letters_group,)
