"""`needlecap rules`: the catalog of rule documents."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import click

from services.operator_cli.catalog_loading import load
from services.operator_cli.errors import OperatorError
from services.operator_cli.operations import Operations, open_operations
from services.operator_cli.options import with_settings
from services.operator_cli.progress import progress_bar
from services.operator_cli.rule_catalog import (
    Loaded,
    activate,
    faults_of,
    load_file,
    nearest_version,
    read_candidate,
    stored,
)
from services.operator_cli.rule_effects import (
    EffectReport,
    changed_effects,
    preview_effects,
    refolds_waiting,
    touched,
    wait_for_refolds,
)
from services.operator_cli.settings import Settings
from shared.accounting.catalog_changes import payers_of
from shared.adapters.catalog_files import load_rule_document
from shared.domain.catalog_diff import DocumentChange
from shared.domain.catalog_records import DocumentRow
from shared.domain.client import EVERY_PAYER
from shared.domain.differences import differences
from shared.domain.rule_document import RuleDocument
from shared.domain.rule_effects import catalog_cause
from shared.domain.rule_precedence import VersionDates, dates_of, in_force, instead_of

PAYERS_SHOWN_MAX = 2

rule_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("rules")
def rules_group() -> None:
    """Look after the catalog of rule documents."""


@rules_group.command("validate")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@with_settings
def validate_command(*, settings: Settings, files: tuple[Path, ...]) -> None:
    """Check rule documents in YAML or JSON files, without a database.

    Each fault is a line `file:line: key: what was expected`, and the exit code is then 1.
    """
    del settings
    good, faults = faults_of(files)
    for file, document in good:
        click.echo(f"{file}: {document.document_id} version {document.version} is valid")
    for fault in faults:
        click.echo(str(fault))
    if faults:
        raise click.exceptions.Exit(1)


@rules_group.command("load")
@click.argument("file", required=False, type=rule_file)
@click.option(
    "--activate/--stage",
    "is_to_run",
    default=False,
    help="Let FILE run at once, or only keep it for `rules activate` (the default).",
)
@click.option("--no-wait", is_flag=True, help="Do not wait until the members it touches are folded again.")
@click.option("--show-members", is_flag=True, help="Name members by their ids instead of a keyed hash.")
@with_settings
def load_command(
    *, settings: Settings, file: Path | None, is_to_run: bool, no_wait: bool, show_members: bool
) -> None:
    """Load the rule document of FILE; without it, the catalog that comes with this version.

    `needlecap run` loads the packaged catalog too. Members whose counts a change touches are folded
    again by the worker. What is wrong with a file is said with file, line and key, and the running
    catalog stays as it was. Safe to run twice.
    """
    if file is None:
        _load_packaged(settings)
        return
    with open_operations(settings) as operations:
        loaded = load_file(operations, file, activate=is_to_run)
        _say_loaded(loaded)
        if is_to_run:
            _follow(operations, loaded, no_wait=no_wait, show_members=show_members)


def _load_packaged(settings: Settings) -> None:
    change = load(settings.database_url, datetime.now(UTC))
    if change.created:
        click.echo(f"catalog {change.catalog_version}, {change.members} members to fold again")
    else:
        click.echo(f"catalog {change.catalog_version} is loaded already")


@rules_group.command("list")
@with_settings
def list_command(*, settings: Settings) -> None:
    """Show every version of every rule document, which of them run, and for which service dates.

    Of the versions that run and speak of a date, the latest is in force for it.
    """
    with open_operations(settings) as operations, operations.database.transaction(EVERY_PAYER) as tx:
        version, rows = tx.catalog.version(), tx.catalog.listing()
        reference = json.loads(tx.catalog.reference(version) or "{}")
    spans = _in_force(rows)
    heads = ("document", "version", "authority", "service dates", "in force for", "payers", "state")
    _echo_table([heads, *(_cells(row, spans.get(row.document_id, ())) for row in rows)])
    parts = (part for part in reference.values() if isinstance(part, dict) and "document_id" in part)
    cited = ", ".join(f"{part['document_id']} {part['version']}" for part in parts)
    if cited:
        click.echo(f"its other parts that answers cite: {cited}")
    click.echo(f"running catalog: {version}")


@rules_group.command("diff")
@click.argument("file", type=rule_file)
@with_settings
def diff_command(*, settings: Settings, file: Path) -> None:
    """Compare the rule document of FILE with the loaded one, key by key.

    With the same version if it is loaded, else with the latest version that runs.
    """
    with open_operations(settings) as operations:
        with operations.database.transaction(EVERY_PAYER) as tx:
            vocabulary = operations.rules.current(tx).catalog.vocabulary
            document = load_rule_document(file, vocabulary)
            row = nearest_version(tx, document)
        click.echo(f"{document.document_id} version {document.version}{_beside(row)}")
        if row is not None:
            lines = [str(d) for d in differences(json.loads(row.body), json.loads(document.body))]
            click.echo("\n".join(lines) if lines else "no difference")


@rules_group.command("preview")
@click.argument("file", type=rule_file)
@click.option("--show-members", is_flag=True, help="Name members by their ids instead of a keyed hash.")
@with_settings
def preview_command(*, settings: Settings, file: Path, show_members: bool) -> None:
    """Say which members and visits the rule document of FILE would touch if it ran, and how.

    Every member with something on its dates is counted with the running rules and with it. Writes
    nothing.
    """
    with open_operations(settings) as operations:
        candidate = read_candidate(operations, file)
        click.echo(_changed_in_words(candidate.document, candidate.changed, candidate.running.version))
        total = touched(operations, candidate)
        with progress_bar("members", total) as advance:
            report = preview_effects(operations, candidate, advance)
        click.echo(f"members looked at: {total}, members it would touch: {report.members}")
        _echo_report(operations, report, show_members=show_members)


@rules_group.command("activate")
@click.argument("document_id")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--no-wait", is_flag=True, help="Do not wait until the members it touches are folded again.")
@click.option("--show-members", is_flag=True, help="Name members by their ids instead of a keyed hash.")
@with_settings
def activate_command(
    *, settings: Settings, document_id: str, version: int, no_wait: bool, show_members: bool
) -> None:
    """Let a loaded version of a rule document run, and list what that changed.

    The worker folds the members it touches again; the command waits for that. Safe to run twice: of a
    version that runs already it says so, and does nothing. A later version stays in force for the dates
    that both speak of: to go back, load what the earlier one says as a new version.
    """
    with open_operations(settings) as operations:
        loaded = activate(operations, document_id, version)
        _say_loaded(loaded)
        _follow(operations, loaded, no_wait=no_wait, show_members=show_members)


@rules_group.command("changes")
@click.argument("document_id")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--show-members", is_flag=True, help="Name members by their ids instead of a keyed hash.")
@with_settings
def changes_command(*, settings: Settings, document_id: str, version: int, show_members: bool) -> None:
    """List what changed when a version of a rule document began to run, as it was recorded.

    A change of the catalog is named by its number: documents loaded together changed it together.
    """
    with open_operations(settings) as operations:
        _list_changes(operations, document_id, version, show_members=show_members)


def _follow(operations: Operations, loaded: Loaded, *, no_wait: bool, show_members: bool) -> None:
    """Wait until the members that a document touches are folded again, then list what changed."""
    document, payers = loaded.document, payers_of(loaded.document)
    if loaded.change.ran_since is not None:
        _say_waiting(operations, payers)
        return
    if no_wait:
        return
    total = refolds_waiting(operations, payers)
    with progress_bar("members to fold again", total) as advance:
        done = wait_for_refolds(
            lambda: refolds_waiting(operations, payers), time.monotonic, time.sleep, advance
        )
    if not done:
        left = refolds_waiting(operations, payers)
        raise OperatorError(
            f"{left} members still wait to be folded again, and nobody seems to be at it: does the worker "
            "run? It will do so when it is back; `needlecap rules changes` then lists what changed."
        )
    _list_changes(operations, document.document_id, document.version, show_members=show_members)


def _list_changes(operations: Operations, document_id: str, version: int, *, show_members: bool) -> None:
    with operations.database.transaction(EVERY_PAYER) as tx:
        row = stored(tx, document_id, version)
    if row.activated_in is None:
        raise OperatorError(f"{document_id} version {version} never ran.")
    report = changed_effects(operations, catalog_cause(row.activated_in))
    click.echo(f"changed by catalog {row.activated_in}: members {report.members}")
    _echo_report(operations, report, show_members=show_members)
    _say_waiting(operations, [row.payer_id] if row.payer_id else None)


def _say_waiting(operations: Operations, payers: Sequence[str] | None) -> None:
    waiting = refolds_waiting(operations, payers)
    if waiting:
        click.echo(f"members that still wait to be folded again: {waiting}", err=True)


def _echo_report(operations: Operations, report: EffectReport, *, show_members: bool) -> None:
    for line in report.lines(operations.hash_key, show_members=show_members):
        click.echo(line)


# In words


def _say_loaded(loaded: Loaded) -> None:
    document, change = loaded.document, loaded.change
    name = f"{document.document_id} version {document.version}"
    if not change.activated:
        click.echo(f"{name} is loaded and does not run yet; `needlecap rules activate` lets it")
        return
    if change.ran_since is not None:
        click.echo(f"{name} runs already, since catalog {change.ran_since}: nothing was done")
    else:
        click.echo(f"{name} runs; catalog {change.catalog_version}, {change.members} members to fold again")
    instead = instead_of(dates_of(document), change.in_force)
    for dates in instead:
        click.echo(
            f"for service dates {_span(dates.start, dates.end)} version {dates.version} is in force instead"
        )
    if instead:
        click.echo(f"to go back to what version {document.version} says, load it as a new version")
    if change.ran_since is not None:
        changes = f"needlecap rules changes {document.document_id} {document.version}"
        click.echo(f"`{changes}` lists what it changed when it began to run")


def _beside(row: DocumentRow | None) -> str:
    if row is None:
        return ": no version of it is loaded"
    return f", beside version {row.version} ({_state(row)})"


def _state(row: DocumentRow) -> str:
    if row.activated_in is None:
        return "loaded, does not run"
    return f"runs since catalog {row.activated_in}"


def _changed_in_words(document: RuleDocument, changed: DocumentChange | None, running: int) -> str:
    name = f"{document.document_id} version {document.version}, beside catalog {running}"
    if changed is None:
        return f"{name}: runs already as it is"
    payers = "of any payer" if changed.payers is None else f"of {', '.join(sorted(changed.payers))}"
    return f"{name}: touches service dates {_span(changed.start, changed.end)} {payers}"


def _span(start: object, end: object) -> str:
    if start is None and end is None:
        return "of all times"
    return " ".join([f"from {start}" if start else "", f"before {end}" if end else ""]).strip()


def _in_force(rows: Sequence[DocumentRow]) -> dict[str, tuple[VersionDates, ...]]:
    """When each version that runs is in force, by document.

    From the texts as they are stored: operators look also where this release cannot read one of them.
    """
    running: dict[str, list[VersionDates]] = defaultdict(list)
    for row in rows:
        if row.runs:
            effective = json.loads(row.body)["effective"]
            start, end = (
                date.fromisoformat(effective[edge]) if effective.get(edge) else None
                for edge in ("from", "until")
            )
            running[row.document_id].append(VersionDates(version=row.version, start=start, end=end))
    return {document_id: in_force(versions) for document_id, versions in running.items()}


def _cells(row: DocumentRow, spans: Sequence[VersionDates]) -> tuple[str, ...]:
    body = json.loads(row.body)
    effective = body["effective"]
    payers: set[str] = set()
    for scope in body["applies_to"]:
        payers |= set(scope.get("payers") or ["any"])
    return (
        row.document_id,
        str(row.version),
        str(body["authority"]),
        _span(effective.get("from"), effective.get("until")),
        _own_dates(row, spans),
        " ".join(sorted(payers)) if len(payers) <= PAYERS_SHOWN_MAX else f"{len(payers)} payers",
        _state(row),
    )


def _own_dates(row: DocumentRow, spans: Sequence[VersionDates]) -> str:
    """The service dates for which a version is in force, in words."""
    own = [_span(dates.start, dates.end) for dates in spans if dates.version == row.version]
    if not own and row.runs:
        return "none: later versions are"
    return ", ".join(own) or "-"


def _echo_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns that stay in line, whole, whatever the terminal: lists are read by programs too."""
    for line in _aligned(rows):
        click.echo(line)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


COMMANDS = (rules_group,)
