"""Opening balances: what was used elsewhere counts, once, as its source stated last."""

from __future__ import annotations

import json
from datetime import date

import pytest

from tests.builders import PAYER
from tests.desk import Desk, member

HEADER = "payer_id,member_id,plan_id,limit_id,service_date,quantity,source,sequence"
YEAR = date(2026, 1, 1)


def _line(
    quantity: int, sequence: int, on: str = "2026-02-01", name: str = "ANN", source: str = "vendor"
) -> str:
    return f"{PAYER},SAMPLE-{name},employer,dry-needling,{on},{quantity},{source},{sequence}"


def _load(desk: Desk, *lines: str) -> tuple[int, str, str]:
    files = {"balances.csv": "\n".join([HEADER, *lines]) + "\n"}
    result = desk.needlecap("load", "opening-balances", str(desk.data_dir / "balances.csv"), files=files)
    return result.exit_code, result.stdout, result.stderr


def test_balance_is_counted_before_the_first_visit_here(desk: Desk) -> None:
    """15 used elsewhere leave five of twenty."""
    ann = desk.enroll("ANN")
    desk.record_many(ann, 6)
    desk.drain()
    code, out, _ = _load(desk, _line(15, 1))
    assert (code, out) == (0, "opening balances: 1 added, 0 replaced, 0 ignored, 0 repeated, 0 refused\n")
    assert desk.used(ann) == [(YEAR, 20, 0)]
    assert list(desk.dispositions().values()).count("over_limit") == 1
    stored, rebuilt = desk.states(ann)
    assert stored == rebuilt
    assert desk.needlecap("ledger", "verify").exit_code == 0
    causes = desk.office.rows(
        "select used_delta, cause_id from ledger_entry where cause_kind = 'opening_balance'"
    )
    assert (15, "vendor#1") in causes


def test_cumulative_file_sent_twice_counts_once(desk: Desk) -> None:
    """The same file again changes nothing (E33)."""
    ann = desk.enroll("ANN")
    _load(desk, _line(5, 1))
    desk.record_many(ann, 1)
    desk.drain()
    version = desk.version(ann)
    code, out, _ = _load(desk, _line(5, 1))
    assert (code, out) == (0, "opening balances: 0 added, 0 replaced, 0 ignored, 1 repeated, 0 refused\n")
    assert desk.version(ann) == version
    assert desk.used(ann) == [(YEAR, 6, 0)]


@pytest.mark.parametrize("on", ["2026-02-01", "2026-04-01"])
def test_newer_statement_replaces_and_does_not_add(desk: Desk, on: str) -> None:
    """Also where it names another date of the same period (E33)."""
    ann = desk.enroll("ANN")
    desk.record_many(ann, 1)
    desk.drain()
    _load(desk, _line(5, 1))
    code, out, _ = _load(desk, _line(7, 2, on=on))
    assert (code, out) == (0, "opening balances: 0 added, 1 replaced, 0 ignored, 0 repeated, 0 refused\n")
    assert desk.used(ann) == [(YEAR, 8, 0)]
    stored, rebuilt = desk.states(ann)
    assert stored == rebuilt


def test_older_statement_is_ignored_said_and_kept_on_record(desk: Desk) -> None:
    """A file that comes out of order does not undo a newer one (E34)."""
    ann = desk.enroll("ANN")
    desk.record_many(ann, 1)
    desk.drain()
    _load(desk, _line(7, 2))
    code, out, err = _load(desk, _line(5, 1, on="2026-01-15"))
    assert (code, out) == (0, "opening balances: 0 added, 0 replaced, 1 ignored, 0 repeated, 0 refused\n")
    assert "line 2: ignored: the source has stated something newer on this period" in err
    assert desk.used(ann) == [(YEAR, 8, 0)]
    kept = desk.office.rows("select sequence, effect from opening_statement order by stated_at")
    assert kept == [(2, "added"), (1, "ignored")]


