"""Reads the terms of a rule document: limits, authorization, cost sharing, documentation, filing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

from shared.domain.code_sets import normalise_label
from shared.domain.document_reader import Reader
from shared.domain.enrollment import CARRY_OVERS, CarryOver
from shared.domain.evaluation import REQUIREMENTS, Audience, Contact, Requirement
from shared.domain.limit import BASES, MEASURES, ORDERINGS, UNCAPPED, Basis, Limit, Measure, Ordering
from shared.domain.predicate import ALWAYS, AllOf, Predicate
from shared.domain.predicate_parsing import parse_codes, parse_predicate
from shared.domain.rule_document import (
    DOCUMENTATION_EFFECTS,
    EFFECTS,
    FILING_UNITS,
    AccessRule,
    AllowedVariant,
    ConditionNote,
    CostSharingRule,
    DocumentationEffect,
    DocumentationRule,
    Effect,
    Extension,
    LimitRule,
    Statement,
    TimelyFiling,
)
from shared.domain.rule_parts_parsing import Context

T = TypeVar("T")
AUDIENCES: tuple[Audience, ...] = ("member", "provider", "any")
#: A century: longer windows are a lifetime.
ROLLING_DAYS_MAX = 36_525
COST_STATUSES = ("stated", "none", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a document states besides its decisions."""

    limits: tuple[LimitRule, ...]
    prior_authorization: tuple[AccessRule, ...]
    referral: tuple[AccessRule, ...]
    cost_sharing: tuple[CostSharingRule, ...]
    conditions: tuple[ConditionNote, ...]
    documentation: tuple[DocumentationRule, ...]
    billing_guidance: tuple[Statement, ...]
    advisories: tuple[Statement, ...]
    timely_filing: tuple[TimelyFiling, ...]
    contacts: tuple[Contact, ...]


def parse_terms(reader: Reader, context: Context) -> Terms:
    """Every term of the document that `reader` is at. Faults are noted."""
    limits = reader.each("limits", lambda part: _limit(part, context))
    context.refuse_repeats(reader, "limits", tuple(rule.limit.limit_id for rule in limits))
    _refuse_mixed_orderings(reader, limits)
    return Terms(
        limits=limits,
        prior_authorization=_access(reader, context, "prior_authorization"),
        referral=_access(reader, context, "referral"),
        cost_sharing=_variants(reader, "cost_sharing", lambda part: _cost_sharing(part, context)),
        conditions=context.conditions(reader),
        documentation=reader.each("documentation", lambda part: _documentation(part, context)),
        billing_guidance=context.statements(reader, "billing_guidance"),
        advisories=context.statements(reader, "advisories"),
        timely_filing=_variants(reader, "timely_filing", lambda part: _timely_filing(part, context)),
        contacts=reader.each("contacts", parse_contact),
    )


def _limit(reader: Reader, context: Context) -> LimitRule:
    limit_id = reader.identifier("limit_id")
    codes = parse_codes(reader.raw("codes"), reader.at("codes"), context.faults, context.names)
    allowed, capped = _allowed(reader)
    basis, rolling_days = _period(reader)
    limit = Limit(
        limit_id=limit_id,
        allowed=allowed,
        capped=capped,
        pool=codes.listed,
        label=reader.text("label"),
        measure=cast("Measure", reader.text("measure", choices=MEASURES) or "visit"),
        basis=basis,
        rolling_days=rolling_days,
        ordering=cast("Ordering", reader.text("ordering", choices=ORDERINGS) or "received"),
        carry_over=cast("CarryOver | None", reader.text("carry_over", choices=CARRY_OVERS)),
        assumptions=_assumptions(reader),
    )
    when = context.predicate(reader)
    extensions = reader.each("extensions", lambda part: _extension(part, context))
    for index, extension in enumerate(extensions):
        if extension.beyond >= allowed:
            context.faults.note(
                (*reader.at("extensions"), index, "beyond"), f"expected less than the {allowed} allowed"
            )
    variants = reader.each("allowed_when", lambda part: _variant(part, context))
    reader.finish()
    return LimitRule(limit=limit, codes=codes, when=when, extensions=extensions, variants=variants)


def _allowed(reader: Reader) -> tuple[int, bool]:
    """The units, and whether they are a maximum at all: `unlimited` counts without one."""
    if reader.raw("allowed") == "unlimited":
        return UNCAPPED, False
    return reader.required_whole("allowed"), True


def _period(reader: Reader) -> tuple[Basis, int | None]:
    part = reader.child("period")
    if part is None:
        return "plan_year", None
    basis = cast("Basis", part.required_text("basis", choices=BASES))
    rolling_days = part.whole("rolling_days", at_least=1, at_most=ROLLING_DAYS_MAX)
    if (basis == "rolling_days") != (rolling_days is not None):
        part.fault("rolling_days", "expected with the basis rolling_days, and only with it")
    part.finish()
    return basis, rolling_days


