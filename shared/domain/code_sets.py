"""Sets of procedure codes and of diagnosis codes, as a rule document names them.

Procedure codes: single codes and inclusive ranges (`97010-97799`). Diagnosis codes: ICD-10-CM
prefixes (`M54.5` holds M54.5, M54.50 and M54.59) and inclusive ranges of prefixes (`M50-M54`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PROCEDURE = re.compile(r"[0-9A-Z]{5}")
_DIAGNOSIS = re.compile(r"[A-Z][0-9][0-9A-Z](\.?[0-9A-Z]{1,4})?|[A-Z][0-9]?")
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")

Range = tuple[str, str]


def normalise_diagnosis(code: str) -> str:
    """A diagnosis code as it is compared: upper case, without its dot."""
    return code.strip().upper().replace(".", "")


def normalise_label(label: str) -> str:
    """A label (credential, documented item) as it is compared: `Informed consent` is `informed_consent`."""
    return _NOT_A_WORD.sub("_", label.strip().lower()).strip("_")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcedureSet:
    """Procedure codes, singly and as inclusive ranges. `listed` keeps how they were written."""

    codes: frozenset[str] = frozenset()
    ranges: tuple[Range, ...] = ()
    listed: tuple[str, ...] = ()

    def __contains__(self, code: str) -> bool:
        """Whether a procedure code belongs to the set."""
        return code in self.codes or any(
            len(code) == len(low) and low <= code <= high for low, high in self.ranges
        )

    def __bool__(self) -> bool:
        """Whether the set names any code."""
        return bool(self.codes or self.ranges)

    def overlaps(self, other: ProcedureSet) -> bool:
        """Whether some code belongs to both."""
        if any(code in other for code in self.codes) or any(code in self for code in other.codes):
            return True
        return any(
            low <= other_high and other_low <= high
            for low, high in self.ranges
            for other_low, other_high in other.ranges
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisSet:
    """Diagnosis codes by prefix and by inclusive range of prefixes, less those excepted."""

    prefixes: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    except_prefixes: tuple[str, ...] = ()
    except_ranges: tuple[Range, ...] = ()

    def holds(self, code: str) -> bool:
        """Whether a normalised diagnosis code belongs to the set."""
        return _matches(code, self.prefixes, self.ranges) and not _matches(
            code, self.except_prefixes, self.except_ranges
        )


def _matches(code: str, prefixes: tuple[str, ...], ranges: tuple[Range, ...]) -> bool:
    return code.startswith(prefixes) or any(
        code[: len(low)] >= low and code[: len(high)] <= high for low, high in ranges
    )


def procedure_set(listed: tuple[str, ...]) -> ProcedureSet:
    """The set of the listed codes and ranges. Raises ValueError naming the first that is neither."""
    codes, ranges = set(), []
    for item in listed:
        low, dash, high = item.partition("-")
        if not all(_PROCEDURE.fullmatch(part) for part in ((low, high) if dash else (low,))):
            raise ValueError(item)
        if not dash:
            codes.add(low)
        elif low <= high:
            ranges.append((low, high))
        else:
            raise ValueError(item)
    return ProcedureSet(codes=frozenset(codes), ranges=tuple(ranges), listed=listed)


def union(sets: tuple[ProcedureSet, ...]) -> ProcedureSet:
    """All codes of several sets, as listed, each listing once."""
    return ProcedureSet(
        codes=frozenset().union(*(s.codes for s in sets)),
        ranges=tuple(dict.fromkeys(r for s in sets for r in s.ranges)),
        listed=tuple(dict.fromkeys(item for s in sets for item in s.listed)),
    )


def diagnosis_patterns(listed: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[Range, ...]]:
    """Prefixes and ranges of the listed patterns. Raises ValueError naming the first that is neither."""
    prefixes: list[str] = []
    ranges: list[Range] = []
    for item in listed:
        parts = tuple(part.strip().upper() for part in item.split("-"))
        if len(parts) > 2 or not all(_DIAGNOSIS.fullmatch(part) for part in parts):
            raise ValueError(item)
        clean = tuple(normalise_diagnosis(part) for part in parts)
        if len(clean) == 1:
            prefixes.append(clean[0])
        elif clean[0] <= clean[1]:
            ranges.append((clean[0], clean[1]))
        else:
            raise ValueError(item)
    return tuple(prefixes), tuple(ranges)
