"""Names of counters tell nothing and collide with nothing."""

from __future__ import annotations

import re

from shared.adapters.redis.keys import counter_key
from shared.domain.records import MemberRef
from tests.counter_images import HASH_KEY


def test_key_shows_only_a_hash_between_cluster_braces() -> None:
    """A key is our prefix and twenty characters of hash as its hash tag."""
    key = counter_key(HASH_KEY, MemberRef(payer_id="security-health-plan", member_id="SAMPLE-100"))
    assert re.fullmatch(r"nc:\{[A-Za-z0-9_-]{20}\}", key)


def test_key_depends_on_installation_payer_and_member() -> None:
    """Another installation's key, another payer and another member all give other keys."""
    refs = [
        MemberRef(payer_id="a", member_id="bc"),
        MemberRef(payer_id="ab", member_id="c"),
        MemberRef(payer_id="a", member_id="bd"),
    ]
    keys = {counter_key(secret, ref) for secret in (HASH_KEY, HASH_KEY[::-1]) for ref in refs}
    assert len(keys) == 6


def test_key_of_a_member_never_changes() -> None:
    """The name is part of what is stored: whoever changes it orphans every counter."""
    ref = MemberRef(payer_id="security-health-plan", member_id="SAMPLE-100")
    assert counter_key(HASH_KEY, ref) == "nc:{1g_G_iRG_UaqmdJuC_hY}"
