"""The composition root: the one place where the API's parts are made and put together."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib import metadata

import redis
import structlog
from flask import Flask
from redis.exceptions import RedisError

from services.coverage_api.access_log import access_log
from services.coverage_api.app import OpenRoute, create_app
from services.coverage_api.arrivals import Arrivals
from services.coverage_api.auditing import Auditor
from services.coverage_api.backlog import Backlog, oldest_due
from services.coverage_api.cors import answer_preflight, show_to_origins
from services.coverage_api.deadline import BudgetedStore
from services.coverage_api.gathering import Gathering
from services.coverage_api.http import Endpoint
from services.coverage_api.jwks_fetch import JwksFetcher
from services.coverage_api.jwks_source import JwksSource
from services.coverage_api.key_uses import KeyUses
from services.coverage_api.known_keys import KnownKeys
from services.coverage_api.log_lines import LogLines
from services.coverage_api.logs import WAKE_UP_FAILED
from services.coverage_api.metrics import Metrics, StandingCollector
from services.coverage_api.new_ids import NewIds
from services.coverage_api.openapi import PROBLEM_PATH, STYLE_PATH, openapi_document
from services.coverage_api.ports import Tools
from services.coverage_api.rate_limits import RateLimiter
from services.coverage_api.routes import (
    accumulators,
    administration,
    audit,
    bulk,
    documentation,
    eligibility_checks,
    health,
    holds,
    oauth,
    overrides,
    rule_documents,
    status,
    visit_events,
    visits,
)
from services.coverage_api.routes.parts import Parts
from services.coverage_api.security import Doorkeeper
from services.coverage_api.settings import Settings
from services.coverage_api.slow_senders import SlowSenders
from services.coverage_api.usecases.check_eligibility import check_eligibility
from services.coverage_api.usecases.record_visit_events import record_visit_events
from services.coverage_api.waiting import WaitingRoom
from shared import failpoints
from shared.accounting.answers import Answers
from shared.adapters.catalog_source import CatalogSource
from shared.adapters.celery_wakeups import CeleryWakeUps
from shared.adapters.logs import configure_logs, described
from shared.adapters.postgres.database import PostgresDatabase
from shared.adapters.redis.connection import connect
from shared.adapters.redis.counters import RedisCounters
from shared.adapters.redis.rate_windows import RedisRateWindows
from shared.domain.errors import CountersUnavailable
from shared.domain.records import CounterImage, MemberRef
from shared.ports import Counters

#: A call waits this long for a connection; with CALL_SECONDS of deadline.py it stays below five seconds.
CONNECTION_WAIT_SECONDS = 1.0

#: Of different requests, put in one commit.
CHECKS_AT_ONCE_MAX = 100
EVENTS_AT_ONCE_MAX = 1_000

_ROUTES = (
    eligibility_checks,
    visit_events,
    bulk,
    accumulators,
    visits,
    holds,
    overrides,
    administration,
    rule_documents,
    audit,
    status,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The built service: its application, what that is made of, and how to close it.

    Closed once its calls are answered, it writes down what it has gathered: uses of keys, and log lines. What
    calls may still do whose callers are gone finds the store away.
    """

    app: Flask
    parts: Parts
    endpoints: Sequence[Endpoint]
    close: Callable[[], None]


class CountedCounters:
    """Counters that also count how often Redis could not answer for them."""

    def __init__(self, counters: Counters, metrics: Metrics) -> None:
        """Pass everything on to `counters`."""
        self._counters = counters
        self._metrics = metrics

    def project(self, images: Sequence[CounterImage]) -> None:
        """See Counters."""
        try:
            self._counters.project(images)
        except CountersUnavailable:
            self._metrics.counters_unavailable.inc()
            raise

    def read(self, refs: Sequence[MemberRef]) -> Mapping[MemberRef, CounterImage]:
        """See Counters."""
        try:
            return self._counters.read(refs)
        except CountersUnavailable:
            self._metrics.counters_unavailable.inc()
            raise


