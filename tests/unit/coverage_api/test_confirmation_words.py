"""The written confirmation has words for everything that an answer can say."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from services.coverage_api import confirmation_words as words
from services.coverage_api.confirmation import in_words, moment_in_words
from services.coverage_api.schemas.service import EligibilityCheckSchema
from shared.domain.evaluation import AUTHORITIES, DECISIONS, REQUIREMENTS
from shared.domain.limit import BASES, MEASURES
from shared.domain.predicate_tests import LISTS, NUMBERS, SCALARS


def test_every_code_has_words() -> None:
    """A decision, authority, requirement, measure or basis added later cannot be forgotten here."""
    assert set(words.DECISIONS) == set(DECISIONS)
    assert set(words.AUTHORITIES) == set(AUTHORITIES)
    assert set(words.REQUIREMENTS) == set(REQUIREMENTS)
    assert set(words.MEASURES) == set(MEASURES)
    assert set(words.BASES) == set(BASES)


def test_every_input_a_rule_can_ask_for_has_words() -> None:
    """What can be named as missing is named so that a person knows what to say."""
    asked = {path for _, path in (*SCALARS.values(), *LISTS.values(), *NUMBERS.values()) if path}
    assert asked - {"attributes"} <= set(words.INPUTS)


def test_everything_a_check_can_say_has_words() -> None:
    """A field added to the request is shown on the page."""
    shown = {re.split(r"[.\[]", path)[0] for path in words.INPUTS}
    assert set(EligibilityCheckSchema().fields) - {"payer_id", "member_id", "service_date"} == shown


def test_dates_are_written_out() -> None:
    """Dates as people in the country of these rules write them; instants with their zone."""
    assert in_words("2026-03-04") == "March 4, 2026"
    assert in_words(date(2028, 2, 29)) == "February 29, 2028"
    assert in_words(None) == "open"
    assert moment_in_words(datetime(2026, 3, 4, 15, 4, 5, tzinfo=UTC)) == "March 4, 2026, 15:04:05 UTC"


def test_texts_begin_with_a_capital() -> None:
    """A text becomes a sentence without losing its other capitals; codes become words."""
    assert words.sentence("not by CMS") == "Not by CMS"
    assert words.sentence("") == ""
    assert words.spaced("physical_therapist") == "physical therapist"
    assert words.input_words("somewhere.new") == "somewhere.new"
