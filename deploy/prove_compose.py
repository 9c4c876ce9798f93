"""Runs docker-compose.yml for real, breaks it in the ways that happen, and says what became of it.

    make prove-compose                                     everything, some minutes
    .venv/bin/python -m deploy.prove_compose --no-build   with the images that are there

Needs Docker with Compose. It works in a project of its own, with secrets and volumes of its own that are
removed at the end, so that it can run beside a real installation. The exit code is 1 if anything is not
as it should be.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import threading
import time
from collections.abc import Callable

from deploy.compose_stack import PAYER, Json, NotProven, Stack, build, expect, new_stack, run, wait_for

SERVICES = ("postgres", "redis", "api", "worker", "beat")
OURS = ("api", "worker", "beat")
PLAN = "sample-tour-employer"
ROLES = ("ehr", "portal", "ops", "admin")
MEMBERS, VISITS = 150, 22
CATCH_UP_SECONDS_MAX = 90.0


# --- what is proven, in order -------------------------------------------------------------------


def comes_up(stack: Stack) -> str:
    """Everything is healthy, the migration has ended well, and the keys can be made."""
    begun = time.monotonic()
    stack.compose("up", "--detach", "--no-build")
    stack.await_health(*SERVICES)
    seconds = time.monotonic() - begun
    for role in ROLES:
        key = stack.operator("clients", "create", "--name", f"proof-{role}", "--role", role, "--payer", "*")
        stack.keys[role] = key.strip()
    return f"postgres, redis, migrate, api, worker, beat: healthy after {seconds:.0f} s"


def is_contained(stack: Stack) -> str:
    """No container can write to its image or gain privileges; ours are nobody; the API alone is published."""
    for service in SERVICES:
        found = stack.inspect(service)
        host = found["HostConfig"]
        expect(host["ReadonlyRootfs"], f"{service} can write to its image")
        expect(host["CapDrop"] == ["ALL"], f"{service} keeps capabilities")
        expect("no-new-privileges:true" in host["SecurityOpt"], f"{service} may gain privileges")
        published = [port for port, at in (found["NetworkSettings"]["Ports"] or {}).items() if at]
        expect(published == (["8080/tcp"] if service == "api" else []), f"{service} publishes {published}")
        expect(service not in OURS or found["Config"]["User"] == "10001:10001", f"{service} runs as root")
    drawn = [line.partition("=")[2] for line in (stack.directory / ".env").read_text().splitlines()]
    hidden = [value for value in drawn if len(value) == 64]
    images = [stack.inspect(service)["Image"] for service in OURS]
    kept = run(["docker", "inspect", *images]) + "".join(
        run(["docker", "history", "--no-trunc", image]) for image in images
    )
    expect(len(hidden) == 4 and not any(value in kept for value in hidden), "an image holds a secret")
    return "read-only, no capabilities kept, no new privileges, ours not root; the API alone is published"


def plays_the_tour(stack: Stack) -> str:
    """The tour is right in every answer, twice, and the samples load."""
    loaded = stack.operator("load", "samples").strip().splitlines()[-1]
    for _ in range(2):
        last = stack.operator("tour").strip().splitlines()[-1]
        expect("answers are right" in last, last)
    return f"{loaded}; {last}"


def worker_is_killed(stack: Stack) -> str:
    """With events pending, the worker is killed -9; its policy restarts it and each event counts once."""
    members = enrolled(stack, MEMBERS)
    restarts = stack.inspect("worker")["RestartCount"]
    batches = [[visit(member, number) for member in members] for number in range(1, VISITS + 1)]
    killer = threading.Timer(0.3, stack.compose, ("exec", "-T", "worker", "sh", "-c", "kill -9 -1"))
    killer.start()
    for batch in batches:
        send(stack, batch)
    killer.join()
    killed_at = time.monotonic()
    left = stack.pending()
    wait_for(lambda: stack.inspect("worker")["RestartCount"] > restarts, 30, "the worker was not restarted")
    wait_for(lambda: stack.pending() == 0, CATCH_UP_SECONDS_MAX, "the worker did not catch up")
    seconds = time.monotonic() - killed_at
    counts = {stack.used(member) for member in members}
    expect(counts == {20}, f"members have used {sorted(counts)}, not 20 each")
    return (
        f"{MEMBERS * VISITS} visits of {MEMBERS} members accepted, {left} pending when the worker was gone; "
        f"restarted by its policy, caught up after {seconds:.1f} s, 20 of {VISITS} counted for each member"
    )


def beat_is_killed(stack: Stack) -> str:
    """Without beat a visit is applied all the same, and beat comes back."""
    restarts = stack.inspect("beat")["RestartCount"]
    stack.compose("exec", "-T", "beat", "sh", "-c", "kill -9 -1", check=False)
    (member,) = enrolled(stack, 1)
    counts_at_once(stack, member)
    wait_for(lambda: stack.inspect("beat")["RestartCount"] > restarts, 30, "beat was not restarted")
    stack.await_health("beat")
    return "killed -9, restarted by its policy, visits counted meanwhile"


def redis_is_flushed(stack: Stack) -> str:
    """Every key of Redis is deleted: the next answers are the same, and counting goes on."""
    (member,) = enrolled(stack, 1)
    counts_at_once(stack, member)
    before = comparable(check(stack, member))
    stack.compose("exec", "-T", "redis", "redis-cli", "flushall")
    expect(comparable(check(stack, member)) == before, "the answer changed with FLUSHALL")
    send(stack, [visit(member, 2)])
    wait_for(lambda: stack.used(member) == 2, CATCH_UP_SECONDS_MAX, "nothing is counted after FLUSHALL")
    return "all keys deleted; the same answer, and the next visit counted"


def redis_is_stopped(stack: Stack) -> str:
    """Without Redis the answers come from Postgres and visits are applied; with it, all is as before."""
    (member,) = enrolled(stack, 1)
    stack.compose("stop", "redis")
    counts_at_once(stack, member)
    expect(check(stack, member)["accumulators"][0]["used"] == 1, "the answer is wrong without Redis")
    status, _, ready = stack.call("", "GET", "/readyz")
    expect((status, ready["status"]) == (200, "degraded"), f"readyz answers {status} {ready}")
    stack.compose("start", "redis")
    stack.await_health("redis", "worker", "beat")
    expect(stack.used(member) == 1, "the count changed when Redis came back")
    return "answers right, a visit counted, readyz says degraded; started again: as before"


def postgres_is_stopped(stack: Stack) -> str:
    """Without Postgres every call is 503 within five seconds, never a guess; afterwards nothing is lost."""
    (member,) = enrolled(stack, 1)
    counts_at_once(stack, member)
    stack.compose("stop", "postgres")
    begun = time.monotonic()
    body = {"payer_id": PAYER, "member_id": member, **service("2026-12-30")}
    status, headers, problem = stack.call("ehr", "POST", "/v1/eligibility-checks", body)
    seconds = time.monotonic() - begun
    expect(status == 503, f"a check without Postgres answers {status}")
    expect(seconds < 5, f"it took {seconds:.1f} s to say so")
    expect("retry-after" in headers, "it does not say when to try again")
    expect(problem["type"] == "/problems/indeterminate", f"it says {problem['type']}")
    status, _, _ = stack.call("", "GET", "/readyz")
    expect(status == 503, f"readyz answers {status}")
    wait_for(lambda: stack.health("api") == "unhealthy", 60, "the API's health check does not notice")
    stack.compose("start", "postgres")
    back_at = time.monotonic()
    wait_for(lambda: stack.call("", "GET", "/readyz")[0] == 200, 60, "the API does not recover")
    recovered = time.monotonic() - back_at
    expect(stack.used(member) == 1, "a count was lost")
    send(stack, [visit(member, 2)])
    wait_for(lambda: stack.used(member) == 2, CATCH_UP_SECONDS_MAX, "nothing is counted afterwards")
    stack.await_health(*SERVICES)
    return (
        f"503 indeterminate in {seconds:.1f} s, with Retry-After; started again: answers after "
        f"{recovered:.1f} s, the count as before, the next visit counted"
    )


def survives_down_and_up(stack: Stack) -> str:
    """All containers are removed and made again: the data is there."""
    (member,) = enrolled(stack, 1)
    counts_at_once(stack, member)
    stack.compose("down")
    stack.compose("up", "--detach", "--no-build")
    stack.await_health(*SERVICES)
    expect(stack.used(member) == 1, "the count is gone")
    return "keys, members and counts are there"


def loses_nothing(stack: Stack) -> str:
    """What was received is what was applied, rejected, given up or is pending; here all is applied."""
    _, _, status = stack.call("ops", "GET", "/v1/status")
    events = status["visit_events"]
    parts = [int(events[name]) for name in ("applied", "rejected", "dead", "pending")]
    expect(int(events["received"]) == sum(parts), f"the events do not add up: {events}")
    expect(parts[1:] == [0, 0, 0], f"events were not applied: {events}")
    return f"{events['received']} visit events received, as many applied"


PROOFS: tuple[Callable[[Stack], str], ...] = (
    comes_up,
    is_contained,
    plays_the_tour,
    worker_is_killed,
    beat_is_killed,
    redis_is_flushed,
    redis_is_stopped,
    postgres_is_stopped,
    survives_down_and_up,
    loses_nothing,
)


# --- what they are made of ----------------------------------------------------------------------


def enrolled(stack: Stack, count: int) -> list[str]:
    """New members of the tour's plan."""
    names = [f"SAMPLE-PROOF-{secrets.token_hex(4)}" for _ in range(count)]
    for name in names:
        span: Json = {"plan_id": PLAN, "start": "2026-01-01", "end": None, "attributes": []}
        body = {"payer_id": PAYER, "member_id": name, "spans": [span]}
        status, _, answer = stack.call("admin", "PUT", "/v1/enrollments", body)
        expect(status == 200, f"enrolling answers {status} {answer}")
    return names


