"""Which decisions are possible for one line, given what the request says and does not say.

The documents that speak of a plan, highest first, make one long list of rules. The first rule that
holds decides; a rule of which it is not known is a possibility, and the list goes on. If all
possibilities agree, that is the decision; else it is unknown, and what is missing is what could
change it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from shared.domain.catalog import Selected
from shared.domain.evaluation import COVERING, Decision, Source, worst
from shared.domain.line_terms import (
    FedLimit,
    Finding,
    Stack,
    access_findings,
    criterion_findings,
    documentation_findings,
    filing_findings,
    limit_findings,
)
from shared.domain.predicate import Predicate, Subject, Truth, Verdict, conjunction, merged, walk
from shared.domain.record import record
from shared.domain.rule_document import ConditionNote, Rule, RuleDocument
from shared.domain.vocabulary import ReasonTemplate

_COVERED = ReasonTemplate(code="covered_by_rule")

CitedTemplate = tuple[ReasonTemplate, Source | None]
#: A decision, and the limits that the line feeds if it covers.
Answer = tuple[Decision, tuple[FedLimit, ...]]
#: With more open tests than this, trying out every combination would take too long: it stays unknown.
_OPEN_TESTS_MAX = 6


@record(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One possible decision: what it rests on, and the request paths it waits for.

    `waiting` is empty if it is certain, given that nothing before it decided. `lacking` are paths
    that a rule asks for without the decision turning on them.
    """

    decision: Decision
    reasons: tuple[CitedTemplate, ...]
    waiting: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    document: RuleDocument | None = None
    stack: Stack = ()
    conditions: tuple[ConditionNote, ...] = ()
    limits: tuple[FedLimit, ...] = ()

    @property
    def source(self) -> Source | None:
        """The document it rests on."""
        return self.document.source if self.document else None

    @property
    def answer(self) -> Answer:
        """What two candidates have to share for it not to matter which is right."""
        return self.decision, self.limits if self.decision in COVERING else ()


@record(frozen=True, slots=True, kw_only=True)
class Possibilities:
    """Every possible decision, in order. `closed_by` is the place of the document that surely decides."""

    candidates: tuple[Candidate, ...]
    closed_by: int | None


def possibilities(subject: Subject, documents: Sequence[Selected]) -> Possibilities:
    """What the documents may decide for a line."""
    found: list[Candidate] = []
    for place, selected in enumerate(documents):
        candidates, closed = _of_document(subject, documents, place)
        if selected.floor:
            # Only a floor's yes binds: where it does not cover, the documents below go on.
            binding = _binding(subject, documents[place + 1 :], candidates)
            closed = closed and len(binding) == len(candidates)
            candidates = binding
        found += candidates
        if closed:
            return Possibilities(candidates=tuple(found), closed_by=place)
    return Possibilities(candidates=tuple(found), closed_by=None)


def _binding(
    subject: Subject, below: Sequence[Selected], candidates: tuple[Candidate, ...]
) -> tuple[Candidate, ...]:
    """What of a floor's candidates binds: where it covers, within its limits if one below covers more."""
    numbers = dict(subject.situation.visit_numbers)
    covering = tuple(c for c in candidates if c.decision in COVERING)
    within = tuple(
        c for c in covering if all(numbers.get(f.limit.limit_id, 1) <= f.limit.allowed for f in c.limits)
    )
    if len(within) == len(covering):
        return covering
    more = any(c.decision in COVERING for c in possibilities(subject, below).candidates)
    return within if more else covering


def _of_document(
    subject: Subject, documents: Sequence[Selected], place: int
) -> tuple[tuple[Candidate, ...], bool]:
    """The possible decisions of one document by itself, and whether one of its rules surely holds."""
    found: list[Candidate] = []
    for rule, verdict in rules_that_may_hold(subject, documents[place]):
        found += _of_rule(subject, documents, place, rule, verdict)
        if verdict.truth is Truth.TRUE:
            return tuple(found), True
    return tuple(found), False


def rules_that_may_hold(subject: Subject, selected: Selected) -> Iterator[tuple[Rule, Verdict]]:
    """The rules of a document for a line's code, but those that surely do not hold."""
    guard = selected.guard.evaluate(subject)
    if guard.truth is Truth.FALSE:
        return
    for rule in selected.document.rules:
        if subject.line.procedure_code in rule.codes:
            verdict = conjunction((guard, rule.when.evaluate(subject)))
            if verdict.truth is not Truth.FALSE:
                yield rule, verdict


def _of_rule(
    subject: Subject, documents: Sequence[Selected], place: int, rule: Rule, verdict: Verdict
) -> tuple[Candidate, ...]:
    document = documents[place].document
    stack = terms_stack(subject, documents, place)
    if rule.decision not in COVERING:
        assert rule.reason is not None, "a rule that does not cover has a reason (rule_parsing)"
        return (
            Candidate(
                decision=rule.decision,
                reasons=((rule.reason, document.source),),
                waiting=verdict.missing,
                document=document,
                stack=stack,
            ),
        )
    fed, limit_asks = limit_findings(stack, subject, rule, document)
    findings = (
        *criterion_findings(rule.criteria, subject, document.source),
        *limit_asks,
        *access_findings(stack, subject),
        *documentation_findings(stack, subject),
        *filing_findings(stack, subject),
    )
    return _weighed(_Covering(rule=rule, document=document, stack=stack, fed=fed), subject, findings, verdict)


