"""The crash matrix: of each step, what leads to it, what is done again afterwards, and how it has to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from shared.domain.records import MemberRef
from shared.failpoints import EDGES, Edge, Failpoint, Step
from shared.messages import CLOSE_PERIODS, EXPIRE_HOLDS, PRUNE_AUDIT, SAMPLE_DRIFT, SWEEP
from tests.api_service import check, enrollments, event
from tests.builders import PAYER
from tests.crashes.site import PLAN, Request, Site

Json = dict[str, Any]
Process = Literal["api", "worker", "command"]
#: What a case of the worker sends it, beside the wake-ups of its events.
TASKS: Mapping[Step, str] = {
    Step.SWEEP_COMMIT: SWEEP,
    Step.EXPIRY_COMMIT: EXPIRE_HOLDS,
    Step.DRIFT_FORGET: SAMPLE_DRIFT,
    Step.DRIFT_COMMIT: SAMPLE_DRIFT,
    Step.PRUNE_COMMIT: PRUNE_AUDIT,
    Step.PERIOD_COMMIT: CLOSE_PERIODS,
}


@dataclass(slots=True, kw_only=True)
class Scene:
    """One case while it is played: its member, and what its preparation left for later."""

    site: Site
    name: str
    ref: MemberRef
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def member(self) -> str:
        """The member's id."""
        return self.ref.member_id

    def event(self, number: int = 1, **changes: Any) -> Json:
        """The n-th visit of the case's member."""
        ids = {"event_id": f"{self.name}-e{number}", "visit_id": f"{self.name}-v{number}"}
        return {**event(1), **ids, "member_id": self.member, **changes}

    def report(self, count: int, member: str | None = None) -> None:
        """Have so many visits accepted by the API that stays up."""
        for number in range(1, count + 1):
            ids = {"member_id": member, "event_id": f"{member}-{number}", "visit_id": f"{member}-{number}"}
            body = self.event(number, **(ids if member else {}))
            self.site.ask(Request(method="POST", path="/v1/visit-events", body=body, status=202))

    def hold(self) -> Request:
        """The case's hold."""
        return Request(
            method="POST",
            path="/v1/holds",
            body=check(member_id=self.member, service_date="2098-01-01"),
            headers={"Idempotency-Key": self.name},
            status=201,
        )

    def override(self) -> Request:
        """The case's override."""
        body = {"payer_id": PAYER, "member_id": self.member, "limit_id": "dry-needling", "quantity": 1}
        return Request(
            method="POST",
            path="/v1/overrides",
            body={**body, "service_date": "2026-03-04", "approver": "desk", "reason": "appeal"},
            headers={"Idempotency-Key": self.name},
            role="admin",
            status=201,
        )


def _nothing(_scene: Scene) -> None:
    """Nothing has to be there."""


