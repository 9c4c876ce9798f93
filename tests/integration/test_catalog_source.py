"""The running rules come from Postgres: loaded once, raised by each change, the same for every process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from shared.accounting.catalog_changes import CatalogChange, DocumentExists, load_packaged, put_document
from shared.adapters.catalog_source import CatalogSource, packaged_parts
from shared.adapters.postgres.database import PostgresDatabase
from shared.domain.client import EVERY_PAYER
from shared.domain.errors import ConcurrentChange
from shared.domain.rule_parsing import parse_rule_document
from tests.builders import NOW, PAYER

PARTS = packaged_parts()


@pytest.fixture
def database(database_url: str) -> Iterator[PostgresDatabase]:
    """An empty, migrated database."""
    database = PostgresDatabase(database_url, connections_max=4)
    yield database
    database.close()


def load(database: PostgresDatabase) -> CatalogChange:
    """Load the packaged catalog and commit."""
    with database.transaction(EVERY_PAYER) as tx:
        change = load_packaged(tx.catalog, PARTS, NOW)
        tx.commit()
    return change


def test_loading_the_packaged_catalog_twice_changes_nothing_the_second_time(
    database: PostgresDatabase,
) -> None:
    """The first load makes catalog 1 and the payers; the second finds everything there."""
    first, second = load(database), load(database)
    assert (first.catalog_version, first.activated) == (1, True)
    assert (second.catalog_version, second.activated) == (1, False)


def test_source_reads_a_catalog_equal_to_the_files(database: PostgresDatabase) -> None:
    """What is stored and read back states the same documents."""
    load(database)
    source = CatalogSource(database)
    with database.transaction([PAYER]) as tx:
        catalog = source.current(tx).catalog
    assert catalog.version == 1
    assert {(d.document_id, d.version): d.body for d in catalog.documents} == {
        (d.document_id, d.version): d.body for d in PARTS.documents
    }


def test_new_document_version_raises_the_catalog_and_names_the_members_to_fold_again(
    database: PostgresDatabase, database_url: str
) -> None:
    """An activated document is in the next catalog; members of its payer with visits are folded again."""
    load(database)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into member (payer_id, member_id) values (%s, 'SAMPLE-1'), (%s, 'SAMPLE-2')", [PAYER] * 2
        )
        connection.execute(
            "insert into visit (payer_id, client_id, visit_id, member_id, last_event, disposition,"
            " outcome_hash, outcome_no) values (%s, 'c', 'v', 'SAMPLE-1', 1, 'counted', 0, 0)",
            [PAYER],
        )
    source = CatalogSource(database)
    with database.transaction(EVERY_PAYER) as tx:
        running = source.current(tx).catalog
        old = next(d for d in running.documents if d.payers is not None and PAYER in d.payers)
        body = {**_body(old.body), "version": old.version + 1}
        document = parse_rule_document(body, running.vocabulary)
        change = put_document(tx.catalog, running, document, NOW, loaded_by="tests", activate=True)
        tx.commit()
    assert (change.catalog_version, change.members) == (2, 1)
    with database.transaction(EVERY_PAYER) as tx:
        assert source.current(tx).catalog.document(old.document_id, old.version + 1) is not None
    assert source.read(1).document(old.document_id, old.version + 1) is None


def test_same_version_with_other_content_is_refused(database: PostgresDatabase) -> None:
    """A version of a document never changes its content."""
    load(database)
    changed = [replace(d, body=d.body + " ") for d in PARTS.documents[:1]]
    with database.transaction(EVERY_PAYER) as tx, pytest.raises(DocumentExists):
        load_packaged(tx.catalog, replace(PARTS, documents=(*changed, *PARTS.documents[1:])), NOW)


def test_document_checked_against_a_catalog_that_was_changed_meanwhile_is_tried_again(
    database: PostgresDatabase,
) -> None:
    """Two changes at once might contradict each other, so the second is held against the first's catalog."""
    load(database)
    source = CatalogSource(database)
    with database.transaction(EVERY_PAYER) as slow:
        seen = source.current(slow).catalog
        old = seen.documents[0]
        documents = [
            parse_rule_document({**_body(old.body), "version": old.version + n}, seen.vocabulary)
            for n in (1, 2)
        ]
        with database.transaction(EVERY_PAYER) as quick:
            put_document(quick.catalog, seen, documents[0], NOW, loaded_by="tests", activate=True)
            quick.commit()
        with pytest.raises(ConcurrentChange):
            put_document(slow.catalog, seen, documents[1], NOW, loaded_by="tests", activate=True)


def _body(text: str) -> dict[str, object]:
    return dict(json.loads(text))


def test_version_that_drops_a_payer_has_that_payers_members_folded_again(
    database: PostgresDatabase, database_url: str
) -> None:
    """A version touches the payers that only the versions before it name, too."""
    load(database)
    with psycopg.connect(database_url) as connection:
        connection.execute("insert into member (payer_id, member_id) values (%s, 'SAMPLE-1')", [PAYER])
        connection.execute(
            "insert into visit (payer_id, client_id, visit_id, member_id, last_event, disposition,"
            " outcome_hash, outcome_no) values (%s, 'c', 'v', 'SAMPLE-1', 1, 'counted', 0, 0)",
            [PAYER],
        )
    source = CatalogSource(database)
    with database.transaction(EVERY_PAYER) as tx:
        running = source.current(tx).catalog
        old = next(d for d in running.documents if d.payers == frozenset({PAYER}))
        body = {
            **_body(old.body),
            "version": old.version + 1,
            "applies_to": [{"payers": ["aetna"]}],
        }
        document = parse_rule_document(body, running.vocabulary)
        change = put_document(tx.catalog, running, document, NOW, loaded_by="tests", activate=True)
        tx.commit()
    assert change.members == 1
