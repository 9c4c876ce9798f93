"""The floor of the HTTP figures: the API's own server, but for what is said of it."""

from __future__ import annotations

from pathlib import Path

from deploy.benchmarks.http_rows import NOOP, noop_argv
from services.coverage_api.settings import WORKING_MAX
from services.operator_cli.runner.services import API, API_THREADS, ServicePlan


def test_noop_differs_from_the_api_in_application_and_threads_alone(tmp_path: Path) -> None:
    """An option that the API is given one day is the floor's as well."""
    plan = ServicePlan(api_port=8080, broker_url="", environment={}, logs_dir=tmp_path, beat_dir=tmp_path)
    api = plan.specs()[0].argv
    pairs = zip(api, noop_argv(api), strict=True)
    assert [pair for pair in pairs if pair[0] != pair[1]] == [
        (API, NOOP),
        (str(API_THREADS), str(WORKING_MAX)),
    ]
