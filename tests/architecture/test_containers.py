"""What docker-compose.yml and the images promise, read from the files themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.messages import QUEUES

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONCE = {"migrate", "operator"}
#: Settings that containers do without: files are not theirs to read, one process needs no directory for
#: metrics, and a failpoint is for tests.
NOT_IN_CONTAINERS = re.compile(r"\w+_FILE|PROMETHEUS_MULTIPROC_DIR|NEEDLECAP_FAILPOINT|BROKER_URL")
#: Who reads a setting, in the words of README's table, as the services that run it.
READERS = {"API": ("api",), "worker": ("worker",), "command": ("operator",)}
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)


def _pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text()))


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_contained(name: str) -> None:
    """No service can write to its image, keep capabilities it does not name, or gain privileges."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service.get("cap_add", [])) <= {
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "SETGID",
        "SETPCAP",
        "SETUID",
    }
    assert service.get("cap_add", []) == [] or name in {"postgres", "redis"}
    assert not service.get("privileged")


def test_only_the_api_is_published() -> None:
    """The data network has no way out, and one service alone has a port."""
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    assert COMPOSE["networks"]["data"]["internal"] is True
    assert [name for name, service in SERVICES.items() if service["networks"] != ["data"]] == ["api"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONCE))
def test_what_runs_on_is_watched_and_restarted(name: str) -> None:
    """Each service that is to stay up has a health check and a restart policy."""
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"]


def test_worker_is_judged_by_its_work() -> None:
    """The worker's health is what is left undone, and beat's that its sweeps come through."""
    health = ["CMD", "python", "-m", "services.counter_worker.health"]
    assert SERVICES["worker"]["healthcheck"]["test"] == health
    assert SERVICES["beat"]["healthcheck"]["test"] == [*health, "--beat"]


def test_no_secret_has_a_default() -> None:
    """A secret that is missing stops Compose, and the example leaves it empty."""
    text = (ROOT / "docker-compose.yml").read_text()
    secret = re.compile(r"\$\{(\w*(?:PASSWORD|HASH_KEY)\w*)(.*?)\}")
    found = secret.findall(text)
    assert {name for name, _ in found} == {
        "POSTGRES_PASSWORD",
        "NEEDLECAP_SERVICE_PASSWORD",
        "REDIS_PASSWORD",
        "NEEDLECAP_HASH_KEY",
    }
    assert all(otherwise.startswith(":?") for _, otherwise in found)
    example = (ROOT / ".env.example").read_text()
    assert all(f"\n{name}=\n" in example for name, _ in found)


def test_every_variable_of_compose_is_in_the_example() -> None:
    """Whoever fills in .env sees all that can be set; the clients' keys are made later."""
    named = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    keys = {name for name in named if name.endswith("_KEY") and name != "NEEDLECAP_HASH_KEY"}
    example = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert named - keys == example


def test_the_example_has_the_defaults_of_compose() -> None:
    """What a setting is in a fresh .env is what it is without one."""
    text = (ROOT / "docker-compose.yml").read_text()
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]+)\}", text))
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert defaults
    assert {name: example[name].strip('"') for name in defaults} == defaults


def test_containers_are_given_every_setting() -> None:
    """What README's table has the API, the worker or the command read, their containers are given."""
    table = (ROOT / "README.md").read_text().partition("## Configuration")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+?) \| (\S+)(.*?) \|", table, re.MULTILINE)
    assert rows
    missing = [
        (service, variable)
        for named, first, others in rows
        for variable in re.findall(r"`(\w+)`", named)
        if not NOT_IN_CONTAINERS.fullmatch(variable)
        for reader in (READERS if first == "all" else re.findall(r"API|worker|command", first + others))
        for service in READERS[reader]
        if variable not in SERVICES[service]["environment"]
    ]
    assert missing == []


@pytest.mark.parametrize("name", ["api", "worker", "operator", "build"])
def test_images_install_what_the_lock_names(name: str) -> None:
    """An image has the versions that were tested, each with a hash; `make lock-images` sees to it."""
    path = IMAGES / f"requirements-{name}.txt"
    pins, lock = _pins(path), _pins(ROOT / "requirements.lock")
    assert pins
    assert {package: lock.get(package) for package in pins} == pins
    entries = [entry for entry in path.read_text().split("\n") if PIN.match(entry)]
    assert all(entry.endswith("\\") for entry in entries), "each is followed by its hashes"


def test_images_differ_by_what_their_service_needs() -> None:
    """The API brings no Alembic, the worker no web framework, the operator's command no server."""
    api, worker, operator = (
        _pins(IMAGES / f"requirements-{name}.txt") for name in ("api", "worker", "operator")
    )
    assert "flask" in api
    assert {"alembic", "rich", "sqlalchemy"}.isdisjoint(api)
    assert "celery" in worker
    assert {"flask", "granian", "alembic", "rich"}.isdisjoint(worker)
    assert {"alembic", "rich"} <= operator.keys()
    assert {"flask", "granian"}.isdisjoint(operator)


def test_worker_image_consumes_every_queue() -> None:
    """The command in the image names all queues there are."""
    assert f'"--queues", "{",".join(QUEUES)}"' in (IMAGES / "Dockerfile").read_text()
