"""A visit's place among those counted before it, for rules that ask for it (contract section 4)."""

from __future__ import annotations

from dataclasses import replace

from shared.domain.history import Rules
from shared.domain.qualification import Candidate, settle
from shared.domain.tallies import Tallies


def numbered(rules: Rules, tallies: Tallies, candidate: Candidate, *, asked_only: bool = False) -> Candidate:
    """The candidate asked again with its place, where a rule speaks of visit numbers or first visits.

    `tallies` hold what is counted before its turn. A service that is `asked_only` is numbered by the
    place it would have in its limit's order. One dated before the first visit is itself the first.
    """
    content = candidate.visit.content
    if candidate.evaluation is None or candidate.situation is None or content is None:
        return candidate
    if not candidate.evaluation.uses_visit_number:
        return candidate
    on = content.service.service_date
    numbers, first_dates = [], []
    for claim, key in tallies.claims_of(candidate):
        limit = claim.limit
        up_to = on if asked_only and limit.ordering == "service_date" else None
        tally = tallies.asked(key, limit)
        numbers.append((limit.limit_id, tally.number_of_next(up_to=up_to)))
        if limit.dated and tally.first_on is not None:
            first_dates.append((limit.limit_id, min(tally.first_on, on)))
    situation = replace(
        candidate.situation, visit_numbers=tuple(numbers), first_visit_dates=tuple(first_dates)
    )
    evaluation = rules.evaluate(situation)
    verdict = settle(evaluation)
    return replace(
        candidate,
        situation=situation,
        evaluation=evaluation,
        disposition=verdict[0] if verdict else None,
        reasons=verdict[1] if verdict else (),
    )
