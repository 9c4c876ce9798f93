"""The call that this thread serves: Flask's request, and what is noted of it (`g`).

Flask shows both through proxies, which look for the call anew at each use of an attribute. Where a call uses
many, that is dearer than what it is used for; these are the objects themselves.
"""

from __future__ import annotations

from typing import Any

from flask import Request, g, request


def this_request() -> Request:
    """The request that is being answered."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - werkzeug's way
    return found


def notes() -> Any:
    """What is noted of the call; lives as long as the call."""
    return g._get_current_object()  # noqa: SLF001 - werkzeug's way
