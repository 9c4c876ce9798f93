"""Clients under load: each reports, corrects, voids, repeats itself, holds and asks until told to stop.

What it sent and what was acknowledged it writes down; that is what the audit at the end goes by.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tests.chaos.calls import Answer, GivenUp, Line, Tally
from tests.chaos.world import PAYER, RULES, content, content_json, plan_json, plan_of, service_json

Row = dict[str, Any]

#: Of all that a client says of visits: voids, corrections, and what it says twice.
VOIDS, CORRECTIONS, REPEATS = 0.05, 0.05, 0.10
#: Of the visits, those whose correction or void is sent before the visit itself.
EARLY = 0.04
#: Of the times that it could, how often a client has all members of a plan folded again.
RENAMES = 0.08
RECEIPT = {200, 202}


@dataclass(slots=True, kw_only=True)
class Diary:
    """What one client sent, by event id or key, and what of it was acknowledged."""

    client_id: str
    events: dict[str, Row] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    repeats: int = 0
    holds: dict[str, Row] = field(default_factory=dict)
    placed: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, Row] = field(default_factory=dict)
    granted: dict[str, str] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a client calls with: its own key, and those of its administrator and its operator."""

    ehr: str = field(repr=False)
    admin: str = field(repr=False)
    ops: str = field(repr=False)


