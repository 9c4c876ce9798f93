"""What the routes are made from, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.coverage_api.backlog import Backlog
from services.coverage_api.deadline import BudgetedStore
from services.coverage_api.errors import EventConflict, PayerNotFound, problem, problem_type
from services.coverage_api.gathering import Gathering
from services.coverage_api.http import Call
from services.coverage_api.known_keys import KeyChanged
from services.coverage_api.ports import Tools
from services.coverage_api.security import Doorkeeper
from services.coverage_api.settings import Settings
from services.coverage_api.usecases.check_eligibility import EligibilityCheck
from services.coverage_api.usecases.incoming import VisitReport
from services.coverage_api.usecases.record_visit_events import Acceptance
from services.coverage_api.waiting import WaitingRoom
from shared.domain.determination_record import DeterminationRecord
from shared.domain.errors import Invalid, NeedlecapError

Json = dict[str, Any]

#: Says that a request repeats one that was answered before.
REPLAY_HEADER = "Idempotent-Replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every module of routes is handed.

    `checks` and `reports` answer eligibility checks and accept visit events, those of several requests
    in one commit. `backlog` says whether more events may come.
    """

    tools: Tools
    store: BudgetedStore
    doorkeeper: Doorkeeper
    settings: Settings
    checks: Gathering[EligibilityCheck, DeterminationRecord | KeyChanged]
    reports: Gathering[VisitReport, Acceptance | EventConflict | KeyChanged]
    backlog: Backlog
    waiting_room: WaitingRoom
    loading_room: WaitingRoom


def judge_items(
    parts: Parts, call: Call, items: Sequence[Any], read: Callable[[object], Json]
) -> list[Json | NeedlecapError]:
    """Each item of a batch as `read` makes it, or what is wrong with it: its payer first, then the rest."""
    named = {
        item["payer_id"] for item in items if isinstance(item, dict) and isinstance(item.get("payer_id"), str)
    }
    visible = parts.doorkeeper.visible_payers(call.client, named)
    return [_judge(item, visible, read) for item in items]


def _judge(item: Any, visible: set[str], read: Callable[[object], Json]) -> Json | NeedlecapError:
    payer_id = item.get("payer_id") if isinstance(item, dict) else None
    if isinstance(payer_id, str) and payer_id not in visible:
        return PayerNotFound()
    try:
        return read(item)
    except Invalid as error:
        return error


def refused(error: NeedlecapError, call: Call) -> Json:
    """The result of a batch item that was refused."""
    document = problem(error, call.request_id)
    call.audit.refuse_item(document["status"], problem_type(error).slug)
    return {"status": document["status"], "problem": document}
