"""`needlecap rules load`: the packaged catalog in the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import psycopg
from click.testing import CliRunner

from services.operator_cli.catalog_loading import load
from services.operator_cli.main import main
from services.operator_cli.runner.ports import choose


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
