"""`needlecap rules validate`: what is wrong with a rule document, without any server."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from services.operator_cli.main import main
from shared.adapters.catalog_files import packaged_catalog

DOCUMENTS = packaged_catalog() / "documents"
PACKAGED = (DOCUMENTS / "security-health-plan.yaml").read_text(encoding="utf-8")


def validate(data_dir: Path, *files: Path, exit_code: int) -> str:
    """What the command says of files."""
    arguments = ["rules", "validate", *map(str, files), "--data-dir", str(data_dir)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == exit_code, result.output
    return result.stdout


def test_valid_files_are_said_to_be_valid(tmp_path: Path) -> None:
    """Every packaged document is valid, each said on a line of its own."""
    files = sorted(DOCUMENTS.glob("*.yaml"))
    said = validate(tmp_path, *files, exit_code=0).splitlines()
    assert len(said) == len(files)
    assert all(line.endswith("is valid") for line in said)


def test_document_shown_in_the_readme_is_valid(tmp_path: Path) -> None:
    """What a reader copies from the catalog's README loads as it stands."""
    readme = (packaged_catalog() / "README.md").read_text(encoding="utf-8")
    shown = tmp_path / "shown.yaml"
    shown.write_text(readme.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    assert "lakeside-dry-needling version 1 is valid" in validate(tmp_path, shown, exit_code=0)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("allowed: 20", "allowed: many", ":21: limits[0].allowed: expected a whole number"),
        ("decision: covered_with_conditions", "decision: maybe", ":14: rules[0].decision: expected "),
        ("title:", "titel:", ":4: titel: "),
        ("funding: [fully_insured]", "funding: [rich]", ":9: applies_to[0].funding[0]: expected "),
        ("limits:", "limits: [", ":18: (file): expected YAML: "),
        ("version: 1", "version: 1\nversion: 2", ":4: version: the key is there twice"),
    ],
)
def test_fault_is_said_with_file_line_key_and_what_was_expected(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    """Whatever is wrong with a file, an editor can jump to it."""
    file = tmp_path / "document.yaml"
    file.write_text(PACKAGED.replace(old, new, 1), encoding="utf-8")
    assert f"{file}{expected}" in validate(tmp_path, file, exit_code=1)


def test_every_file_is_looked_at(tmp_path: Path) -> None:
    """A fault in one file hides neither the other files nor what is valid; twice the same is a fault."""
    first, second, gone = (tmp_path / name for name in ("first.yaml", "second.yaml", "gone.yaml"))
    first.write_text(PACKAGED, encoding="utf-8")
    second.write_text(PACKAGED, encoding="utf-8")
    assert validate(tmp_path, gone, first, second, exit_code=1).splitlines() == [
        f"{first}: shp-dry-needling-employer version 1 is valid",
        f"{gone}:1: (file): expected a readable UTF-8 file",
        f"{second}:1: version: expected a version that {first} does not state",
    ]


def test_contradiction_of_the_catalog_is_a_fault(tmp_path: Path) -> None:
    """A limit that one visit can feed beside another must share its ordering (contract section 4)."""
    text = """
document_id: shp-other
version: 1
title: "other"
authority: payer_policy
source: {citation: "invented"}
effective: {from: 2024-01-01}
applies_to: [{payers: [security-health-plan]}]
limits:
  - {limit_id: more, codes: ["20560"], allowed: 3, measure: visit, period: {basis: plan_year},
     ordering: service_date}
"""
    file = tmp_path / "document.yaml"
    file.write_text(text, encoding="utf-8")
    said = validate(tmp_path, file, exit_code=1)
    assert said.startswith(f"{file}:1: (catalog): shp-other: limit more needs the ordering of dry-needling")
