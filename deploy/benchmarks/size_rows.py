"""Whether a large database is slower than a small one."""

from __future__ import annotations

from deploy.benchmarks.dataset import Visits, checks, generator
from deploy.benchmarks.figures import Figure, Goal, Row
from deploy.benchmarks.http_rows import CHECK_BODIES, CHECKS
from deploy.benchmarks.inbox_rows import drain_backlog, send_stream
from deploy.benchmarks.load import Load, Target, drive
from deploy.benchmarks.plan import Plan
from deploy.benchmarks.stack import Site, Stack

_AS_FAST = Goal(target=0.9, stretch=1.0, at_least=True)


def measure_checks_by_size(stack: Stack, small: Site, large: Site, plan: Plan) -> tuple[Figure, Figure]:
    """Checks per second on the small and the large database, by turns. Both APIs run, one at work.

    Each asks about members drawn evenly from all of its own.
    """
    rates: dict[str, list[float]] = {small.name: [], large.name: []}
    sizes = {small.name: plan.members, large.name: plan.large_members}
    for number in range(-1, plan.rounds):
        for site in (small, large):
            asked = checks(sizes[site.name], CHECK_BODIES, seed=number)
            target = Target(port=site.api_port, path=CHECKS, key=site.key, expected=201)
            warming = number < 0
            load = Load(seconds=plan.warm_up_seconds if warming else plan.run_seconds, warming=warming)
            answers = drive(target, asked, load, stack.cores)
            if number >= 0:
                rates[site.name].append(answers.per_second)
    return Figure(tuple(rates[small.name])), Figure(tuple(rates[large.name]))


def measure_drains_by_size(
    stack: Stack, small: Site, large: Site, plan: Plan, visits: dict[str, Visits]
) -> tuple[Figure, Figure]:
    """Events per second drained in the small and the large database, by turns.

    The events are of equally many members in both, of whom each drain draws half: as many as the small one
    has, in the large one drawn evenly from all there are. So members come again equally often.
    """
    rates: dict[str, list[float]] = {small.name: [], large.name: []}
    sizes = {small.name: plan.members, large.name: plan.large_members}
    coming = {name: generator(999).sample(range(size), plan.members) for name, size in sizes.items()}
    for number in range(plan.rounds):
        for site in (small, large):
            draw = generator(1000 + number)
            members = draw.sample(coming[site.name], plan.members // 2)
            chosen = [draw.choice(members) for _ in range(plan.bulk_events)]
            send_stream(stack, site, visits[site.name].of_each(chosen))
            rates[site.name].append(drain_backlog(stack, site, len(chosen)))
    return Figure(tuple(rates[small.name])), Figure(tuple(rates[large.name]))


def size_rows(plan: Plan, checks: tuple[Figure, Figure], drains: tuple[Figure, Figure]) -> list[Row]:
    """Their lines of the table."""
    few, many = f"{plan.members:,} members", f"{plan.large_members:,} members"
    return [
        Row(
            what=f"check with {many}",
            unit="req/s",
            figure=checks[1],
            floor=checks[0],
            floor_name=few,
            goal=_AS_FAST,
        ),
        Row(
            what=f"drain with {many}",
            unit="events/s",
            figure=drains[1],
            floor=drains[0],
            floor_name=few,
            goal=_AS_FAST,
        ),
    ]
