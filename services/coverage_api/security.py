"""Who is calling, and which payers they see: the first three checks of every call."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterable, Sequence

from services.coverage_api.deadline import BudgetedStore
from services.coverage_api.errors import Forbidden, PayerNotFound, Unauthenticated
from services.coverage_api.gathering import Gathering
from services.coverage_api.known_keys import KeyChanged, KnownKeys
from services.coverage_api.schemas.fields import is_slug
from shared.domain.client import Client, CredentialRecord, Role
from shared.domain.client_key import key_digest, key_prefix
from shared.ports import Clock, Sent

#: Payers are never deleted, so one that was seen once need not be looked for again.
REMEMBERED_PAYERS_MAX = 100_000

#: Keys of different requests that are looked up in one statement.
KEYS_AT_ONCE_MAX = 100

_NOBODY = bytes(32)


class Doorkeeper:
    """Checks keys and tokens, roles and payers.

    Keys and tokens are looked up in Postgres for each call, by itself or in the transaction that stores
    what the call brings (`known_keys.py`), so revoking is at once on every process.
    """

    def __init__(self, store: BudgetedStore, clock: Clock, hash_key: bytes, known: KnownKeys) -> None:
        """`hash_key` is the installation's secret under which digests are made."""
        self._store = store
        self._clock = clock
        self._hash_key = hash_key
        self._known = known
        self._payers: set[str] = set()
        self._lock = threading.Lock()
        # A look-up begins after whoever asks for it came, so a revoked key is found to be revoked. One at a
        # time: it takes Postgres a moment, so that two would only halve how many share each.
        self._records: Gathering[str, CredentialRecord | None] = Gathering(
            self._find_records, most=KEYS_AT_ONCE_MAX, seconds_left=store.seconds_left, leaders_max=1
        )

    def identify(self, authorization: str | None) -> Client:
        """The client that an Authorization header speaks for.

        Raises Unauthenticated, alike for a key or token that is malformed, unknown, expired or revoked,
        and StoreUnavailable when that cannot be found out.
        """
        if not _is_bearer(authorization):
            raise Unauthenticated("A key is expected in the header Authorization, as: Bearer KEY.")
        prefix, key = _shown(authorization)
        if prefix is None:
            raise Unauthenticated
        (record,) = self._records.ask([prefix])
        genuine = self._is_genuine(record, key)
        now = self._clock()
        if record is None or not genuine or not record.is_open(now):
            raise Unauthenticated
        self._known.used(record, now)
        return record.client

    def recall(self, authorization: str | None) -> CredentialRecord | None:
        """The key or token of an Authorization header as it is known, to be confirmed before the answer.

        None where nothing is known of it, or where it opened nothing then: it has to be looked up.
        """
        prefix, key = _shown(authorization)
        record = self._known.recall(prefix) if prefix is not None else None
        return record if record is not None and self._is_genuine(record, key) else None

    def require_same(self, caller: CredentialRecord) -> None:
        """Raises KeyChanged unless a key that was recalled is found as it was, and StoreUnavailable."""
        (record,) = self._records.ask([caller.prefix])
        if not caller.stands(record, self._clock()):
            self._known.forget(caller.prefix)
            raise KeyChanged

    def _is_genuine(self, record: CredentialRecord | None, key: str) -> bool:
        known = record.digest if record else _NOBODY
        return hmac.compare_digest(known, key_digest(self._hash_key, key))

    def _find_records(self, prefixes: Sequence[str], _sent: Sent) -> list[CredentialRecord | None]:
        wanted = sorted(set(prefixes))
        found = self._store.look(lambda tx: tx.clients.find(wanted))
        return [found.get(prefix) for prefix in prefixes]

    def require_role(self, client: Client, roles: Iterable[Role]) -> None:
        """Raises Forbidden unless the client's role is one of `roles`."""
        if client.role not in roles:
            raise Forbidden(f"This call is for {', '.join(roles)}; this client's role is {client.role}.")

    def require_payer(self, client: Client, payer_id: str) -> None:
        """Raises PayerNotFound, alike for a payer that was not granted and one that does not exist."""
        is_known = payer_id in self._payers and client.sees(payer_id)
        if not is_known and payer_id not in self.visible_payers(client, [payer_id]):
            raise PayerNotFound

    def visible_payers(self, client: Client, payer_ids: Iterable[str]) -> set[str]:
        """Those of the given ids that exist and that the client was granted."""
        granted = {payer_id for payer_id in payer_ids if is_slug(payer_id) and client.sees(payer_id)}
        unknown = granted - self._payers
        if unknown:
            with self._store.transaction(sorted(unknown)) as tx:
                existing = tx.known_payers.existing(sorted(unknown))
            self._remember(existing)
            return granted - unknown | existing
        return granted

    def _remember(self, payer_ids: set[str]) -> None:
        with self._lock:
            if len(self._payers) + len(payer_ids) <= REMEMBERED_PAYERS_MAX:
                self._payers = self._payers | payer_ids


def _is_bearer(authorization: str | None) -> bool:
    return (authorization or "").partition(" ")[0].lower() == "bearer"


def _shown(authorization: str | None) -> tuple[str | None, str]:
    """The key or token in an Authorization header, after the prefix that it is found by, or None."""
    key = (authorization or "").partition(" ")[2].strip()
    return (key_prefix(key) if _is_bearer(authorization) else None), key
