"""Makes a rule document from data: of a YAML file of the catalog, or of a request's body.

`shared/catalog/rule-document.schema.json` describes the same format for editors; this module has the
last word, since it also checks what a schema cannot: that names are defined and limits agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date
from typing import cast

from shared.domain.code_sets import DiagnosisSet, ProcedureSet, diagnosis_patterns, union
from shared.domain.document_reader import Faults, Reader, RuleDocumentInvalid
from shared.domain.enrollment import FUNDINGS, MARKETS
from shared.domain.evaluation import AUTHORITIES, COVERING, DECISIONS, Authority, Decision
from shared.domain.predicate_parsing import STATES, Names, parse_codes
from shared.domain.rule_document import Assumption, Rule, RuleDocument, Scope, leaves_of, numbering_limits
from shared.domain.rule_parts_parsing import Context
from shared.domain.rule_terms_parsing import Terms, parse_terms
from shared.domain.vocabulary import Vocabulary

__all__ = ["RuleDocumentInvalid", "canonical_json", "parse_rule_document"]


def canonical_json(body: object) -> str:
    """A document's data as JSON with sorted keys, dates as text: equal data give equal text."""

    def as_text(value: object) -> str:
        if isinstance(value, date):
            return value.isoformat()
        raise TypeError(f"{type(value).__name__} is not data of a rule document")

    return json.dumps(
        body, allow_nan=False, default=as_text, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )


def parse_rule_document(
    body: object, vocabulary: Vocabulary, *, document_id: str | None = None, version: int | None = None
) -> RuleDocument:
    """The rule document that `body` states.

    `document_id` and `version`, if given (from an address), fill in what the body leaves out and must
    agree with what it says. Raises RuleDocumentInvalid with every fault found.
    """
    faults = Faults()
    if isinstance(body, Mapping):
        body = {
            **({"document_id": document_id} if document_id else {}),
            **({"version": version} if version else {}),
            **body,
        }
    reader = Reader(body, (), faults)
    document = _document(reader, vocabulary)
    if document_id and document.document_id != document_id:
        reader.fault("document_id", f"expected {document_id}")
    if version and document.version != version:
        reader.fault("version", f"expected {version}")
    faults.raise_if_any()
    return document


def _document(reader: Reader, vocabulary: Vocabulary) -> RuleDocument:
    document_id, version = reader.identifier("document_id"), reader.required_whole("version", at_least=1)
    authority = cast("Authority", reader.required_text("authority", choices=AUTHORITIES))
    citation, url = _source(reader)
    start, end = _span(reader)
    context = Context(names=_names(reader, vocabulary), faults=reader.faults, effective_from=start)
    rules = reader.each("rules", lambda part: _rule(part, context))
    context.refuse_repeats(reader, "rules", tuple(rule.rule_id for rule in rules))
    terms = parse_terms(reader, context)
    document = RuleDocument(
        document_id=document_id,
        version=version,
        title=reader.required_text("title"),
        authority=authority,
        citation=citation,
        url=url,
        effective_from=start,
        effective_until=end,
        held=reader.flag("text_held", default=True) is True,
        withdrawn=reader.flag("withdrawn", default=False) is True,
        scopes=_scopes(reader),
        floor_for=frozenset(reader.texts("floor_for", choices=MARKETS) or ()),
        rules=rules,
        replaces_limits=frozenset(reader.texts("replaces_limits") or ()),
        assumptions=reader.each("assumptions", _assumption),
        notes=reader.texts("notes") or (),
        codes=union(
            (_own_codes(reader, context), *(r.codes for r in rules), *(limit.codes for limit in terms.limits))
        ),
        body=_body(reader),
        **{name: getattr(terms, name) for name in (f.name for f in fields(Terms))},
    )
    reader.finish()
    if not reader.faults.found:
        # Of a document with faults in its parts this would only say what follows from them.
        _check_whole(reader, document)
    return replace(document, numbered_by=numbering_limits(document), leaves=leaves_of(document))


def _own_codes(reader: Reader, context: Context) -> ProcedureSet:
    """The codes that the document's terms hold for, besides those of its rules and limits."""
    if "codes" not in reader:
        reader.raw("codes")
        return ProcedureSet()
    return parse_codes(reader.raw("codes"), reader.at("codes"), context.faults, context.names)


def _body(reader: Reader) -> str:
    try:
        return canonical_json(reader.data)
    except (TypeError, ValueError):
        reader.faults.note((), "expected only texts, whole numbers, dates, true, false, lists and mappings")
    except RecursionError:
        reader.faults.note((), "expected a document nested less deeply")
    return "{}"


def _source(reader: Reader) -> tuple[str, str | None]:
    part = reader.child("source")
    if part is None:
        reader.fault("source", "is required; expected a mapping with citation")
        return "", None
    citation, section, url = part.required_text("citation"), part.text("section"), part.text("url")
    for name in ("published_on", "created_on", "reviewed_on", "originally_effective_on"):
        part.day(name)
    part.text("note")
    part.finish()
    return (f"{citation}, {section}" if section else citation), url


def _span(reader: Reader) -> tuple[date | None, date | None]:
    part = reader.child("effective")
    if part is None:
        reader.fault("effective", "is required; expected a mapping with from, and until if it ends")
        return None, None
    start, end, unknown = part.day("from"), part.day("until"), part.flag("from_unknown", default=False)
    if ("from" in part) == unknown:
        part.fault("from", "expected a calendar date, or from_unknown: true, and not both")
    if start is not None and end is not None and end <= start:
        part.fault("until", f"expected a date after {start.isoformat()}; the span is [from, until)")
    part.finish()
    return start, end


