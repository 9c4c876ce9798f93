"""What the catalog says of one line: its decision, why, what was overruled, what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from shared.domain.catalog import Catalog, Selected, Selection
from shared.domain.code_sets import normalise_diagnosis, normalise_label
from shared.domain.evaluation import (
    COVERING,
    Advisory,
    Decision,
    Overruled,
    Reason,
    Situation,
    Source,
)
from shared.domain.line_rules import (
    Candidate,
    Possibilities,
    agreed,
    possibilities,
    rules_that_may_hold,
    turning_on,
)
from shared.domain.line_terms import FedLimit, Stack
from shared.domain.predicate import Subject, Truth, merged
from shared.domain.record import record
from shared.domain.rule_document import ConditionNote
from shared.domain.state_scope import SCOPE_REASONS, ScopeRow
from shared.domain.vocabulary import ReasonTemplate

_UNKNOWN: Decision = "unknown_verify_with_plan"


@record(frozen=True, slots=True, kw_only=True)
class LineOutcome:
    """What became of one line. `stack` are the documents whose terms hold for it."""

    subject: Subject
    needling: bool
    decision: Decision
    reasons: tuple[Reason, ...]
    missing: tuple[str, ...] = ()
    overruled: tuple[Overruled, ...] = ()
    conditions: tuple[ConditionNote, ...] = ()
    limits: tuple[FedLimit, ...] = ()
    stack: Stack = ()
    source: Source | None = None
    advisories: tuple[Advisory, ...] = ()


def subjects_of(situation: Situation) -> tuple[Subject, ...]:
    """Each line of a service, ready to be asked about."""
    clinical, provider = situation.service.clinical, situation.service.provider
    documented = frozenset(normalise_label(item) for item in clinical.documented or ())
    credentials = frozenset(normalise_label(item) for item in provider.credentials)
    return tuple(
        Subject(
            situation=situation,
            index=index,
            line=line,
            diagnoses=tuple(normalise_diagnosis(code) for code in line.diagnosis_codes),
            credentials=credentials or None,
            documented=documented or None,
        )
        for index, line in enumerate(situation.service.lines)
    )


def refused_line(catalog: Catalog, subject: Subject, decision: Decision, reason: Reason) -> LineOutcome:
    """A line of a service that no rule is asked about: the member is not covered that day, or not known."""
    return LineOutcome(
        subject=subject,
        needling=catalog.is_needling(subject.line.procedure_code),
        decision=decision,
        reasons=(reason,),
    )


def evaluate_line(catalog: Catalog, subject: Subject, selection: Selection) -> LineOutcome:
    """The outcome of one line of an enrolled member."""
    code, on = subject.line.procedure_code, subject.service.service_date
    needling = catalog.is_needling(code)
    if catalog.code_list.invalid_on(code, on):
        reason = _say(
            catalog, subject, ReasonTemplate(code="code_not_valid_on_date"), catalog.code_list.source
        )
        return _forbidden(subject, selection, reason, needling=needling)
    row = scope_row(catalog, subject) if needling else None
    if row is not None and row.status == "prohibited":
        outcome = _forbidden(subject, selection, _scope_reason(catalog, subject, row), needling=True)
    else:
        outcome = _by_rules(catalog, subject, selection, needling=needling)
        if needling:
            outcome = _beside_scope(catalog, outcome, row)
    return _beside_coding(catalog, outcome)


def _forbidden(subject: Subject, selection: Selection, reason: Reason, *, needling: bool) -> LineOutcome:
    """A line that the law forbids, whatever the payer's documents say: they are overruled."""
    assert reason.source is not None, "who forbids is named (contract I10)"
    return LineOutcome(
        subject=subject,
        needling=needling,
        decision="not_covered",
        reasons=(reason,),
        overruled=_overruled(subject, selection.documents, selection.articles, reason.source),
        source=reason.source,
    )


def _say(catalog: Catalog, subject: Subject, template: ReasonTemplate, source: Source | None) -> Reason:
    return catalog.vocabulary.reason(template, subject.service.service_date, source)


