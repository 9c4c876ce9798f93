"""What is said of a peer's figure that may be the limit of whoever asked."""

from __future__ import annotations

from deploy.benchmarks.load import CLIENT_SHARE_MAX_PERCENT
from deploy.benchmarks.peer_rows import client_note


def test_note_says_when_the_client_may_have_been_the_limit() -> None:
    """Up to the share at which other runs end the figure is the server's; above, it may be the client's."""
    assert "at least" not in client_note(CLIENT_SHARE_MAX_PERCENT)
    assert "at least" in client_note(CLIENT_SHARE_MAX_PERCENT + 1)
