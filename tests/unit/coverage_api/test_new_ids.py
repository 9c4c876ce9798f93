"""New ids: ULIDs, each another, sorted by the time they were made."""

from __future__ import annotations

import os
import time

from ulid import ULID

from services.coverage_api.new_ids import NewIds


def test_ids_are_ulids_of_now_and_none_comes_twice() -> None:
    """More of them than are drawn at once, each with the instant in which it was made."""
    new_id = NewIds(os.urandom)
    before = time.time_ns() // 1_000_000
    ids = [new_id("chk") for _ in range(1_000)]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == len(ids)
    for made in ids:
        assert made.startswith("chk_")
        assert before <= ULID.from_str(made.removeprefix("chk_")).milliseconds <= after


def test_all_random_bits_of_an_id_are_drawn() -> None:
    """Five bits of each byte, as the specification's letters have them."""
    new_id = NewIds(lambda count: bytes(number % 256 for number in range(count)))
    assert {new_id("chk")[-16:] for _ in range(16)} == {"0123456789ABCDEF", "GHJKMNPQRSTVWXYZ"}
