"""The ledger is append-only, and whoever gets past that is found out."""

from __future__ import annotations

import psycopg
import pytest

from services.operator_cli.member_handles import handle_of
from shared.adapters.postgres.database import APPLICATION_ROLE
from tests.builders import PAYER
from tests.counter_images import HASH_KEY
from tests.desk import Desk, member

#: What somebody may do to Ann's entries 1 to 5, and which entry then is the first bad one, and why.
TAMPERING = {
    "units": ("update ledger_entry set used_delta = 5 where entry_no = 3", 3, "was changed"),
    "cause": ("update ledger_entry set cause_id = 'another' where entry_no = 2", 2, "was changed"),
    "time": (
        "update ledger_entry set recorded_at = recorded_at - interval '1 day' where entry_no = 4",
        4,
        "was changed",
    ),
    "first": ("delete from ledger_entry where entry_no = 1", 2, "are missing"),
    "middle": ("delete from ledger_entry where entry_no = 3", 4, "are missing"),
    "tail": ("delete from ledger_entry where entry_no >= 4", 4, "up to the member's number"),
    "all": ("delete from ledger_entry where member_id = 'SAMPLE-ANN'", 1, "up to the member's number"),
}


def _counted(desk: Desk) -> None:
    """Five entries of Ann's, one of Ben's."""
    desk.record_many(desk.enroll("ANN"), 5)
    desk.record_many(desk.enroll("BEN"), 1)
    desk.drain()


@pytest.mark.parametrize("statement", ["update ledger_entry set allowed = 99", "delete from ledger_entry"])
@pytest.mark.parametrize("role", ["postgres", APPLICATION_ROLE])
def test_entries_can_be_neither_changed_nor_deleted(desk: Desk, statement: str, role: str) -> None:
    """The services' role may not, and a superuser is stopped by a trigger."""
    _refused(desk, statement, role)


@pytest.mark.parametrize("role", ["postgres", APPLICATION_ROLE])
def test_ledger_cannot_be_truncated(desk: Desk, role: str) -> None:
    """Neither as the services' role nor as a superuser."""
    _refused(desk, "truncate ledger_entry", role)


def _refused(desk: Desk, statement: str, role: str) -> None:
    _counted(desk)
    as_superuser = role != APPLICATION_ROLE
    expected = psycopg.errors.RaiseException if as_superuser else psycopg.errors.InsufficientPrivilege
    for replaying in (False, True) if as_superuser else (False,):
        with psycopg.connect(desk.office.url) as connection:
            connection.execute("select set_config('needlecap.payers', '*', false)")
            if replaying:
                connection.execute("set session_replication_role = replica")
            connection.execute(f"set role {role}")
            with pytest.raises(expected):
                connection.execute(statement)
    assert desk.office.rows("select count(*) from ledger_entry") == [(6,)]


def test_whole_ledger_is_found_right(desk: Desk) -> None:
    """Every entry is followed, and the exit code is 0."""
    _counted(desk)
    result = desk.needlecap("ledger", "verify")
    assert result.exit_code == 0, result.output
    assert result.stdout == "members: 2, ledger entries: 6, members with a fault: 0\n"


@pytest.mark.parametrize("tampering", TAMPERING)
def test_tampering_is_found(desk: Desk, tampering: str) -> None:
    """The first bad entry is named with its payer and a keyed hash of the member; ids are for who asks."""
    statement, entry_no, why = TAMPERING[tampering]
    _counted(desk)
    desk.tamper(f"{statement} and member_id = 'SAMPLE-ANN'")
    result = desk.needlecap("ledger", "verify")
    assert result.exit_code == 1
    handle = handle_of(HASH_KEY, member("ANN"))
    assert f"payer {PAYER}, member {handle}, entry {entry_no}:" in result.stdout
    assert why in result.stdout.splitlines()[0]
    assert "members with a fault: 1" in result.stdout
    assert "SAMPLE-ANN" not in result.output
    assert "member SAMPLE-ANN, entry" in desk.needlecap("ledger", "verify", "--show-members").stdout


def test_member_row_that_hides_the_tail_is_found(desk: Desk) -> None:
    """Whoever shortens the ledger and the member's count has the hash and the accumulator against them."""
    _counted(desk)
    desk.tamper("delete from ledger_entry where entry_no = 5 and member_id = 'SAMPLE-ANN'")
    desk.office.change("update member set ledger_entries = 4 where member_id = 'SAMPLE-ANN'")
    result = desk.needlecap("ledger", "verify")
    assert result.exit_code == 1
    assert "entry 4: its hash is not the one the member's row ends with" in result.stdout


def test_accumulator_that_disagrees_is_named_with_its_last_entry(desk: Desk) -> None:
    """A chain that is whole is not enough: the accumulator beside it has to agree."""
    _counted(desk)
    desk.office.change("update accumulator set used = 4 where member_id = 'SAMPLE-ANN'")
    result = desk.needlecap("ledger", "verify", "--payer", PAYER)
    assert result.exit_code == 1
    assert "entry 5: its accumulator's row says something else" in result.stdout


def test_unknown_payer_is_said(desk: Desk) -> None:
    """A payer that is not there is a mistake, not an empty ledger."""
    result = desk.needlecap("ledger", "verify", "--payer", "nobody")
    assert result.exit_code == 1
    assert "There is no such payer" in result.output
