"""Streams that have begun when something happens to whoever sends them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence

from werkzeug.test import TestResponse

from tests.api_service import Api, event
from tests.builders import PAYER
from tests.waiting import wait_for

OTHER_PAYER = "medicare"
LINES = 6_000
#: The lines of the first two parts.
STORED_BEFORE = 375


class Interrupted(io.BytesIO):
    """A body in the middle of which something happens."""

    def __init__(self, body: bytes, act: Callable[[], None]) -> None:
        super().__init__(body)
        self._middle = len(body) // 2
        self._act: Callable[[], None] | None = act

    def read(self, size: int | None = -1) -> bytes:
        """See BytesIO."""
        act = self._act
        if act is not None and self.tell() >= self._middle:
            self._act = None
            act()
        return super().read(size)


def stream(api: Api, key: str, payers: Sequence[str], meanwhile: str, *given: object) -> TestResponse:
    """Stream events of these payers by turns; once some are stored, a statement is run in the database."""

    def act() -> None:
        wait_for(lambda: stored(api) >= STORED_BEFORE)
        api.installation.write(meanwhile, *given)

    events = (event(n, member_id=f"M-{n}", payer_id=payers[n % len(payers)]) for n in range(LINES))
    body = "\n".join(map(json.dumps, events)).encode()
    return api.post(
        "/v1/visit-events/bulk",
        data=Interrupted(body, act),
        content_type="application/x-ndjson",
        key=key,
    )


def stored(api: Api, payer: str = "%") -> int:
    """Events that are in the inbox, of one payer or of all."""
    [(count,)] = api.installation.rows("select count(*) from visit_event where payer_id like %s", payer)
    return int(count)


def test_stream_ends_where_its_key_is_revoked(api: Api) -> None:
    """Nothing is taken in after that, and the answer says how much was before."""
    key = api.installation.key("ehr", name="revoked-meanwhile")
    revoke = "update credential set revoked_at = now() where prefix = %s"
    answer = stream(api, key, [PAYER], revoke, key.split("_")[1])
    assert answer.status_code == 401
    taken = stored(api)
    assert STORED_BEFORE <= taken < LINES
    assert f" {taken} lines were taken in" in answer.get_json(force=True)["detail"]


def test_stream_ends_where_its_client_is_revoked(api: Api) -> None:
    """All that opens for a client is closed with it."""
    key = api.installation.key("ehr", name="closed-meanwhile")
    answer = stream(api, key, [PAYER], "update client set revoked_at = now() where name = 'closed-meanwhile'")
    assert answer.status_code == 401
    assert stored(api) < LINES


def test_stream_ends_where_its_credential_expires(api: Api) -> None:
    """A stream may be of any length, an access token lives for minutes."""
    key = api.installation.key("ehr", name="expired-meanwhile")
    expire = "update credential set expires_at = now() where prefix = %s"
    assert stream(api, key, [PAYER], expire, key.split("_")[1]).status_code == 401
    assert stored(api) < LINES


def test_lines_of_a_payer_that_is_withdrawn_are_refused_from_then_on(api: Api) -> None:
    """As they would be alone: 404. Those of the other payer, which come by turns with them, are taken in."""
    key = api.installation.key("ehr", PAYER, OTHER_PAYER, name="narrowed-meanwhile")
    narrow = "update client set payers = %s where name = 'narrowed-meanwhile'"
    answer = stream(api, key, [PAYER, OTHER_PAYER], narrow, [PAYER]).get_json()
    assert (stored(api, PAYER), answer["lines"]) == (LINES // 2, LINES)
    others = stored(api, OTHER_PAYER)
    assert STORED_BEFORE // 2 <= others < LINES // 2
    assert (answer["accepted"], answer["rejected"]) == (LINES // 2 + others, LINES // 2 - others)
    assert {line["problem"]["type"] for line in answer["rejected_lines"]} == {"/problems/payer_not_found"}
    assert all(line["line"] % 2 == 0 for line in answer["rejected_lines"])