def terms_stack(subject: Subject, documents: Sequence[Selected], place: int) -> Stack:
    """The documents whose terms hold where the one at `place` decides, highest first."""
    code = subject.line.procedure_code
    above = [s.document for s in documents[:place] if code in s.document.codes and not s.floor]
    below = [
        s.document
        for s in documents[place + 1 :]
        if code in s.document.codes
        and not documents[place].floor
        and s.guard.evaluate(subject).truth is not Truth.FALSE
        and not any(True for _ in rules_that_may_hold(subject, s))
    ]
    return (*above, documents[place].document, *below)


@record(frozen=True, slots=True, kw_only=True)
class _Covering:
    """A rule that would cover, with the terms that hold then."""

    rule: Rule
    document: RuleDocument
    stack: Stack
    fed: tuple[FedLimit, ...]


def _weighed(
    covering: _Covering, subject: Subject, findings: tuple[Finding, ...], verdict: Verdict
) -> tuple[Candidate, ...]:
    """The decisions possible under a rule that covers, given what it and the terms find wanting."""
    refusing = tuple(f for f in findings if f.effect != "condition")
    sure = tuple(f for f in refusing if f.certain)
    base = worst(covering.rule.decision, *(_decision(f) for f in sure))
    open_findings = tuple(f for f in refusing if not f.certain and worst(base, _decision(f)) != base)
    unsaid = merged(f.lacking for f in findings if f.certain or f.effect == "condition")
    waiting = merged((verdict.missing, *(f.lacking for f in open_findings)))
    found = [
        Candidate(
            decision=worse,
            reasons=tuple((f.reason, f.source) for f in (*sure, *open_findings) if _decision(f) == worse),
            waiting=waiting,
            lacking=unsaid,
            document=covering.document,
            stack=covering.stack,
        )
        for worse in dict.fromkeys(_decision(f) for f in open_findings)
    ]
    if base in COVERING:
        found.append(_covered(covering, subject, findings, waiting))
    else:
        found.append(
            Candidate(
                decision=base,
                # What decided comes first.
                reasons=tuple((f.reason, f.source) for f in sorted(sure, key=lambda f: _decision(f) != base)),
                waiting=waiting,
                lacking=unsaid,
                document=covering.document,
                stack=covering.stack,
            )
        )
    return tuple(found)


def _decision(finding: Finding) -> Decision:
    assert finding.effect != "condition"
    return finding.effect


def _covered(
    covering: _Covering, subject: Subject, findings: tuple[Finding, ...], waiting: tuple[str, ...]
) -> Candidate:
    rule, conditional = covering.rule, tuple(f for f in findings if f.effect == "condition")
    notes = (
        *rule.conditions,
        *(note for document in covering.stack for note in document.conditions),
    )
    conditions = (
        *(note for note in notes if note.when.evaluate(subject).truth is not Truth.FALSE),
        *(ConditionNote(code=f.condition) for f in conditional if f.condition),
    )
    reasons: list[CitedTemplate] = []
    if rule.reason is not None:
        reasons.append((rule.reason, covering.document.source))
    reasons += [(f.reason, f.source) for f in conditional if f.certain]
    if not reasons and not covering.fed:
        reasons.append((_COVERED, covering.document.source))
    return Candidate(
        decision="covered_with_conditions" if conditions else rule.decision,
        reasons=tuple(reasons),
        waiting=waiting,
        lacking=merged(f.lacking for f in conditional),
        document=covering.document,
        stack=covering.stack,
        conditions=tuple({note.code: note for note in conditions}.values()),
        limits=covering.fed,
    )


def turning_on(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """The request paths whose values could change the answer.

    What comes after the last candidate that differs from those behind it changes nothing.
    """
    last = len(candidates) - 1
    while last > 0 and candidates[last - 1].answer == candidates[-1].answer:
        last -= 1
    return merged(candidate.waiting for candidate in candidates[:last])


def agreed(
    subject: Subject, documents: Sequence[Selected], candidates: Sequence[Candidate]
) -> Candidate | None:
    """The candidate that stands whatever the request leaves out, or None if the answer turns on it.

    One condition may stand in several rules, so that candidates which differ may not all be possible.
    Therefore each open test is tried both ways: only if every combination gives one answer does what is
    missing not matter.
    """
    if len({candidate.answer for candidate in candidates}) == 1:
        return candidates[-1]
    tests = _open_tests(subject, documents)
    if not tests or len(tests) > _OPEN_TESTS_MAX:
        return None
    undecided = candidates[-1] if candidates[-1].document is None else None
    first: Candidate | None = None
    for values in itertools.product((True, False), repeat=len(tests)):
        world = replace(subject, assumed=dict(zip(tests, values, strict=True)))
        possible = possibilities(world, documents)
        found = possible.candidates
        if possible.closed_by is None and undecided is not None:
            found = (*found, undecided)
        if not found or any(c.answer != (first or found[0]).answer for c in found):
            return None
        first = first or found[-1]
    if first is None:
        return None
    return next((c for c in reversed(candidates) if c.answer == first.answer), first)


def _open_tests(subject: Subject, documents: Sequence[Selected]) -> tuple[Predicate, ...]:
    """The tests, of documents that speak of the line, that wait for the request."""
    tests: dict[Predicate, None] = {}
    for selected in documents:
        if subject.line.procedure_code in selected.document.codes:
            for test in (*selected.document.leaves, *walk(selected.guard)):
                if test.evaluate(subject).truth is Truth.MISSING:
                    tests[test] = None
    return tuple(tests)
