"""The audit trail at a terminal: exported for a member, and pruned."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
from click.testing import CliRunner, Result

from services.operator_cli.main import main
from shared.domain.audit import member_hash
from tests.builders import PAYER
from tests.counter_images import HASH_KEY
from tests.desk import Desk


def test_export_shows_a_members_trail_and_records_itself_without_the_id_in_the_arguments(desk: Desk) -> None:
    """The id is read from standard input; what is printed and stored names the member nowhere."""
    ref = desk.enroll("1")
    desk.record(ref, "v1")
    desk.drain()
    exported = desk.needlecap(
        "audit", "export", "--payer", PAYER, "--by", "someone", given=ref.member_id + "\n"
    )
    assert exported.exit_code == 0, exported.output
    event, export = [json.loads(line) for line in exported.stdout.splitlines()]
    assert (event["kind"], event["event_id"], event["visit_id"]) == ("visit_event", "e1", "v1")
    assert (export["client"], export["credential"], export["call"]) == ("operator", "someone", "exportAudit")
    assert ref.member_id not in exported.output
    stored = desk.office.rows("select payer_id, member_hash from audit_entry")
    assert stored == [(PAYER, member_hash(HASH_KEY, ref))]
    assert "nothing on record" not in exported.stderr
    nobody = desk.needlecap("audit", "export", "--payer", PAYER, given="\n")
    assert nobody.exit_code == 2
    slip = desk.needlecap("audit", "export", "--payer", "no-such-payer", given=ref.member_id)
    assert "There is no such payer." in slip.output
    assert len(desk.office.rows("select from audit_entry")) == 1
    stranger = desk.needlecap("audit", "export", "--payer", PAYER, given="SAMPLE-NOBODY")
    assert (stranger.exit_code, len(stranger.stdout.splitlines())) == (0, 1)
    assert "nothing on record of a member of this id" in stranger.stderr


def test_prune_command_deletes_what_is_too_old(desk: Desk) -> None:
    """It says how much that was, and nothing is left for a second run."""
    desk.office.change(
        "insert into audit_entry (called_at, client_id, credential, call, request_id, purpose, status, items)"
        " select now() - interval '7 years', 'c', 'c', 'c', n::text, 'TREAT', 200, 1"
        " from generate_series(1, 10001) n"
    )
    assert "pruned: 10001" in desk.needlecap("audit", "prune").stdout
    assert "pruned: 0" in desk.needlecap("audit", "prune").stdout
    assert "NEEDLECAP_AUDIT_RETENTION_DAYS" in desk.needlecap("audit", "prune", "--help").stdout


def test_owner_says_for_how_long_the_trail_is_kept(database_url: str, tmp_path: Path) -> None:
    """The setting is taken over at each migration; without it, it is six years."""

    def migrated(days: str) -> Result:
        environment = {"DATABASE_URL": database_url, "NEEDLECAP_AUDIT_RETENTION_DAYS": days}
        return CliRunner().invoke(main, ["migrate", "--data-dir", str(tmp_path)], env=environment)

    for days, kept in (("", 2192), ("3650", 3650)):
        assert migrated(days).exit_code == 0
        with psycopg.connect(database_url) as connection:
            assert connection.execute("select days from audit_retention").fetchall() == [(kept,)]
    assert "NEEDLECAP_AUDIT_RETENTION_DAYS" in migrated("0").output
