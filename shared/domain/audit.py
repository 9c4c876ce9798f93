"""The audit trail: who did or asked what, when, for which purpose, and what came of it.

A member is in it only as a keyed hash, so that it tells nobody anything who does not ask about a member
they know (contract I8).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from shared.domain.client import Role
from shared.domain.member_digest import member_digest
from shared.domain.record import record
from shared.domain.records import MemberRef

#: Why a call is made: codes of HL7's value set PurposeOfUse (v3 ActReason), those that fit what is done
#: here, each in our own words.
PURPOSES: Mapping[str, str] = {
    "TREAT": "treating the member",
    "ETREAT": "treating the member in an emergency",
    "HPAYMT": "paying for care",
    "COVERAGE": "administering coverage",
    "COVAUTH": "authorizing coverage",
    "ELIGDTRM": "deciding on eligibility",
    "ELIGVER": "verifying eligibility",
    "ENROLLM": "enrolling the member",
    "HOPERAT": "running a health care organisation",
    "MEMADMIN": "administering members",
    "PATADMIN": "administering patients",
    "HCOMPL": "compliance",
    "FRAUD": "looking into fraud",
    "HSYSADMIN": "running the system",
    "PATRQT": "at the member's own request",
}

#: What a client of a role calls for when it does not say.
USUAL_PURPOSE: Mapping[Role, str] = {
    "ehr": "TREAT",
    "portal": "COVERAGE",
    "ops": "HSYSADMIN",
    "admin": "HOPERAT",
}

_HASH_BYTES = 16

#: Whether a line of a member's trail is a call, or a visit event that lies in the inbox.
TrailKind = Literal["call", "visit_event"]


@record(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One call of a known client, or some items of one call that came to the same.

    `credential` tells which of the client's keys was shown, by what may be known of it. `call` is the
    name of the call, never its address. `payer_id` and `member_hash` are None where the call is about
    none, or about several, or was refused before that was known. `status` is an HTTP status, `problem`
    the slug of a problem, `items` how many items of a batch or a stream this is about.
    """

    called_at: datetime
    client_id: str
    credential: str
    call: str
    request_id: str
    purpose: str
    payer_id: str | None
    member_hash: bytes | None
    status: int
    problem: str | None = None
    items: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TrailPlace:
    """Where a line stands in a member's trail: by time, and by a number of its own."""

    at: datetime
    kind: TrailKind
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailLine:
    """One line of a member's trail: a call, or a visit event that was sent about the member.

    `client` is the name of whoever called. A visit event has its `event_id`, the visit's id and its
    type as `call`; what is None does not apply to it.
    """

    place: TrailPlace
    client: str
    call: str
    credential: str | None
    purpose: str | None
    status: int | None
    problem: str | None
    request_id: str | None
    event_id: str | None
    visit_id: str | None


def member_hash(hash_key: bytes, ref: MemberRef) -> bytes:
    """The 16 bytes by which the trail names a member."""
    return member_digest(hash_key, ref, use=b"audit", size=_HASH_BYTES)


def hashes_of(hash_key: bytes, payer_id: str, member_ids: Iterable[str]) -> list[tuple[str, bytes]]:
    """Members of a payer, each with the hash by which the trail names it."""
    return [
        (member_id, member_hash(hash_key, MemberRef(payer_id=payer_id, member_id=member_id)))
        for member_id in member_ids
    ]


def trail_json(line: TrailLine) -> dict[str, Any]:
    """A line of a trail as a JSON object: as it is answered, and as it is exported."""
    return {
        "at": line.place.at,
        "kind": line.place.kind,
        "client": line.client,
        "credential": line.credential,
        "call": line.call,
        "purpose": line.purpose,
        "status": line.status,
        "problem": line.problem,
        "request_id": line.request_id,
        "event_id": line.event_id,
        "visit_id": line.visit_id,
    }
