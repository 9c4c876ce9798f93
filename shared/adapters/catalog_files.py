"""Loads the rule catalog from its YAML files; what is wrong in one is said with file, line and key.

A directory of the catalog holds `reasons.yaml`, `code-list.yaml`, `state-scope.yaml`, `payers.yaml`,
`guidance.yaml` and one rule document per file under `documents/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml

from shared.domain.catalog import Catalog, CatalogConflict, build_catalog
from shared.domain.catalog_parsing import (
    parse_code_list,
    parse_guidance,
    parse_payers,
    parse_state_scope,
    parse_vocabulary,
)
from shared.domain.document_reader import KeyPath, RuleDocumentInvalid
from shared.domain.errors import NeedlecapError
from shared.domain.rule_document import RuleDocument
from shared.domain.rule_parsing import parse_rule_document
from shared.domain.vocabulary import Vocabulary

T = TypeVar("T")
#: No file of a catalog comes near it; a larger one is refused unread.
FILE_BYTES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class FileFault:
    """One thing wrong in a file: where (1-based line, key path), and what was expected there."""

    file: str
    line: int
    key_path: str
    expected: str

    def __str__(self) -> str:
        """The fault in the form that editors follow."""
        return f"{self.file}:{self.line}: {self.key_path}: {self.expected}"


class CatalogFileInvalid(NeedlecapError):
    """A file of the rule catalog cannot be used as it stands."""

    def __init__(self, faults: Iterable[FileFault]) -> None:
        """Keep every fault; the message lists them, one a line."""
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


@dataclass(frozen=True, slots=True)
class Parsed:
    """A YAML file's data, and the line of each key path in it."""

    file: str
    data: Any
    lines: dict[KeyPath, int]

    def line_of(self, path: KeyPath) -> int:
        """The line of a key path, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a document says everything where it is, and cannot multiply itself."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse an alias, else compose as ever."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stubs
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not used here", problem_mark=mark)
        return super().compose_node(parent, index)


def packaged_catalog() -> Path:
    """The directory of the catalog that comes with the service."""
    return Path(str(files("shared").joinpath("catalog")))


def load_catalog(path: Path | None = None, version: int = 1) -> Catalog:
    """The catalog of a directory of YAML files, the packaged one by default, as catalog `version`.

    Raises CatalogFileInvalid naming file, line and key of everything wrong.
    """
    root = path or packaged_catalog()
    code_list, services = _read(root / "code-list.yaml", parse_code_list)
    vocabulary = _read(root / "reasons.yaml", lambda body: parse_vocabulary(body, services))
    documents: list[RuleDocument] = []
    faults: list[FileFault] = []
    for file in sorted((root / "documents").glob("*.yaml")):
        try:
            documents.append(load_rule_document(file, vocabulary))
        except CatalogFileInvalid as invalid:
            faults += invalid.faults
    if faults:
        raise CatalogFileInvalid(faults)
    parts = Catalog(
        version=version,
        documents=tuple(documents),
        vocabulary=vocabulary,
        code_list=code_list,
        state_scope=_read(root / "state-scope.yaml", parse_state_scope),
        payers=_read(root / "payers.yaml", parse_payers),
        guidance=_read(root / "guidance.yaml", parse_guidance),
    )
    try:
        return build_catalog(parts)
    except CatalogConflict as conflict:
        raise CatalogFileInvalid(
            [FileFault(str(root / "documents"), 1, "(catalog)", str(conflict))]
        ) from conflict


def load_rule_document(file: Path, vocabulary: Vocabulary) -> RuleDocument:
    """The rule document of one YAML file.

    Raises CatalogFileInvalid with file, line, key and what was expected.
    """
    return _read(file, lambda body: parse_rule_document(body, vocabulary))


def _read(file: Path, parse: Callable[[Any], T]) -> T:
    parsed = parse_yaml(file)
    try:
        return parse(parsed.data)
    except RuleDocumentInvalid as invalid:
        raise CatalogFileInvalid(
            FileFault(parsed.file, parsed.line_of(fault.path), fault.key_path, fault.expected)
            for fault in invalid.faults
        ) from invalid


def parse_yaml(file: Path) -> Parsed:
    """A YAML file's data with its lines. Raises CatalogFileInvalid if it cannot be read or is not YAML."""
    name = str(file)
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise CatalogFileInvalid(
                [FileFault(name, 1, "(file)", f"expected at most {FILE_BYTES_MAX} bytes")]
            )
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogFileInvalid([FileFault(name, 1, "(file)", "expected a readable UTF-8 file")]) from error
    loader = _PlainLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        repeated = [] if node is None else list(_walk(node, (), lines))
        data = None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else 1
        raise CatalogFileInvalid([FileFault(name, line, "(file)", f"expected YAML: {what}")]) from error
    finally:
        loader.dispose()
    if repeated:
        raise CatalogFileInvalid(
            FileFault(name, line, key, "the key is there twice") for line, key in repeated
        )
    return Parsed(name, data, lines)


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int]) -> Iterable[tuple[int, str]]:
    """Note the line of each key path; yield the (line, key) of each repeated key, which YAML lets pass."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*path, index), lines)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                yield key.start_mark.line + 1, name
            seen.add(name)
            lines[(*path, name)] = key.start_mark.line + 1
            yield from _walk(value, (*path, name), lines)
