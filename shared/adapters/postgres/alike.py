"""Documents of which many are alike, written and sent once each.

What became of visits differs little: a batch of a thousand has a few dozen outcomes. Writing one down and
reading it back as JSON takes either side longer than the rest of its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from shared.adapters.postgres.arrays import Integers, Texts

T = TypeVar("T")


def written_once(
    owned: Iterable[tuple[str | None, T]], write: Callable[[T], bytes]
) -> tuple[Integers, Texts, Texts]:
    """The place, from 1, of each document with its owner, and the owners and texts, side by side.

    No two of these pairs are equal. `write` makes the JSON of a document; it is called once for each
    object, so they must stay as they are.
    """
    place_of: dict[tuple[str | None, int], int] = {}
    pairs: dict[tuple[str | None, bytes], int] = {}
    places = Integers()
    kept = []
    for owner, document in owned:
        name = (owner, id(document))
        place = place_of.get(name)
        if place is None:
            # A document is kept as long as its id stands for it.
            kept.append(document)
            place = place_of[name] = pairs.setdefault((owner, write(document)), len(pairs) + 1)
        places.append(place)
    return places, Texts([owner for owner, _ in pairs]), Texts([text.decode() for _, text in pairs])
