"""Calls the HTTP API, as any client would: with a key, over the network, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import urllib3
from urllib3.util import Retry, Timeout

from services.operator_cli.errors import OperatorError

CONNECT_SECONDS_MAX = 5.0
# The API answers within seconds, or after the ten it may be asked to wait (`Prefer: wait`).
ANSWER_SECONDS_MAX = 30.0
ATTEMPTS_MAX = 8
CONNECT_ATTEMPTS_MAX = 2
PAUSE_SECONDS = 0.25
PAUSE_SECONDS_MAX = 10
BUSY = frozenset({429, 503})


class ApiUnreachableError(OperatorError):
    """The API gave no answer, or one that is not the API's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """An answer: its HTTP status, its headers with names in lower case, and its JSON body."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Caller(Protocol):
    """Whatever can make calls; the API's client, or a test's stand-in."""

    def call(
        self,
        role: str,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiAnswer:
        """Make a call as a client of a role. `body` is a JSON value, or bytes that are JSON already.

        Raises ApiUnreachableError if there is no answer.
        """
        ...


class ApiClient:
    """The API at one base URL. An answer "busy" (429, 503) is asked again for, when it says to.

    Repeating is safe: events carry their own id, PUT replaces, and a check changes nothing.
    """

    def __init__(
        self, api_url: str, key_of: Callable[[str], str], *, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        """`key_of` gives the key for a role when a call needs it.

        Between attempts `pause_seconds` pass, twice as many each time, or as many as the API asks for.
        """
        self._api_url = api_url.rstrip("/")
        self._key_of = key_of
        self._pool = urllib3.PoolManager(
            timeout=Timeout(connect=CONNECT_SECONDS_MAX, read=ANSWER_SECONDS_MAX),
            retries=Retry(
                total=ATTEMPTS_MAX,
                connect=CONNECT_ATTEMPTS_MAX,
                redirect=0,
                allowed_methods=None,
                status_forcelist=BUSY,
                backoff_factor=pause_seconds,
                backoff_max=PAUSE_SECONDS_MAX,
                retry_after_max=PAUSE_SECONDS_MAX,
                raise_on_redirect=False,
                raise_on_status=False,
            ),
        )

    def call(
        self,
        role: str,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiAnswer:
        """See Caller."""
        sent = {"Authorization": f"Bearer {self._key_of(role)}", **(headers or {})}
        content: bytes | None = None
        if body is not None:
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        try:
            response = self._pool.request(method, f"{self._api_url}{path}", body=content, headers=sent)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error
        try:
            value = orjson.loads(response.data)
        except orjson.JSONDecodeError as error:
            raise ApiUnreachableError(
                f"{self._api_url} answers {response.status} without JSON; is that Needlecap?"
            ) from error
        named = {name.lower(): value for name, value in response.headers.items()}
        return ApiAnswer(status=response.status, headers=named, body=value)

    def require_answer(self) -> None:
        """Raise ApiUnreachableError if nothing answers, before anything is shown or sent."""
        try:
            self._pool.request("GET", f"{self._api_url}/healthz", retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: urllib3.exceptions.HTTPError) -> ApiUnreachableError:
        cause = _cause(error)
        if isinstance(cause, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError):
            return ApiUnreachableError(f"Nothing answers at {self._api_url}; is `needlecap run` running?")
        return ApiUnreachableError(f"{self._api_url} does not answer: {type(cause).__name__}.")


def _cause(error: urllib3.exceptions.HTTPError) -> Exception:
    """What is behind an error: its kind may be shown, its text has the address of the call."""
    reason = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else None
    return reason or error
