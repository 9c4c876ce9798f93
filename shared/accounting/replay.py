"""Deciding a recorded answer again: the same inputs, the same catalog and the same ledger give the same.

The inputs are kept with the answer: what was asked, and the member's standing at that moment. So what
happened since (visits, enrollments, rules, merges) makes no difference. That the standing was what the
ledger said is checked against the ledger, whose entries never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from shared.accounting.codec import service_from
from shared.accounting.determination_body import determination_body
from shared.accounting.standing_codec import standing_from
from shared.domain.accumulator import AccumulatorKey
from shared.domain.determination import MemberStanding, determine
from shared.domain.determination_record import AnsweredCheck
from shared.domain.differences import Difference, differences
from shared.domain.errors import Conflict
from shared.domain.history import Rules
from shared.domain.records import MemberRef

#: What an answer is given when it is recorded.
GIVEN = ("check_id", "decided_at")


class NotReplayable(Conflict):
    """What this answer was decided from was not kept with it."""


class PastCounts(Protocol):
    """The ledger, asked for the counts of an accumulator's versions."""

    def counts_at(
        self, ref: MemberRef, versions: Mapping[AccumulatorKey, int]
    ) -> Mapping[AccumulatorKey, tuple[int, int]]:
        """(used, held) of each accumulator at a version; absent where the ledger has no such version."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """An answer decided again. `differences` are between what was said and what is said now.

    `ledger` names what the answer counted on and the ledger does not say of the same version;
    None where the counts were folded ahead of the ledger, because rules or plans had just changed.
    """

    check_id: str
    catalog_version: int
    differences: tuple[Difference, ...]
    ledger: tuple[Difference, ...] | None

    @property
    def is_same(self) -> bool:
        """Whether the answer is the same, from the same counts."""
        return not self.differences and not self.ledger


def replay(ledger: PastCounts, rules: Rules, check: AnsweredCheck) -> Replay:
    """Decide a recorded check again by the rules of its catalog.

    Raises NotReplayable for an answer whose standing was not kept.
    """
    record = check.record
    if record.standing is None:
        raise NotReplayable
    request = orjson.loads(record.request)
    hold_id = request.get("hold_id")
    standing = standing_from(orjson.loads(record.standing), hold_id)
    decided = determine(rules, standing, service_from(request), hold_id)
    now = orjson.loads(orjson.dumps(determination_body(decided, check.audience)))
    said = {name: value for name, value in orjson.loads(record.body).items() if name not in GIVEN}
    return Replay(
        check_id=record.check_id,
        catalog_version=record.catalog_version,
        differences=tuple(differences(said, now)),
        ledger=None if standing.ahead_of_ledger else tuple(_against_ledger(ledger, standing)),
    )


def _against_ledger(ledger: PastCounts, standing: MemberStanding) -> Sequence[Difference]:
    history = standing.history
    ref = MemberRef(payer_id=history.payer_id, member_id=history.member_id)
    posted = ledger.counts_at(ref, standing.versions)
    counted: dict[str, Any] = {}
    entered: dict[str, Any] = {}
    for accumulator in standing.accumulators:
        key = accumulator.key
        version = standing.versions.get(key, 0)
        used, held = posted.get(key, (0, 0)) if version else (0, 0)
        name = f"{key.plan_id}/{key.limit_id}/{key.period.start} version {version}"
        counted[name] = {"used": accumulator.used, "held": accumulator.held}
        entered[name] = {"used": used, "held": held}
    return list(differences(counted, entered))