def service(on: str) -> Json:
    """A service of two muscles on a date."""
    return {
        "service_date": on,
        "lines": [{"procedure_code": "20560", "diagnosis_codes": ["M54.50"], "muscles": 2}],
    }


def visit(member_id: str, number: int) -> Json:
    """The event of a member's visit of this number."""
    return {
        "event_id": f"{member_id}-event-{number}",
        "type": "visit.recorded",
        "visit_id": f"{member_id}-visit-{number}",
        "payer_id": PAYER,
        "member_id": member_id,
        **service(f"2026-{1 + number // 28:02}-{1 + number % 28:02}"),
    }


def send(stack: Stack, events: list[Json]) -> None:
    """Report events; each must be accepted."""
    status, _, answer = stack.call("ehr", "POST", "/v1/visit-events/batch", {"events": events})
    expect(status == 200, f"the batch answers {status} {answer}")
    refused = [result for result in answer["results"] if result["status"] != 202]
    expect(not refused, f"{len(refused)} events were refused, the first with {refused[:1]}")


def counts_at_once(stack: Stack, member_id: str) -> None:
    """Report a member's first visit and wait for it to count."""
    status, _, answer = stack.call("ehr", "POST", "/v1/visit-events", visit(member_id, 1), Prefer="wait=10")
    expect(status in {200, 202}, f"the visit answers {status} {answer}")
    wait_for(lambda: stack.used(member_id) == 1, CATCH_UP_SECONDS_MAX, "the visit is not counted")


