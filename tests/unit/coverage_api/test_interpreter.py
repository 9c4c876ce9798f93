"""How soon a thread that works without end hands the interpreter on."""

from __future__ import annotations

import sys

import pytest

from services.coverage_api.interpreter import HandedOnSooner


def test_interpreter_is_handed_on_sooner_until_the_last_has_left() -> None:
    """Two may overlap, and one may fail: afterwards it is as it was."""
    usual = sys.getswitchinterval()
    sooner = HandedOnSooner(usual / 5)
    with sooner:
        with pytest.raises(ValueError, match="broken"), sooner:
            raise ValueError("broken")
        assert sys.getswitchinterval() == pytest.approx(usual / 5)
    assert sys.getswitchinterval() == pytest.approx(usual)
