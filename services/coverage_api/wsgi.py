"""The WSGI entry point: `granian --interface wsgi services.coverage_api.wsgi:app`."""

from __future__ import annotations

from services.coverage_api.bootstrap import build
from services.coverage_api.settings import load_settings

app = build(load_settings()).app