class Client:
    """One client, in a thread of its own."""

    def __init__(
        self,
        *,
        diary: Diary,
        keys: Keys,
        ports: list[int],
        members: list[str],
        dice: random.Random,
        tally: Tally,
        pause_seconds: float,
        applied: Callable[[], None],
    ) -> None:
        """`applied` is called whenever an answer shows that an event was just applied."""
        self.diary = diary
        self._members = members
        self._dice = dice
        self._tally = tally
        self._pause_seconds = pause_seconds
        self._applied = applied
        self._ehr = Line(ports, keys.ehr, dice, tally)
        self._admin = Line(ports, keys.admin, dice, tally)
        self._ops = Line(ports, keys.ops, dice, tally)
        self._withheld: list[str] = []
        #: What was acknowledged, to choose from; and who has which hold.
        self._told: list[str] = []
        self._holders: dict[str, str] = {}
        self._visits = 0

    def run(self, enough: threading.Event, over: threading.Event) -> None:
        """Go on until it is `enough`, then send what was kept back; give up once it is `over`."""
        deeds = [
            (45, self._report),
            (12, self._report_many),
            (4, self._stream),
            (14, self._check),
            (6, self._search),
            (5, self._look_up),
            (9, self._hold),
            (4, self._release),
            (4, self._grant),
            (2, self._revoke),
            (1, self._rename_plan),
            (2, self._status),
        ]
        weights, works = [weight for weight, _ in deeds], [work for _, work in deeds]
        try:
            while not enough.is_set():
                self._dice.choices(works, weights)[0](over)
                enough.wait(self._dice.uniform(0, 2 * self._pause_seconds))
            while self._withheld:
                self._send([self._withheld.pop()], over)
        except GivenUp:
            self._tally.fault("a call had no answer to the end")
        except Exception as error:
            self._tally.fault(f"a client broke: {type(error).__name__}: {error}")
            raise
        finally:
            for line in (self._ehr, self._admin, self._ops):
                line.close()

    # Visit events

    def _next_event(self) -> str:
        """Something new to say of a visit; its event id."""
        known, dice = self.diary.events, self._dice.random()
        if dice < VOIDS and self._visits:
            return self._say("visit.voided", self._some_visit(), None)
        if dice < VOIDS + CORRECTIONS and self._visits:
            return self._say("visit.corrected", self._some_visit(), content(self._dice, self._member()))
        self._visits += 1
        visit_id = f"v{self._visits}"
        named = None
        if self._holders and self._dice.random() < 0.15:
            named = self._dice.choice(list(self._holders))
        member = self._member() if named is None else self._holders[named]
        event_id = self._say("visit.recorded", visit_id, content(self._dice, member, named))
        if self._dice.random() < EARLY:
            self._withheld.append(event_id)
            kind = self._dice.choice(["visit.corrected", "visit.voided"])
            said = content(self._dice, member) if kind == "visit.corrected" else None
            return self._say(kind, visit_id, said)
        assert event_id in known, "what is sent was written down"
        return event_id

    def _say(self, kind: str, visit_id: str, said: Row | None) -> str:
        event_id = f"e{len(self.diary.events)}"
        self.diary.events[event_id] = {"type": kind, "visit_id": visit_id, "content": said}
        return event_id

    def _next_events(self, count: int) -> list[str]:
        """New events with a tenth as many old ones among them, and now and then one that was kept back."""
        events = [self._next_event() for _ in range(count)]
        if self._withheld and self._dice.random() < 0.2:
            events.append(self._withheld.pop(0))
        repeats = sum(self._dice.random() < REPEATS for _ in range(count)) if self._told else 0
        return events + [self._dice.choice(self._told) for _ in range(repeats)]

    def _report(self, over: threading.Event) -> None:
        for event_id in self._next_events(1):
            self._send([event_id], over)

    def _report_many(self, over: threading.Event) -> None:
        self._send(self._next_events(self._dice.randrange(2, 12)), over)

    def _send(self, event_ids: list[str], over: threading.Event) -> None:
        if len(event_ids) > 1:
            body = {"events": [self._json(event_id) for event_id in event_ids]}
            answer = self._ehr.ask("POST", "/v1/visit-events/batch", body, final={200}, over=over)
            if answer.status == 200:
                for event_id, result in zip(event_ids, answer.body["results"], strict=True):
                    self._note(event_id, result["status"], replayed=result.get("replayed", False))
            return
        [event_id] = event_ids
        wait = {"Prefer": f"wait={self._dice.choice([1, 3])}"} if self._dice.random() < 0.4 else {}
        answer = self._ehr.ask(
            "POST", "/v1/visit-events", self._json(event_id), final=RECEIPT, over=over, headers=wait
        )
        self._note(event_id, answer.status, replayed=answer.replayed)
        if answer.status == 200:
            self._applied()

    def _note(self, event_id: str, status: int, *, replayed: bool) -> None:
        """Write an acknowledgement down. What was acknowledged before must be known to be a repeat."""
        if status not in RECEIPT:
            self._tally.fault(f"an event was refused with {status}")
            return
        if event_id in self.diary.acknowledged:
            self.diary.repeats += 1
            if not replayed:
                self._tally.fault("an event that was acknowledged was taken in once more")
        self._acknowledge(event_id)

    def _acknowledge(self, event_id: str) -> None:
        if event_id not in self.diary.acknowledged:
            self.diary.acknowledged.add(event_id)
            self._told.append(event_id)

    def _stream(self, over: threading.Event) -> None:
        event_ids = list(dict.fromkeys(self._next_events(self._dice.randrange(20, 80))))
        lines = b"".join(orjson.dumps(self._json(event_id)) + b"\n" for event_id in event_ids)
        answer = self._ehr.ask("POST", "/v1/visit-events/bulk", lines, final={200}, over=over)
        if answer.status == 200:
            if answer.body["accepted"] + answer.body["replayed"] != len(event_ids):
                self._tally.fault("a stream's counts do not add up")
            again = self.diary.acknowledged & set(event_ids)
            self.diary.repeats += len(again)
            if answer.body["replayed"] < len(again):
                self._tally.fault("an event that was acknowledged was taken in once more")
            for event_id in event_ids:
                self._acknowledge(event_id)

    def _json(self, event_id: str) -> Row:
        event = self.diary.events[event_id]
        said = content_json(event["content"]) if event["content"] is not None else {}
        return {
            "event_id": event_id,
            "type": event["type"],
            "visit_id": event["visit_id"],
            "payer_id": PAYER,
            **said,
        }

    def _look_up(self, over: threading.Event) -> None:
        if self._told:
            event_id = self._dice.choice(self._told)
            answer = self._ehr.ask("GET", f"/v1/visit-events/{event_id}", final={200}, over=over)
            if answer.body.get("status") == "dead":
                self._tally.fault("an event is dead")

    # Questions

    def _check(self, over: threading.Event) -> None:
        asked = service_json(content(self._dice, self._member()))
        answer = self._ehr.ask("POST", "/v1/eligibility-checks", asked, final={201}, over=over)
        self._tally.count("checks")
        self._judge(answer)

    def _search(self, over: threading.Event) -> None:
        said = content(self._dice, self._member())
        asked = {
            "payer_id": PAYER,
            "member_id": said["member"],
            "service_date": said["date"].isoformat(),
        }
        self._judge(self._ehr.ask("POST", "/v1/accumulators/search", asked, final={200}, over=over))

    def _judge(self, answer: Answer) -> None:
        """What an answer says of counts must be possible at any moment (I3)."""
        for shown in answer.body.get("accumulators", []):
            if shown["used"] + shown["held"] > shown["allowed"] or shown["remaining"] < 0:
                self._tally.fault("an answer shows more used than allowed")

    def _status(self, over: threading.Event) -> None:
        answer = self._ops.ask("GET", "/v1/status", final={200}, over=over)
        said = answer.body.get("visit_events", {})
        if said and said["received"] != sum(said[n] for n in ("applied", "rejected", "dead", "pending")):
            self._tally.fault("the status counts do not add up")
        self._tally.count("status read")

    # Holds, overrides, plans

    def _hold(self, over: threading.Event) -> None:
        said, key = content(self._dice, self._member()), f"h{len(self.diary.holds)}"
        seconds = self._dice.choice([4, 10, 3_600])
        expires_at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
        quantity = self._dice.choice([1, 1, 2])
        self.diary.holds[key] = {**said, "quantity": quantity}
        body = {**service_json(said), "quantity": quantity, "expires_at": expires_at}
        # One whose time is over before it could be placed is refused with 422.
        answer = self._ehr.ask(
            "POST", "/v1/holds", body, final={201, 409, 422}, over=over, headers={"Idempotency-Key": key}
        )
        if answer.status == 201:
            self.diary.placed[key] = answer.body["hold_id"]
            self._holders[answer.body["hold_id"]] = said["member"]

    def _release(self, over: threading.Event) -> None:
        if self._holders:
            hold_id = self._dice.choice(list(self._holders))
            self._ehr.ask("POST", f"/v1/holds/{hold_id}/release", final={200, 409}, over=over)

    def _grant(self, over: threading.Event) -> None:
        said, key = content(self._dice, self._member()), f"o{len(self.diary.overrides)}"
        number = self._members.index(said["member"])
        limits = [row["limit_id"] for row in RULES["limits"] if plan_of(number) in row["plans"]]
        grant = {
            "limit_id": self._dice.choice(limits),
            "service_date": said["date"].isoformat(),
            "quantity": 1,
        }
        self.diary.overrides[key] = {**grant, "member": said["member"], "date": said["date"]}
        names = {"payer_id": PAYER, "member_id": said["member"], "approver": "desk", "reason": "appeal"}
        answer = self._admin.ask(
            "POST",
            "/v1/overrides",
            {**grant, **names},
            final={201},
            over=over,
            headers={"Idempotency-Key": f"{self.diary.client_id}-{key}"},
        )
        if answer.status == 201:
            self.diary.granted[key] = answer.body["override_id"]

    def _revoke(self, over: threading.Event) -> None:
        standing = [key for key in self.diary.granted if key not in self.diary.revoked]
        if standing:
            key = self._dice.choice(standing)
            self.diary.revoked.add(key)
            path = f"/v1/overrides/{self.diary.granted[key]}/revoke"
            self._admin.ask("POST", path, final={201}, over=over)

    def _rename_plan(self, over: threading.Event) -> None:
        """Put a plan under another name, so that all its members are folded again; now and then."""
        if self._dice.random() >= RENAMES:
            return
        plan_id = plan_of(self._dice.randrange(4))
        body = plan_json(plan_id, f"Plan {self._dice.randrange(1_000)}")
        self._admin.ask("PUT", f"/v1/payers/{PAYER}/plans/{plan_id}", body, final={200, 201}, over=over)

    # Small choices

    def _member(self) -> str:
        return self._dice.choice(self._members)

    def _some_visit(self) -> str:
        return f"v{self._dice.randrange(self._visits) + 1}"
