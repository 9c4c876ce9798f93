"""Makes the catalog's other parts from data: words, codes, state scope, payers, guidance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import TypeVar, cast

from shared.domain.catalog import PayerEntry
from shared.domain.code_list import CodeEntry, CodeList
from shared.domain.code_sets import normalise_label, procedure_set
from shared.domain.document_reader import Faults, Reader, read_texts
from shared.domain.evaluation import (
    Advisory,
    BillingGuidance,
    Contact,
    DocumentationItem,
    Guidance,
    SelfPayEstimate,
    Source,
    address_in,
)
from shared.domain.guidance import FrequencyAdvice, GuidanceBook
from shared.domain.predicate_parsing import STATES
from shared.domain.rule_terms_parsing import parse_contact
from shared.domain.service import PROVIDER_TYPES
from shared.domain.state_scope import SCOPE_STATUSES, ScopeRow, ScopeStatus, StateScope
from shared.domain.vocabulary import AdjustmentCode, ReasonWord, ServiceConcept, Vocabulary

T = TypeVar("T")


def _named(reader: Reader, key: str, read: Callable[[str, Reader], T]) -> dict[str, T]:
    """What `read` makes of each named mapping under a key; the key must be there."""
    part = reader.child(key)
    if part is None:
        reader.fault(key, "is required; expected a mapping")
        return {}
    return {name: read(name, Reader(part.raw(name), part.at(name), reader.faults)) for name in part.names()}


def parse_vocabulary(reasons: object, services: Mapping[str, ServiceConcept]) -> Vocabulary:
    """The vocabulary that reasons.yaml and the code list's services make. Raises RuleDocumentInvalid."""
    faults = Faults()
    reader = Reader(reasons, (), faults)
    conditions = reader.child("conditions")
    vocabulary = Vocabulary(
        services=services,
        reasons=_named(reader, "reasons", _reason_word),
        carcs=_named(reader, "carcs", _adjustment),
        rarcs=_named(reader, "rarcs", _adjustment),
        conditions={name: conditions.required_text(name) for name in conditions.names()}
        if conditions
        else {},
    )
    reader.finish()
    for word in vocabulary.reasons.values():
        if word.carc is not None and word.carc not in vocabulary.carcs:
            faults.note(("reasons", word.code, "carc"), "expected one of carcs")
        if word.rarc is not None and word.rarc not in vocabulary.rarcs:
            faults.note(("reasons", word.code, "rarc"), "expected one of rarcs")
    faults.raise_if_any()
    return vocabulary


def _reason_word(name: str, reader: Reader) -> ReasonWord:
    word = ReasonWord(
        code=name, text=reader.required_text("text"), carc=reader.text("carc"), rarc=reader.text("rarc")
    )
    reader.finish()
    return word


def _adjustment(name: str, reader: Reader) -> AdjustmentCode:
    code = AdjustmentCode(
        code=name,
        text=reader.required_text("text"),
        started_on=reader.day("started_on"),
        stopped_on=reader.day("stopped_on"),
        needs_remark=reader.flag("needs_remark", default=False) is True,
    )
    reader.finish()
    return code


def parse_code_list(body: object) -> tuple[CodeList, dict[str, ServiceConcept]]:
    """The code list and its services. Raises RuleDocumentInvalid."""
    faults = Faults()
    reader = Reader(body, (), faults)
    source = Source(
        document_id=reader.identifier("document_id"),
        version=reader.required_whole("version", at_least=1),
        authority="law",
        citation=reader.required_text("citation"),
        title=reader.text("title"),
    )
    synonyms = _named(reader, "services", _synonyms)
    entries = reader.each("codes", lambda part: _code_entry(part, tuple(synonyms)))
    known = tuple(entry.code for entry in entries)
    groups = reader.raw("alternatives") or ()
    if not isinstance(groups, list | tuple):
        reader.fault("alternatives", "expected a list of lists of codes")
        groups = ()
    code_list = CodeList(
        source=source,
        entries={entry.code: entry for entry in entries},
        alternatives=tuple(
            frozenset(read_texts(group, (*reader.at("alternatives"), index), faults, known))
            for index, group in enumerate(groups)
        ),
        misused=frozenset(reader.texts("misused", choices=known) or ()),
        misused_alone=frozenset(reader.texts("misused_alone", choices=known) or ()),
        bundled=frozenset(reader.texts("bundled", choices=known) or ()),
    )
    reader.finish()
    faults.raise_if_any()
    services = {
        name: ServiceConcept(
            name=name,
            codes=procedure_set(tuple(entry.code for entry in entries if entry.service == name)),
            synonyms=labels,
        )
        for name, labels in synonyms.items()
    }
    return code_list, services


