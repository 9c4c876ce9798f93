"""What a catalog that does not run yet would change: members folded with both, and nothing written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shared.domain.adjudication import adjudicate
from shared.domain.history import Rules
from shared.domain.records import MemberRef
from shared.domain.rule_effects import MemberEffect, effect_of
from shared.ports import Transaction


def preview(
    tx: Transaction, running: Rules, candidate: Rules, refs: Sequence[MemberRef]
) -> Iterator[MemberEffect]:
    """What `candidate` in the place of `running` would change of these members; those it leaves are absent.

    Both answers are folds from nothing, so that what waits to be folded again is not taken for a change.
    """
    for stored in tx.books.read(refs).values():
        history = stored.history
        effect = effect_of(history, adjudicate(history, running), adjudicate(history, candidate))
        if effect:
            yield effect
