"""Possible duplicates: not counted until an operator says, and as the operator said for ever after."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator_cli.member_handles import handle_of
from tests.counter_images import HASH_KEY
from tests.desk import NPI, Desk, member

PROVIDER: dict[str, Any] = {"provider": {"npi": NPI}}


def _repeated(desk: Desk) -> int:
    """A visit reported twice under two ids; the number of the second."""
    ann = desk.enroll("ANN")
    desk.record(ann, "v1", **PROVIDER)
    second = desk.record(ann, "v2", **PROVIDER)
    desk.drain()
    assert desk.dispositions() == {"v1": "counted", "v2": "possible_duplicate"}
    return int(desk.office.rows("select arrival from visit_event where event_id = %s", second)[0][0])


def test_possible_duplicate_is_listed_with_what_it_repeats(desk: Desk) -> None:
    """The operator sees both visit ids and a keyed hash of the member, or the id when asked for."""
    number = _repeated(desk)
    result = desk.needlecap("duplicates", "list")
    assert result.exit_code == 0, result.output
    line = next(line for line in result.stdout.splitlines() if str(number) in line)
    assert "v2" in line
    assert "v1" in line
    assert handle_of(HASH_KEY, member("ANN")) in line
    assert "SAMPLE-ANN" not in result.stdout
    assert "possible duplicates: 1, shown: 1" in result.stdout
    assert "SAMPLE-ANN" in desk.needlecap("duplicates", "list", "--show-members").stdout


@pytest.mark.parametrize(
    ("verb", "disposition", "used", "cause"),
    [("accept", "counted", 2, "duplicate.accepted"), ("reject", "not_countable", 1, None)],
)
def test_decision_is_carried_out_and_kept(
    desk: Desk, verb: str, disposition: str, used: int, cause: str | None
) -> None:
    """The visit counts or does not, the ledger names the decision, and a rebuild finds the same."""
    number = _repeated(desk)
    ann = member("ANN")
    result = desk.needlecap("duplicates", verb, str(number), "--by", "pat", "--reason", "asked the clinic")
    assert result.exit_code == 0, result.output
    assert desk.dispositions()["v2"] == disposition
    assert desk.used(ann)[0][1] == used
    causes: list[Any] = desk.office.rows("select cause_kind from ledger_entry where visit_id = 'v2'")
    assert causes == ([(cause,)] if cause else [])
    assert desk.office.rows("select decided_by, reason from duplicate_decision") == [
        ("pat", "asked the clinic")
    ]
    stored, rebuilt = desk.states(ann)
    assert stored == rebuilt
    assert desk.rebuild(ann).differing == ()
    assert "shown: 0" in desk.needlecap("duplicates", "list").stdout


def test_decision_survives_corrections_and_a_lost_row(desk: Desk) -> None:
    """What an operator decided is not forgotten by the visit's later events, nor with its row."""
    number = _repeated(desk)
    ann = member("ANN")
    desk.needlecap("duplicates", "accept", str(number))
    desk.correct(ann, "v2", lines=[{"procedure_code": "20560"}, {"procedure_code": "20561"}], **PROVIDER)
    desk.drain()
    assert desk.dispositions()["v2"] == "counted"
    desk.office.change("delete from visit where visit_id = 'v2'")
    assert desk.needlecap("rebuild").exit_code == 0
    assert desk.dispositions()["v2"] == "counted"
    assert desk.used(ann)[0][1] == 2


def test_decision_can_be_taken_back(desk: Desk) -> None:
    """The last decision holds; the same again is nothing, and both are on record."""
    number = str(_repeated(desk))
    ann = member("ANN")
    desk.needlecap("duplicates", "accept", number)
    version = desk.version(ann)
    again = desk.needlecap("duplicates", "accept", number)
    assert (again.exit_code, again.stdout) == (0, "accepted: 0, accepted before: 1\n")
    assert desk.version(ann) == version
    assert desk.needlecap("duplicates", "reject", number).exit_code == 0
    assert desk.used(ann)[0][1] == 1
    decisions = desk.office.rows("select decision from duplicate_decision order by decided_at")
    assert decisions == [("accepted",), ("rejected",)]


def test_nothing_is_decided_on_an_ordinary_visit(desk: Desk) -> None:
    """A number that is no possible duplicate, or no visit, is refused; the others are decided."""
    number = _repeated(desk)
    first = desk.office.rows("select arrival from visit where visit_id = 'v1'")[0][0]
    result = desk.needlecap("duplicates", "reject", str(first), "999999", str(number))
    assert result.exit_code == 1
    assert "rejected: 1, rejected before: 0" in result.stdout
    assert f"visit {first}: The visit is no possible duplicate" in result.stderr
    assert "visit 999999: There is no such visit" in result.stderr
    assert desk.dispositions() == {"v1": "counted", "v2": "not_countable"}
