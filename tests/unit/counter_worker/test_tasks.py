"""A job's failure is said without its text, and never reaches the loop that runs the next."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from services.counter_worker.tasks import surviving
from shared.domain.errors import StoreUnavailable

PERSONAL = ValueError("Key (payer_id, member_id)=(security-health-plan, SAMPLE-1) already exists.")


@pytest.fixture(autouse=True)
def _everything_is_logged() -> None:
    """Whatever level another test has set, here every line is seen."""
    structlog.reset_defaults()


def fail_with(error: BaseException) -> None:
    """A job that raises this."""
    with surviving("needlecap.sweep"):
        raise error


@pytest.mark.parametrize(
    ("error", "events"),
    [
        (PERSONAL, ["job_failed"]),
        (ExceptionGroup("SAMPLE-1", [PERSONAL, KeyError("SAMPLE-2")]), ["job_failed", "job_failed"]),
        (StoreUnavailable(), ["store_unavailable"]),
    ],
    ids=["bug", "several bugs", "outage"],
)
def test_failure_of_a_job_is_said_and_survived(error: Exception, events: list[str]) -> None:
    """Whatever is raised, the log names the job and the kind, and nobody (I8)."""
    with capture_logs() as lines:
        fail_with(error)
    assert [line["event"] for line in lines] == events
    assert all(line["job"] == "needlecap.sweep" for line in lines)
    assert "SAMPLE" not in str(lines)


@pytest.mark.parametrize("request_to_end", [KeyboardInterrupt, SystemExit])
def test_requests_to_end_are_not_survived(request_to_end: type[BaseException]) -> None:
    """Only failures are kept from the loop, not the wish to stop."""
    with pytest.raises(request_to_end):
        fail_with(request_to_end())
