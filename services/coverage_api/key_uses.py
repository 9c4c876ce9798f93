"""When keys were last used: noted beside the calls, never in their way."""

from __future__ import annotations

import threading
from datetime import datetime

from services.coverage_api.ports import Store
from shared.domain.client import USES_NOTED_EVERY, CredentialRecord
from shared.domain.errors import StoreUnavailable

#: Uses are gathered this long before they are written, and kept this long when they could not be.
GATHER_SECONDS = 1.0

#: Keys whose use waits to be written; of more at once some are noted with a later use.
WAITING_MAX = 10_000


class KeyUses:
    """Writes last uses from a thread of its own, many in one statement. Shared by threads."""

    def __init__(self, store: Store, *, gather_seconds: float = GATHER_SECONDS) -> None:
        """Write through `store`. The thread starts with the first use."""
        self._store = store
        self._gather_seconds = gather_seconds
        self._lock = threading.Lock()
        self._waiting: dict[str, datetime] = {}
        self._there_is_work = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, record: CredentialRecord, now: datetime) -> None:
        """A key was used; nothing is done if that is known well enough."""
        last = record.last_used_at
        if (last is not None and now - last < USES_NOTED_EVERY) or record.prefix in self._waiting:
            return
        with self._lock:
            if len(self._waiting) >= WAITING_MAX or self._closed.is_set():
                return
            self._waiting[record.prefix] = now
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="key-uses", daemon=True)
                self._thread.start()
        self._there_is_work.set()

    def close(self) -> None:
        """End the thread, which writes what waits. What it cannot is lost; a later use makes it good."""
        self._closed.set()
        self._there_is_work.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _write(self) -> None:
        is_last = False
        while not is_last:
            self._there_is_work.wait()
            is_last = self._closed.wait(self._gather_seconds)
            with self._lock:
                uses = dict(self._waiting)
                self._there_is_work.clear()
            if not uses:
                continue
            try:
                with self._store.transaction(()) as tx:
                    tx.clients.note_uses(uses)
                    tx.commit()
            except StoreUnavailable:
                # Nobody waits for it: it is tried again with the next.
                self._there_is_work.set()
                continue
            with self._lock:
                for prefix in uses:
                    del self._waiting[prefix]
