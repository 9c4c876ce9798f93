"""Waits for what becomes of an accepted event, for clients that would rather wait than ask again."""

from __future__ import annotations

from services.coverage_api.ports import Tools
from shared.domain.errors import StoreUnavailable
from shared.domain.receipt import Receipt

PAUSE_SECONDS_FIRST = 0.01
PAUSE_SECONDS_MAX = 0.25
PAUSE_GROWTH = 1.5
#: One look at the receipt; the time of the call itself may be over by then.
POLL_SECONDS_MAX = 2.0


def await_outcome(tools: Tools, payer_id: str, client_id: str, receipt: Receipt, seconds: float) -> Receipt:
    """The receipt once it is settled, or as it stands after `seconds`.

    No transaction is open while waiting. When Postgres cannot answer meanwhile the event is accepted
    all the same, so the receipt is given as it was known last.
    """
    name = (client_id, receipt.event_id)
    deadline = tools.monotonic() + seconds
    pause = PAUSE_SECONDS_FIRST
    while not receipt.settled and tools.monotonic() < deadline:
        tools.pause(min(pause, max(0.0, deadline - tools.monotonic())))
        pause = min(pause * PAUSE_GROWTH, PAUSE_SECONDS_MAX)
        try:
            with tools.store.transaction([payer_id], seconds=POLL_SECONDS_MAX) as tx:
                found = tx.receipts.find([name]).get(name)
        except StoreUnavailable:
            return receipt
        receipt = found.receipt if found else receipt
    return receipt