def _no_request(_scene: Scene) -> Request:
    raise AssertionError("only cases of the API make a request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A step as it is come to.

    `taken` are the units used and held in the end, and the entries of the ledger; `effects` counts what
    has to be there once. `repeats_show` says that what was committed without an answer stays beside what
    the repeat commits, as answers that were recorded do.
    """

    step: Step
    process: Process
    prepare: Callable[[Scene], None] = _nothing
    request: Callable[[Scene], Request] = _no_request
    arguments: Callable[[Scene], list[str]] = lambda _scene: []
    repair: Callable[[Scene], None] = _nothing
    taken: tuple[int, int, int] = (0, 0, 0)
    effects: str | None = None
    repeats_show: bool = False
    label: str = ""

    @property
    def name(self) -> str:
        """What the case is called."""
        return f"{self.step}{self.label}"


# What leads to a step


def _hold_first(scene: Scene) -> None:
    scene.kept["hold_id"] = scene.site.ask(scene.hold())["hold_id"]


def _hold_due(scene: Scene) -> None:
    _hold_first(scene)
    scene.site.installation.write(
        "update hold set expires_at = now() where hold_id = %s", scene.kept["hold_id"]
    )


def _override_first(scene: Scene) -> None:
    scene.kept["override_id"] = scene.site.ask(scene.override())["override_id"]


def _long_over(scene: Scene) -> None:
    """A visit of a year that is over, counted: its period is to be reported, or reported again."""
    body = scene.event(service_date="2024-03-04")
    scene.site.ask(Request(method="POST", path="/v1/visit-events", body=body, status=202))
    scene.site.sweep()


def _counted(count: int) -> Callable[[Scene], None]:
    """So many visits, counted and shown."""

    def prepare(scene: Scene) -> None:
        scene.report(count)
        scene.site.sweep()

    return prepare


def _own_plan(scene: Scene) -> None:
    """Two counted visits in a plan that is this case's alone."""
    path = f"/v1/payers/{PAYER}/plans/{scene.name.replace('_', '-')}"
    scene.site.ask(Request(method="PUT", path=path, body=PLAN, role="admin", status=201))
    scene.site.installation.write(
        "update enrollment set plan_id = %s where member_id = %s", path.rpartition("/")[2], scene.member
    )
    _counted(2)(scene)


def _own_plan_renamed(scene: Scene) -> None:
    _own_plan(scene)
    scene.site.ask(_rename_plan(scene))


def _rename_plan(scene: Scene) -> Request:
    path = f"/v1/payers/{PAYER}/plans/{scene.name.replace('_', '-')}"
    return Request(method="PUT", path=path, body={**PLAN, "name": "Renamed"}, role="admin")


def _poisoned(scene: Scene) -> None:
    """Three visits and a fourth that cannot be read."""
    scene.report(4)
    scene.site.installation.write(
        "update visit_event set content = content || '{\"lines\": 7}' where event_id = %s",
        f"{scene.name}-e4",
    )


def _heal(scene: Scene) -> None:
    """Put the fourth visit right again, so that it is applied at once."""
    scene.site.installation.write(
        "update visit_event set content = content || jsonb_build_object('lines', %s::jsonb), retry_at = null"
        " where event_id = %s",
        orjson.dumps(event(1)["lines"]).decode(),
        f"{scene.name}-e4",
    )


def _damaged(scene: Scene) -> None:
    _counted(2)(scene)
    scene.site.installation.write(
        "update accumulator set used = used + 2, allowed = 40 where member_id = %s", scene.member
    )


def _wrongly_shown(scene: Scene) -> None:
    _counted(1)(scene)
    scene.site.show_wrong_counter(scene.ref)


def _two_members(scene: Scene) -> None:
    scene.site.enroll(f"{scene.member}-OTHER")
    scene.report(1, f"{scene.member}-OTHER")
    _counted(1)(scene)


def _member_file(scene: Scene) -> str:
    path = scene.site.data_dir / f"{scene.name}.txt"
    path.write_text(f"{scene.member}\n", encoding="utf-8")
    return str(path)


# What is asked for


def _post(path: str, status: int) -> Callable[[Scene], Request]:
    return lambda scene: Request(method="POST", path=path, body=scene.event(), status=status)


def _stream(scene: Scene) -> Request:
    lines = b"".join(orjson.dumps(scene.event(number)) + b"\n" for number in range(1, 6))
    return Request(method="POST", path="/v1/visit-events/bulk", body=lines)


def _ask(scene: Scene) -> Request:
    body = check(member_id=scene.member)
    return Request(method="POST", path="/v1/eligibility-checks", body=body, status=201)


def _search(scene: Scene) -> Request:
    body = {"payer_id": PAYER, "member_id": scene.member, "service_date": "2026-03-04"}
    return Request(
        method="POST", path="/v1/accumulators/search", body=body, headers={"X-Request-ID": scene.name}
    )


def _release(scene: Scene) -> Request:
    return Request(method="POST", path=f"/v1/holds/{scene.kept['hold_id']}/release")


def _revoke(scene: Scene) -> Request:
    path = f"/v1/overrides/{scene.kept['override_id']}/revoke"
    return Request(method="POST", path=path, role="admin", status=201)


def _end_enrollment(scene: Scene) -> Request:
    """The enrollment ends before the visit that was counted."""
    spans = [{"plan_id": "employer", "start": "2020-01-01", "end": "2026-01-01", "attributes": []}]
    body = enrollments(member_id=scene.member, spans=spans)
    return Request(method="PUT", path="/v1/enrollments", body=body, role="admin")


def _rule(scene: Scene) -> Request:
    document_id = f"crash-{scene.name.replace('_', '-')}"
    body = {
        "document_id": document_id,
        "version": 1,
        "title": "Invented",
        "authority": "plan_document",
        "source": {"citation": "invented"},
        "effective": {"from": "2020-01-01"},
        "applies_to": [{"payers": [PAYER], "plans": ["nobodys"]}],
        "rules": [{"id": "covered", "codes": ["20560"], "decision": "covered"}],
    }
    return Request(
        method="PUT", path=f"/v1/rule-documents/{document_id}/versions/1", body=body, role="admin", status=201
    )


_EVENTS = "select count(*) from visit_event where member_id = %s"
_HOLDS = "select count(*) from hold where member_id = %s"
_ENDED = "select count(*) from hold where member_id = %s and state <> 'pending'"
_GRANTS = "select count(*) from override_grant where member_id = %s"

CASES: tuple[Case, ...] = (
    Case(
        step=Step.INBOX_COMMIT,
        process="api",
        request=_post("/v1/visit-events", 202),
        taken=(1, 0, 1),
        effects=_EVENTS,
    ),
    Case(
        step=Step.BULK_COMMIT,
        process="api",
        request=_stream,
        taken=(5, 0, 5),
        effects=_EVENTS.replace("count(*)", "count(*) - 4"),
    ),
    Case(
        step=Step.CHECK_COMMIT,
        process="api",
        request=_ask,
        effects="select count(*) from determination where request->>'member_id' = %s",
        repeats_show=True,
    ),
    Case(step=Step.HOLD_COMMIT, process="api", request=Scene.hold, taken=(0, 1, 1), effects=_HOLDS),
    Case(step=Step.COUNTERS_SHOWN, process="api", request=Scene.hold, taken=(0, 1, 1), effects=_HOLDS),
    Case(
        step=Step.RELEASE_COMMIT,
        process="api",
        prepare=_hold_first,
        request=_release,
        taken=(0, 0, 2),
        effects=_ENDED,
    ),
    Case(step=Step.OVERRIDE_COMMIT, process="api", request=Scene.override, effects=_GRANTS),
    Case(
        step=Step.REVOKE_COMMIT,
        process="api",
        prepare=_override_first,
        request=_revoke,
        effects=f"{_GRANTS} and revoked_at is not null",
    ),
    Case(
        step=Step.PLAN_COMMIT,
        process="api",
        prepare=_own_plan,
        request=_rename_plan,
        taken=(2, 0, 2),
        effects="select version - 1 from plan where plan_id ="
        " (select plan_id from enrollment where member_id = %s)",
    ),
    Case(
        step=Step.ENROLLMENT_COMMIT,
        process="api",
        prepare=_counted(1),
        request=_end_enrollment,
        taken=(0, 0, 2),
        effects="select count(*) from enrollment where member_id = %s and ends_on = '2026-01-01'",
    ),
    Case(
        step=Step.RULE_COMMIT,
        process="api",
        request=_rule,
        effects="select count(*) from rule_document where activated_in is not null"
        " and document_id = 'crash-' || replace(lower(substr(%s, 14)), '_', '-')",
    ),
    Case(
        step=Step.AUDIT_COMMIT,
        process="api",
        request=_search,
        effects="select count(*) from audit_entry where request_id = lower(substr(%s, 14))",
        repeats_show=True,
    ),
    Case(
        step=Step.WAKE_FLAG,
        process="api",
        request=_post("/v1/visit-events", 202),
        taken=(1, 0, 1),
        effects=_EVENTS,
    ),
    Case(
        step=Step.WAKE_PUBLISH,
        process="api",
        request=_post("/v1/visit-events", 202),
        taken=(1, 0, 1),
        effects=_EVENTS,
    ),
    *(
        Case(
            step=step, process="worker", prepare=lambda scene: scene.report(3), taken=(3, 0, 3), effects=None
        )
        for step in (
            Step.SHARD_CLAIM,
            Step.DRAIN_COMMIT,
            Step.PROJECTION_WRITE,
            Step.OUTBOX_COMMIT,
            Step.SWEEP_COMMIT,
            Step.PRUNE_COMMIT,
        )
    ),
    Case(
        step=Step.DRAIN_COMMIT,
        label="_of_a_refold",
        process="worker",
        prepare=_own_plan_renamed,
        taken=(2, 0, 2),
    ),
    Case(step=Step.SINGLE_COMMIT, process="worker", prepare=_poisoned, repair=_heal, taken=(4, 0, 4)),
    Case(step=Step.FAILURE_COMMIT, process="worker", prepare=_poisoned, repair=_heal, taken=(4, 0, 4)),
    Case(step=Step.EXPIRY_COMMIT, process="worker", prepare=_hold_due, taken=(0, 0, 2), effects=_ENDED),
    Case(step=Step.PERIOD_COMMIT, process="worker", prepare=_long_over, taken=(1, 0, 1)),
    Case(step=Step.DRIFT_FORGET, process="worker", prepare=_wrongly_shown, taken=(1, 0, 1)),
    Case(step=Step.DRIFT_COMMIT, process="worker", prepare=_wrongly_shown, taken=(1, 0, 1)),
    *(
        Case(
            step=step,
            process="command",
            prepare=_damaged,
            arguments=lambda scene: ["rebuild", "--payer", PAYER, "--member-file", _member_file(scene)],
            taken=(2, 0, 2),
        )
        for step in (Step.REBUILD_COMMIT, Step.REBUILD_SHOWN)
    ),
    Case(
        step=Step.RESTORE_COMMIT,
        process="command",
        prepare=_damaged,
        arguments=lambda scene: [
            *("rebuild", "--from-ledger", "--payer", PAYER, "--member-file", _member_file(scene))
        ],
        taken=(2, 0, 2),
    ),
    *(
        Case(
            step=step,
            process="command",
            prepare=_wrongly_shown,
            arguments=lambda _scene: ["reconcile", "--payer", PAYER],
            taken=(1, 0, 1),
        )
        for step in (Step.RECONCILE_FORGET, Step.RECONCILE_WRITE)
    ),
    Case(
        step=Step.MERGE_COMMIT,
        process="command",
        prepare=_two_members,
        arguments=lambda scene: [
            *("members", "merge", "--payer", PAYER),
            *("--from", f"{scene.member}-OTHER", "--into", scene.member, "--reason", "one person"),
        ],
        taken=(2, 0, 2),
    ),
)

MATRIX: tuple[tuple[Case, Edge], ...] = tuple((case, edge) for case in CASES for edge in EDGES)


def failpoint_of(case: Case, edge: Edge) -> Failpoint:
    """Where a process of the case is to die."""
    return Failpoint(step=case.step, edge=edge)
