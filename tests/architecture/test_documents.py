"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from services.operator_cli.main import discovered_commands

ROOT = Path(__file__).parents[2]
PLACES = ("*.md", "services/**/*.md", "shared/**/*.md", "deploy/**/*.md", "tests/**/*.md")
DOCUMENTS = sorted(path.relative_to(ROOT) for place in PLACES for path in ROOT.glob(place))
CODE = "".join(
    path.read_text() for place in ("services/**/*.py", "shared/**/*.py") for path in ROOT.glob(place)
)

COMMANDS = {command.name: command for command in discovered_commands()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document names a file or folder that exists."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / document).read_text())
    missing = [link for link in links if not (ROOT / document).parent.joinpath(link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_commands_exist(document: Path) -> None:
    """Every `needlecap NOUN VERB` and `make TARGET` that a document shows can be typed."""
    text = (ROOT / document).read_text()
    named = re.findall(r"(?:`|^|bin/)needlecap ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", text, re.MULTILINE)
    assert [words for words in named if not _is_command(*words)] == []
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets


def _is_command(noun: str, verb: str) -> bool:
    command = COMMANDS.get(noun)
    if isinstance(command, click.Group) and verb:
        return verb in command.commands
    return command is not None


def test_configuration_table_names_what_is_read() -> None:
    """Every variable of README's table is read by the code, and every one that is read is in the table."""
    table = (ROOT / "README.md").read_text().partition("## Configuration")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", table))
    keys = {f"NEEDLECAP_{role}_KEY" for role in ("EHR", "PORTAL", "OPS", "ADMIN")}
    reads = r"(?:env\.\w+\(|envvar=)\s*\"([A-Z][A-Z_]+)\""
    assert named - keys == set(re.findall(reads, CODE))
    assert keys <= named


def test_readme_shows_the_main_job() -> None:
    """The first page has the check at 0, the count of 1, the twentieth, the refusal and January 1."""
    text = (ROOT / "README.md").read_text()
    for shown in (
        '"text": "0 of 20 used in this plan year"',
        '"text": "1 of 20 used in this plan year"',
        '"used_before": 19, "used_after": 20',
        '"code": "limit_exhausted"',
        '"carc": "119"',
        '"start": "2027-01-01"',
    ):
        assert shown in text
