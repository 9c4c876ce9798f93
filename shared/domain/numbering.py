"""A visit's place among those counted before it, for rules that ask for it (contract section 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from shared.domain.accumulator import AccumulatorKey
from shared.domain.history import Rules
from shared.domain.limit import Limit
from shared.domain.qualification import Candidate, settle
from shared.domain.tallies import Tallies


def numbered(rules: Rules, tallies: Tallies, candidate: Candidate, *, asked_only: bool = False) -> Candidate:
    """The candidate asked again with its place, where a rule speaks of visit numbers or first visits.

    `tallies` hold what is counted before its turn. The place is that in every limit that the rules ask
    about, also one that the visit does not feed itself: needling may be covered only after so many visits
    of other therapy. A service that is `asked_only` is numbered by the place it would have in its limit's
    order. One dated before the first visit is itself the first.
    """
    content, situation = candidate.visit.content, candidate.situation
    if candidate.evaluation is None or situation is None or content is None:
        return candidate
    on = content.service.service_date
    numbers, first_dates = [], []
    for limit, key in _limits_asked(rules, tallies, candidate):
        up_to = on if asked_only and limit.ordering == "service_date" else None
        tally = tallies.asked(key, limit)
        numbers.append((limit.limit_id, tally.number_of_next(up_to=up_to)))
        if limit.dated and tally.first_on is not None:
            first_dates.append((limit.limit_id, min(tally.first_on, on)))
    if all(number == 1 for _, number in numbers) and not first_dates:
        # What it was asked as already.
        return candidate
    situation = replace(situation, visit_numbers=tuple(numbers), first_visit_dates=tuple(first_dates))
    evaluation = rules.evaluate(situation)
    verdict = settle(evaluation)
    return replace(
        candidate,
        situation=situation,
        evaluation=evaluation,
        disposition=verdict[0] if verdict else None,
        reasons=verdict[1] if verdict else (),
    )


def may_follow_later_dates(rules: Rules, candidate: Candidate) -> bool:
    """Whether a candidate is asked for its place in a limit that is ordered by service date.

    Its place then depends on visits that may come before it and have their turn behind it.
    """
    plan, situation, evaluation = candidate.plan, candidate.situation, candidate.evaluation
    if plan is None or situation is None or evaluation is None or not evaluation.uses_visit_number:
        return False
    limits = rules.limits_on(situation.payer_id, plan, situation.service.service_date)
    return any(limit.ordering == "service_date" for limit, _ in limits)


def _limits_asked(
    rules: Rules, tallies: Tallies, candidate: Candidate
) -> Iterator[tuple[Limit, AccumulatorKey]]:
    """The limits that the visit claims, then those that it does not and the rules ask about all the same."""
    evaluation, situation, plan = candidate.evaluation, candidate.situation, candidate.plan
    if evaluation is None or situation is None or plan is None or not evaluation.uses_visit_number:
        return
    for claim, key in tallies.claims_of(candidate):
        yield claim.limit, key
    others = set(evaluation.numbered_by) - {claim.limit.limit_id for claim in evaluation.claims}
    if not others:
        return
    service = situation.service
    for limit, _ in rules.limits_on(situation.payer_id, plan, service.service_date):
        found = tallies.key_of(limit, plan, service) if limit.limit_id in others else None
        if found is not None:
            yield limit, found
