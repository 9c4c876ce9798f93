"""A process that dies at a named place, its successor, and whoever sends again: the end is always right."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.operator_cli.runner import ports
from shared.failpoints import Edge, Step
from shared.messages import SWEEP
from tests.api_service import Installation
from tests.crashes import processes
from tests.crashes.cases import CASES, MATRIX, TASKS, Case, failpoint_of
from tests.crashes.processes import Servers
from tests.crashes.scenes import Scene
from tests.crashes.site import Site, opened
from tests.servers import Postgres, Server
from tests.waiting import wait_for

ROOT = Path(__file__).parents[3]

#: `make crashes` sets it: the whole matrix, and not a few of its cases.
WHOLE = "NEEDLECAP_WHOLE_CRASH_MATRIX"
FEW = {
    (Step.INBOX_COMMIT, "after"),
    (Step.HOLD_COMMIT, "after"),
    (Step.DRAIN_COMMIT, "before"),
    (Step.DRAIN_COMMIT, "after"),
    (Step.PROJECTION_WRITE, "before"),
    (Step.REBUILD_COMMIT, "after"),
}


def chosen(process: str) -> list[object]:
    """The cases to play of one kind of process."""
    everything = os.environ.get(WHOLE) == "1"
    return [
        pytest.param(case, edge, id=f"{case.name}-{edge}")
        for case, edge in MATRIX
        if case.process == process and (everything or ((case.step, edge) in FEW and not case.label))
    ]


@pytest.fixture(scope="module")
def site(postgres: Postgres, valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One installation for all cases, with an API that stays up beside those that die."""
    with postgres.database("crashes") as url:
        installation = Installation(url)
        installation.load_catalog()
        servers = Servers(database_url=url, redis_url=valkey.url)
        port = ports.choose(None)
        with (
            processes.api(servers, port),
            opened(servers, installation, tmp_path_factory.mktemp("crashes"), port) as made,
        ):
            yield made
        installation.close()


@pytest.fixture
def scene(site: Site, request: pytest.FixtureRequest) -> Scene:
    """A case's own member, with everything as the case needs it."""
    case: Case = request.node.callspec.params["case"]
    edge: Edge = request.node.callspec.params["edge"]
    site.redis.flushall()
    name = f"{case.name}-{edge}"
    made = Scene(site=site, name=name, ref=site.enroll(f"SAMPLE-CRASH-{name.upper()}"))
    case.prepare(made)
    return made


def assert_right(case: Case, edge: Edge, scene: Scene) -> None:
    """What is counted, recorded and shown is what one request, sent until it is answered, comes to."""
    assert scene.site.faults(scene.ref) == []
    assert scene.site.taken(scene.ref) == case.taken
    if case.effects is not None:
        unanswered = case.repeats_show and edge == "after"
        assert scene.site.count(case.effects, scene.member) == (2 if unanswered else 1)


@pytest.mark.parametrize(("case", "edge"), chosen("api"))
def test_api_that_dies_leaves_the_effect_of_one_request(scene: Scene, case: Case, edge: Edge) -> None:
    """The client has no answer, or the right one; it sends again to the next process, and has it."""
    request, site = case.request(scene), scene.site
    port = ports.choose(None)
    with processes.api(site.servers, port, failpoint_of(case, edge)) as dying:
        answer = site.send(request, port)
        assert dying.died_at_its_failpoint()
    # A wake-up is sent after the answer, by a thread of its own.
    assert answer is None or (
        case.step in {Step.WAKE_FLAG, Step.WAKE_PUBLISH} and answer.status == request.status
    )
    with processes.api(site.servers, port):
        again = site.send(request, port)
        assert again is not None
        assert again.status in {request.status, 200}, again.body
    site.sweep()
    assert_right(case, edge, scene)


@pytest.mark.parametrize(("case", "edge"), chosen("worker"))
def test_worker_that_dies_leaves_its_work_to_the_next(scene: Scene, case: Case, edge: Edge) -> None:
    """What was committed stays done once, what was not is done by the next worker."""
    site, task = scene.site, TASKS.get(case.step)
    if task is not None:
        site.tell(task)
    with processes.worker(site.servers, failpoint_of(case, edge)) as dying:
        assert dying.died_at_its_failpoint()
    case.repair(scene)
    if task is not None:
        site.tell(task)
    with processes.worker(site.servers):
        site.tell(SWEEP)
        wait_for(lambda: not site.waits_for(scene.ref) and site.faults(scene.ref) == [])
        if case.effects is not None:
            wait_for(lambda: site.count(case.effects or "", scene.member) == 1)
    assert_right(case, edge, scene)


@pytest.mark.parametrize(("case", "edge"), chosen("command"))
def test_command_that_dies_is_run_again(scene: Scene, case: Case, edge: Edge) -> None:
    """The operator calls it once more, and everything is as it should be."""
    site, arguments = scene.site, case.arguments(scene)
    data_dir = str(site.data_dir)
    assert processes.command(site.servers, data_dir, arguments, failpoint_of(case, edge))
    assert processes.command(site.servers, data_dir, arguments, None)
    site.sweep()
    assert_right(case, edge, scene)


def test_every_step_is_passed_in_code_and_played_in_the_matrix() -> None:
    """A commit, publish or projection that is given a name is also crashed, before it and after it."""
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("services", "shared")
        for path in (ROOT / folder).rglob("*.py")
    )
    passed = set(re.findall(r"around\(Step\.(\w+)\)", source))
    assert passed == {step.name for step in Step}
    assert {case.step for case in CASES} == set(Step)
    assert len({case.name for case in CASES}) == len(CASES)
