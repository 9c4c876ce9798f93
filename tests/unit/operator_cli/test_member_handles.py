"""How members are spoken of on a terminal."""

from __future__ import annotations

from services.operator_cli.member_handles import handle_of, shown
from shared.domain.records import MemberRef

ANN = MemberRef(payer_id="p", member_id="SAMPLE-ANN")


def test_handle_tells_members_apart_and_nobody_who_they_are() -> None:
    """Another member, payer or installation has another handle; the id is not in it."""
    key, other_key = bytes(32), bytes([1]) * 32
    handles = {
        handle_of(key, ANN),
        handle_of(key, MemberRef(payer_id="p", member_id="SAMPLE-BEN")),
        handle_of(key, MemberRef(payer_id="q", member_id="SAMPLE-ANN")),
        handle_of(other_key, ANN),
    }
    assert len(handles) == 4
    assert all(len(handle) == 12 and "SAMPLE" not in handle for handle in handles)
    assert handle_of(key, ANN) == handle_of(key, ANN)


def test_ids_are_shown_to_those_who_ask() -> None:
    """The operator chooses."""
    assert shown(bytes(32), ANN, show_members=True) == "SAMPLE-ANN"
    assert shown(bytes(32), ANN, show_members=False) == handle_of(bytes(32), ANN)
