"""How a terminal speaks of members: by a keyed hash, or by their ids where the operator asks for them."""

from __future__ import annotations

import base64

from shared.domain.member_digest import member_digest
from shared.domain.records import MemberRef

# A multiple of three, so that base64 needs no padding.
_DIGEST_BYTES = 9


def handle_of(hash_key: bytes, ref: MemberRef) -> str:
    """Twelve letters that name a member in this installation and tell nobody who it is (I8)."""
    digest = member_digest(hash_key, ref, use=b"operator", size=_DIGEST_BYTES)
    return base64.urlsafe_b64encode(digest).decode()


def shown(hash_key: bytes, ref: MemberRef, *, show_members: bool) -> str:
    """A member as an operator sees it."""
    return ref.member_id if show_members else handle_of(hash_key, ref)