def test_sources_and_periods_stand_beside_each_other(desk: Desk) -> None:
    """Two sources add up in one period; another year has its own count."""
    ann = desk.enroll("ANN")
    desk.record(ann, "v1")
    desk.record(ann, "v0", on="2025-05-05")
    desk.drain()
    code, *_ = _load(desk, _line(3, 1), _line(4, 1, source="former-plan"), _line(9, 2, on="2025-03-03"))
    assert code == 0
    assert desk.used(ann) == [(date(2025, 1, 1), 10, 0), (YEAR, 8, 0)]
    _, _, _ = _load(desk, _line(0, 3))
    assert desk.used(ann)[1] == (YEAR, 5, 0)


def test_other_word_under_a_known_sequence_is_refused(desk: Desk) -> None:
    """A source that says two things under one sequence is told so, and the first stands."""
    ann = desk.enroll("ANN")
    desk.record_many(ann, 1)
    desk.drain()
    _load(desk, _line(5, 1))
    code, out, err = _load(desk, _line(6, 1))
    assert code == 1
    assert "1 refused" in out
    assert "line 2: the source stated something else under this sequence before" in err
    assert desk.used(ann) == [(YEAR, 6, 0)]


def test_refused_lines_are_said_by_number_and_the_others_are_loaded(desk: Desk) -> None:
    """Faults are told without what the line says; good lines between them count."""
    ann = desk.enroll("ANN")
    desk.record_many(ann, 1)
    desk.drain()
    bad = [
        _line(5, 1).replace("2026-02-01", "2026-02-01T10:00:00"),
        _line(5, 1).replace(",5,", ",five,"),
        _line(5, 1).replace(PAYER, "nobody"),
        _line(5, 1).replace("employer", "no-plan"),
        _line(5, 1).replace("dry-needling", "no-limit"),
        _line(5, 1) + ",more",
    ]
    code, out, err = _load(desk, *bad, "", _line(4, 1))
    assert code == 1
    assert out == "opening balances: 1 added, 0 replaced, 0 ignored, 0 repeated, 6 refused\n"
    assert [line.split(":")[0] for line in err.splitlines()] == [f"line {n}" for n in range(2, 8)]
    assert "SAMPLE-ANN" not in err
    assert desk.used(ann) == [(YEAR, 5, 0)]


def test_ndjson_is_read_too(desk: Desk) -> None:
    """One JSON object a line; a number in quotes is no number."""
    ann = desk.enroll("ANN")
    desk.record_many(ann, 1)
    desk.drain()
    fields = dict(zip(HEADER.split(","), _line(5, 1).split(","), strict=True))
    good = json.dumps({**fields, "quantity": 5, "sequence": 1})
    files = {"b.ndjson": f"{good}\n{json.dumps(fields)}\nnonsense\n\n"}
    result = desk.needlecap("load", "opening-balances", str(desk.data_dir / "b.ndjson"), files=files)
    assert result.exit_code == 1
    assert "1 added" in result.stdout
    assert "line 2: quantity: expected a whole number" in result.stderr
    assert "line 3: not JSON" in result.stderr
    assert desk.used(ann) == [(YEAR, 6, 0)]


def test_balance_of_a_merged_member_counts_for_the_one_that_stays(desk: Desk) -> None:
    """Balances join at the merge, and a later statement that names the old id replaces the old one's."""
    old, new = desk.enroll("OLD"), desk.enroll("NEW")
    desk.record_many(new, 1)
    desk.drain()
    _load(desk, _line(5, 1, name="OLD"), _line(3, 1, name="NEW", source="other"))
    assert desk.merge("SAMPLE-OLD", "SAMPLE-NEW").exit_code == 0
    assert desk.used(new) == [(YEAR, 9, 0)]
    _load(desk, _line(2, 2, name="OLD"))
    assert desk.used(new) == [(YEAR, 6, 0)]
    stored, rebuilt = desk.states(old, new)
    assert stored == rebuilt
    assert desk.rebuild(old, new).differing == ()


def test_member_nobody_spoke_of_can_have_a_balance(desk: Desk) -> None:
    """A balance may come before the enrollment; it counts once the member is enrolled."""
    code, out, _ = _load(desk, _line(5, 1, name="EARLY"))
    assert code == 0
    assert "1 added" in out
    early = member("EARLY")
    desk.enroll("EARLY")
    desk.refold(early)
    desk.record_many(early, 1)
    desk.drain()
    assert desk.used(early) == [(YEAR, 6, 0)]
