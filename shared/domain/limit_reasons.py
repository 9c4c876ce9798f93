"""The reasons that say how a service stands to a limit, in our own words."""

from __future__ import annotations

from shared.domain.evaluation import LimitClaim, Reason
from shared.domain.limit import Limit

_PERIOD_WORDS = {
    "plan_year": "in this plan year",
    "calendar_year": "in this calendar year",
    "contract_year": "in this contract year",
    "enrollment_year": "in this enrollment year",
    "first_service_year": "in the year that opened with the first service",
    "lifetime": "in the member's lifetime",
    "authorization": "under this authorization",
    "injury": "for this injury",
}


def period_words(limit: Limit) -> str:
    """How a sentence names the period of a limit."""
    if limit.basis == "rolling_days":
        return f"within {limit.rolling_days} days"
    return _PERIOD_WORDS[limit.basis]


def counted_within(claim: LimitClaim, allowed: int, own: int = 0) -> Reason:
    """Why a visit was counted. It names no running count, so that a void does not reword later visits.

    `allowed` are the units that all visits share, `own` those it has from an override for it alone.
    """
    period, granted = period_words(claim.limit), _granted(claim.limit, allowed)
    text = f"counted within the {allowed} allowed {period}{granted}"
    if not claim.limit.capped:
        text = f"counted {period}, without a maximum"
    if own:
        text = f"{text} and {own} granted to this visit alone by override"
    return Reason(code="within_limit", text=text, source=claim.source)


def limit_reached(claim: LimitClaim, allowed: int) -> Reason:
    """Why a visit is over a limit; 119 / N362 are the anticipated codes (X12's lists, own wording)."""
    granted = _granted(claim.limit, allowed)
    text = f"the {allowed} allowed {period_words(claim.limit)}{granted} are taken"
    return Reason(code="limit_exhausted", text=text, carc="119", rarc="N362", source=claim.source)


def standing_reason(
    claim: LimitClaim, used: int, held: int, allowed: int | None, *, quantity: int, fitting: int
) -> Reason:
    """How a service that is only asked about stands to a limit, with the counts it rests on.

    `fitting` are the units that would be counted of the `quantity` that it asks for.
    """
    of = "" if allowed is None else f" of {allowed}"
    taken = f"{used} used and {held} held{of}" if held else f"{used}{of} used"
    granted = "" if allowed is None else _granted(claim.limit, allowed)
    left = None if allowed is None else max(0, allowed - used - held)
    beyond = _beyond_counts(claim.limit, left, quantity, fitting)
    text = f"{taken} {period_words(claim.limit)}{granted}{beyond}"
    if not quantity or fitting == quantity:
        return Reason(code="within_limit", text=text, source=claim.source)
    if not fitting:
        return Reason(code="limit_exhausted", text=text, carc="119", rarc="N362", source=claim.source)
    text = f"{text}, which leaves {fitting} of the {quantity} asked for"
    return Reason(code="partly_within_limit", text=text, carc="119", rarc="N362", source=claim.source)


def _beyond_counts(limit: Limit, left: int | None, quantity: int, fitting: int) -> str:
    """What to say where more or less fits than the counts leave, which would read as a mistake."""
    if not quantity:
        return ", this date among them"
    if left is None or fitting == min(quantity, left):
        return ""
    if fitting > left:  # The order is that of service dates.
        return ", and what was counted on later dates makes way"
    return f", and services of later dates take room in the same {limit.rolling_days} days"


def _granted(limit: Limit, allowed: int) -> str:
    """What to say where more is allowed than the document that is cited says: overrides grant the rest."""
    granted = allowed - limit.allowed
    return f" ({granted} of the {allowed} by override)" if granted > 0 else ""
