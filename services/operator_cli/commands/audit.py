"""`needlecap audit`: who looked at a member, and how long that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

import click
import orjson

from services.operator_cli.member_ids import MEMBER_IDS_FILE, read_member_ids
from services.operator_cli.member_pages import require_payer
from services.operator_cli.operations import Operations, current_operator, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.settings import Settings
from shared.domain.audit import AuditEntry, TrailLine, TrailPlace, hashes_of, member_hash, trail_json
from shared.domain.client import EVERY_PAYER
from shared.domain.records import MemberRef
from shared.failpoints import Step, around

PAGE_LINES = 1_000

#: In place of a client, for what was done at a terminal.
OPERATOR = "operator"

_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])


@click.group("audit")
def audit_group() -> None:
    """Read and prune the audit trail."""


@audit_group.command("export")
@click.option("--payer", "payer_id", required=True, help="The member's payer.")
@click.option(
    "--member-id-file",
    type=MEMBER_IDS_FILE,
    default="-",
    help="A file with the member's id alone in it; without one, it is read from standard input.",
)
@click.option("--start", type=_MOMENT, help="From this moment on, in UTC.")
@click.option("--end", type=_MOMENT, help="Before this moment, in UTC.")
@click.option("--by", default=current_operator, show_default="you", help="Who exports, as it is recorded.")
@with_settings
def export_command(
    *,
    settings: Settings,
    payer_id: str,
    member_id_file: TextIO,
    start: datetime | None,
    end: datetime | None,
    by: str,
) -> None:
    """Print who called for something of a member or sent events about the member: a JSON object a line.

    The member's id is no argument, since everybody on a machine can read a process's arguments. The
    export itself is recorded in the trail first, also of an id that the payer has nothing on record of:
    that is said, and who asked about it is printed all the same.
    """
    (member_id,) = read_member_ids(member_id_file, 1)
    ref = MemberRef(payer_id=payer_id, member_id=member_id)
    with open_operations(settings) as operations:
        if not _record(operations, ref, by):
            click.echo("this payer has nothing on record of a member of this id", err=True)
        for line in _trail(operations, ref, _utc(start), _utc(end)):
            click.echo(orjson.dumps(trail_json(line), option=orjson.OPT_UTC_Z))


@audit_group.command("prune")
@with_settings
def prune_command(*, settings: Settings) -> None:
    """Delete the entries that need no longer be kept, as the worker does each hour.

    For how long entries are kept is set with NEEDLECAP_AUDIT_RETENTION_DAYS when the database is
    migrated; without it, six years.
    """
    pruned = 0
    with open_operations(settings) as operations, progress_bar("pruning", None) as advance:
        while True:
            with operations.database.transaction(EVERY_PAYER) as tx:
                gone = tx.audit.prune()
                with around(Step.PRUNE_COMMIT):
                    tx.commit()
            if not gone:
                break
            pruned += gone
            advance(gone)
    click.echo(f"pruned: {pruned}")


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _record(operations: Operations, ref: MemberRef, by: str) -> bool:
    """Have the trail tell of its own export; whether the payer ever heard of the member.

    Raises OperatorError for a payer that is not known.
    """
    entry = AuditEntry(
        called_at=operations.clock(),
        client_id=OPERATOR,
        credential=by,
        call="exportAudit",
        request_id=operations.new_id("exp"),
        purpose="HOPERAT",
        payer_id=ref.payer_id,
        member_hash=member_hash(operations.hash_key, ref),
        status=200,
    )
    with operations.database.transaction([ref.payer_id]) as tx:
        require_payer(tx, ref.payer_id)
        is_known = bool(tx.rebuilding.known([ref]))
        tx.audit.record([entry])
        tx.commit()
    return is_known


def _trail(
    operations: Operations, ref: MemberRef, start: datetime | None, end: datetime | None
) -> Iterator[TrailLine]:
    """Page by page, each in a transaction of its own."""
    after: TrailPlace | None = None
    while True:
        with operations.database.transaction([ref.payer_id]) as tx:
            members = hashes_of(operations.hash_key, ref.payer_id, tx.audit.ids_of(ref))
            page = tx.audit.trail(ref.payer_id, members, start, end, after, PAGE_LINES)
        yield from page
        if len(page) < PAGE_LINES:
            return
        after = page[-1].place


COMMANDS = (audit_group,)
