"""The clients that a local installation comes with: one for each role, granted all payers."""

from __future__ import annotations

from collections.abc import Callable

from services.operator_cli.clients import ClientStore
from services.operator_cli.installation import Installation
from shared.domain.client import ALL_PAYERS, ROLES
from shared.domain.client_key import new_key

#: Far more than this machine can answer: nobody else is kept out by whoever tries out what it can.
REQUESTS_PER_SECOND = 100_000


def ensure_credentials(
    installation: Installation, store: ClientStore, random_bytes: Callable[[int], bytes]
) -> None:
    """Write `dev-credentials.json` on the first start, and see that the database knows its keys.

    The file comes first: a key in the file that the database does not know is put there at the next
    start, while one in the database alone could never be shown.
    """
    keys = installation.credentials()
    if keys is None:
        keys = {role: new_key(random_bytes)[0] for role in ROLES}
        installation.record_credentials(keys)
    for role, key in keys.items():
        store.ensure(
            name=f"dev-{role}",
            role=role,
            payers=[ALL_PAYERS],
            key=key,
            requests_per_second=REQUESTS_PER_SECOND,
        )
