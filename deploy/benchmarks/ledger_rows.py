"""How fast states are rebuilt: from the ledger of many visits, and from the events of some."""

from __future__ import annotations

import sys
import time

import psycopg

from deploy.benchmarks.commands import output_of
from deploy.benchmarks.dataset import PAYER, PLAN, add_members
from deploy.benchmarks.figures import Figure, Goal, Row
from deploy.benchmarks.plan import Plan
from deploy.benchmarks.stack import CLIENT_ID, Site, Stack, redis_client

REBUILD_SECONDS_MAX = 600
VISITS_OF_EACH = 10

# The ledger alone, as weekly visits that were all counted leave it. The accumulators are what is lost; the
# hashes are as long as real ones and chain nothing, since a rebuild from the ledger does not read them.
_LEDGER = """
insert into ledger_entry (payer_id, member_id, entry_no, plan_id, limit_id, basis, period_start, period_end,
                          subject, version, client_id, visit_id, service_date, used_delta, held_delta,
                          used_after, held_after, allowed, cause_kind, cause_id, recorded_at, hash)
select m.payer_id, m.member_id, n, %(plan)s, 'dry-needling', 'plan_year', '2026-01-01', '2027-01-01', '', n,
       %(client)s, 'visit-' || m.member_id || '-' || n, date '2026-01-05' + 7 * (n - 1), 1, 0, n, 0, 20,
       'visit.recorded', 'event-' || m.member_id || '-' || n, now(),
       decode(md5(m.member_id || n) || md5(n || m.member_id), 'hex')
  from member m cross join generate_series(1, %(visits)s) as n
 where m.payer_id = %(payer)s
"""
_HEADS = "update member set version = %(visits)s, ledger_entries = %(visits)s where payer_id = %(payer)s"


class NotRebuilt(Exception):
    """A rebuild did not bring back every count."""


def add_ledger(database_url: str, visits: int) -> None:
    """Put the ledger of `visits` visits, ten of each member, into a database that has nothing."""
    add_members(database_url, visits // VISITS_OF_EACH)
    given = {"payer": PAYER, "plan": PLAN, "client": CLIENT_ID, "visits": VISITS_OF_EACH}
    with psycopg.connect(database_url) as connection:
        connection.execute(_HEADS, given)
        connection.execute(_LEDGER, given)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")


def measure_restore(stack: Stack, site: Site, plan: Plan) -> Row:
    """Visits per second of which `needlecap rebuild --from-ledger` brings back accumulators and counters.

    The database has the ledger, Redis nothing. Raises NotRebuilt if anything is missing afterwards.
    """
    members = plan.ledger_visits // VISITS_OF_EACH
    seconds = _rebuild(stack, site, "--from-ledger")
    with psycopg.connect(site.database_url) as connection:
        found = connection.execute("select count(*), coalesce(sum(used), 0) from accumulator").fetchone()
    with redis_client(site.redis_url) as client:
        shown = client.dbsize()
    if found != (members, plan.ledger_visits) or shown != members:
        raise NotRebuilt(f"{found and found[0]} accumulators and {shown} counters of {members}")
    return Row(
        what=f"rebuild of accumulators and counters from the ledger of {plan.ledger_visits:,} visits",
        unit="visits/s",
        figure=Figure((plan.ledger_visits / seconds,)),
        goal=Goal(target=50_000, stretch=150_000, at_least=True, unit="/s"),
        note="`rebuild --from-ledger`, its start included; every accumulator and every counter was gone",
    )


def measure_refold(stack: Stack, site: Site) -> Row:
    """Visits per second that `needlecap rebuild` folds anew from their events, with everything they move."""
    with psycopg.connect(site.database_url) as connection:
        row = connection.execute("select count(*) from visit").fetchone()
    visits = int(row[0]) if row else 0
    return Row(
        what=f"full refold of {visits:,} visits from their events",
        unit="visits/s",
        figure=Figure((visits / _rebuild(stack, site),)),
        note="the command's start and the check of every visit against its events included",
    )


def _rebuild(stack: Stack, site: Site, *options: str) -> float:
    """Seconds that `needlecap rebuild` takes, from its start to its end."""
    environment = {
        **stack.environment,
        "DATABASE_URL": site.database_url,
        "REDIS_URL": site.redis_url,
        "NEEDLECAP_HASH_KEY": site.hash_key.hex(),
    }
    began = time.perf_counter()
    output_of(
        (sys.executable, "-m", "services.operator_cli.main", "rebuild", *options),
        stack.cores.both,
        seconds_max=REBUILD_SECONDS_MAX,
        environment=environment,
    )
    return time.perf_counter() - began
