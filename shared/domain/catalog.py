"""The rule catalog (interface; being filled in)."""

from __future__ import annotations

from dataclasses import dataclass

NEEDLING = frozenset({"20560", "20561"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Rule documents, code list, state scope and payers, immutable once built."""

    version: int = 1

    def is_needling(self, code: str) -> bool:
        """Whether a procedure code is dry needling."""
        return code in NEEDLING
