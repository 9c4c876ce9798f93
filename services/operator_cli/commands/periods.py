"""`needlecap periods`: what benefit periods that are over came to, and what came to them late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click
from rich.table import Table

from services.operator_cli.member_pages import require_payer
from services.operator_cli.operations import Operations, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.settings import Settings
from services.operator_cli.tables import print_table
from shared.accounting.period_turn import amended, close_periods, period_standings
from shared.domain.client import EVERY_PAYER
from shared.domain.period_report import PeriodReport, PeriodStanding
from shared.failpoints import Step, around
from shared.messages import CLOSE_PERIODS

#: Summing up all accumulators of a large payer takes its time.
SECONDS_MAX = 30.0


@click.group("periods")
def periods_group() -> None:
    """Look at benefit periods that are over. The worker reports them by itself, each quarter of an hour."""


@periods_group.command("list")
@click.option("--payer", "payer_id", help="List this payer's only.")
@click.option("--open", "with_open", is_flag=True, help="List the periods that are not over, too.")
@with_settings
def list_command(*, settings: Settings, payer_id: str | None, with_open: bool) -> None:
    """Show each ended period with its counts over all members, and whether anything came late.

    A period is `due` until it is reported, then `closed`. A visit that comes late counts to its period
    as ever: it is then `changed`, and `amended` once that was reported; the first report stays on record.
    """
    shown: list[PeriodStanding] = []
    with open_operations(settings) as operations:
        for payer in _payers(operations, payer_id):
            with operations.database.transaction([payer], seconds=SECONDS_MAX) as tx:
                found = period_standings(tx, payer, operations.clock())
            shown += [one for one in found if with_open or one.status != "open"]
    if shown:
        print_table(_table(shown))
    by_status = Counter(one.status for one in shown)
    counts = "".join(f", {status}: {number}" for status, number in sorted(by_status.items()))
    click.echo(f"periods: {len(shown)}{counts}")


@periods_group.command("close")
@click.option("--payer", "payer_id", help="Close this payer's only.")
@with_settings
def close_command(*, settings: Settings, payer_id: str | None) -> None:
    """Report the periods that are over, now, as the worker does from time to time.

    Changes no count. A period whose counts changed since its report is reported again. Safe to run
    twice and while traffic runs.
    """
    made: list[PeriodReport] = []
    busy = 0
    with open_operations(settings) as operations:
        payers = _payers(operations, payer_id)
        with progress_bar("payers", len(payers)) as advance:
            for payer in payers:
                closed = _close(operations, payer)
                busy += closed is None
                made += closed or []
                advance(1)
    late = amended(made)
    click.echo(f"periods closed: {len(made) - late}, amended: {late}")
    if busy:
        click.echo(f"payers that the worker is at right now: {busy}", err=True)


def _close(operations: Operations, payer_id: str) -> list[PeriodReport] | None:
    """One payer in one commit; None while somebody else is at it."""
    with operations.database.transaction([payer_id], seconds=SECONDS_MAX) as tx:
        if not tx.jobs.claim(f"{CLOSE_PERIODS}:{payer_id}"):
            return None
        made = close_periods(tx, payer_id, operations.clock())
        with around(Step.PERIOD_COMMIT):
            tx.commit()
    return made


def _payers(operations: Operations, payer_id: str | None) -> list[str]:
    with operations.database.transaction(EVERY_PAYER) as tx:
        require_payer(tx, payer_id)
        return tx.periods.payers() if payer_id is None else [payer_id]


def _table(standings: Sequence[PeriodStanding]) -> Table:
    table = Table()
    for column in ("payer", "plan", "limit", "basis", "ends before"):
        table.add_column(column)
    for column in ("members", "used", "held", "no unit left", "used when closed"):
        table.add_column(column, justify="right")
    table.add_column("status")
    for one in standings:
        name, counts = one.name, one.counts
        table.add_row(
            *(name.payer_id, name.plan_id, name.limit_id, name.basis, name.end.isoformat()),
            *map(str, (counts.members, counts.used, counts.held, counts.members_full)),
            str(one.first.counts.used) if one.first else "-",
            one.status,
        )
    return table


COMMANDS = (periods_group,)
