"""What a new data directory is filled with, once, before the ready line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.operator_cli.installation import Installation
from services.operator_cli.runner.child import ChildSpec
from services.operator_cli.runner.supervisor import Supervisor
from shared.domain.client import ROLES


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStartJob:
    """Another `needlecap` command, run against the service once it answers.

    `name` is remembered in the data directory when it succeeded; `command` is without `--data-dir`.
    """

    name: str
    command: tuple[str, ...]
    seconds_max: int


#: What would send a job to another service than the one that has just started.
_ELSEWHERE = ("NEEDLECAP_API_URL", *(f"NEEDLECAP_{role.upper()}_KEY" for role in ROLES))

#: In order. A job that fails is said, does not keep the service from serving, and is tried again at the
#: next start, so each must be safe to run twice.
FIRST_START_JOBS: tuple[FirstStartJob, ...] = (
    FirstStartJob(name="sample-members", command=("load", "samples"), seconds_max=120),
    FirstStartJob(name="tour", command=("tour",), seconds_max=120),
)


def run_once(
    job: FirstStartJob,
    installation: Installation,
    supervisor: Supervisor,
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Run a job unless it has succeeded on this data directory before; it prints to standard error."""
    if installation.is_done(job.name):
        return
    spec = ChildSpec(
        name=job.name,
        argv=(
            *(sys.executable, "-m", "services.operator_cli.main", *job.command),
            *("--data-dir", str(installation.data_dir)),
        ),
        environment={name: value for name, value in environment.items() if name not in _ELSEWHERE},
        log_path=installation.logs_dir / f"{job.name}.log",
    )
    code = supervisor.run_job(spec, job.seconds_max, output=sys.stderr.buffer)
    if code == 0:
        installation.record_done(job.name)
    else:
        how = "took too long" if code is None else f"failed with code {code}"
        say(f"{job.name} {how}; it is tried again at the next start")
