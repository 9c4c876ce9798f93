"""Finds what the written confirmation of a recorded answer says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from services.coverage_api.ports import ApiTransaction, Tools
from shared.domain.client import Client
from shared.domain.determination_record import AnsweredCheck
from shared.domain.errors import NotFound

Json = dict[str, Any]

#: A rule document, by id and version.
DocumentName = tuple[str, int]

#: An answer names a handful; whatever it holds, no more are looked up.
DOCUMENTS_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """A recorded answer, and the titles of the rule documents that it names."""

    check: AnsweredCheck
    titles: Mapping[DocumentName, str]

    @property
    def request(self) -> Json:
        """What was asked, in the contract's field names with its defaults."""
        return dict(orjson.loads(self.check.record.request))

    @property
    def answer(self) -> Json:
        """What was said."""
        return dict(orjson.loads(self.check.record.body))

    @property
    def plan_name(self) -> str | None:
        """What the plan that covered the member was called; None without a plan."""
        standing = orjson.loads(self.check.record.standing or b'{"plans": []}')
        plan_id = self.answer["plan_id"]
        return next((plan["name"] for plan in standing["plans"] if plan["plan_id"] == plan_id), None)


def find_confirmation(tools: Tools, client: Client, check_id: str) -> Confirmation:
    """A recorded answer with what its page shows beside it.

    Raises NotFound for one that is not there, or of a payer that `client` may not see.
    """
    with tools.store.transaction(client.payers) as tx:
        check = tx.determinations.find(check_id)
        if check is None:
            raise NotFound
        return Confirmation(check=check, titles=_titles(tx, orjson.loads(check.record.body)))


def _titles(tx: ApiTransaction, answer: Json) -> dict[DocumentName, str]:
    """The titles of the answer's documents; sources that are no rule document have none."""
    titles = {}
    for name in list(dict.fromkeys(_documents_named(answer)))[:DOCUMENTS_MAX]:
        row = tx.catalog.find(*name)
        if row is not None:
            titles[name] = str(orjson.loads(row.body)["title"])
    return titles


def _documents_named(value: Any) -> Iterator[DocumentName]:
    """Every document that a part of an answer names as a source, in order, as often as it does."""
    if isinstance(value, dict):
        if "document_id" in value and "version" in value:
            yield value["document_id"], value["version"]
        for inner in value.values():
            yield from _documents_named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _documents_named(inner)