def build(settings: Settings) -> Service:
    """Make the service. Nothing is connected yet: servers that are away now may come later."""
    environment = settings.environment
    lines = LogLines(sys.stdout.buffer)
    configure_logs(environment.log_level, lines)
    failpoints.arm(environment.failpoint)
    metrics = Metrics(settings.metrics_dir)
    database = PostgresDatabase(
        environment.database_url,
        connections_max=settings.connections_max,
        wait_seconds=CONNECTION_WAIT_SECONDS,
    )
    store = BudgetedStore(database, time.monotonic)
    client = connect(environment.redis_url)
    wakeups = CeleryWakeUps(
        client, environment.broker_url, monotonic=time.monotonic, failed=_wake_up_failed(metrics)
    )
    key_uses = KeyUses(store)
    known_keys = KnownKeys(key_uses)
    tools = Tools(
        store=store,
        keys=known_keys,
        rules=CatalogSource(store),
        counters=CountedCounters(RedisCounters(client, hash_key=environment.hash_key), metrics),
        wakeups=wakeups,
        clock=utc_now,
        new_id=NewIds(os.urandom),
        monotonic=time.monotonic,
        pause=time.sleep,
    )
    limiter = RateLimiter(RedisRateWindows(client), time.monotonic)
    doorkeeper = Doorkeeper(store, utc_now, environment.hash_key, known_keys)
    parts = _parts(settings, tools, store, doorkeeper)
    endpoints = endpoints_of(parts)
    metrics.add(StandingCollector(store, time.monotonic))
    readiness = health.Readiness(store, lambda: _answers(client), utc_now, settings.worker_behind_seconds)
    auditor = Auditor(store, utc_now, environment.hash_key)
    note = access_log(lines, environment.log_level, utc_now)
    open_routes = _open_routes(endpoints, readiness, metrics, _token_desk(settings, tools, limiter))
    app, later = create_app(endpoints, open_routes, doorkeeper, limiter, auditor, store, metrics, note)
    if settings.cors_origins:
        app.before_request(answer_preflight(settings.cors_origins))
        app.after_request(show_to_origins(settings.cors_origins))

    senders = _wait_for_senders(app, settings, store)
    ending = ExitStack()
    # The last is closed first: answers that callers wait for, before what nobody waits for.
    for part in (lines, database, client, wakeups, key_uses, senders, later):
        ending.callback(part.close)
    return Service(app=app, parts=parts, endpoints=endpoints, close=ending.close)


def _parts(settings: Settings, tools: Tools, store: BudgetedStore, doorkeeper: Doorkeeper) -> Parts:
    """What the routes are made from."""
    return Parts(
        tools=tools,
        store=store,
        doorkeeper=doorkeeper,
        settings=settings,
        checks=Gathering(
            partial(check_eligibility, tools, Answers()),
            most=CHECKS_AT_ONCE_MAX,
            seconds_left=store.seconds_left,
        ),
        reports=Gathering(
            partial(record_visit_events, tools), most=EVENTS_AT_ONCE_MAX, seconds_left=store.seconds_left
        ),
        backlog=Backlog(
            partial(oldest_due, store), utc_now, time.monotonic, seconds_max=settings.backlog_seconds_max
        ),
        waiting_room=WaitingRoom(settings.waiters_max),
        loading_room=WaitingRoom(settings.loaders_max, of_one_client=settings.loaders_of_a_client_max),
    )


def _wait_for_senders(app: Flask, settings: Settings, store: BudgetedStore) -> SlowSenders:
    """Have the application's calls give their places up while their bodies come."""
    senders = SlowSenders(
        seconds_max=settings.sender_seconds_max,
        monotonic=time.monotonic,
    )
    app.wsgi_app = Arrivals(  # type: ignore[method-assign]  # how Flask has an application wrapped
        app.wsgi_app,
        working_max=settings.working_max,
        arriving_max=settings.arriving_max,
        arrived=store.give_back,
        suspicious=senders.look,
        monotonic=time.monotonic,
    )
    return senders


def endpoints_of(parts: Parts) -> list[Endpoint]:
    """Every call that needs a key."""
    return [endpoint for module in _ROUTES for endpoint in module.endpoints(parts)]


def _open_routes(
    endpoints: Sequence[Endpoint], readiness: health.Readiness, metrics: Metrics, desk: oauth.TokenDesk
) -> list[OpenRoute]:
    # Made when somebody asks for it: most processes never describe themselves.
    document = cache(partial(openapi_document, endpoints, metadata.version("needlecap")))
    return [
        ("alive", "GET", "/healthz", health.alive),
        ("ready", "GET", "/readyz", readiness.view),
        ("metrics", "GET", "/metrics", health.metrics_view(metrics)),
        ("openapi", "GET", "/openapi.json", documentation.document_view(document)),
        ("docs", "GET", "/docs", documentation.page_view(document)),
        ("docs_style", "GET", STYLE_PATH, documentation.style_view()),
        ("start", "GET", "/", documentation.start),
        ("problem", "GET", PROBLEM_PATH, documentation.problem_view()),
        ("token", "POST", oauth.TOKEN_PATH, oauth.token_view(desk)),
        ("smart", "GET", oauth.SMART_PATH, oauth.smart_view(desk)),
    ]


def _token_desk(settings: Settings, tools: Tools, limiter: RateLimiter) -> oauth.TokenDesk:
    fetcher = JwksFetcher(
        settings.jwks_urls_allowed,
        private_allowed=settings.jwks_private_allowed,
        ca_file=settings.jwks_ca_file,
    )
    return oauth.TokenDesk(
        tools=tools,
        limiter=limiter,
        keys=JwksSource(fetcher.fetch, time.monotonic),
        public_url=settings.public_url,
        hash_key=settings.environment.hash_key,
        random_bytes=secrets.token_bytes,
        room=WaitingRoom(settings.token_callers_max),
    )


def utc_now() -> datetime:
    """The current instant."""
    return datetime.now(UTC)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def _wake_up_failed(metrics: Metrics) -> Callable[[Exception], None]:
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

    def tell(error: Exception) -> None:
        metrics.wake_up_failures.inc()
        log.warning(WAKE_UP_FAILED, **described(error))

    return tell