def _names(reader: Reader, vocabulary: Vocabulary) -> Names:
    """The vocabulary, and the pools, diagnosis groups and limit ids that the document defines."""
    limits = reader.raw("limits")
    ids = {str(item.get("limit_id")) for item in limits if isinstance(item, Mapping)} if limits else set()
    ids |= set(reader.texts("uses_limits") or ())
    pools: dict[str, ProcedureSet] = {}
    names = Names(vocabulary=vocabulary, limits=frozenset(ids))
    part = reader.child("pools")
    if part is not None:
        for name in part.names():
            pools[name] = parse_codes(part.raw(name), part.at(name), reader.faults, names)
    groups: dict[str, DiagnosisSet] = {}
    part = reader.child("diagnosis_groups")
    if part is not None:
        groups = {name: _diagnosis_group(part, name) for name in part.names()}
    return Names(vocabulary=vocabulary, pools=pools, diagnosis_groups=groups, limits=frozenset(ids))


def _diagnosis_group(reader: Reader, name: str) -> DiagnosisSet:
    """A list of prefixes and ranges, or a mapping with `include` and `except`."""
    value = reader.raw(name)
    if not isinstance(value, Mapping):
        value = {"include": value}
    part = Reader(value, reader.at(name), reader.faults)
    found: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str], ...]]] = {}
    for key in ("include", "except"):
        try:
            found[key] = diagnosis_patterns(part.texts(key) or ())
        except ValueError as fault:
            part.fault(key, f"expected ICD-10-CM prefixes (M54.5) or ranges (M50-M54), found {fault}")
            found[key] = ((), ())
    if "include" not in part:
        part.fault("include", "is required; expected a list of ICD-10-CM prefixes or ranges")
    part.finish()
    include, excepted = found["include"], found["except"]
    return DiagnosisSet(
        prefixes=include[0], ranges=include[1], except_prefixes=excepted[0], except_ranges=excepted[1]
    )


def _scopes(reader: Reader) -> tuple[Scope, ...]:
    scopes = reader.each("applies_to", _scope)
    if not scopes:
        reader.fault("applies_to", "is required; expected a list of scopes, as [{payers: [a-payer]}]")
    return scopes


def _scope(reader: Reader) -> Scope:
    def named(key: str, choices: tuple[str, ...] | None = None) -> frozenset[str] | None:
        texts = reader.texts(key, choices=choices)
        return None if texts is None else frozenset(texts)

    scope = Scope(
        payers=named("payers"),
        plans=named("plans"),
        except_plans=named("except_plans") or frozenset(),
        fundings=named("funding", FUNDINGS),
        markets=named("market", MARKETS),
        regions=named("region"),
        states=named("state", STATES),
    )
    if reader.flag("any_payer", default=False) == (scope.payers is not None):
        reader.fault("payers", "expected payers, or any_payer: true, and not both")
    if scope.plans is not None and scope.payers is None:
        reader.fault("plans", "expected with payers: a plan's id is its payer's")
    reader.finish()
    return scope


def _rule(reader: Reader, context: Context) -> Rule:
    decision = cast("Decision", reader.required_text("decision", choices=DECISIONS))
    limits = reader.texts("limits")
    rule = Rule(
        rule_id=reader.identifier("id"),
        codes=parse_codes(reader.raw("codes"), reader.at("codes"), context.faults, context.names),
        when=context.predicate(reader),
        decision=decision,
        reason=context.reason(reader),
        criteria=context.criteria(reader),
        conditions=context.conditions(reader),
        limits=None if limits is None else frozenset(limits),
    )
    # A decision that is none was read as some other: what follows from that one is no fault of the file.
    if decision not in COVERING and reader.raw("decision") == decision:
        if rule.reason is None:
            reader.fault("reason", f"is required with {decision}; expected a reason code of reasons.yaml")
        if rule.criteria or rule.conditions or rule.limits:
            reader.fault("criteria", "expected only with a decision that covers, as conditions and limits")
    for limit_id in sorted((rule.limits or frozenset()) - context.names.limits):
        reader.fault("limits", f"expected limits of this document, found {limit_id}")
    reader.finish()
    return rule


def _assumption(reader: Reader) -> Assumption:
    assumption = Assumption(about=reader.required_text("about"), text=reader.required_text("text"))
    reader.finish()
    return assumption


def _check_whole(reader: Reader, document: RuleDocument) -> None:
    """What only the whole document shows: who may say what."""
    if not document.held and (document.rules or document.limits):
        reader.fault("text_held", "expected no rules and no limits where the text is not held")
    if document.held and not document.withdrawn and not document.codes:
        reader.fault("rules", "is required; expected rules, limits, or codes that the terms hold for")
    if document.authority in {"payer_policy", "plan_document"} and document.payers is None:
        reader.fault("applies_to", f"expected every scope of a {document.authority} to name its payers")
    if document.authority == "plan_document" and any(scope.plans is None for scope in document.scopes):
        reader.fault("applies_to", "expected every scope of a plan_document to name its plans")
    if document.decides:
        return
    for index, rule in enumerate(document.rules):
        if rule.reason is None or rule.reason.code != "general_information_only" or not rule.reason.text:
            reader.faults.note(
                (*reader.at("rules"), index, "reason"),
                "expected general_information_only with a text: what the article says",
            )
    for key in ("limits", "prior_authorization", "referral", "cost_sharing", "timely_filing", "floor_for"):
        if getattr(document, key):
            reader.fault(key, "expected nothing here: a general_article never decides")
