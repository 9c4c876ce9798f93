"""Rules as plain settings, so that adjudication is tested apart from the catalog.

`SimpleRules` answers as the rule engine does: a line is covered, not covered or unknown; covered lines
claim units of the limits they feed. What it is told is data, the same that the reference model reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from shared.domain.enrollment import Plan
from shared.domain.evaluation import (
    Decision,
    Evaluation,
    LimitClaim,
    LineEvaluation,
    Reason,
    Situation,
    Source,
    worst,
)
from shared.domain.limit import Limit
from shared.domain.service import Service, ServiceLine

SOURCE = Source(
    document_id="plain-rules", version=1, authority="plan_document", citation="written for a test"
)


def limit_row(limit_id: str = "dry-needling", allowed: int = 20, **settings: Any) -> dict[str, Any]:
    """One limit as a plain row; in force for every plan and date unless told otherwise."""
    row: dict[str, Any] = {
        "limit_id": limit_id,
        "allowed": allowed,
        "plans": None,
        "start": None,
        "end": None,
        "pool": ["20560", "20561"],
        "measure": "visit",
        "basis": "plan_year",
        "rolling_days": None,
        "network": None,
        "exempt_diagnoses": [],
        "kx_from": None,
    }
    assert set(settings) <= {*row, "ordering"}
    return {**row, **settings}


def plain_rules(*limits: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """Settings for `SimpleRules` and for the reference model; one limit of 20 unless told otherwise."""
    rules: dict[str, Any] = {
        "limits": [dict(row) for row in limits] or [limit_row()],
        "ordering": "received",
        "needling_codes": ["20560", "20561"],
        "unlisted_codes": ["99999"],
        "unknown_states": ["HI"],
        "excluded_diagnoses": ["F99"],
        "filing_days": None,
    }
    assert set(settings) <= set(rules)
    return {**rules, **settings}


class SimpleRules:
    """The rules protocol of adjudication, answered from plain settings."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        """Answer from `settings` as `plain_rules` makes them."""
        self._settings = settings if settings is not None else plain_rules()

    def evaluate(self, situation: Situation) -> Evaluation:
        """Each line by itself, then the claims of the covered ones."""
        service, plan = situation.service, situation.plan
        standing = _standing(situation)
        if standing is not None or plan is None:
            decision, code = standing or ("unknown_verify_with_plan", "plan_not_matched")
            return self._evaluation(service, [(decision, code)] * len(service.lines), [])
        rows = self._rows(plan, service.service_date)
        numbers = dict(situation.visit_numbers)
        said = [self._line(situation, line, rows, numbers) for line in service.lines]
        claims = []
        for row in rows:
            lines = tuple(
                n
                for n, line in enumerate(service.lines)
                if said[n][0] == "covered" and _feeds(row, service, line)
            )
            if lines:
                claims.append(
                    LimitClaim(
                        limit=self._limit(row),
                        quantity=_quantity(row, service, lines),
                        lines=lines,
                        source=SOURCE,
                    )
                )
        numbered = tuple(row["limit_id"] for row in rows if row["kx_from"] is not None)
        return self._evaluation(service, said, claims, numbered)

    def limits_on(self, payer_id: str, plan: Plan, on: date) -> tuple[tuple[Limit, Source], ...]:
        """The limits in force for a plan on a date."""
        return tuple((self._limit(row), SOURCE) for row in self._rows(plan, on))

    def bearing_on(self, payer_id: str, plan: Plan | None, service: Service) -> Service:
        """All of it: there is no telling what settings ask."""
        del payer_id, plan
        return service

    def dates_bearing_on(self, on: date, dates: tuple[date, ...]) -> tuple[date, ...]:
        """All of them."""
        del on
        return dates

    def _rows(self, plan: Plan, on: date) -> list[dict[str, Any]]:
        return [
            row
            for row in self._settings["limits"]
            if (row["plans"] is None or plan.plan_id in row["plans"])
            and (row["start"] is None or row["start"] <= on)
            and (row["end"] is None or on < row["end"])
        ]

    def _limit(self, row: Mapping[str, Any]) -> Limit:
        return Limit(
            limit_id=row["limit_id"],
            allowed=row["allowed"],
            pool=tuple(row["pool"]),
            measure=row["measure"],
            basis=row["basis"],
            rolling_days=row["rolling_days"],
            ordering=row.get("ordering", self._settings["ordering"]),
        )

    def _line(
        self,
        situation: Situation,
        line: ServiceLine,
        rows: Iterable[Mapping[str, Any]],
        numbers: Mapping[str, int],
    ) -> tuple[Decision, str]:
        settings, service = self._settings, situation.service
        if _filed_late(situation, settings["filing_days"]):
            return "not_covered", "timely_filing"
        if line.procedure_code in settings["unlisted_codes"]:
            return "unknown_verify_with_plan", "code_not_listed"
        if service.state in settings["unknown_states"]:
            return "unknown_verify_with_plan", "rule_not_loaded"
        if set(line.diagnosis_codes) & set(settings["excluded_diagnoses"]):
            return "not_covered", "diagnosis_not_covered"
        for row in rows:
            needed = row["kx_from"]
            asked = needed is not None and numbers.get(row["limit_id"], 1) >= needed
            if asked and _feeds(row, service, line) and "KX" not in line.modifiers:
                return "not_covered", "documentation_needed"
        return "covered", "within_limit"

    def _evaluation(
        self,
        service: Service,
        said: list[tuple[Decision, str]],
        claims: list[LimitClaim],
        numbered: tuple[str, ...] = (),
    ) -> Evaluation:
        needling = [line.procedure_code in self._settings["needling_codes"] for line in service.lines]
        governing = [n for n, is_needling in enumerate(needling) if is_needling] or range(len(said))
        decision = worst(*(said[n][0] for n in governing)) if said else "unknown_verify_with_plan"
        codes = dict.fromkeys(said[n][1] for n in governing if said[n][0] == decision)
        reasons = tuple(Reason(code=code, text=f"plainly {code}", source=SOURCE) for code in codes)
        return Evaluation(
            decision=decision,
            catalog_version=1,
            reasons=reasons,
            lines=tuple(
                LineEvaluation(
                    procedure_code=line.procedure_code,
                    needling=needling[n],
                    decision=said[n][0],
                    limit_ids=tuple(claim.limit.limit_id for claim in claims if n in claim.lines),
                )
                for n, line in enumerate(service.lines)
            ),
            claims=tuple(claims),
            uses_visit_number=bool(numbered),
            numbered_by=numbered,
        )


def _standing(situation: Situation) -> tuple[Decision, str] | None:
    """What the member's enrollment decides by itself, as the engine has it."""
    if situation.enrollment == "unknown_member":
        return "unknown_verify_with_plan", "not_enrolled"
    if situation.enrollment != "enrolled":
        return "not_covered", situation.enrollment
    return None


def _filed_late(situation: Situation, filing_days: int | None) -> bool:
    if filing_days is None or situation.received_on is None:
        return False
    return situation.received_on > situation.service.service_date + timedelta(days=filing_days)


def _feeds(row: Mapping[str, Any], service: Service, line: ServiceLine) -> bool:
    primary = line.diagnosis_codes[0] if line.diagnosis_codes else None
    return (
        line.procedure_code in row["pool"]
        and (row["network"] is None or row["network"] == service.network)
        and (primary is None or primary not in row["exempt_diagnoses"])
    )


def _quantity(row: Mapping[str, Any], service: Service, lines: tuple[int, ...]) -> int:
    if row["measure"] == "unit":
        return sum(service.lines[n].quantity for n in lines)
    return len(lines) if row["measure"] == "service_line" else 1
