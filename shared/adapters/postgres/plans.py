"""Plans of payers, and whom a change of one touches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from shared.domain.enrollment import Plan
from shared.messages import shard_of

PLAN_COLUMNS = "payer_id, plan_id, name, funding, market, region, plan_year_start, contract_start, carry_over"


class PostgresPlans:
    """Plans in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def find(self, payer_id: str, plan_id: str) -> tuple[Plan, int] | None:
        """The plan and its version. Whoever is to change it has locked its payer."""
        row = self._connection.execute(
            f"""
            select {PLAN_COLUMNS}, version from plan where payer_id = %(payer_id)s and plan_id = %(plan_id)s
            """,
            {"payer_id": payer_id, "plan_id": plan_id},
        ).fetchone()
        return (plan_from(row[:-1]), int(row[-1])) if row else None

    def insert(self, plan: Plan) -> None:
        """Make a plan; its payer is locked."""
        self._connection.execute(
            f"""
            insert into plan ({PLAN_COLUMNS})
            values (%(payer_id)s, %(plan_id)s, %(name)s, %(funding)s, %(market)s, %(region)s,
                    %(plan_year_start)s, %(contract_start)s, %(carry_over)s)
            """,
            _values(plan),
        )

    def replace(self, plan: Plan) -> None:
        """Replace a plan as a new version of it."""
        self._connection.execute(
            """
            update plan
               set version = version + 1, name = %(name)s, funding = %(funding)s, market = %(market)s,
                   region = %(region)s, plan_year_start = %(plan_year_start)s,
                   contract_start = %(contract_start)s, carry_over = %(carry_over)s
             where payer_id = %(payer_id)s and plan_id = %(plan_id)s
            """,
            _values(plan),
        )

    def request_refolds(self, payer_id: str, plan_id: str) -> set[int]:
        """Have every member ever enrolled in the plan folded again; the shards that have work now."""
        rows = self._connection.execute(
            """
            select distinct member_id from enrollment
             where payer_id = %(payer_id)s and plan_id = %(plan_id)s
            """,
            {"payer_id": payer_id, "plan_id": plan_id},
        )
        members = [member_id for (member_id,) in rows]
        shards = [shard_of(payer_id, member_id) for member_id in members]
        self._connection.execute(
            """
            insert into refold_request (payer_id, member_id, shard, reason, requested_at)
            select p.payer_id, m.member_id, m.shard, 'plan-' || p.plan_id || '-' || p.version,
                   clock_timestamp()
              from unnest(%(members)b::text[], %(shards)b::smallint[]) as m (member_id, shard)
              join plan p on p.payer_id = %(payer_id)s and p.plan_id = %(plan_id)s
             order by m.member_id
            on conflict (payer_id, member_id) do update
               set reason = excluded.reason, requested_at = excluded.requested_at, attempts = 0
            """,
            {"payer_id": payer_id, "plan_id": plan_id, "members": members, "shards": shards},
        )
        return set(shards)


def plan_from(row: Sequence[Any]) -> Plan:
    """The plan of a row with `PLAN_COLUMNS`."""
    payer_id, plan_id, name, funding, market, region, plan_year_start, contract_start, carry_over = row
    return Plan(
        payer_id=payer_id,
        plan_id=plan_id,
        name=name,
        funding=funding,
        market=market,
        region=region,
        plan_year_start=plan_year_start,
        contract_start=contract_start,
        carry_over=carry_over,
    )


def _values(plan: Plan) -> dict[str, Any]:
    return {
        "payer_id": plan.payer_id,
        "plan_id": plan.plan_id,
        "name": plan.name,
        "funding": plan.funding,
        "market": plan.market,
        "region": plan.region,
        "plan_year_start": plan.plan_year_start,
        "contract_start": plan.contract_start,
        "carry_over": plan.carry_over,
    }
