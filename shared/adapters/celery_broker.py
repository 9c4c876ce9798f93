"""How everyone speaks to the task broker: whoever sends, consumes or asks must agree on this.

Each setting answers a failure seen in kombu on Redis; services/counter_worker/README.md tells which.
"""

from __future__ import annotations

import ssl
from urllib.parse import parse_qs, urlsplit

from celery import Celery
from kombu import Exchange, Queue

from shared.messages import QUEUES

#: Before every key of the broker, so that a shared server tells whose queues these are.
KEY_PREFIX = "needlecap:"

#: A task whose worker died is given to another after this; every task must be shorter.
VISIBILITY_SECONDS = 60

CONNECT_SECONDS = 1.0
#: Longer than the second for which Redis itself may hold back the answer to a waiting consumer.
ANSWER_SECONDS = 3.0


def configure_broker(app: Celery, url: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
    """Have `app` use the broker at `url` (`redis://` or `rediss://`).

    Sending a task fails when the broker cannot be reached within `CONNECT_SECONDS` or does not answer
    within `answer_seconds`; it never waits for the broker's return. Consumers need the default.
    """
    app.conf.update(
        broker_url=url,
        broker_transport_options=_transport_options(answer_seconds),
        broker_use_ssl=_tls(url),
        broker_connection_timeout=CONNECT_SECONDS,
        # Each with an exchange of its own: by default they would share one, and each get every task.
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        task_default_queue=QUEUES[0],
        task_create_missing_queues=False,
        task_publish_retry=False,
        task_ignore_result=True,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
    )


def _transport_options(answer_seconds: float) -> dict[str, object]:
    return {
        "global_keyprefix": KEY_PREFIX,
        "visibility_timeout": VISIBILITY_SECONDS,
        # Look every second for tasks whose worker died; by default each tenth look is taken, and a
        # worker killed while looking would keep the others from it for five minutes.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 5,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": answer_seconds,
        "socket_keepalive": True,
        # A consumer on a half-open connection notices within twice this.
        "health_check_interval": 5,
        # Opening a channel makes one attempt; without this a sender would try for ever.
        "max_retries": 0,
    }


def _tls(url: str) -> dict[str, object] | bool:
    """The server's certificate is checked unless the URL's own `ssl_` parameters say how to."""
    parts = urlsplit(url)
    if parts.scheme != "rediss" or any(name.startswith("ssl_") for name in parse_qs(parts.query)):
        return False
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED}