def check(stack: Stack, member_id: str) -> Json:
    """The determination of a member's next service."""
    body = {"payer_id": PAYER, "member_id": member_id, **service("2026-12-30")}
    status, _, answer = stack.call("ehr", "POST", "/v1/eligibility-checks", body)
    expect(status == 201, f"the check answers {status} {answer}")
    return answer


def comparable(determination: Json) -> Json:
    """A determination without what is new in each."""
    return {name: value for name, value in determination.items() if name not in {"check_id", "decided_at"}}


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Prove everything, the first failure ending it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-build", action="store_true", help="take the images that are there")
    parser.add_argument(
        "--build-network", default="default", help="the network a build reaches its registry by"
    )
    parser.add_argument("--base-image", default="python:3.11-slim-bookworm")
    options = parser.parse_args()
    begun = time.monotonic()
    try:
        if not options.no_build:
            build(options.build_network, options.base_image)
        with new_stack() as stack:
            for proof in PROOFS:
                name = proof.__name__.replace("_", " ")
                try:
                    say(f"ok      {name}: {proof(stack)}")
                except NotProven as failure:
                    say(f"FAILED  {name}: {failure}")
                    say(stack.compose("logs", "--tail", "20", check=False))
                    return 1
    except NotProven as failure:
        say(f"FAILED  {failure}")
        return 1
    say(f"proven in {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
