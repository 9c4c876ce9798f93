"""Adjudication and the reference model, over worlds that nobody thought of."""

from __future__ import annotations

from hypothesis import given

from shared.domain.adjudication import adjudicate
from tests.model.bridge import Row, asked_of, history_of, members_of, told_of
from tests.model.reference import reference
from tests.model.running import searching
from tests.model.worlds import worlds
from tests.rules import SimpleRules


@searching(40)
@given(worlds())
def test_adjudication_says_what_the_reference_model_says(world: Row) -> None:
    """Dispositions, units, holds and accumulators are those of the independent model."""
    rules = SimpleRules(world["rules"])
    states = {member: adjudicate(history_of(world, member), rules) for member in members_of(world)}
    told, asked = told_of(states), asked_of(reference(world))
    unattributed = asked["visits"].keys() - told["visits"].keys()
    assert all(asked["visits"].pop(key)["disposition"] == "not_countable" for key in unattributed)
    assert told == asked
