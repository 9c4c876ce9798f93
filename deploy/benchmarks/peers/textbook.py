"""The textbook design: one Celery task per event, each an upsert with a cap and a ledger row, committed.

Settings are Celery's own, save for the names. Its worker may use as many processes as there are cores,
which is Celery's default; it knows no duplicates, corrections, rules or explanations.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg
from celery import Celery

from deploy.benchmarks.peers.naive import RECORD

app = Celery("textbook", broker=os.environ["TEXTBOOK_BROKER_URL"])
app.conf.update(task_default_queue="textbook", task_ignore_result=True)

_connections: list[psycopg.Connection[Any]] = []


def _connection() -> psycopg.Connection[Any]:
    """This process's connection, opened by its first task."""
    if not _connections:
        url = os.environ["TEXTBOOK_DATABASE_URL"]
        _connections.append(psycopg.connect(url, autocommit=True, prepare_threshold=0))
    return _connections[0]


@app.task(name="textbook.record")
def record(member: int) -> None:
    """Count one visit of a member."""
    _connection().execute(RECORD, {"member": member})
