"""Handles of members that tell nobody who they are (contract I8): keyed digests, one for each use."""

from __future__ import annotations

import hashlib

from shared.domain.records import MemberRef


def member_digest(hash_key: bytes, ref: MemberRef, *, use: bytes, size: int) -> bytes:
    """`size` bytes that name a member: a blake2b keyed with the installation's hash key.

    `use` says what for, so that what one part of the service names members by tells nothing to another.
    """
    return hashlib.blake2b(
        f"{ref.payer_id}\x00{ref.member_id}".encode(), digest_size=size, key=hash_key, person=use
    ).digest()
