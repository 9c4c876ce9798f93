"""The floor of taking in events: psycopg COPY of the same rows, as fast as one process can.

`python -m deploy.benchmarks.peers.copy_rows COUNT INDEXED` with the database's URL on standard input;
prints the seconds that the COPY and its commit took.
"""

from __future__ import annotations

import sys
import time

import psycopg

_COLUMNS = (
    "payer_id, client_id, event_id, type, visit_id, member_id, shard, content, payload_digest, received_at"
)


def main() -> None:
    """Read the newest rows of the inbox, then copy them into a table of the same columns."""
    count, indexed = int(sys.argv[1]), sys.argv[2] == "1"
    with psycopg.connect(sys.stdin.readline().strip()) as connection:
        like = "like visit_event including all" if indexed else "like visit_event including defaults"
        connection.execute("drop table if exists copied_event")
        connection.execute(f"create table copied_event ({like})")
        connection.commit()
        rows = connection.execute(
            "select payer_id, client_id, event_id, type, visit_id, member_id, shard, content::text,"
            " payload_digest, received_at from visit_event order by arrival desc limit %s",
            [count],
        ).fetchall()
        began = time.perf_counter()
        with connection.cursor().copy(f"copy copied_event ({_COLUMNS}) from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        connection.commit()
        seconds = time.perf_counter() - began
        connection.execute("drop table copied_event")
    sys.stdout.write(f"{seconds:.6f}\n")


if __name__ == "__main__":
    main()
