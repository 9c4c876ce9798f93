"""`needlecap clients`: the systems that may call, and their keys."""

from __future__ import annotations

import re
import secrets
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.table import Column, Table
from ulid import ULID

from services.operator_cli.clients import ClientRow, ClientStore, KeyRow, open_clients
from services.operator_cli.errors import OperatorError
from services.operator_cli.options import with_settings
from services.operator_cli.settings import Settings
from services.operator_cli.tables import print_table
from shared.adapters.jwks import JwksRefused, register_jwks
from shared.adapters.jwks_urls import url_is_allowed
from shared.domain.client import ALL_PAYERS, REQUESTS_PER_SECOND, ROLES
from shared.domain.client_key import KEY_MARK, new_key

NAME_LENGTH_MAX = 100
REQUESTS_PER_SECOND_MAX = 1_000_000
OVERLAP_DAYS_MAX = 90

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.group("clients")
def clients_group() -> None:
    """Manage the systems that may call, and their keys."""


def new_client_id() -> str:
    """An id for a new client that sorts by when it was made."""
    return f"cli_{ULID()}"


class Overlap(click.ParamType[timedelta]):
    """A span of time such as 7d, 12h, 30m or 0."""

    name = "span"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """The span that was written."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,6})([smhd]?)", value, re.ASCII)
        span = timedelta(**{_UNITS[found[2] or "s"]: int(found[1])}) if found else None
        if found is None or span is None or (not found[2] and span) or span > timedelta(OVERLAP_DAYS_MAX):
            self.fail(f"a span such as 7d, 12h, 30m or 0, of at most {OVERLAP_DAYS_MAX} days", param, ctx)
        return span


_name = click.option("--name", required=True, help="The client.")
_expires_at = click.option(
    "--expires-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]),
    help="When the key stops working, in UTC, such as 2030-01-31T00:00:00Z. Default: never.",
)
_requests_per_second = click.option(
    "--requests-per-second",
    type=click.IntRange(1, REQUESTS_PER_SECOND_MAX),
    help=f"How often it may call, over all its keys. {REQUESTS_PER_SECOND} if it was never said.",
)


@clients_group.command("create")
@click.option("--name", required=True, help="What the client is called here; unique.")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the client may do.")
@click.option(
    "--payer", "payers", multiple=True, required=True, help="A payer it may see, or * for all; repeatable."
)
@_expires_at
@_requests_per_second
@click.option("--without-key", is_flag=True, help="Make no key: print the client's id, for `clients jwks`.")
@with_settings
def create_command(
    *,
    settings: Settings,
    name: str,
    role: str,
    payers: tuple[str, ...],
    expires_at: datetime | None,
    requests_per_second: int | None,
    without_key: bool,
) -> None:
    """Make a client and print its key, alone and for the only time."""
    _refuse_bad_name(name)
    if without_key and expires_at is not None:
        raise click.BadParameter("there is no key that could expire", param_hint="--expires-at")
    expires = _future(expires_at)
    key = None if without_key else new_key(secrets.token_bytes)[0]
    with _open(settings) as store:
        client_id = store.create(
            name=name,
            role=role,
            payers=_granted(payers),
            key=key,
            expires_at=expires,
            requests_per_second=requests_per_second,
        )
    click.echo(key or client_id)


@clients_group.command("rotate")
@_name
@click.option(
    "--overlap",
    type=Overlap(),
    default="7d",
    show_default=True,
    help="How long the keys it has now go on working: 7d, 12h, 30m, or 0 for not at all.",
)
@_expires_at
@with_settings
def rotate_command(*, settings: Settings, name: str, overlap: timedelta, expires_at: datetime | None) -> None:
    """Print a new key for a client, alone and for the only time; the old one ends after the overlap."""
    expires = _future(expires_at)
    key, _ = new_key(secrets.token_bytes)
    with _open(settings) as store:
        store.rotate(name, key=key, overlap=overlap, expires_at=expires)
    click.echo(key)


@clients_group.command("update")
@_name
@click.option("--payer", "payers", multiple=True, help="The payers it may see from now on; repeatable.")
@_requests_per_second
@with_settings
def update_command(
    *, settings: Settings, name: str, payers: tuple[str, ...], requests_per_second: int | None
) -> None:
    """Change what a client may see or how often it may call, at once; its keys stay."""
    if not payers and requests_per_second is None:
        raise click.UsageError("Say what is to change: --payer or --requests-per-second.")
    with _open(settings) as store:
        store.update(
            name, payers=_granted(payers) if payers else None, requests_per_second=requests_per_second
        )
    click.echo(f"updated {name}")


@clients_group.command("list")
@with_settings
def list_command(*, settings: Settings) -> None:
    """Show every client; keys cannot be shown again. One that signs has public keys registered."""
    with _open(settings) as store:
        rows = store.list()
    table = Table("name", "role", "payers", "keys", "signs", "last used", "state")
    for row in rows:
        signs, used = "yes" if row.signs else "no", _moment(row.last_used_at)
        keys = str(row.open_keys)
        table.add_row(row.name, row.role, " ".join(row.payers), keys, signs, used, _client_state(row))
    print_table(table)


@clients_group.command("show")
@_name
@with_settings
def show_command(*, settings: Settings, name: str) -> None:
    """Show a client, its keys by what they begin with, and the public keys it registered."""
    with _open(settings) as store:
        row, keys, registered = store.show(name)
    rate = row.requests_per_second or REQUESTS_PER_SECOND
    click.echo(f"{row.name}: client id {row.client_id}, role {row.role}, {_client_state(row)}")
    click.echo(f"payers: {' '.join(row.payers)}; calls a second: {rate}; made: {_moment(row.created_at)}")
    # All of what a key begins with: it is how one of them is revoked.
    begins = Column("key begins", no_wrap=True, min_width=20)
    table = Table(begins, "made", "expires", "last used", "state")
    for key in keys:
        moments = map(_moment, (key.created_at, key.expires_at, key.last_used_at))
        table.add_row(f"{KEY_MARK}{key.prefix}", *moments, _key_state(key))
    print_table(table)
    if registered:
        click.echo(f"registrations of public keys: {len(registered)}; see `needlecap clients jwks list`")


@clients_group.group("jwks")
def jwks_group() -> None:
    """Manage the public keys of clients that sign instead of showing a key (OAuth 2.0)."""


@jwks_group.command("add")
@_name
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="A JWK Set.")
@click.option("--url", help="Where the client keeps its JWK Set; NEEDLECAP_JWKS_URL_ALLOWED must name it.")
@with_settings
def jwks_add_command(*, settings: Settings, name: str, path: Path | None, url: str | None) -> None:
    """Register public keys of a client; prints the id of the registration, alone."""
    if (path is None) == (url is None):
        raise click.UsageError("Say where the keys are: --file or --url.")
    document = None if path is None else _read_jwks(path)
    if url is not None and not url_is_allowed(url, settings.environment.jwks_urls_allowed):
        raise OperatorError(f"{url} is not among the addresses that NEEDLECAP_JWKS_URL_ALLOWED names.")
    jwks_id = f"jwks_{ULID()}"
    with _open(settings) as store:
        store.add_jwks(name, jwks_id=jwks_id, document=document, url=url)
    click.echo(jwks_id)


@jwks_group.command("list")
@_name
@with_settings
def jwks_list_command(*, settings: Settings, name: str) -> None:
    """Show the public keys that a client registered."""
    with _open(settings) as store:
        row, _, registered = store.show(name)
    click.echo(f"{row.name}: client id {row.client_id}")
    for entry in registered:
        keys = entry.url or f"kid {', '.join(entry.key_ids or ())}"
        state = "active" if entry.revoked_at is None else f"revoked {_moment(entry.revoked_at)}"
        used = _moment(entry.last_used_at)
        click.echo(f"{entry.jwks_id}: {keys}; made {_moment(entry.created_at)}, last used {used}, {state}")


@jwks_group.command("revoke")
@_name
@click.option("--id", "jwks_id", required=True, help="The registration.")
@with_settings
def jwks_revoke_command(*, settings: Settings, name: str, jwks_id: str) -> None:
    """Take no more signatures by registered keys, nor the tokens issued on them, at once and for good."""
    with _open(settings) as store:
        revoked = store.revoke_jwks(name, jwks_id)
    click.echo(f"revoked {jwks_id}" if revoked else f"{jwks_id} was revoked already")


@clients_group.command("revoke")
@click.option("--name", required=True, help="The client whose keys are to stop working.")
@click.option(
    "--key", "prefix", help=f"Of its keys only this: what it begins with, {KEY_MARK} and 16 characters."
)
@with_settings
def revoke_command(*, settings: Settings, name: str, prefix: str | None) -> None:
    """Make a client, or one of its keys, stop working, at once and for good."""
    with _open(settings) as store:
        if prefix is None:
            revoked, what = store.revoke(name), name
        else:
            bare = prefix.removeprefix(KEY_MARK).split("_")[0]
            revoked, what = store.revoke_key(name, bare), f"{KEY_MARK}{bare} of {name}"
    click.echo(f"revoked {what}" if revoked else f"{what} was revoked already")


def _open(settings: Settings) -> AbstractContextManager[ClientStore]:
    return open_clients(settings.database_url, settings.hash_key, new_client_id)


def _read_jwks(path: Path) -> str:
    try:
        return register_jwks(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path} cannot be read.") from error
    except JwksRefused as error:
        raise OperatorError(f"{path}: {error}") from error


def _granted(payers: tuple[str, ...]) -> list[str]:
    return [ALL_PAYERS] if ALL_PAYERS in payers else sorted(set(payers))


def _future(expires_at: datetime | None) -> datetime | None:
    expires = None if expires_at is None else expires_at.replace(tzinfo=UTC)
    if expires is not None and expires <= datetime.now(UTC):
        raise click.BadParameter("the key would have expired already", param_hint="--expires-at")
    return expires


def _refuse_bad_name(name: str) -> None:
    if not (0 < len(name) <= NAME_LENGTH_MAX and name.isprintable() and name == name.strip()):
        raise click.BadParameter(f"1 to {NAME_LENGTH_MAX} printable characters", param_hint="--name")


def _moment(at: datetime | None) -> str:
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def _client_state(row: ClientRow) -> str:
    return "revoked" if row.revoked_at is not None else "active"


def _key_state(row: KeyRow) -> str:
    if row.revoked_at is not None:
        return f"revoked {_moment(row.revoked_at)}"
    if row.expires_at is not None and row.expires_at <= datetime.now(UTC):
        return "expired"
    return "active"


COMMANDS = (clients_group,)
