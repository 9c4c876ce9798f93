"""Makes conditions from data: the predicate language of rule documents.

A condition is a mapping; several keys together must all hold, and so must the items of a list.
`all`, `any` (lists), `not`, `stated` (one condition) combine; every other key is a leaf test:

    provider_type, billing_provider_type, provider_npi, billing_provider_npi, state, network,
    place_of_service, purpose, payer, plan, region, market, funding:  a value, or a list of them
    improving, always, injury:                    true or false
    credentials, billing_credentials, modifiers, attributes, related_to, documented:
                                                  a list (any of), or {any | all | none: [...]}
    diagnosis:                                    the same, or {primary: [...]}; prefixes, ranges, group:NAME
    code:                                         a list of codes, ranges, service:NAME, pool:NAME
    other_codes_on_visit, other_codes_on_day:     the same, or {any | none: [...]}
    muscles, quantity, line_count, onset_days, onset_weeks:   {at_least, at_most}
    visit_number, days_since_first_visit, weeks_since_first_visit:
                                                  {limit, at_least, at_most}; visit_number also {every}
    service_date:                                 {from, until}
    authorization:                                present, valid or absent
    documented_service:                           a service, by its name or a synonym
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from shared.domain.code_sets import (
    DiagnosisSet,
    ProcedureSet,
    diagnosis_patterns,
    normalise_label,
    procedure_set,
    union,
)
from shared.domain.document_reader import Faults, KeyPath, Reader, read_texts
from shared.domain.enrollment import FUNDINGS, MARKETS
from shared.domain.predicate import ALWAYS, AllOf, AnyOf, Constant, Negation, Predicate, Stated
from shared.domain.predicate_tests import (
    LISTS,
    SCALARS,
    AuthorizationTest,
    CodesTest,
    CodeTest,
    DaysSinceFirstVisitTest,
    DiagnosisTest,
    InjuryTest,
    ListTest,
    NumberTest,
    OneOf,
    ServiceDateTest,
    VisitNumberTest,
)
from shared.domain.service import PROVIDER_TYPES
from shared.domain.vocabulary import Vocabulary

PURPOSES = ("active", "maintenance", "rehabilitative", "habilitative")
RELATIONS = ("surgery", "pregnancy", "systemic_disease")
STATES: tuple[str, ...] = tuple(
    """
    AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH
    NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY AS GU MP PR VI
    """.split()  # noqa: SIM905 - as a list it would take sixty lines
)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "provider_type": PROVIDER_TYPES,
    "billing_provider_type": PROVIDER_TYPES,
    "state": STATES,
    "network": ("in", "out"),
    "purpose": PURPOSES,
    "market": MARKETS,
    "funding": FUNDINGS,
    "related_to": RELATIONS,
}
_LABELS = frozenset({"credentials", "billing_credentials", "documented"})
_NOTHING = ALWAYS
#: Keys and indexes in the path of a condition: more than any policy needs, less than the stack holds.
_DEPTH_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What conditions of one document may name: the vocabulary, and the document's own definitions."""

    vocabulary: Vocabulary
    pools: Mapping[str, ProcedureSet] = field(default_factory=dict)
    diagnosis_groups: Mapping[str, DiagnosisSet] = field(default_factory=dict)
    limits: frozenset[str] = frozenset()


