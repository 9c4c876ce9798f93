"""The WSGI entry point: `granian --interface wsgi services.coverage_api.wsgi:app`."""

from __future__ import annotations

import gc
from multiprocessing.util import Finalize

import structlog

from services.coverage_api.bootstrap import build
from services.coverage_api.granian_later import take_later_answers
from services.coverage_api.interpreter import wake_without_interrupting
from services.coverage_api.logs import ANSWERS_WAIT_IN_THREADS
from services.coverage_api.settings import load_settings
from shared.adapters.environment import settings_or_exit

#: New objects after which Python looks for circles of garbage. Requests leave next to none, but a thousand
#: of them are on their way at once, and at the usual 700 they would be looked through again and again.
GARBAGE_AFTER = 50_000

# Before any thread begins: threads inherit it.
wake_without_interrupting()
_service = build(settings_or_exit(load_settings))
app = _service.app
# Granian's worker is a forked process of multiprocessing. It ends without what is registered with atexit, but
# not without this, which comes when all connections are answered and closed.
Finalize(None, _service.close, exitpriority=0)
if not take_later_answers():
    structlog.get_logger().warning(ANSWERS_WAIT_IN_THREADS)

gc.collect()
gc.freeze()
gc.set_threshold(GARBAGE_AFTER, 20, 20)
