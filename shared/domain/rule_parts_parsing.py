"""Reads the parts that recur in a rule document: conditions, reasons, criteria, notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import cast

from shared.domain.document_reader import Faults, KeyPath, Reader
from shared.domain.predicate import ALWAYS, Predicate
from shared.domain.predicate_parsing import Names, parse_predicate
from shared.domain.rule_document import EFFECTS, ConditionNote, Criterion, Effect, Statement
from shared.domain.vocabulary import AdjustmentCode, ReasonTemplate, Vocabulary

#: Reason codes of a document's own begin so, and need a text.
OWN_REASON = "x_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What reading a part of one document needs to know of the whole."""

    names: Names
    faults: Faults
    effective_from: date | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The words the document may use."""
        return self.names.vocabulary

    def predicate(self, reader: Reader, key: str = "when", *, required: bool = False) -> Predicate:
        """The condition at a key; absent is always true, unless required."""
        value = reader.raw(key)
        if value is None:
            if required:
                reader.fault(key, "is required; expected a condition")
            return ALWAYS
        return parse_predicate(value, reader.at(key), self.faults, self.names)

    def reason(self, reader: Reader, key: str = "reason") -> ReasonTemplate | None:
        """The reason at a key: a code, or a mapping with code, text, carc, rarc. None if absent."""
        value = reader.raw(key)
        if value is None:
            return None
        path = reader.at(key)
        if isinstance(value, str):
            template = ReasonTemplate(code=value)
        else:
            part = Reader(value, path, self.faults)
            template = ReasonTemplate(
                code=part.required_text("code"),
                text=part.text("text"),
                carc=part.text("carc"),
                rarc=part.text("rarc"),
            )
            part.finish()
        self._check_reason(template, path)
        return template

    def _check_reason(self, template: ReasonTemplate, path: KeyPath) -> None:
        if not template.code:
            return
        word = self.vocabulary.reasons.get(template.code)
        if word is None and not (template.code.startswith(OWN_REASON) and template.text):
            expected = (
                f"expected a reason code of reasons.yaml, or one that begins {OWN_REASON!r} with a text"
            )
            self.faults.note(path, expected)
            return
        carc = template.carc or (word.carc if word else None)
        rarc = template.rarc or (word.rarc if word else None)
        self._check_adjustment(template.carc, "CARC", self.vocabulary.carcs, path)
        self._check_adjustment(template.rarc, "RARC", self.vocabulary.rarcs, path)
        adjustment = self.vocabulary.carcs.get(carc or "")
        if adjustment is not None and adjustment.needs_remark and rarc is None:
            self.faults.note(path, f"CARC {carc} expects a RARC beside it")

    def _check_adjustment(
        self, code: str | None, kind: str, known: Mapping[str, AdjustmentCode], path: KeyPath
    ) -> None:
        if code is None:
            return
        entry = known.get(code)
        if entry is None:
            self.faults.note(path, f"expected a {kind} of the vocabulary, found {code}")
        elif entry.stopped_on is not None and (
            self.effective_from is None or entry.stopped_on <= self.effective_from
        ):
            self.faults.note(path, f"{kind} {code} was stopped on {entry.stopped_on.isoformat()}")

    def criteria(self, reader: Reader, key: str = "criteria") -> tuple[Criterion, ...]:
        """The criteria listed at a key, each with an id of its own."""
        found = reader.each(key, self._criterion)
        self.refuse_repeats(reader, key, tuple(criterion.criterion_id for criterion in found))
        return found

    def _criterion(self, reader: Reader) -> Criterion:
        criterion_id = reader.identifier("id")
        test = self.predicate(reader, "test", required=True)
        otherwise = cast("Effect", reader.text("otherwise", choices=EFFECTS) or "not_covered")
        reason = self.reason(reader)
        if reason is None:
            reader.fault("reason", "is required; expected a reason code of reasons.yaml")
            reason = ReasonTemplate(code="")
        condition = reader.text("condition")
        if otherwise == "condition" and condition is None:
            reader.fault("condition", "is required; expected the code of the condition")
        reader.finish()
        return Criterion(
            criterion_id=criterion_id, test=test, otherwise=otherwise, reason=reason, condition=condition
        )

    def conditions(self, reader: Reader, key: str = "conditions") -> tuple[ConditionNote, ...]:
        """The conditions listed at a key: a code of the vocabulary, or a mapping with code, text, when."""
        value = reader.raw(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            reader.fault(key, "expected a list of condition codes, or of mappings with code, text, when")
            return ()
        return tuple(self._condition(item, (*reader.at(key), i)) for i, item in enumerate(value))

    def _condition(self, item: object, path: KeyPath) -> ConditionNote:
        if isinstance(item, str):
            note = ConditionNote(code=item)
        else:
            reader = Reader(item, path, self.faults)
            note = ConditionNote(
                code=reader.required_text("code"), text=reader.text("text"), when=self.predicate(reader)
            )
            reader.finish()
        if note.text is None and note.code not in self.vocabulary.conditions:
            self.faults.note(path, f"expected a condition of the vocabulary, or one with a text: {note.code}")
        return note

    def statements(self, reader: Reader, key: str) -> tuple[Statement, ...]:
        """Texts with a code each, and when they are shown."""

        def read(part: Reader) -> Statement:
            statement = Statement(
                code=part.required_text("code"), text=part.required_text("text"), when=self.predicate(part)
            )
            part.finish()
            return statement

        return reader.each(key, read)

    def refuse_repeats(self, reader: Reader, key: str, ids: tuple[str, ...]) -> None:
        """Note each id that is there twice."""
        for index, name in enumerate(ids):
            if name and name in ids[:index]:
                self.faults.note((*reader.at(key), index), f"the id {name!r} is used twice")