def _synonyms(name: str, reader: Reader) -> frozenset[str]:
    del name
    listed = reader.texts("synonyms") if reader.raw("synonyms") else ()
    reader.finish()
    return frozenset(normalise_label(item) for item in listed or ())


def _code_entry(reader: Reader, services: tuple[str, ...]) -> CodeEntry:
    code = reader.required_text("code")
    try:
        procedure_set((code,))
    except ValueError:
        reader.fault("code", "expected a procedure code of five characters, in quotes")
    entry = CodeEntry(
        code=code,
        service=reader.required_text("service", choices=services),
        text=reader.required_text("text"),
        valid_from=reader.day("valid_from"),
        valid_until=reader.day("valid_until"),
        muscles_min=reader.whole("muscles_min"),
        muscles_max=reader.whole("muscles_max"),
        untimed=reader.flag("untimed", default=False) is True,
        unlisted=reader.flag("unlisted", default=False) is True,
    )
    reader.finish()
    return entry


def parse_state_scope(body: object) -> StateScope:
    """Who may dry needle where. Raises RuleDocumentInvalid, also where two rows speak of one day."""
    faults = Faults()
    reader = Reader(body, (), faults)
    base = Source(
        document_id=reader.identifier("document_id"),
        version=reader.required_whole("version", at_least=1),
        authority="law",
        citation="",
        title=reader.text("title"),
    )
    part = reader.child("base")
    if part is None:
        reader.fault("base", "is required; expected a mapping with citation and confidence")
    else:
        base = replace(base, citation=part.required_text("citation"))
        part.required_text("confidence", choices=("high", "medium", "low"))
        part.finish()
    rows = tuple(row for group in reader.each("rows", lambda p: _scope_rows(p, base)) for row in group)
    rows = _with_training(rows, reader)
    reader.finish()
    found: dict[tuple[str, str], tuple[ScopeRow, ...]] = {}
    for row in rows:
        key = (row.state, row.profession)
        if any(_overlap(row, other) for other in found.get(key, ())):
            faults.note(("rows",), f"expected one row a day for {row.profession} in {row.state}")
        found[key] = (*found.get(key, ()), row)
    faults.raise_if_any()
    return StateScope(rows=found)


def _scope_rows(reader: Reader, base: Source) -> tuple[ScopeRow, ...]:
    profession = reader.required_text("profession", choices=PROVIDER_TYPES)
    status = cast("ScopeStatus", reader.required_text("status", choices=SCOPE_STATUSES))
    states, text = reader.texts("states", choices=STATES), reader.required_text("text")
    span = reader.child("effective")
    start, end = (span.day("from"), span.day("until")) if span else (None, None)
    if span:
        span.finish()
    if not states:
        reader.fault("states", "is required; expected a list of states")
    citation = reader.text("citation") or base.citation
    source = replace(base, citation=citation, url=address_in(citation), effective_from=start)
    endorsement = reader.text("endorsement")
    reader.finish()
    return tuple(
        ScopeRow(
            state=state,
            profession=profession,
            status=status,
            text=text,
            source=source,
            effective_from=start,
            effective_until=end,
            endorsement=endorsement,
        )
        for state in states or ()
    )


def _with_training(rows: tuple[ScopeRow, ...], reader: Reader) -> tuple[ScopeRow, ...]:
    """The rows of those who may, with what their state asks of them."""
    texts: dict[tuple[str, str], str] = {}
    part = reader.child("training")
    for profession in part.names() if part else ():
        states = part.child(profession) if part else None
        for state in states.names() if states else ():
            texts[state, profession] = states.required_text(state) if states else ""
    return tuple(
        replace(row, training=texts.get((row.state, row.profession))) if row.status == "allowed" else row
        for row in rows
    )


def _overlap(one: ScopeRow, other: ScopeRow) -> bool:
    starts = max(one.effective_from or date.min, other.effective_from or date.min)
    return starts < min(one.effective_until or date.max, other.effective_until or date.max)


