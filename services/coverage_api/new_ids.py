"""Ids of what this process records: a ULID each, drawn many at once, since each check waits for its own."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from ulid import base32

#: The letter for each byte, by five of its bits: Crockford's base 32 (https://github.com/ulid/spec).
_LETTERS = bytes(base32.ENCODE.encode()[byte % 32] for byte in range(256))

#: Letters of an id after those of its instant, and so random bytes for it.
_RANDOM_LETTERS = 16
_IDS_AT_ONCE = 256


class NewIds:
    """Makes ids that sort by the millisecond in which they were made. Shared by threads."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        """Draw from `random_bytes`, such as `os.urandom`: each draw lets go of the interpreter."""
        self._random_bytes = random_bytes
        self._drawn: list[str] = []

    def __call__(self, prefix: str) -> str:
        """A new id, such as `chk_01J...`."""
        return f"{prefix}_{_instant(time.time_ns() // 1_000_000)}{self._random_letters()}"

    def _random_letters(self) -> str:
        while True:
            try:
                return self._drawn.pop()
            except IndexError:
                letters = self._random_bytes(_RANDOM_LETTERS * _IDS_AT_ONCE).translate(_LETTERS).decode()
                self._drawn.extend(
                    letters[start : start + _RANDOM_LETTERS]
                    for start in range(0, len(letters), _RANDOM_LETTERS)
                )


@functools.lru_cache(maxsize=4)
def _instant(milliseconds: int) -> str:
    """The ten letters of an instant."""
    return base32.encode_timestamp(milliseconds.to_bytes(6, "big"))