def _assumptions(reader: Reader) -> tuple[str, ...]:
    """What the source leaves open about a limit, by the name of the field chosen."""
    assumptions = reader.texts("assumptions") or ()
    # Payments are not reported to us, so a limit of paid visits is counted by allowed ones, and says so.
    if reader.text("counts_when", choices=("allowed", "paid")) == "paid":
        return (*assumptions, "counts_when")
    return assumptions


def _extension(reader: Reader, context: Context) -> Extension:
    extension = Extension(beyond=reader.required_whole("beyond"), criteria=context.criteria(reader))
    if not extension.criteria:
        reader.fault("criteria", "expected at least one criterion")
    reader.finish()
    return extension


def _variant(reader: Reader, context: Context) -> AllowedVariant:
    variant = AllowedVariant(
        when=context.predicate(reader, required=True), allowed=reader.required_whole("allowed")
    )
    reader.finish()
    return variant


def _refuse_mixed_orderings(reader: Reader, limits: tuple[LimitRule, ...]) -> None:
    """Limits that one visit can feed share their ordering (contract section 4)."""
    for index, rule in enumerate(limits):
        for other in limits[:index]:
            if rule.limit.ordering != other.limit.ordering:
                reader.faults.note(
                    (*reader.at("limits"), index, "ordering"),
                    f"expected {other.limit.ordering}, as {other.limit.limit_id}: one visit can feed both",
                )


def _access(reader: Reader, context: Context, key: str) -> tuple[AccessRule, ...]:
    default: Effect = "not_covered" if key == "prior_authorization" else "condition"
    return _variants(reader, key, lambda part: _access_rule(part, context, default))


def _access_rule(reader: Reader, context: Context, default: Effect) -> AccessRule:
    status = cast("Requirement", reader.required_text("status", choices=REQUIREMENTS))
    when = context.predicate(reader)
    number = reader.child("from_visit")
    if number is not None:
        when = _conjoined(when, _from_visit(number, context))
    rule = AccessRule(
        status=status,
        when=when,
        if_absent=cast("Effect", reader.text("if_absent", choices=EFFECTS) or default),
        reason=context.reason(reader),
    )
    reader.finish()
    return rule


def _from_visit(reader: Reader, context: Context) -> Predicate:
    value = {"limit": reader.raw("limit"), "at_least": reader.raw("number")}
    reader.finish()
    return parse_predicate({"visit_number": value}, reader.path, context.faults, context.names)


def _conjoined(first: Predicate, second: Predicate) -> Predicate:
    return second if first is ALWAYS else AllOf((first, second))


def _variants(reader: Reader, key: str, read: Callable[[Reader], T]) -> tuple[T, ...]:
    """The mapping at a key, or each of a list of them, tried in order."""
    value = reader.raw(key)
    if isinstance(value, list | tuple):
        return reader.each(key, read)
    part = reader.child(key)
    return () if part is None else (read(part),)


def _cost_sharing(reader: Reader, context: Context) -> CostSharingRule:
    percent = reader.whole("coinsurance_percent")
    if percent is not None and percent > 100:
        reader.fault("coinsurance_percent", "expected at most 100")
    rule = CostSharingRule(
        status=cast(
            "Literal['stated', 'none', 'unknown']", reader.required_text("status", choices=COST_STATUSES)
        ),
        when=context.predicate(reader),
        note=reader.text("note"),
        copay_cents=reader.whole("copay_cents"),
        coinsurance_percent=percent,
        deductible_applies=reader.flag("deductible_applies"),
    )
    reader.finish()
    return rule


def _documentation(reader: Reader, context: Context) -> DocumentationRule:
    effect = reader.text("effect", choices=DOCUMENTATION_EFFECTS) or "list"
    code = reader.required_text("code")
    if normalise_label(code) != code:
        reader.fault("code", f"expected a label of lower-case words joined by '_': {normalise_label(code)}")
    rule = DocumentationRule(
        code=code,
        text=reader.required_text("text"),
        effect=cast("DocumentationEffect", effect),
        when=context.predicate(reader),
    )
    reader.finish()
    return rule


def _timely_filing(reader: Reader, context: Context) -> TimelyFiling:
    stated = [(unit, n) for unit in FILING_UNITS if (n := reader.whole(unit, at_least=1)) is not None]
    when = context.predicate(reader)
    reader.finish()
    if len(stated) != 1:
        reader.faults.note(reader.path, f"expected exactly one of: {', '.join(FILING_UNITS)}")
        return TimelyFiling(amount=1, unit="calendar_years")
    return TimelyFiling(amount=stated[0][1], unit=stated[0][0], when=when)


def parse_contact(reader: Reader) -> Contact:
    """A contact: for whom, who it is, how to reach them."""
    contact = Contact(
        audience=cast("Audience", reader.required_text("audience", choices=AUDIENCES)),
        name=reader.required_text("name"),
        note=reader.required_text("note"),
        phone=reader.text("phone"),
    )
    reader.finish()
    return contact
