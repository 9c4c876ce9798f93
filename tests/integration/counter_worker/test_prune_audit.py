"""Entries of the audit trail go when they have been kept long enough, and no earlier."""

from __future__ import annotations

from services.counter_worker.ports import Tools
from services.counter_worker.usecases.prune_audit import prune_audit
from shared.domain.client import EVERY_PAYER
from shared.messages import PRUNE_AUDIT
from tests.offices import Office


def test_job_prunes_what_is_too_old_unless_another_worker_is_at_it(office: Office, tools: Tools) -> None:
    """It is safe to run twice, and at once in two workers."""
    office.change(
        "insert into audit_entry (called_at, client_id, credential, call, request_id, purpose, status, items)"
        " select now() - make_interval(years => n), 'c', 'c', 'c', n::text, 'TREAT', 200, 1"
        " from generate_series(5, 8) n"
    )
    with tools.store.transaction(EVERY_PAYER) as tx:
        assert tx.jobs.claim(PRUNE_AUDIT)
        assert prune_audit(tools) == 0
    assert [prune_audit(tools), prune_audit(tools)] == [2, 0]
    assert office.rows("select request_id from audit_entry order by 1") == [("5",), ("6",)]
    assert office.rows("select count(*) from worker_job where job = %s", PRUNE_AUDIT) == [(1,)]
