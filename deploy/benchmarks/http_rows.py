"""Checks and visit events over HTTP, beside a Flask application that does nothing, all on one core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from deploy.benchmarks.dataset import Visits, checks, first_checks
from deploy.benchmarks.figures import Figure, Goal, Peer, Row
from deploy.benchmarks.load import CONNECTIONS, Answers, Load, Target, drive
from deploy.benchmarks.plan import Plan
from deploy.benchmarks.stack import Site, Stack
from services.coverage_api.settings import WORKING_MAX
from services.operator_cli.runner import ports
from services.operator_cli.runner.child import ChildSpec
from services.operator_cli.runner.services import API, API_THREADS

NOOP = "deploy.benchmarks.peers.noop:app"

CHECKS = "/v1/eligibility-checks"
EVENTS = "/v1/visit-events"
#: Bodies handed to a client that repeats them: enough for every run to ask about most members.
CHECK_BODIES = 10_000
#: More than a server could answer in a run; a client that came to the end of them would stop early.
EVENTS_PER_SECOND_MAX = 6_000
FIRST_CHECKS_PER_SECOND_MAX = 5_000

_SHARE = Goal(target=0.15, stretch=0.25, at_least=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFigures:
    """Every run of the four, side by side: the n-th of each were made one after the other."""

    noop: tuple[Answers, ...]
    check: tuple[Answers, ...]
    first_check: tuple[Answers, ...]
    event: tuple[Answers, ...]


def measure_http(stack: Stack, site: Site, plan: Plan, visits: Visits) -> HttpFigures:
    """Drive the four in turns. The API of `site` runs on the served core; its worker does not run."""
    noop_port = ports.choose(None)
    stack.start(noop_spec(stack, site, noop_port), [stack.cores.served])
    targets = {
        "noop": Target(port=noop_port, path="/noop", key=site.key, expected=200),
        "check": Target(port=site.api_port, path=CHECKS, key=site.key, expected=201),
        "first_check": Target(port=site.api_port, path=CHECKS, key=site.key, expected=201),
        "event": Target(port=site.api_port, path=EVENTS, key=site.key, expected=202),
    }
    asked = checks(plan.members, CHECK_BODIES, seed=1)
    bodies: dict[str, Callable[[float, int], list[str]]] = {
        "noop": lambda *_: asked[:1],
        "check": lambda *_: asked,
        "first_check": lambda seconds, number: first_checks(
            plan.members, int(seconds * FIRST_CHECKS_PER_SECOND_MAX), seed=number
        ),
        "event": lambda seconds, _: list(
            visits.spread(plan.members, int(seconds * EVENTS_PER_SECOND_MAX), seed=2)
        ),
    }
    found: dict[str, list[Answers]] = {name: [] for name in targets}
    for number in range(-1, plan.rounds):
        # Before the first round comes one that nobody counts.
        seconds = plan.warm_up_seconds if number < 0 else plan.run_seconds
        for name, target in targets.items():
            load = Load(seconds=seconds, repeat=name in {"noop", "check"}, warming=number < 0)
            answers = drive(target, bodies[name](seconds, number), load, stack.cores)
            if number >= 0:
                found[name].append(answers)
    return HttpFigures(**{name: tuple(answers) for name, answers in found.items()})


def noop_spec(stack: Stack, site: Site, port: int) -> ChildSpec:
    """The server of the site's API, on another port, with an application that does nothing."""
    api = stack.services(replace(site, api_port=port))["api"]
    return replace(
        api,
        name="noop",
        argv=noop_argv(api.argv),
        log_path=stack.directory / "logs" / "noop.log",
        answers=lambda: not ports.is_free(port),
    )


def noop_argv(api_argv: Sequence[str]) -> tuple[str, ...]:
    """The API's command line with another application, and as many threads as calls the API works on at once.

    The API has more, since its threads also wait for slow senders, of whom there are none here. With so many
    the no-op was as fast within the spread, and not faster: the floor is no lower for having fewer.
    """
    instead = {API: NOOP, str(API_THREADS): str(WORKING_MAX)}
    return tuple(instead.get(part, part) for part in api_argv)


def http_rows(found: HttpFigures) -> list[Row]:
    """Their lines of the table."""
    noop, check_, first, event = (
        _rates(answers) for answers in (found.noop, found.check, found.first_check, found.event)
    )
    slow, slow_noop = (_slowest(answers) for answers in (found.check, found.noop))
    name = "no-op Flask"
    return [
        Row(
            what="eligibility check, complete",
            unit="req/s",
            figure=check_,
            floor=noop,
            floor_name=name,
            goal=_SHARE,
        ),
        Row(
            what="the same, of what nobody asked before",
            unit="req/s",
            figure=first,
            floor=noop,
            floor_name=name,
            goal=_SHARE,
        ),
        Row(
            what="check's p99 at 32 connections",
            unit="ms",
            figure=slow,
            floor=slow_noop,
            floor_name=name,
            goal=Goal(target=6, stretch=3, at_least=False),
        ),
        Row(
            what="visit event, single POST",
            unit="req/s",
            figure=event,
            floor=noop,
            floor_name=name,
            goal=_SHARE,
        ),
    ]


def http_peers(found: HttpFigures) -> list[Peer]:
    """The floor's own lines."""
    busy = max(answers.client_share_percent for answers in found.noop)
    return [
        Peer(
            name=(
                "no-op Flask on granian, the API's options and core,"
                f" but {WORKING_MAX} threads, {CONNECTIONS} connections"
            ),
            unit="req/s",
            figure=_rates(found.noop),
            note=f"the client used at most {busy}% of its core",
        ),
    ]


def _rates(answers: tuple[Answers, ...]) -> Figure:
    return Figure(tuple(run.per_second for run in answers))


def _slowest(answers: tuple[Answers, ...]) -> Figure:
    return Figure(tuple(run.p99_us / 1000 for run in answers))
