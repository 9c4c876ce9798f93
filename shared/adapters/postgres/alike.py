"""Documents of which many are alike, written and sent once each.

What became of visits differs little: a batch of a thousand has a few dozen outcomes. Writing one down and
reading it back as JSON takes either side longer than the rest of its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from shared.adapters.postgres.arrays import Integers, Texts

T = TypeVar("T")


def written_once(documents: Iterable[T], write: Callable[[T], bytes]) -> tuple[Integers, Texts]:
    """The place, from 1, of each document among the texts, and the texts, no two of which are equal.

    `write` makes the JSON of a document; it is called once for each object, so they must stay as they are.
    """
    place_of: dict[int, int] = {}
    texts: dict[bytes, int] = {}
    places = Integers()
    kept = []
    for document in documents:
        place = place_of.get(id(document))
        if place is None:
            # A document is kept as long as its id stands for it.
            kept.append(document)
            place = place_of[id(document)] = texts.setdefault(write(document), len(texts) + 1)
        places.append(place)
    return places, Texts([text.decode() for text in texts])
