"""Checks drawn at random, as a client sends them: each field one of a few values, or left out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from tests.unit.rules.builders import ON

#: Texts that are written in several ways, and codes with the same beginning, are here on purpose.
_DIAGNOSES = ("M54.50", "m54.5", "M54.2", "M79.18", "F99", "C50.9", "Z00")
_LABELS = ("Acupuncture license", "dry needling course", "x")
_CHART = ("plan of care", "Dry needling", "referral", "x")
_NUMBERS = ("1234567893", "9000000101", "9000000102")


def generator(seed: int) -> random.Random:
    """Draws that are the same in every run."""
    return random.Random(seed)


def drawn_request(draw: random.Random) -> dict[str, Any]:
    """The body of a check, without the payer and the member, whose service date is near `builders.ON`."""
    on = ON + timedelta(days=draw.randrange(-20, 20))
    return {
        "service_date": on.isoformat(),
        "lines": [_line(draw) for _ in range(draw.choice((1, 1, 2, 3)))],
        "provider": _provider(draw),
        "state": draw.choice((None, "WI", "CA", "TN")),
        "place_of_service": draw.choice((None, "11", "12")),
        "network": draw.choice((None, "in", "out")),
        "clinical": _clinical(draw, on),
        "authorization": _authorization(draw, on),
        "injury_id": draw.choice((None, "I1", "I2")),
        "billing_provider": _provider(draw),
    }


def changed(request: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The same check with one thing drawn anew: a field, or one within it."""
    name = draw.choice(sorted(request))
    old, new = request[name], drawn_request(draw)[name]
    if name == "lines":
        new = [changed_part(old[0], new[0], draw), *old[1:]]
    elif isinstance(old, dict) and isinstance(new, dict):
        new = changed_part(old, new, draw)
    return {**request, name: new}


def changed_part(old: dict[str, Any], new: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """One part of a check with one field of another's."""
    name = draw.choice(sorted(new))
    return {**old, name: new[name]}


def _some(draw: random.Random, of: Sequence[str]) -> list[str]:
    return draw.sample(of, draw.randrange(3))


def _line(draw: random.Random) -> dict[str, Any]:
    return {
        "procedure_code": draw.choice(("20560", "20560", "20561", "97110", "97810")),
        "quantity": draw.choice((1, 2, 3)),
        "modifiers": _some(draw, ("GP", "KX", "59")),
        "diagnosis_codes": _some(draw, _DIAGNOSES),
        "muscles": draw.choice((None, 1, 2, 4)),
    }


def _provider(draw: random.Random) -> dict[str, Any]:
    return {
        "npi": draw.choice((None, *_NUMBERS)),
        "type": draw.choice((None, "physician", "physical_therapist", "chiropractor")),
        "credentials": _some(draw, _LABELS),
    }


def _clinical(draw: random.Random, on: date) -> dict[str, Any]:
    onset_on = on - timedelta(days=draw.choice((-1, 0, 10, 83, 84, 85, 400)))
    return {
        "onset_on": draw.choice((None, onset_on.isoformat(), onset_on.isoformat())),
        "improving": draw.choice((None, True, False)),
        "purpose": draw.choice((None, "active", "maintenance")),
        "related_to": draw.choice((None, [], ["surgery"], ["pregnancy", "surgery"])),
        "documented": _some(draw, _CHART),
    }


def _authorization(draw: random.Random, on: date) -> dict[str, Any] | None:
    near = [None, *((on + timedelta(days=days)).isoformat() for days in (-2, -1, 0, 1, 2))]
    held = {"number": draw.choice(("A1", "A2")), "start": draw.choice(near), "end": draw.choice(near)}
    return draw.choice((None, held, {"number": held["number"]}))
