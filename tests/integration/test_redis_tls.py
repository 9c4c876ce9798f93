"""Redis over TLS: `rediss://` serves counters and broker, but not with a certificate that nobody trusts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from shared.adapters.celery_broker import configure_broker
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.domain.errors import CountersUnavailable
from shared.messages import DRAIN_QUEUE, DRAIN_SHARD
from tests.certificates import make_certificate
from tests.counter_images import HASH_KEY, image, new_ref
from tests.proxy import Proxy


@pytest.fixture
def tls_url(redis_url: str, tmp_path: Path) -> Iterator[str]:
    """The suite's Valkey behind TLS, without saying whom to trust."""
    _, context = make_certificate(tmp_path)
    parts = urlsplit(redis_url)
    with Proxy(parts.hostname or "", parts.port or 0, tls=context).running() as proxy:
        yield f"rediss://:{parts.password}@127.0.0.1:{proxy.port}"


@pytest.fixture
def trust(tmp_path: Path) -> str:
    """What to add to a URL to trust the certificate."""
    return f"?ssl_cert_reqs=required&ssl_ca_certs={tmp_path / 'certificate.pem'}"


def test_counters_are_kept_over_tls(tls_url: str, trust: str) -> None:
    """With the certificate's authority named in the URL everything works as without TLS."""
    counters = RedisCounters(connect(f"{tls_url}/0{trust}"), hash_key=HASH_KEY)
    ref = new_ref()
    counters.project([image(ref, 3)])
    assert counters.read([ref]) == {ref: image(ref, 3)}


def test_counters_refuse_an_unknown_certificate(tls_url: str) -> None:
    """Somebody in between is an outage, not a source of counts."""
    counters = RedisCounters(connect(f"{tls_url}/0"), hash_key=HASH_KEY)
    with pytest.raises(CountersUnavailable):
        counters.read([new_ref()])


def send(url: str) -> None:
    """Send one wake-up."""
    app = Celery("test", set_as_current=False)
    configure_broker(app, url, answer_seconds=1.0)
    app.send_task(DRAIN_SHARD, (1,))


def test_tasks_are_sent_over_tls(tls_url: str, trust: str, redis_url: str) -> None:
    """The broker's URL says whom to trust in the same way."""
    send(f"{tls_url}/1{trust}")
    with redis.Redis.from_url(urlsplit(redis_url)._replace(path="/1").geturl()) as client:
        assert client.llen(f"needlecap:{DRAIN_QUEUE}") == 1


def test_tasks_are_not_sent_to_an_unknown_certificate(tls_url: str) -> None:
    """Left to itself the broker's library would take any certificate."""
    with pytest.raises(OperationalError):
        send(f"{tls_url}/1")
