"""`needlecap clients`: the systems that may call, and their keys."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table
from ulid import ULID

from services.operator_cli.clients import ALL_PAYERS, ClientRow, ClientStore, open_clients
from services.operator_cli.options import with_settings
from services.operator_cli.settings import ROLES, Settings
from shared.domain.client_key import new_key

NAME_LENGTH_MAX = 100


@click.group("clients")
def clients_group() -> None:
    """Manage the systems that may call, and their keys."""


def new_client_id() -> str:
    """An id for a new client that sorts by when it was made."""
    return f"cli_{ULID()}"


@clients_group.command("create")
@click.option("--name", required=True, help="What the client is called here; unique.")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the client may do.")
@click.option(
    "--payer", "payers", multiple=True, required=True, help="A payer it may see, or * for all; repeatable."
)
@click.option(
    "--expires-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]),
    help="When the key stops working, in UTC, such as 2030-01-31T00:00:00Z. Default: never.",
)
@with_settings
def create_command(
    *, settings: Settings, name: str, role: str, payers: tuple[str, ...], expires_at: datetime | None
) -> None:
    """Make a client and print its key, alone and for the only time."""
    _refuse_bad_name(name)
    expires = None if expires_at is None else expires_at.replace(tzinfo=UTC)
    if expires is not None and expires <= datetime.now(UTC):
        raise click.BadParameter("the key would have expired already", param_hint="--expires-at")
    granted = [ALL_PAYERS] if ALL_PAYERS in payers else sorted(set(payers))
    key, _ = new_key(secrets.token_bytes)
    with _open(settings) as store:
        store.create(
            name=name,
            role=role,
            payers=granted,
            key=key,
            expires_at=expires,
        )
    click.echo(key)


@clients_group.command("list")
@with_settings
def list_command(*, settings: Settings) -> None:
    """Show every client; keys cannot be shown again."""
    with _open(settings) as store:
        rows = store.list()
    table = Table("name", "role", "payers", "key begins", "made", "state")
    for row in rows:
        made = f"{row.created_at:%Y-%m-%d}"
        table.add_row(row.name, row.role, " ".join(row.payers), f"nck_{row.key_prefix}", made, _state(row))
    Console().print(table)


@clients_group.command("revoke")
@click.option("--name", required=True, help="The client whose key is to stop working.")
@with_settings
def revoke_command(*, settings: Settings, name: str) -> None:
    """Make a client's key stop working, at once and for good."""
    with _open(settings) as store:
        revoked = store.revoke(name)
    click.echo(f"revoked {name}" if revoked else f"{name} was revoked already")


def _open(settings: Settings) -> AbstractContextManager[ClientStore]:
    return open_clients(settings.database_url, settings.hash_key, new_client_id)


def _refuse_bad_name(name: str) -> None:
    if not (0 < len(name) <= NAME_LENGTH_MAX and name.isprintable() and name == name.strip()):
        raise click.BadParameter(f"1 to {NAME_LENGTH_MAX} printable characters", param_hint="--name")


def _state(row: ClientRow) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is not None and row.expires_at <= datetime.now(UTC):
        return "expired"
    return "active"


COMMANDS = (clients_group,)