def _by_rules(catalog: Catalog, subject: Subject, selection: Selection, *, needling: bool) -> LineOutcome:
    possible = possibilities(subject, selection.documents)
    candidates = possible.candidates
    if possible.closed_by is None:
        candidates = (*candidates, _undecided(catalog, subject, selection))
    chosen = agreed(subject, selection.documents, candidates)
    stack = chosen.stack if chosen else _common_stack(candidates)
    overruled = _overruled_by(subject, selection, possible)
    if chosen is not None:
        reasons = tuple(_say(catalog, subject, template, source) for template, source in chosen.reasons)
        return LineOutcome(
            subject=subject,
            needling=needling,
            decision=chosen.decision,
            reasons=(*reasons, *_hints(subject, selection, chosen)),
            missing=chosen.lacking,
            overruled=overruled,
            conditions=chosen.conditions,
            limits=chosen.limits if chosen.decision in COVERING else (),
            stack=stack,
            source=chosen.source,
        )
    missing = turning_on(candidates)
    told = f"the answer turns on what the request does not say: {', '.join(missing)}"
    template = ReasonTemplate(code="input_missing", text=told)
    return LineOutcome(
        subject=subject,
        needling=needling,
        decision=_UNKNOWN,
        reasons=(_say(catalog, subject, template, candidates[0].source),),
        missing=merged((missing, *(c.lacking for c in candidates))),
        overruled=overruled,
        stack=stack,
        source=candidates[0].source,
    )


def _common_stack(candidates: Sequence[Candidate]) -> Stack:
    """The terms that hold whichever candidate is right: those of the one document they all rest on."""
    documents = {c.document.document_id for c in candidates if c.document is not None}
    return candidates[0].stack if len(documents) == 1 else ()


def _undecided(catalog: Catalog, subject: Subject, selection: Selection) -> Candidate:
    """What is said where no rule decides: which rule is not there."""
    code = subject.line.procedure_code
    spoken = any(code in selected.document.codes for selected in selection.documents)
    if catalog.code_list.is_unlisted(code):
        template, source = ReasonTemplate(code="unlisted_code"), catalog.code_list.source
    elif not catalog.is_needling(code) and not spoken:
        template, source = ReasonTemplate(code="code_not_listed"), None
    elif selection.gap is not None:
        template, source = ReasonTemplate(code=selection.gap.code), selection.gap.source
    else:
        template = ReasonTemplate(code="rule_does_not_decide" if spoken else "code_not_listed")
        source = selection.documents[0].document.source if selection.documents else None
    return Candidate(decision=_UNKNOWN, reasons=((template, source),))


def _hints(subject: Subject, selection: Selection, chosen: Candidate) -> Iterator[Reason]:
    """What general articles say where no rule decides: shown, and never a yes or no (contract I10)."""
    if chosen.document is not None:
        return
    for article in selection.articles:
        for rule, verdict in rules_that_may_hold(subject, article):
            if verdict.truth is Truth.TRUE and rule.reason is not None:
                text = rule.reason.text or "a general article speaks of this payer"
                yield Reason(code=rule.reason.code, text=text, source=article.document.source)


def _overruled_by(subject: Subject, selection: Selection, possible: Possibilities) -> tuple[Overruled, ...]:
    if possible.closed_by is None:
        return ()
    winner = selection.documents[possible.closed_by].document.source
    below = selection.documents[possible.closed_by + 1 :]
    return _overruled(subject, below, selection.articles, winner)


def _overruled(
    subject: Subject, below: Sequence[Selected], articles: Sequence[Selected], winner: Source
) -> tuple[Overruled, ...]:
    """The documents below the winner that take a position on the line, and the articles that do."""
    found: list[Overruled] = []
    for selected in (*below, *articles):
        alone = replace(selected, floor=False) if selected.floor else selected
        possible = possibilities(subject, (alone,))
        decisions = {candidate.decision for candidate in possible.candidates}
        if possible.closed_by is None or len(decisions) != 1:
            continue
        source = selected.document.source
        if source.authority == "general_article":
            why = "a general article never decides"
        elif source.authority == winner.authority:
            why = f"{winner.document_id} has the same authority and is narrower or later"
        else:
            why = f"{winner.authority} outranks {source.authority}"
        found.append(Overruled(source=source, decision=decisions.pop(), reason=why))
    return tuple(found)


