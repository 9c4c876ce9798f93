"""`needlecap rules load`: the packaged catalog in the database."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from services.operator_cli.catalog_loading import load
from services.operator_cli.main import main
from services.operator_cli.runner.ports import choose
from shared.domain.catalog import CatalogConflict


def test_catalog_is_loaded_once(database_url: str) -> None:
    """The first load makes payers and documents, the second changes nothing."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    first = load(database_url, now)
    with psycopg.connect(database_url) as connection:
        payers = {row[0] for row in connection.execute("select payer_id from payer")}
        documents = connection.execute("select count(*) from rule_document").fetchone()
    assert first.created
    assert {"security-health-plan", "medica-central", "medicare"} <= payers
    assert documents is not None
    assert documents[0] > 0
    second = load(database_url, now)
    assert not second.created
    assert second.catalog_version == first.catalog_version


def test_packaged_catalog_that_contradicts_what_is_loaded_is_refused(database_url: str) -> None:
    """A catalog that no service could put together never runs: the running one stays as it was."""
    other = {
        "document_id": "shp-own",
        "version": 1,
        "title": "loaded by an operator",
        "authority": "payer_policy",
        "source": {"citation": "invented"},
        "effective": {"from": "2024-01-01"},
        "applies_to": [{"payers": ["security-health-plan"]}],
        "limits": [
            {
                "limit_id": "more",
                "codes": ["20560"],
                "allowed": 3,
                "measure": "visit",
                "period": {"basis": "plan_year"},
                "ordering": "service_date",
            }
        ],
    }
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into rule_document (document_id, version, body, loaded_at, loaded_by, activated_in)"
            " values ('shp-own', 1, %s, now(), 'tests', 1)",
            [json.dumps(other)],
        )
    with pytest.raises(CatalogConflict):
        load(database_url, datetime(2026, 1, 1, tzinfo=UTC))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select version from catalog").fetchone() == (0,)
        assert connection.execute("select count(*) from rule_document").fetchone() == (1,)


def test_domain_error_ends_in_a_message(tmp_path: Path) -> None:
    """What the domain says no to is shown as a sentence, with exit code 1 and without a trace."""
    url = f"postgresql://postgres:hidden-word@127.0.0.1:{choose(None)}/needlecap"
    result = CliRunner().invoke(
        main, ["rules", "load", "--data-dir", str(tmp_path)], env={"DATABASE_URL": url}
    )
    assert result.exit_code == 1
    assert "The database cannot answer at the moment" in result.stderr
    assert "hidden-word" not in result.output
    assert "Traceback" not in result.output
