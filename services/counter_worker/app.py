"""What `celery -A services.counter_worker.app:app worker` (or `beat`) starts."""

from __future__ import annotations

import logging

from celery import signals

from services.counter_worker.bootstrap import build_app
from services.counter_worker.settings import load_settings
from shared.adapters.environment import settings_or_exit
from shared.adapters.logs import configure_logs

#: They announce each task and each beat, several times a second; what matters our own log says.
CHATTY = ("celery.app.trace", "celery.beat", "celery.worker.strategy")

settings = settings_or_exit(load_settings)
app = build_app(settings)


@signals.setup_logging.connect
def set_up_logs(**_options: object) -> None:
    """Log as everything else of ours does, instead of as Celery would."""
    configure_logs(settings.environment.log_level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
