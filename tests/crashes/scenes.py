"""What the cases of the crash matrix need to be there, and what they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.domain.records import MemberRef
from tests.api_service import check, enrollments, event
from tests.builders import PAYER
from tests.crashes.site import PLAN, Request, Site

Json = dict[str, Any]


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


# What leads to a step


def hold_first(scene: Scene) -> None:
    """The case's hold is there."""
    scene.kept["hold_id"] = scene.site.ask(scene.hold())["hold_id"]


def hold_due(scene: Scene) -> None:
    """The case's hold is there, and its time is over."""
    hold_first(scene)
    scene.site.installation.write(
        "update hold set expires_at = now() where hold_id = %s", scene.kept["hold_id"]
    )


def override_first(scene: Scene) -> None:
    """The case's override is there."""
    scene.kept["override_id"] = scene.site.ask(scene.override())["override_id"]


def long_over(scene: Scene) -> None:
    """A visit of a year that is over, counted: its period is to be reported, or reported again."""
    body = scene.event(service_date="2024-03-04")
    scene.site.ask(Request(method="POST", path="/v1/visit-events", body=body, status=202))
    scene.site.sweep()


def counted(count: int) -> Callable[[Scene], None]:
    """So many visits, counted and shown."""

    def prepare(scene: Scene) -> None:
        scene.report(count)
        scene.site.sweep()

    return prepare


def own_plan(scene: Scene) -> None:
    """Two counted visits in a plan that is this case's alone."""
    path = f"/v1/payers/{PAYER}/plans/{scene.name.replace('_', '-')}"
    scene.site.ask(Request(method="PUT", path=path, body=PLAN, role="admin", status=201))
    scene.site.installation.write(
        "update enrollment set plan_id = %s where member_id = %s", path.rpartition("/")[2], scene.member
    )
    counted(2)(scene)


def own_plan_renamed(scene: Scene) -> None:
    """Such a plan, changed, so that its member waits to be folded again."""
    own_plan(scene)
    scene.site.ask(rename_plan(scene))


def rename_plan(scene: Scene) -> Request:
    """The case's own plan under another name."""
    path = f"/v1/payers/{PAYER}/plans/{scene.name.replace('_', '-')}"
    return Request(method="PUT", path=path, body={**PLAN, "name": "Renamed"}, role="admin")


def poisoned(scene: Scene) -> None:
    """Three visits and a fourth that cannot be read."""
    scene.report(4)
    scene.site.installation.write(
        "update visit_event set content = content::jsonb || '{\"lines\": 7}' where event_id = %s",
        f"{scene.name}-e4",
    )


def heal(scene: Scene) -> None:
    """Put the fourth visit right again, so that it is applied at once."""
    scene.site.installation.write(
        "update visit_event set content = content::jsonb || jsonb_build_object('lines', %s::jsonb)"
        " where event_id = %s",
        orjson.dumps(event(1)["lines"]).decode(),
        f"{scene.name}-e4",
    )
    scene.site.installation.write(
        "update visit_event_waiting w set retry_at = null from visit_event e"
        " where e.arrival = w.arrival and e.event_id = %s",
        f"{scene.name}-e4",
    )


def damaged(scene: Scene) -> None:
    """Two counted visits, and an accumulator that says four."""
    counted(2)(scene)
    scene.site.installation.write(
        "update accumulator set used = used + 2, allowed = 40 where member_id = %s", scene.member
    )


def wrongly_shown(scene: Scene) -> None:
    """A counted visit, and a counter in Redis that is ahead of it."""
    counted(1)(scene)
    scene.site.show_wrong_counter(scene.ref)


def two_members(scene: Scene) -> None:
    """The member and another, with a visit each."""
    scene.site.enroll(f"{scene.member}-OTHER")
    scene.report(1, f"{scene.member}-OTHER")
    counted(1)(scene)


def member_file(scene: Scene) -> str:
    """A file that names the member; its path."""
    path = scene.site.data_dir / f"{scene.name}.txt"
    path.write_text(f"{scene.member}\n", encoding="utf-8")
    return str(path)


def merge_file(scene: Scene) -> str:
    """A file that names the other member, then the member; its path."""
    path = scene.site.data_dir / f"{scene.name}.txt"
    path.write_text(f"{scene.member}-OTHER\n{scene.member}\n", encoding="utf-8")
    return str(path)


# What is asked for


def report_one(path: str, status: int) -> Callable[[Scene], Request]:
    """The member's first visit, sent to a path."""
    return lambda scene: Request(method="POST", path=path, body=scene.event(), status=status)


def stream(scene: Scene) -> Request:
    """Five visits, a line each."""
    lines = b"".join(orjson.dumps(scene.event(number)) + b"\n" for number in range(1, 6))
    return Request(method="POST", path="/v1/visit-events/bulk", body=lines)


def ask_check(scene: Scene) -> Request:
    """A check."""
    body = check(member_id=scene.member)
    return Request(method="POST", path="/v1/eligibility-checks", body=body, status=201)


def search_accumulators(scene: Scene) -> Request:
    """A question that stores nothing but that it was asked, under an id of the case."""
    body = {"payer_id": PAYER, "member_id": scene.member, "service_date": "2026-03-04"}
    return Request(
        method="POST", path="/v1/accumulators/search", body=body, headers={"X-Request-ID": scene.name}
    )


def release(scene: Scene) -> Request:
    """The case's hold is taken back."""
    return Request(method="POST", path=f"/v1/holds/{scene.kept['hold_id']}/release")


def revoke(scene: Scene) -> Request:
    """The case's override is taken back."""
    path = f"/v1/overrides/{scene.kept['override_id']}/revoke"
    return Request(method="POST", path=path, role="admin", status=201)


def end_enrollment(scene: Scene) -> Request:
    """The enrollment ends before the visit that was counted."""
    spans = [{"plan_id": "employer", "start": "2020-01-01", "end": "2026-01-01", "attributes": []}]
    body = enrollments(member_id=scene.member, spans=spans)
    return Request(method="PUT", path="/v1/enrollments", body=body, role="admin")


def rule_document(scene: Scene) -> Request:
    """A rule document that runs at once and speaks of a plan that is nobody's."""
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
