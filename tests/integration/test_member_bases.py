"""How what a check needs of members is found."""

from __future__ import annotations

import re

import psycopg
import pytest

from shared.adapters.postgres import database
from shared.adapters.postgres.arrays import Dates, Texts
from shared.adapters.postgres.member_bases import _BASES, _FAMILY_BASES
from shared.adapters.postgres.trips import Statement

#: Tables that grow with the members, each with the name it has in the statement.
TABLES = ("hold h", "visit v", "enrollment e", "override_grant o", "opening_balance b")
#: The index of the one that is found by the member's name alone, whatever the payer.
BY_MEMBER = "visit_event_waiting_by_member"


@pytest.mark.parametrize("statement", [_BASES, _FAMILY_BASES], ids=["alone", "family"])
def test_rows_of_a_member_are_found_by_the_whole_key(database_url: str, statement: Statement) -> None:
    """Planned while every table is empty, and still no table, and no payer's part of one, is read whole."""
    with psycopg.connect(database_url) as connection:
        for setting in database._SETTINGS:
            connection.execute(setting)
        given = {"payers": Texts(["p"]), "members": Texts(["m"]), "days": Dates([]), "near": Dates([])}
        lines = connection.execute(f"explain {statement.template}", given).fetchall()
    plan = "\n".join(line for (line,) in lines)
    for table in TABLES:
        scans = re.findall(rf"Scan using \w+ on {table}(?:_\d+)? .*\n\s+Index Cond: (.*)", plan)
        assert scans, (table, plan)
        assert all("payer_id = k.payer_id" in scan and "member_id" in scan for scan in scans), scans
    waiting = re.findall(rf"Index Scan (?:using|on) {BY_MEMBER} .*\n\s+Index Cond: (.*)", plan)
    assert waiting
    assert plan.count("visit_event_waiting e") == len(waiting)
    assert all("member_id = " in scan for scan in waiting)