def scope_row(catalog: Catalog, subject: Subject) -> ScopeRow | None:
    """What the state says of the profession that renders the service; None where that is not known."""
    state, profession = subject.service.state, subject.service.provider.type
    if state is None or profession is None:
        return None
    return catalog.state_scope.row(state, profession, subject.service.service_date)


def _scope_reason(catalog: Catalog, subject: Subject, row: ScopeRow) -> Reason:
    return _say(catalog, subject, ReasonTemplate(code=SCOPE_REASONS[row.status], text=row.text), row.source)


def _beside_scope(catalog: Catalog, outcome: LineOutcome, row: ScopeRow | None) -> LineOutcome:
    """The outcome with what is known of the state's scope beside it, which never changes it."""
    subject = outcome.subject
    if row is None:
        lacking = tuple(
            path
            for path, value in (
                ("state", subject.service.state),
                ("provider.type", subject.service.provider.type),
            )
            if value is None
        )
        reason = _say(catalog, subject, ReasonTemplate(code="state_scope_unknown"), None)
        missing = merged((outcome.missing, lacking))
        return replace(outcome, reasons=(*outcome.reasons, reason), missing=missing)
    if row.training is not None:
        training = Advisory(code="state_training", text=row.training, source=row.source)
        outcome = replace(outcome, advisories=(*outcome.advisories, training))
    endorsed = row.endorsement is not None and row.endorsement in (subject.credentials or ())
    if row.status == "allowed" or endorsed:
        return outcome
    return replace(outcome, reasons=(*outcome.reasons, _scope_reason(catalog, subject, row)))


def _beside_coding(catalog: Catalog, outcome: LineOutcome) -> LineOutcome:
    """The outcome with what is wrong or notable in how the line is coded.

    A conflict makes a yes conditional on being put right, never a no: the visit took place, and one
    visit is counted.
    """
    subject, codes = outcome.subject, catalog.code_list
    conflicts = tuple(
        _say(catalog, subject, ReasonTemplate(code="coding_conflict", text=text), codes.source)
        for text in codes.conflicts(subject.service, subject.line)
    )
    reasons = list(conflicts)
    if subject.line.procedure_code in codes.misused and codes.stands_for_needling(
        subject.service, subject.index, documented=_says_needling(catalog, subject)
    ):
        reasons.append(_say(catalog, subject, ReasonTemplate(code="other_code_for_needling"), codes.source))
    unlisted = codes.is_unlisted(subject.line.procedure_code)
    if unlisted and all(reason.code != "unlisted_code" for reason in outcome.reasons):
        reasons.append(_say(catalog, subject, ReasonTemplate(code="unlisted_code"), codes.source))
    notes = tuple(_coding_advisories(catalog, subject))
    if not reasons and not notes:
        return outcome
    outcome = replace(outcome, reasons=(*outcome.reasons, *reasons), advisories=(*outcome.advisories, *notes))
    if not conflicts or outcome.decision not in COVERING:
        return outcome
    conditions = (*outcome.conditions, ConditionNote(code="coding_to_be_corrected"))
    return replace(outcome, decision="covered_with_conditions", conditions=conditions)


def _says_needling(catalog: Catalog, subject: Subject) -> bool:
    """Whether the chart is said to document dry needling, by any of its names."""
    concept = catalog.vocabulary.services.get("dry_needling")
    labels = subject.documented or frozenset()
    return concept is not None and not labels.isdisjoint(concept.synonyms | {concept.name})


def _coding_advisories(catalog: Catalog, subject: Subject) -> Iterator[Advisory]:
    codes, line = catalog.code_list, subject.line
    if codes.quantity_flagged(line):
        text = f"{line.procedure_code} is untimed: one session is one unit, whatever its length"
        yield Advisory(code="quantity_of_untimed_code", text=text, source=codes.source)
    others = {other.procedure_code for other in subject.service.lines} | set(subject.situation.same_day_codes)
    if codes.is_needling(line.procedure_code):
        for code in sorted(others & codes.bundled):
            text = f"some payers bundle {code} with dry needling of the same day (anticipated CARC 236)"
            yield Advisory(code="same_day_pair", text=text, source=codes.source)
