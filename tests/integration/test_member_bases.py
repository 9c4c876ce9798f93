"""How what a check needs of members is found."""

from __future__ import annotations

import re

import psycopg
import pytest

from shared.adapters.postgres import database
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
        plan = plan_of(connection, statement)
    for table in TABLES:
        scans = scans_of(table, plan)
        assert scans, (table, plan)
        assert all("payer_id = k.payer_id" in scan and "member_id" in scan for scan in scans), scans
    waiting = re.findall(rf"Index Scan (?:using|on) {BY_MEMBER} .*\n\s+Index Cond: (.*)", plan)
    assert waiting
    assert plan.count("visit_event_waiting e") == len(waiting)
    assert all("member_id = " in scan for scan in waiting)


@pytest.mark.parametrize("statement", [_BASES, _FAMILY_BASES], ids=["alone", "family"])
def test_visits_are_found_by_the_whole_key_even_if_analysed_while_there_were_none(
    database_url: str, statement: Statement
) -> None:
    """A plan that was made then is kept while visits come: it must not read all of a payer's."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("vacuum analyze visit")
        scans = scans_of("visit v", plan_of(connection, statement))
    # The dates of visits near the days asked about, and what was done on those days.
    assert len(scans) == 2
    assert all("member_id = " in scan and "service_date" in scan for scan in scans), scans


def plan_of(connection: psycopg.Connection, statement: Statement) -> str:
    """How the server runs a statement that it has planned for values in general."""
    for setting in database._SETTINGS:
        connection.execute(setting)
    lines = connection.execute(b"explain (generic_plan) " + statement.text).fetchall()
    return "\n".join(line for (line,) in lines)


def scans_of(table: str, plan: str) -> list[str]:
    """By which part of its index each look into a table finds its rows."""
    return re.findall(rf"Scan using \w+ on {table}(?:_\d+)? .*\n\s+Index Cond: (.*)", plan)
