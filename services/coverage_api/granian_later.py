"""Has granian take answers that come when the application has returned.

Granian hands each WSGI call an object that answers it, from any thread, and waits for that answer, not for
the application. It offers this to no application, so its own wrapper around them is wrapped here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from granian import wsgi
from granian.server import mp

from services.coverage_api.way_back import WAY_BACK_VARIABLE, WayBack

Runner = Callable[[Any, dict[str, Any]], int]

#: The names of what is wrapped, and of where it is used; private to granian, so a test watches over them.
_WRAPPER = "_callback_wrapper"
_USED_AS = "_wsgi_call_wrap"


def take_later_answers() -> bool:
    """Wrap granian's wrapper, in the process that serves; whether that could be done.

    In a granian that is made otherwise nothing changes: calls wait in their threads.
    """
    names = vars(wsgi)
    if _WRAPPER not in names or vars(mp).get(_USED_AS) is not names[_WRAPPER]:
        return False
    setattr(mp, _USED_AS, _with_ways_back(names[_WRAPPER]))
    return True


def _with_ways_back(theirs: Callable[..., Any]) -> Callable[..., Runner]:
    def wrapper(application: Any, *options: Any) -> Runner:
        run = theirs(application, *options)

        def runner(protocol: Any, scope: dict[str, Any]) -> int:
            way_back = WayBack(protocol)
            scope[WAY_BACK_VARIABLE] = way_back
            status: int = run(way_back, scope)
            return status

        return runner

    return wrapper
