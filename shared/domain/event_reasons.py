"""What a receipt says of an event that did less than its type promises, beside its visit's reasons."""

from __future__ import annotations

from shared.domain.evaluation import Reason
from shared.domain.visit import Visit, VisitEvent

_EXISTS = Reason(
    code="visit_exists", text="a visit with this id was recorded before; correct or void that one"
)
_EXISTS_VOIDED = Reason(
    code="visit_exists",
    text="a visit with this id was recorded before and voided, for good; give the new visit an id of its own",
)
_VOIDED_BEFORE = Reason(
    code="no_effect", text="the visit was voided already, for good, so this event changed nothing"
)
_VOID_CAME_FIRST = Reason(
    code="no_effect", text="the visit was voided before it was recorded, for good, so nothing is counted"
)
_CORRECTED_LATER = Reason(
    code="no_effect", text="a correction that arrived later was applied already, and that one stands"
)
_CORRECTION_CAME_FIRST = Reason(
    code="correction_stands",
    text="a correction of this visit was applied already; what it says stands, not what this event says",
)


def why_rejected(visit: Visit) -> Reason:
    """Why a second `visit.recorded` of a visit is rejected, and what to do instead."""
    return _EXISTS_VOIDED if visit.voided else _EXISTS


def why_without_effect(event: VisitEvent, visit: Visit) -> tuple[Reason, ...]:
    """What to add to the receipt of an applied event; `visit` is how it stands with the event.

    Of events that arrive out of turn the last correction and the first void take effect (contract
    section 4), whichever is applied first.
    """
    if event.type == "visit.voided":
        return () if visit.voided_by == event.arrival else (_VOIDED_BEFORE,)
    if event.type == "visit.corrected":
        if visit.corrected_by == event.arrival:
            return ()
        return (_VOIDED_BEFORE,) if visit.voided else (_CORRECTED_LATER,)
    if visit.voided:
        return (_VOID_CAME_FIRST,)
    return (_CORRECTION_CAME_FIRST,) if visit.corrected_by is not None else ()
