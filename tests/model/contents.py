"""What a visit says, in the model's words."""

from __future__ import annotations

from datetime import date
from typing import Any

from tests.model.coverage import Row


def content(member: str, on: date, **said: Any) -> Row:
    """A completed visit of a member with one needling line; `said` replaces what is plain about it."""
    plain = {
        "member": member,
        "date": on,
        "lines": [line("20560")],
        "npi": None,
        "state": "WI",
        "network": None,
        "authorization": None,
        "injury": None,
        "self_pay": False,
        "status": "completed",
        "hold": None,
    }
    return {**plain, **said}


def line(code: str, quantity: int = 1, modifiers: list[str] | None = None) -> Row:
    """A service line without diagnoses."""
    return {"code": code, "quantity": quantity, "modifiers": modifiers or [], "diagnoses": []}
