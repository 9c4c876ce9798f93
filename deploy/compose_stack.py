"""A Compose project of its own for proofs: brought up, called, looked into and taken down again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMAGES = ("api", "worker", "operator")
PAYER = "security-health-plan"
UP_SECONDS_MAX = 180.0

Json = dict[str, Any]


class NotProven(Exception):
    """Something is not as it should be."""


@dataclass(slots=True, kw_only=True)
class Stack:
    """One Compose project with secrets of its own."""

    directory: Path
    port: int
    project: str = field(default_factory=lambda: f"needlecap-proof-{secrets.token_hex(3)}")
    keys: dict[str, str] = field(default_factory=dict)

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run Compose on the project; what it printed."""
        env_file = ("--env-file", str(self.directory / ".env"))
        command = [*compose_command(), *env_file, "--project-name", self.project, *arguments]
        return run(
            command, check=check, environment={"NEEDLECAP_PORT": str(self.port), **self.key_variables()}
        )

    def key_variables(self) -> dict[str, str]:
        """The clients' keys as the operator's command reads them."""
        return {f"NEEDLECAP_{role.upper()}_KEY": key for role, key in self.keys.items()}

    def operator(self, *arguments: str) -> str:
        """Run the operator's command in its container; its standard output."""
        return self.compose("run", "--rm", "-T", "operator", *arguments)

    def container(self, service: str) -> str:
        """The id of a service's container."""
        return self.compose("ps", "--quiet", service).strip()

    def inspect(self, service: str) -> Json:
        """What Docker knows of a service's container."""
        found: list[Json] = json.loads(run(["docker", "inspect", self.container(service)]))
        return found[0]

    def health(self, service: str) -> str:
        """`starting`, `healthy` or `unhealthy`; of a container that does not run, its state."""
        state = self.inspect(service)["State"]
        return str(state["Health"]["Status"]) if state["Running"] else str(state["Status"])

    def _is_healthy(self, service: str) -> bool:
        return self.health(service) == "healthy"

    def await_health(self, *services: str, seconds: float = UP_SECONDS_MAX) -> None:
        """Wait until the services are healthy."""
        for service in services:
            wait_for(partial(self._is_healthy, service), seconds, f"{service} is not healthy")

    def call(
        self, role: str, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Json, Json]:
        """One call of the API: status, headers by lower-case name, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        sent = {
            "Authorization": f"Bearer {self.keys.get(role, '')}",
            "Content-Type": "application/json",
            **headers,
        }
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, named, json.loads(answer.read())
        finally:
            connection.close()

    def used(self, member_id: str, on: str = "2026-12-31") -> int:
        """How many services of the year a member has used."""
        body = {"payer_id": PAYER, "member_id": member_id, "service_date": on}
        status, _, answer = self.call("portal", "POST", "/v1/accumulators/search", body)
        expect(status == 200, f"accumulators/search answers {status}")
        return int(answer["accumulators"][0]["used"])

    def pending(self) -> int:
        """How many accepted events are not applied yet."""
        status, _, answer = self.call("ops", "GET", "/v1/status")
        expect(status == 200, f"status answers {status}")
        return int(answer["visit_events"]["pending"])


def expect(holds: object, otherwise: str) -> None:
    """Raise NotProven unless it holds."""
    if not holds:
        raise NotProven(otherwise)


def wait_for(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait for a condition; raise NotProven if it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < deadline, f"{otherwise} after {seconds:.0f} s")
        time.sleep(0.25)


def run(command: list[str], *, check: bool = True, environment: Json | None = None) -> str:
    """Run a command; its standard output. Raises NotProven with what it said if it fails."""
    done = subprocess.run(  # noqa: S603 - the commands are those of this file and of the proofs
        command, cwd=ROOT, env=os.environ | (environment or {}), capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise NotProven(f"`{' '.join(command[:2])} ... {command[-1]}` failed: " + " / ".join(said))
    return done.stdout


def compose_command() -> list[str]:
    """Compose on its own where it is installed so, else as a part of docker."""
    return ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]


def build(network: str, base_image: str) -> None:
    """Build the images."""
    for name in IMAGES:
        options = ["--file", "deploy/images/Dockerfile", "--target", name, "--tag", f"needlecap-{name}:local"]
        arguments = ["--network", network, "--build-arg", f"BASE_IMAGE={base_image}"]
        run(["docker", "build", "--quiet", *options, *arguments, "."])


@contextlib.contextmanager
def new_stack() -> Iterator[Stack]:
    """A project that is taken down again, with its volumes."""
    with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
        probe.close()
        run([sys.executable, "deploy/new_env.py", directory])
        stack = Stack(directory=Path(directory), port=port)
        try:
            yield stack
        finally:
            stack.compose("down", "--volumes", "--remove-orphans", check=False)
