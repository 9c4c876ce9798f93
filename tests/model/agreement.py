"""Whether what a check answers is what the next visit meets."""

from __future__ import annotations

from shared.domain.determination import Determination


def agree(said: Determination, disposition: str) -> bool:
    """Whether an answer and the disposition of a visit recorded right after it tell the same."""
    if not said.evaluation.claims:
        return disposition in {"not_covered", "not_countable"}
    if len(said.limits) < len(said.evaluation.claims):
        return disposition == "not_countable"
    if any(limit.exhausted for limit in said.limits):
        return disposition == "over_limit"
    is_short = any(reason.code == "partly_within_limit" for reason in said.reasons)
    return disposition == ("partially_counted" if is_short else "counted")
