"""Queues the textbook's tasks: `python -m deploy.benchmarks.peers.textbook_fill COUNT MEMBERS`."""

from __future__ import annotations

import sys

from deploy.benchmarks.dataset import generator
from deploy.benchmarks.peers.textbook import app, record


def main() -> None:
    """Send one task for each event, of members drawn evenly."""
    draw = generator(3)
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for _ in range(int(sys.argv[1])):
            record.apply_async((draw.randrange(int(sys.argv[2])),), producer=producer)


if __name__ == "__main__":
    main()
