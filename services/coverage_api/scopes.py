"""Scopes of access tokens: a client's role, all of its payers or one, under names that say so.

`ROLE` is the client's role over every payer it was granted, `ROLE:PAYER_ID` over that payer, and
`system/*.cruds` (SMART on FHIR) whatever the client has.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.coverage_api.errors import TokenRefused
from services.coverage_api.schemas.fields import is_slug
from shared.domain.client import ROLES, Client

#: SMART's name for everything, as of version 2 and of version 1.
EVERYTHING = ("system/*.cruds", "system/*.*")

SCOPES_MAX = 100
SCOPE_LENGTH_MAX = 10_000

#: What the metadata lists; the payers of a client are its own affair.
SUPPORTED = (*ROLES, *EVERYTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a token opens: the scopes as they were asked for, and the payers; None for all the client's."""

    scope: str
    payers: tuple[str, ...] | None


def grant_scopes(client: Client, asked: str | None) -> Grant:
    """What a client is given of what it asked for: the part that it has. Nothing asked is everything.

    Raises TokenRefused (`invalid_scope`) when it has nothing of it (RFC 6749 section 3.3).
    """
    names = list(dict.fromkeys((asked or client.role).split(" ")))
    if len(asked or "") > SCOPE_LENGTH_MAX or len(names) > SCOPES_MAX:
        raise TokenRefused("invalid_scope", "There are too many scopes.")
    payers = {name: _payer_of(client, name) for name in names}
    granted = [name for name in names if name == client.role or name in EVERYTHING or payers[name]]
    if not granted:
        raise TokenRefused(
            "invalid_scope", "The client has none of these scopes; /docs says how they are named."
        )
    single = tuple(payer_id for payer_id in payers.values() if payer_id is not None)
    return Grant(scope=" ".join(granted), payers=single if len(single) == len(granted) else None)


def _payer_of(client: Client, name: str) -> str | None:
    """The payer that a scope names, if it is one of the client's role and payers."""
    role, _, payer_id = name.partition(":")
    return payer_id if role == client.role and is_slug(payer_id) and client.sees(payer_id) else None
