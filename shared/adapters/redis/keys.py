"""Names of Redis keys. Nothing in them tells who a member is (I8)."""

from __future__ import annotations

import base64

from shared.domain.member_digest import member_digest
from shared.domain.records import MemberRef

#: "Needlecap counter", short since there is one for each member. Changes with the counters' format, so that
#: programs of two formats never read each other's.
_COUNTER_PREFIX = "nc:"

#: A multiple of three, so that base64 needs no padding; 120 bits make a collision a thing of theory.
_DIGEST_BYTES = 15


def counter_key(hash_key: bytes, ref: MemberRef) -> str:
    """The key of a member's counter: `nc:{HASH}`, the hash keyed with the installation's key.

    The braces are Redis Cluster's hash tag: whatever more is kept of a member can lie beside it.
    """
    digest = member_digest(hash_key, ref, use=b"counter", size=_DIGEST_BYTES)
    return f"{_COUNTER_PREFIX}{{{base64.urlsafe_b64encode(digest).decode()}}}"
