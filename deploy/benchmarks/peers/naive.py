"""What the naive design does for an event: a capped upsert and a ledger row, in one statement."""

from __future__ import annotations

TABLES = """
drop table if exists naive_ledger, naive_counter;
create table naive_counter (member integer primary key, used integer not null, allowed integer not null);
create table naive_ledger (
    entry bigint generated always as identity primary key,
    member integer not null,
    used_after integer not null,
    recorded_at timestamptz not null default clock_timestamp()
);
"""

_STATEMENT = """
with counted as (
    insert into naive_counter as c (member, used, allowed) values ({member}, 1, 20)
    on conflict (member) do update set used = c.used + 1 where c.used < c.allowed
    returning member, used
)
insert into naive_ledger (member, used_after) select member, used from counted
"""

RECORD = _STATEMENT.format(member="%(member)s")


def pgbench_script(members: int) -> str:
    """The same as a pgbench script over members drawn evenly."""
    return f"\\set member random(1, {members})\n{_STATEMENT.format(member=':member').strip()};\n"
