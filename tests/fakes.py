"""Small stand-ins that tests pass as arguments."""

from __future__ import annotations

from typing import Any

from shared.domain.history import Rules


class FixedRules:
    """A rules source whose rules never change."""

    def __init__(self, rules: Rules) -> None:
        """Always answer with `rules`."""
        self._rules = rules

    def current(self, tx: Any) -> Rules:
        """The fixed rules, whatever the transaction sees."""
        del tx
        return self._rules