def parse_predicate(value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    """The condition a value states. Faults are noted; the faulty part reads as always true."""
    if len(path) > _DEPTH_MAX:
        faults.note(path, "expected a condition nested less deeply")
        return _NOTHING
    if isinstance(value, list | tuple):
        return AllOf(tuple(parse_predicate(v, (*path, i), faults, names) for i, v in enumerate(value)))
    if not isinstance(value, Mapping) or not value:
        faults.note(path, "expected a condition: a mapping such as {provider_type: [physician]}")
        return _NOTHING
    parts = tuple(_parse_key(str(key), item, (*path, str(key)), faults, names) for key, item in value.items())
    return parts[0] if len(parts) == 1 else AllOf(parts)


def _parse_key(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    if key in {"all", "any"}:
        if not isinstance(value, list | tuple) or not value:
            faults.note(path, "expected a list of at least one condition")
            return _NOTHING
        items = tuple(parse_predicate(v, (*path, i), faults, names) for i, v in enumerate(value))
        return AllOf(items) if key == "all" else AnyOf(items)
    if key == "not":
        return Negation(parse_predicate(value, path, faults, names))
    if key == "stated":
        return Stated(parse_predicate(value, path, faults, names))
    parse = _LEAVES.get(key)
    if parse is None:
        faults.note(path, f"unknown condition; expected one of: all, any, not, stated, {', '.join(_LEAVES)}")
        return _NOTHING
    return parse(key, value, path, faults, names)


def _scalar(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    del names
    listed = [value] if isinstance(value, str) else value
    return OneOf(key, frozenset(read_texts(listed, path, faults, _CHOICES.get(key))))


def _flag(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    del names
    if not isinstance(value, bool):
        faults.note(path, "expected true or false")
        return _NOTHING
    if key == "always":
        return Constant(value=value)
    if key == "injury":
        return InjuryTest() if value else Negation(InjuryTest())
    return OneOf(key, frozenset({value}))


def _moded(value: object, modes: tuple[str, ...], path: KeyPath, faults: Faults) -> tuple[str, Any, KeyPath]:
    """(mode, list, path) of a list (any of it) or of a mapping with one mode; mode "" if it is neither."""
    if isinstance(value, list | tuple):
        return "any", value, path
    if isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in modes:
        mode = next(iter(value))
        return mode, value[mode], (*path, mode)
    faults.note(path, f"expected a list, or a mapping with one of: {', '.join(modes)}")
    return "", None, path


def _list(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    del names
    mode, listed, at = _moded(value, ("any", "all", "none"), path, faults)
    if not mode:
        return _NOTHING
    texts = read_texts(listed, at, faults, _CHOICES.get(key))
    values = frozenset(normalise_label(t) for t in texts) if key in _LABELS else frozenset(texts)
    return ListTest(key, cast("Literal['any', 'all', 'none']", mode), values)


def parse_diagnoses(value: object, path: KeyPath, faults: Faults, names: Names) -> tuple[DiagnosisSet, ...]:
    """The diagnosis codes that a list of prefixes, ranges and `group:NAME` names."""
    patterns: list[str] = []
    sets: list[DiagnosisSet] = []
    for index, item in enumerate(read_texts(value, path, faults)):
        if not item.startswith("group:"):
            patterns.append(item)
        elif item[6:] in names.diagnosis_groups:
            sets.append(names.diagnosis_groups[item[6:]])
        else:
            faults.note((*path, index), f"expected a group of diagnosis_groups, found {item[6:]}")
    try:
        prefixes, ranges = diagnosis_patterns(tuple(patterns))
    except ValueError as fault:
        faults.note(path, f"expected ICD-10-CM prefixes (M54.5) or ranges (M50-M54), found {fault}")
        return ()
    if prefixes or ranges:
        sets.append(DiagnosisSet(prefixes=prefixes, ranges=ranges))
    return tuple(sets)


def _diagnosis(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    del key
    mode, listed, at = _moded(value, ("any", "all", "none", "primary"), path, faults)
    if not mode:
        return _NOTHING
    sets = parse_diagnoses(listed, at, faults, names)
    return DiagnosisTest(cast("Literal['any', 'all', 'none', 'primary']", mode), sets)


def parse_codes(value: object, path: KeyPath, faults: Faults, names: Names) -> ProcedureSet:
    """The procedure codes that a list of codes, ranges, `service:NAME` and `pool:NAME` names."""
    sets: list[ProcedureSet] = []
    for index, item in enumerate(read_texts(value, path, faults)):
        try:
            sets.append(_codes_of(item, names))
        except (KeyError, ValueError):
            services = ", ".join(f"service:{s}" for s in names.vocabulary.services)
            pools = "".join(f", pool:{p}" for p in names.pools)
            expected = f"expected a code ('20560'), a range ('97010-97799'), or one of: {services}{pools}"
            faults.note((*path, index), expected)
    return union(tuple(sets))


def _codes_of(item: str, names: Names) -> ProcedureSet:
    """The codes one item of a list names. Raises KeyError or ValueError if it names none."""
    kind, colon, name = item.partition(":")
    if not colon:
        return procedure_set((item,))
    return {
        "service": {service: concept.codes for service, concept in names.vocabulary.services.items()},
        "pool": names.pools,
    }[kind][name]


def _code(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    del key
    return CodeTest(parse_codes(value, path, faults, names))


def _other_codes(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    mode, listed, at = _moded(value, ("any", "none"), path, faults)
    if not mode:
        return _NOTHING
    scope: Literal["visit", "day"] = "visit" if key.endswith("visit") else "day"
    return CodesTest(scope, cast("Literal['any', 'none']", mode), parse_codes(listed, at, faults, names))


def _bounds(reader: Reader, *, needed: bool = True) -> tuple[int | None, int | None]:
    low, high = reader.whole("at_least"), reader.whole("at_most")
    reader.finish()
    if low is None and high is None:
        if needed:
            reader.faults.note(reader.path, "expected at_least, at_most or both")
    elif low is not None and high is not None and low > high:
        reader.fault("at_most", f"expected at least {low}, the value of at_least")
    return low, high


def _number(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    del names
    low, high = _bounds(Reader(value, path, faults))
    if key == "onset_weeks":
        return NumberTest("onset_days", *_in_days(low, high))
    return NumberTest(key, low, high)


def _in_days(low: int | None, high: int | None) -> tuple[int | None, int | None]:
    """Bounds in weeks as days: "12 weeks or longer" begins with day 84, "at most 12 weeks" ends with it."""
    return None if low is None else low * 7, None if high is None else high * 7


def _of_limit(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    reader = Reader(value, path, faults)
    limit_id = reader.required_text("limit")
    if limit_id and limit_id not in names.limits:
        known = ", ".join(sorted(names.limits)) or "none is defined"
        reader.fault("limit", f"expected a limit of this document or of uses_limits: {known}")
    if key == "weeks_since_first_visit":
        return DaysSinceFirstVisitTest(limit_id, *_in_days(*_bounds(reader)))
    if key == "days_since_first_visit":
        return DaysSinceFirstVisitTest(limit_id, *_bounds(reader))
    every = reader.whole("every", at_least=2)
    low, high = _bounds(reader, needed=every is None)
    return VisitNumberTest(limit_id, low, high, every)


def _service_date(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    del key, names
    reader = Reader(value, path, faults)
    start, end = reader.day("from"), reader.day("until")
    reader.finish()
    if start is None and end is None:
        faults.note(path, "expected from, until or both")
    return ServiceDateTest(start, end)


def _authorization(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    del key, names
    if value == "absent":
        return Negation(AuthorizationTest("present"))
    if value in {"present", "valid"}:
        return AuthorizationTest(value)
    faults.note(path, "expected one of: present, valid, absent")
    return _NOTHING


def _documented_service(key: str, value: object, path: KeyPath, faults: Faults, names: Names) -> Predicate:
    del key
    name = names.vocabulary.service_named(value) if isinstance(value, str) else None
    if name is None:
        faults.note(path, f"expected a service: {', '.join(names.vocabulary.services)}")
        return _NOTHING
    return ListTest("documented", "any", names.vocabulary.services[name].synonyms | {name})


_Parse = Callable[[str, Any, KeyPath, Faults, Names], Predicate]
_LEAVES: Mapping[str, _Parse] = {
    **dict.fromkeys((name for name in SCALARS if name != "improving"), _scalar),
    **dict.fromkeys(("improving", "always", "injury"), _flag),
    **dict.fromkeys(LISTS, _list),
    "diagnosis": _diagnosis,
    "code": _code,
    **dict.fromkeys(("other_codes_on_visit", "other_codes_on_day"), _other_codes),
    **dict.fromkeys(("muscles", "quantity", "line_count", "onset_days", "onset_weeks"), _number),
    **dict.fromkeys(("visit_number", "days_since_first_visit", "weeks_since_first_visit"), _of_limit),
    "service_date": _service_date,
    "authorization": _authorization,
    "documented_service": _documented_service,
}
