"""The call that this thread serves: Flask's request, and what is noted of it.

Flask shows its request through a proxy, which looks for the call anew at each use of an attribute. Where a
call uses many, that is dearer than what it is used for; this is the object itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import request

from services.coverage_api.rate_limits import RateStanding

if TYPE_CHECKING:
    from services.coverage_api.plain_flask import PlainRequest


@dataclass(slots=True)
class Notes:
    """What is noted of a call while it is served: when it began, and once that is known, who calls."""

    request_id: str
    started: float
    client_name: str | None = None
    rate: RateStanding | None = None


def this_request() -> PlainRequest:
    """The request that is being answered."""
    found: PlainRequest = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - werkzeug's way
    return found


def notes() -> Notes:
    """What is noted of the call; lives as long as the call."""
    return this_request().notes
