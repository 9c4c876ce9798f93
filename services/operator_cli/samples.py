"""The sample members: invented plans, enrollments and a year of visits, loaded as any client would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.operator_cli.api_client import ApiAnswer, Caller
from services.operator_cli.errors import OperatorError

SAMPLES_PATH = Path(__file__).parents[2] / "deploy" / "samples"
VISITS_PATH = SAMPLES_PATH / "visit-events.ndjson"

UNAUTHORIZED = 401

Json = dict[str, Any]


class SampleRefused(OperatorError):
    """The API did not take a sample payer, plan or enrollment."""


def load_members(caller: Caller, directory: Path = SAMPLES_PATH) -> tuple[int, int]:
    """Put the sample payers, plans and enrollments; how many plans and how many members there are.

    Putting them again changes nothing. Raises SampleRefused.
    """
    for payer in _read(directory / "payers.json"):
        payer_id = payer.pop("payer_id")
        _accepted(caller.call("admin", "PUT", f"/v1/payers/{payer_id}", payer))
    plans = _read(directory / "plans.json")
    for plan in plans:
        payer_id, plan_id = plan.pop("payer_id"), plan.pop("plan_id")
        _accepted(caller.call("admin", "PUT", f"/v1/payers/{payer_id}/plans/{plan_id}", plan))
    enrollments = _read(directory / "enrollments.json")
    for enrollment in enrollments:
        _accepted(caller.call("admin", "PUT", "/v1/enrollments", enrollment))
    return len(plans), len(enrollments)


def _read(path: Path) -> list[Json]:
    values: list[Json] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _accepted(answer: ApiAnswer) -> None:
    if answer.status == UNAUTHORIZED:
        raise SampleRefused("The key for the role admin is refused (401).")
    if answer.status not in {200, 201}:
        detail = answer.body.get("detail") if isinstance(answer.body, dict) else None
        raise SampleRefused(f"The API refuses the samples: {answer.status} {detail or ''}".rstrip())