def parse_payers(body: object) -> dict[str, PayerEntry]:
    """The payers the catalog knows. Raises RuleDocumentInvalid."""
    faults = Faults()
    reader = Reader(body, (), faults)
    payers = reader.each("payers", _payer)
    reader.finish()
    faults.raise_if_any()
    return {payer.payer_id: payer for payer in payers}


def _payer(reader: Reader) -> PayerEntry:
    payer = PayerEntry(
        payer_id=reader.identifier("payer_id"),
        name=reader.required_text("name"),
        contacts=reader.each("contacts", parse_contact),
    )
    reader.finish()
    return payer


def parse_guidance(body: object) -> GuidanceBook:
    """The general guidance, each part with its source. Raises RuleDocumentInvalid."""
    faults = Faults()
    reader = Reader(body, (), faults)
    sources = _named(reader, "sources", _article)
    read = _Cited(sources)
    book = GuidanceBook(
        disclaimer=reader.required_text("disclaimer").strip(),
        self_pay_estimate=read.part(reader, "self_pay_estimate", _self_pay),
        hsa_fsa=read.part(reader, "hsa_fsa", _guidance),
        appeal=read.part(reader, "appeal", _guidance),
        billing_unknown=read.part(reader, "billing_unknown", _billing),
        frequency=read.part(reader, "frequency", _frequency),
        documentation=read.parts(reader, "documentation", _item),
        ask_your_plan=read.parts(reader, "ask_your_plan", _advisory),
        contacts=read.parts(reader, "contacts", _contact),
        indications=read.parts(reader, "indications", _indication),
    )
    reader.finish()
    faults.raise_if_any()
    return book


def _indication(part: Reader, source: Source) -> str:
    del source
    return part.required_text("name")


def _article(name: str, reader: Reader) -> Source:
    del name
    source = Source(
        document_id=reader.identifier("document_id"),
        version=reader.required_whole("version", at_least=1),
        authority="general_article",
        citation=reader.required_text("citation"),
        title=reader.required_text("title"),
    )
    reader.finish()
    return source


class _Cited:
    """Reads parts that name one of the file's sources."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources

    def part(self, reader: Reader, key: str, read: Callable[[Reader, Source], T]) -> T | None:
        """The part at a key; None if absent."""
        part = reader.child(key)
        return None if part is None else self._read(part, read)

    def parts(self, reader: Reader, key: str, read: Callable[[Reader, Source], T]) -> tuple[T, ...]:
        """The parts listed at a key."""
        return reader.each(key, lambda part: self._read(part, read))

    def _read(self, part: Reader, read: Callable[[Reader, Source], T]) -> T:
        name = part.required_text("source", choices=tuple(self._sources) or ("",))
        unknown = Source(document_id="", version=1, authority="general_article", citation="")
        value = read(part, self._sources.get(name, unknown))
        part.finish()
        return value


def _self_pay(part: Reader, source: Source) -> SelfPayEstimate:
    return SelfPayEstimate(
        low=part.required_whole("low"),
        high=part.required_whole("high"),
        currency=part.required_text("currency"),
        as_of=part.day("as_of"),
        source=source,
    )


def _guidance(part: Reader, source: Source) -> Guidance:
    return Guidance(
        status=part.required_text("status"),
        text=part.required_text("text").strip(),
        steps=part.texts("steps") or (),
        source=source,
    )


def _billing(part: Reader, source: Source) -> BillingGuidance:
    return BillingGuidance(status="unknown", text=part.required_text("text"), source=source)


def _frequency(part: Reader, source: Source) -> FrequencyAdvice:
    return FrequencyAdvice(
        visits_max=part.required_whole("visits_max", at_least=1),
        days=part.required_whole("days", at_least=1),
        text=part.required_text("text"),
        source=source,
    )


def _item(part: Reader, source: Source) -> DocumentationItem:
    code, text = part.required_text("code"), part.required_text("text")
    return DocumentationItem(code=code, text=text, required=False, source=source)


def _advisory(part: Reader, source: Source) -> Advisory:
    return Advisory(code=part.required_text("code"), text=part.required_text("text"), source=source)


def _contact(part: Reader, source: Source) -> Contact:
    contact = Contact(
        audience="any", name=part.required_text("name"), note=part.required_text("note"), source=source
    )
    part.text("audience")
    return contact
