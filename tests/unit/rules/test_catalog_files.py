"""The packaged catalog is whole, and a broken file is refused with file, line and key."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import yaml

from shared.adapters.catalog_files import (
    FILE_BYTES_MAX,
    CatalogFileInvalid,
    FileFault,
    load_catalog,
    load_rule_document,
    packaged_catalog,
)
from shared.domain.catalog import Catalog
from shared.domain.vocabulary import AdjustmentCode, ReasonTemplate, ReasonWord, Vocabulary
from tests.unit.rules.builders import ask, packaged, situation
from tests.unit.rules.schema import schema_errors

SHP_FILE = Path("documents/security-health-plan.yaml")
DOCUMENTS = sorted((packaged_catalog() / "documents").glob("*.yaml"))
PAYERS = {
    "security-health-plan",
    "medica-central",
    "medicare",
    "va",
    "medicaid",
    "aetna",
    "unitedhealthcare",
    "bcbs",
    "cigna",
    "kaiser-permanente",
}
REASONS = {
    "within_limit": (None, None),
    "limit_exhausted": ("119", "N362"),
    "investigational": ("55", None),
    "excluded": ("204", None),
    "diagnosis_not_covered": ("167", None),
    "provider_type_not_covered": ("170", "N95"),
    "state_scope_prohibited": ("185", "N95"),
    "state_scope_restricted": (None, None),
    "state_scope_unknown": (None, None),
    "not_enrolled": ("31", None),
    "before_coverage": ("26", None),
    "after_coverage": ("27", None),
    "authorization_required": ("197", None),
    "documentation_needed": (None, None),
    "code_not_valid_on_date": ("181", None),
    "code_not_listed": (None, None),
    "unlisted_code": ("189", None),
    "coding_conflict": ("16", "N657"),
    "other_code_for_needling": ("16", "N657"),
    "not_medically_necessary": ("50", None),
    "rule_not_in_force": (None, None),
    "rule_not_loaded": (None, None),
    "plan_not_matched": (None, None),
    "general_information_only": (None, None),
    "timely_filing": ("29", None),
}


@pytest.fixture
def catalog_copy(tmp_path: Path) -> Path:
    """A copy of the packaged catalog to break."""
    copy = tmp_path / "catalog"
    shutil.copytree(packaged_catalog(), copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def broken(root: Path, file: Path, change: Callable[[str], str]) -> tuple[FileFault, ...]:
    """What is refused once a file of the catalog is changed."""
    path = root / file
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CatalogFileInvalid) as refused:
        load_catalog(root)
    return refused.value.faults


def test_packaged_catalog_knows_the_payers() -> None:
    """The payers that callers are promised are there, each with a name."""
    assert set(packaged().payers) == PAYERS
    assert all(payer.name for payer in packaged().payers.values())


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.stem)
def test_packaged_documents_agree_with_the_schema(file: Path) -> None:
    """Each packaged document is accepted by the schema as by the parser."""
    assert schema_errors(yaml.safe_load(file.read_text(encoding="utf-8"))) == []
    assert load_rule_document(file, packaged().vocabulary).citation


@pytest.mark.parametrize(("code", "codes"), REASONS.items())
def test_reason_codes_anticipate_the_promised_adjustment_codes(
    code: str, codes: tuple[str | None, str | None]
) -> None:
    """Each reason of the contract has its CARC and RARC, and a text."""
    word = packaged().vocabulary.reasons[code]
    assert (word.carc, word.rarc) == codes
    assert word.text


def test_stopped_adjustment_codes_are_never_anticipated() -> None:
    """A CARC stopped by the service date is left out, its RARC with it; before the stop it is said."""
    vocabulary = Vocabulary(
        reasons={"r": ReasonWord(code="r", text="why", carc="15", rarc="N1")},
        carcs={"15": AdjustmentCode(code="15", text="x", stopped_on=date(2018, 1, 1))},
        rarcs={"N1": AdjustmentCode(code="N1", text="x")},
    )
    before = vocabulary.reason(ReasonTemplate(code="r"), date(2017, 12, 31))
    after = vocabulary.reason(ReasonTemplate(code="r"), date(2018, 1, 1))
    assert (before.carc, before.rarc) == ("15", "N1")
    assert (after.carc, after.rarc) == (None, None)


def test_adjustment_code_that_needs_a_remark_is_not_said_without() -> None:
    """CARC 16 without its RARC would be refused by any payer, so neither is said."""
    vocabulary = Vocabulary(
        reasons={"r": ReasonWord(code="r", text="why", carc="16", rarc="N1")},
        carcs={"16": AdjustmentCode(code="16", text="x", needs_remark=True)},
        rarcs={"N1": AdjustmentCode(code="N1", text="x", stopped_on=date(2018, 1, 1))},
    )
    assert vocabulary.reason(ReasonTemplate(code="r"), date(2020, 1, 1)).carc is None


def test_no_reason_uses_a_stopped_code() -> None:
    """28 and 15 are known as stopped, and no reason of ours anticipates them."""
    vocabulary = packaged().vocabulary
    stopped = {code for code, entry in vocabulary.carcs.items() if entry.stopped_on is not None}
    assert stopped == {"15", "28"}
    assert stopped.isdisjoint(word.carc for word in vocabulary.reasons.values() if word.carc)


def test_fault_names_file_line_key_and_expectation(catalog_copy: Path) -> None:
    """A wrong value is pointed at where an editor finds it."""
    faults = broken(catalog_copy, SHP_FILE, lambda text: text.replace("allowed: 20", "allowed: twenty"))
    lines = (catalog_copy / SHP_FILE).read_text(encoding="utf-8").splitlines()
    assert len(faults) == 1
    assert faults[0].file == str(catalog_copy / SHP_FILE)
    assert lines[faults[0].line - 1].strip() == "allowed: twenty"
    assert faults[0].key_path == "limits[0].allowed"
    assert "whole number" in faults[0].expected
    assert str(faults[0]).startswith(f"{faults[0].file}:{faults[0].line}: limits[0].allowed: expected")


def test_missing_key_points_at_what_lacks_it(catalog_copy: Path) -> None:
    """A key that is not there has no line; the mapping it belongs to has."""
    faults = broken(catalog_copy, SHP_FILE, lambda text: text.replace("    allowed: 20\n", ""))
    lines = (catalog_copy / SHP_FILE).read_text(encoding="utf-8").splitlines()
    assert faults[0].key_path == "limits[0].allowed"
    assert lines[faults[0].line - 1].strip().startswith("- limit_id: dry-needling")


def test_faults_of_all_documents_are_told_together(catalog_copy: Path) -> None:
    """Two broken files are both reported."""
    path = catalog_copy / SHP_FILE
    path.write_text(path.read_text(encoding="utf-8").replace("version: 1", "version: one"), encoding="utf-8")
    faults = broken(
        catalog_copy,
        Path("documents/medicare-ncd-30-3-3.yaml"),
        lambda text: text.replace("rolling_days: 90", "rolling_days: 0"),
    )
    assert {Path(fault.file).name for fault in faults} == {
        "security-health-plan.yaml",
        "medicare-ncd-30-3-3.yaml",
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text + "\n  bad: [", "expected YAML"),
        (lambda text: text + "\ntitle: again\n", "the key is there twice"),
        (lambda text: text.replace("[measure, plan_year_start]", "&a [measure]") + "\nx: *a\n", "aliases"),
        (lambda text: text + "\nx: " + "[" * 5_000, "expected YAML"),
        (lambda text: text + "\n#" + "x" * FILE_BYTES_MAX, "at most"),
        (lambda _: "", "expected a mapping"),
        (lambda text: text + "\n---\nsecond: document\n", "expected YAML"),
        (lambda text: text + "\nwhen: !!python/object:os.system {}\n", "expected YAML"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(
    catalog_copy: Path, change: Callable[[str], str], expected: str
) -> None:
    """Broken, repeated, aliased, endless, oversized or active YAML is refused with its place."""
    faults = broken(catalog_copy, SHP_FILE, change)
    assert expected in faults[0].expected
    assert faults[0].line >= 1


def test_file_that_is_not_text_is_refused(catalog_copy: Path) -> None:
    """Bytes that are no UTF-8, and a file that is not there, are said as such."""
    (catalog_copy / SHP_FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(CatalogFileInvalid, match="UTF-8"):
        load_catalog(catalog_copy)
    with pytest.raises(CatalogFileInvalid, match="readable"):
        load_rule_document(catalog_copy / "documents" / "nowhere.yaml", packaged().vocabulary)


@pytest.mark.parametrize(
    ("file", "old", "new", "key"),
    [
        ("reasons.yaml", 'carc: "55"', 'carc: "5"', "reasons.investigational.carc"),
        ("code-list.yaml", "service: dry_needling, text", "service: needles, text", "codes[0].service"),
        ("state-scope.yaml", "status: pending_rules", "status: soon", "rows[10].status"),
        ("code-list.yaml", '- ["20560", "20561"]', '- ["20560", "20562"]', "alternatives[0][1]"),
        ("payers.yaml", "payer_id: va,", "payer_id: V A,", "payers[3].payer_id"),
        ("guidance.yaml", "source: news}", "source: rumour}", "documentation[1].source"),
    ],
)
def test_other_files_of_the_catalog_are_checked_alike(
    catalog_copy: Path, file: str, old: str, new: str, key: str
) -> None:
    """Every file of the catalog is refused at the key that is wrong."""
    faults = broken(catalog_copy, Path(file), lambda text: text.replace(old, new, 1))
    assert key in {fault.key_path for fault in faults}
    assert all(Path(fault.file).name == file for fault in faults)


def test_two_rows_of_one_day_are_refused(catalog_copy: Path) -> None:
    """A profession has one status a day in a state."""
    faults = broken(
        catalog_copy,
        Path("state-scope.yaml"),
        lambda text: text.replace("effective: {from: 2024-06-22}", "effective: {from: 2024-06-21}"),
    )
    assert "one row a day for physical_therapist in WA" in faults[0].expected


def test_contradicting_documents_are_refused_as_a_catalog(catalog_copy: Path) -> None:
    """Two files of the same document and version cannot both be loaded."""
    shutil.copy(catalog_copy / SHP_FILE, catalog_copy / "documents" / "again.yaml")
    with pytest.raises(CatalogFileInvalid, match="a version is there twice"):
        load_catalog(catalog_copy)


def test_refused_catalog_leaves_the_running_one(catalog_copy: Path) -> None:
    """A catalog in use is immutable: a refused load changes no answer."""
    running = load_catalog(catalog_copy)
    before = ask(situation(), running)
    broken(catalog_copy, SHP_FILE, lambda text: text.replace("covered_with_conditions", "perhaps"))
    assert ask(situation(), running) == before


def test_empty_catalog_answers_unknown() -> None:
    """Without any rule loaded every answer is unknown."""
    assert ask(situation(), Catalog(version=0)).decision == "unknown_verify_with_plan"


def test_every_statement_of_the_catalog_has_a_source() -> None:
    """Documents, state rows and guidance all say where they come from."""
    catalog = packaged()
    assert all(document.citation for document in catalog.documents)
    assert all(row.source.citation for rows in catalog.state_scope.rows.values() for row in rows)
    book = catalog.guidance
    sources = [item.source for item in book.documentation]
    sources += [item.source for item in book.ask_your_plan]
    sources += [item.source for item in book.contacts]
    assert all(source is not None and source.citation for source in sources)
