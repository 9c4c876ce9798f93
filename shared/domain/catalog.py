"""The rule catalog: every rule document, the code list, state scope and payers, at one version.

Immutable once built. Selection is by payer, plan and service date; the order of what is selected is
the order in which it decides: by authority, then the narrower scope, then the later effective date.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from shared.domain.bearing import Bearing, Turns, turning_points
from shared.domain.code_list import NEEDLING_SERVICE, CodeList
from shared.domain.enrollment import Plan
from shared.domain.errors import Conflict
from shared.domain.evaluation import AUTHORITIES, Contact, Source
from shared.domain.guidance import GuidanceBook
from shared.domain.limit import Limit
from shared.domain.predicate import Predicate
from shared.domain.predicate_tests import DaysSinceFirstVisitTest, ServiceDateTest
from shared.domain.rule_document import RuleDocument, Scope, state_guard
from shared.domain.state_scope import StateScope
from shared.domain.vocabulary import Vocabulary

Family = tuple[RuleDocument, ...]

#: Selections remembered; each is a few references, and a lost one costs a few microseconds.
_SELECTIONS_MAX = 10_000

NO_CODES = CodeList(
    source=Source(document_id="code-list", version=1, authority="law", citation="no code list is loaded")
)


class CatalogConflict(Conflict):
    """Two rule documents of the catalog contradict each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerEntry:
    """A payer the catalog knows, and whom to ask there."""

    payer_id: str
    name: str
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A document in force that speaks of a plan. `floor`: only its yes binds for this plan."""

    document: RuleDocument
    guard: Predicate
    floor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Why the payer's own documents do not decide: our reason code, and the document it is about."""

    code: str
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What speaks of a plan on a service date: deciding documents in order, articles, and what is not there.

    `gap` says what the payer's own documents lack; None if one is in force and speaks of the plan.
    """

    documents: tuple[Selected, ...]
    articles: tuple[Selected, ...]
    gap: Gap | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything an evaluation is a function of, besides its situation. Made by `build_catalog`."""

    version: int
    documents: tuple[RuleDocument, ...] = ()
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    code_list: CodeList = NO_CODES
    state_scope: StateScope = field(default_factory=StateScope)
    payers: Mapping[str, PayerEntry] = field(default_factory=dict)
    guidance: GuidanceBook = field(default_factory=GuidanceBook)
    families_by_payer: Mapping[str, tuple[Family, ...]] = field(default_factory=dict)
    families_of_any: tuple[Family, ...] = ()
    dated_by_payer: Mapping[str, frozenset[str]] = field(default_factory=dict)
    dated_of_any: frozenset[str] = frozenset()
    turns: Turns = field(init=False, compare=False, repr=False)
    _selections: dict[tuple[str, Plan, date], tuple[Selection, Bearing]] = field(
        init=False, compare=False, repr=False, default_factory=dict
    )
    _bearings: dict[tuple[tuple[str, int], ...], Bearing] = field(
        init=False, compare=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """Look once for where evaluations may turn."""
        object.__setattr__(self, "turns", _turns(self))

    def is_needling(self, code: str) -> bool:
        """Whether a procedure code is dry needling. Acupuncture is not, even where a limit pools both."""
        return self.code_list.is_needling(code)

    def service_named(self, name: str) -> str | None:
        """The service a name or synonym means (`IMS` is `dry_needling`), or None."""
        return self.vocabulary.service_named(name)

    def families(self, payer_id: str) -> tuple[Family, ...]:
        """The documents that may speak of a payer's plans, each with its versions, latest first."""
        return self.families_by_payer.get(payer_id, self.families_of_any)

    def document(self, document_id: str, version: int) -> RuleDocument | None:
        """One version of one document, or None."""
        return next(
            (d for d in self.documents if d.document_id == document_id and d.version == version), None
        )

    def select(self, payer_id: str, plan: Plan, on: date) -> Selection:
        """What speaks of a plan of a payer on a service date."""
        return self._selected(payer_id, plan, on)[0]

    def bearing(self, payer_id: str, plan: Plan | None, on: date) -> Bearing:
        """What bears on the answer of a service of a plan on a date; without a plan no document is asked."""
        return self._selected(payer_id, plan, on)[1] if plan else self._bearing_of(())

    def _selected(self, payer_id: str, plan: Plan, on: date) -> tuple[Selection, Bearing]:
        """Both, remembered: many services share payer, plan and date."""
        key = (payer_id, plan, on)
        known = self._selections.get(key)
        if known is None:
            if len(self._selections) >= _SELECTIONS_MAX:
                self._selections.clear()
                self._bearings.clear()
            found = self._select(payer_id, plan, on)
            asked = [item.document for item in (*found.documents, *found.articles)]
            known = self._selections[key] = found, self._bearing_of(asked)
        return known

    def _select(self, payer_id: str, plan: Plan, on: date) -> Selection:
        chosen: list[tuple[int, Selected]] = []
        gaps: list[tuple[int, Gap]] = []
        own = False
        for family in self.families(payer_id):
            current = _in_force(family, on)
            scopes = current.admitting(payer_id, plan) if current else ()
            if current is not None and scopes:
                selected = Selected(
                    document=current, guard=state_guard(scopes), floor=current.is_floor_for(plan)
                )
                chosen.append((max(scope.specificity for scope in scopes), selected))
            if not _is_own(family, payer_id):
                continue
            gap = _gap(family, current, scopes, payer_id, plan)
            own = own or gap is None
            if gap is not None:
                gaps.append(gap)
        chosen.sort(key=_rank)
        deciding = tuple(item for _, item in chosen if item.document.decides and item.document.held)
        worst_gap = min(gaps, key=lambda g: g[0])[1] if gaps else Gap(code="rule_not_loaded")
        return Selection(
            documents=deciding,
            articles=tuple(item for _, item in chosen if not item.document.decides),
            gap=None if own else worst_gap,
        )

    def _bearing_of(self, documents: Sequence[RuleDocument]) -> Bearing:
        """What these documents read of a service: one for all selections of them."""
        key = tuple((document.document_id, document.version) for document in documents)
        known = self._bearings.get(key)
        if known is None:
            known = self._bearings[key] = Bearing(documents, self.turns)
        return known

    def limits_on(self, payer_id: str, plan: Plan, on: date) -> tuple[tuple[Limit, Source], ...]:
        """Every limit that may apply to a plan on a service date, whatever the service, with its source.

        A limit id that a higher document sets too is the higher one's.
        """
        found: dict[str, tuple[Limit, Source]] = {}
        for selected in self.select(payer_id, plan, on).documents:
            for rule in selected.document.limits:
                found.setdefault(rule.limit.limit_id, (rule.limit, selected.document.source))
        dated = self.dated_limits(payer_id)
        return tuple(
            (replace(limit, dated=True) if limit.limit_id in dated else limit, source)
            for limit, source in found.values()
        )

    def dated_limits(self, payer_id: str) -> frozenset[str]:
        """The limits of a payer's documents that must keep the dates of their units, besides those that do.

        Any version of any document tells, not only what is in force: an accumulator is one through all
        of them. A change of what they need is a change of the payer's documents, after which its
        members are folded again.
        """
        return self.dated_by_payer.get(payer_id, self.dated_of_any)

    def pooled_with_needling(self, documents: Iterable[Selected], code: str) -> bool:
        """Whether a limit of some document counts a code together with dry needling.

        So Medicare pools acupuncture: an acupuncture visit of a Medicare member draws on the same
        limits. Without such a limit it draws on nothing (seed fact F12).
        """
        needling = self.vocabulary.services.get(NEEDLING_SERVICE)
        return needling is not None and any(
            code in rule.codes and rule.codes.overlaps(needling.codes)
            for selected in documents
            for rule in selected.document.limits
        )

    def with_documents(self, documents: Iterable[RuleDocument], version: int) -> Catalog:
        """This catalog with documents added, or put in the place of the same id and version.

        Raises CatalogConflict if they contradict the others.
        """
        merged = {(d.document_id, d.version): d for d in self.documents}
        merged.update({(d.document_id, d.version): d for d in documents})
        return build_catalog(replace(self, version=version, documents=tuple(merged.values())))


def _turns(catalog: Catalog) -> Turns:
    """Where evaluations of a catalog may turn."""
    entries = catalog.code_list.entries.values()
    leaves = [leaf for document in catalog.documents for leaf in document.leaves]
    spans = [
        *((document.effective_from, document.effective_until) for document in catalog.documents),
        *((leaf.start, leaf.end) for leaf in leaves if isinstance(leaf, ServiceDateTest)),
        *((entry.valid_from, entry.valid_until) for entry in entries),
        *(
            (row.effective_from, row.effective_until)
            for rows in catalog.state_scope.rows.values()
            for row in rows
        ),
        *(
            (code.started_on, code.stopped_on)
            for codes in (catalog.vocabulary.carcs, catalog.vocabulary.rarcs)
            for code in codes.values()
        ),
    ]
    return Turns(
        dates=tuple(sorted({day for span in spans for day in span if day is not None})),
        muscles=turning_points((entry.muscles_min, entry.muscles_max) for entry in entries),
        frequency=catalog.guidance.frequency,
    )


def _in_force(family: Family, on: date) -> RuleDocument | None:
    """The latest version whose effective span holds a service date; None also if that one withdraws."""
    current = next((version for version in family if version.in_force(on)), None)
    return None if current is None or current.withdrawn else current


def _is_own(family: Family, payer_id: str) -> bool:
    """Whether a family is of documents that decide and name this payer."""
    return family[0].decides and any(
        scope.payers is not None and payer_id in scope.payers
        for version in family
        for scope in version.scopes
    )


def _gap(
    family: Family,
    current: RuleDocument | None,
    scopes: tuple[Scope, ...],
    payer_id: str,
    plan: Plan,
) -> tuple[int, Gap] | None:
    """What keeps a payer's own document from deciding, with its rank (the nearest miss first)."""
    if current is not None and scopes:
        return None if current.held else (0, Gap(code="rule_not_loaded", source=current.source))
    nearest = next((version for version in reversed(family) if version.admitting(payer_id, plan)), None)
    if nearest is not None:
        return 1, Gap(code="rule_not_in_force", source=nearest.source)
    return 2, Gap(code="plan_not_matched", source=(current or family[0]).source)


def _rank(item: tuple[int, Selected]) -> tuple[int, int, int, str]:
    specificity, selected = item
    document = selected.document
    began = document.effective_from or date.min
    return (
        AUTHORITIES.index(document.authority),
        -specificity,
        -began.toordinal(),
        document.document_id,
    )


def build_catalog(parts: Catalog) -> Catalog:
    """The catalog of `parts`, its documents indexed. Raises CatalogConflict if they contradict each other."""
    families: dict[str, list[RuleDocument]] = {}
    for document in parts.documents:
        families.setdefault(document.document_id, []).append(document)
    ordered = tuple(
        tuple(sorted(versions, key=lambda d: -d.version)) for _, versions in sorted(families.items())
    )
    for family in ordered:
        _refuse_repeats(family)
    of_any = tuple(f for f in ordered if any(version.payers is None for version in f))
    named = {p for f in ordered for version in f for p in (version.payers or ())} | set(parts.payers)
    named |= {p for f in ordered for v in f for s in v.scopes for p in (s.payers or ())}
    by_payer = {
        payer: tuple(f for f in ordered if any(v.payers is None or payer in v.payers for v in f))
        for payer in named
    }
    for payer, its in by_payer.items():
        _refuse_mixed_orderings(payer, its)
    return replace(
        parts,
        families_by_payer=by_payer,
        families_of_any=of_any,
        dated_by_payer={payer: _dated_limits(its) for payer, its in by_payer.items()},
        dated_of_any=_dated_limits(of_any),
    )


def _dated_limits(families: Iterable[Family]) -> frozenset[str]:
    """The limits that some condition asks the first visit of, or that only some version counts by dates."""
    documents = [version for family in families for version in family]
    limits = [rule.limit for document in documents for rule in document.limits]
    mixed = {one.limit_id for one in limits if one.keeps_days} & {
        one.limit_id for one in limits if not one.keeps_days
    }
    leaves = (leaf for document in documents for leaf in document.leaves)
    return frozenset(mixed | {leaf.limit_id for leaf in leaves if isinstance(leaf, DaysSinceFirstVisitTest)})


def _refuse_repeats(family: Family) -> None:
    versions = [document.version for document in family]
    if len(set(versions)) < len(versions):
        raise CatalogConflict(f"{family[0].document_id}: a version is there twice")


def _refuse_mixed_orderings(payer_id: str, families: tuple[Family, ...]) -> None:
    """Limits that one visit can feed share their ordering (contract section 4)."""
    rules = [
        (document, rule)
        for family in families
        for document in family
        if document.payers is not None and payer_id in document.payers
        for rule in document.limits
    ]
    for index, (document, rule) in enumerate(rules):
        for other_document, other in rules[:index]:
            mixed = rule.limit.ordering != other.limit.ordering
            if mixed and rule.codes.overlaps(other.codes) and _meet(document, other_document):
                raise CatalogConflict(
                    f"{document.document_id}: limit {rule.limit.limit_id} needs the ordering of "
                    f"{other.limit.limit_id} ({other_document.document_id}): one visit can feed both"
                )


def _meet(one: RuleDocument, other: RuleDocument) -> bool:
    """Whether some plan and service date may be spoken of by both."""
    if one.document_id == other.document_id:
        return False
    starts = max(one.effective_from or date.min, other.effective_from or date.min)
    ends = min(one.effective_until or date.max, other.effective_until or date.max)
    return starts < ends and any(a.overlaps(b) for a in one.scopes for b in other.scopes)
