"""Keys and access tokens as they were when they were last looked up.

A call that stores something may begin on what is known of its key, as long as the key is looked up in the
very transaction that stores it: one that was revoked or changed meanwhile (`KeyChanged`) is found there, and
nothing of the call is kept. So a key costs such a call no look-up of its own, and revoking is at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.coverage_api.client_ports import Reading, Unconfirmed
from services.coverage_api.key_uses import KeyUses
from shared.domain.client import CredentialRecord

#: Of more keys than these some are looked up anew.
KNOWN_MAX = 10_000


class KeyChanged(Exception):
    """A key is not any more what it was known to be; the call has to begin anew."""


class KnownKeys:
    """What is known of keys. Shared by threads."""

    def __init__(self, uses: KeyUses) -> None:
        """Know of none; `uses` hears of uses."""
        self._uses = uses
        self._known: dict[str, CredentialRecord] = {}

    def recall(self, prefix: str) -> CredentialRecord | None:
        """What is known of a key or token, which may be over since."""
        return self._known.get(prefix)

    def used(self, record: CredentialRecord, now: datetime) -> None:
        """A key or token was looked up for a call and found open."""
        if len(self._known) >= KNOWN_MAX:
            self._known = {}
        self._known[record.prefix] = record
        if record.kind == "key":
            self._uses.note(record, now)

    def forget(self, prefix: str) -> None:
        """A key or token is not what it was known to be: the next call with it looks it up first.

        So whoever holds a revoked one costs its client a single permit to call.
        """
        self._known.pop(prefix, None)

    def confirm(self, tx: Reading, requests: Sequence[Unconfirmed], now: datetime) -> list[bool]:
        """For each request, in order, whether its key is still what it was known to be.

        One question for all of them, or none if `tx` asked it ahead.
        """
        prefixes = prefixes_of(requests)
        found = tx.clients.find(prefixes) if prefixes else {}
        for prefix in prefixes:
            record = found.get(prefix)
            if record is not None and record.is_open(now):
                self.used(record, now)
            else:
                self.forget(prefix)
        callers = [request.caller for request in requests]
        return [caller is None or caller.stands(found.get(caller.prefix), now) for caller in callers]


def prefixes_of(requests: Iterable[Unconfirmed]) -> list[str]:
    """The keys and tokens to be confirmed for these requests, each once."""
    return sorted({request.caller.prefix for request in requests if request.caller is not None})
