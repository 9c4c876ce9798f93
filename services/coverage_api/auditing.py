"""What the audit trail is told of a call: gathered while it is served, durable before it is answered.

Whoever writes records the call's entry in the same transaction; of every other call, and of what was
refused, the entry is committed before the answer, together with those of other calls.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.coverage_api.deadline import BudgetedStore
from services.coverage_api.gathering import Gathering
from shared.domain.audit import USUAL_PURPOSE, AuditEntry, member_hash
from shared.domain.client import ALL_PAYERS, EVERY_PAYER, Client
from shared.domain.records import MemberRef
from shared.failpoints import Step, around
from shared.ports import Clock, Sent

#: Of different calls, put in one commit.
ENTRIES_AT_ONCE_MAX = 500

#: An entry, with the payers of the transaction that writes it.
_Question = tuple[AuditEntry, tuple[str, ...]]


class CallAudit:
    """One call of a known client, as the trail will tell of it."""

    def __init__(self, *, client: Client, call: str, request_id: str, hash_key: bytes, clock: Clock) -> None:
        """Begin with who calls what; `call` is the name of the call."""
        self.client = client
        self.purpose = USUAL_PURPOSE[client.role]
        self.is_taken = False
        self._call = call
        self.request_id = request_id
        self._hash_key = hash_key
        self._clock = clock
        self._payer_id: str | None = None
        self._member: MemberRef | None = None
        self._refused: dict[tuple[int, str], int] = {}

    def concerns(self, payer_id: str, member_id: str | None = None) -> None:
        """Say whose payer, and which member of it, the call is about. The payer is one the client sees."""
        self._payer_id = payer_id
        self._member = None if member_id is None else MemberRef(payer_id=payer_id, member_id=member_id)

    def entry(
        self, status: int, *, problem: str | None = None, items: int = 1, ref: MemberRef | None = None
    ) -> AuditEntry:
        """The entry of a call that comes to `status`, about `ref` if that is given.

        Whoever takes it records it; of a call whose entry nobody took the dispatcher records one.
        """
        self.is_taken = True
        member = ref or self._member
        return self._made(
            status,
            payer_id=ref.payer_id if ref else self._payer_id,
            hashed=None if member is None else member_hash(self._hash_key, member),
            problem=problem,
            items=items,
        )

    def entry_of_payer(self, status: int, payer_id: str, items: int) -> AuditEntry:
        """The entry of several items of one payer that came to the same."""
        self.is_taken = True
        return self._made(status, payer_id=payer_id, hashed=None, problem=None, items=items)

    def refuse_item(self, status: int, problem: str) -> None:
        """Count an item of a batch or a stream that is refused; whoever answers records all of them."""
        self._refused[status, problem] = self._refused.get((status, problem), 0) + 1

    def refusals(self) -> list[AuditEntry]:
        """An entry for each way in which items were refused. They name no payer: it may not be seen."""
        return [
            self._made(status, payer_id=None, hashed=None, problem=problem, items=items)
            for (status, problem), items in sorted(self._refused.items())
        ]

    def _made(
        self, status: int, *, payer_id: str | None, hashed: bytes | None, problem: str | None, items: int
    ) -> AuditEntry:
        return AuditEntry(
            called_at=self._clock(),
            client_id=self.client.client_id,
            credential=self.client.credential,
            call=self._call,
            request_id=self.request_id,
            purpose=self.purpose,
            payer_id=payer_id,
            member_hash=hashed,
            status=status,
            problem=problem,
            items=items,
        )


class Auditor:
    """Records what no transaction of the call itself has recorded."""

    def __init__(self, store: BudgetedStore, clock: Clock, hash_key: bytes) -> None:
        """`hash_key` is the installation's secret under which members are hashed."""
        self._store = store
        self._clock = clock
        self._hash_key = hash_key
        self._entries: Gathering[_Question, None] = Gathering(
            self._record_all, most=ENTRIES_AT_ONCE_MAX, seconds_left=store.seconds_left
        )

    def begin(self, client: Client, call: str, request_id: str) -> CallAudit:
        """A call that has just been found to be of `client`."""
        return CallAudit(
            client=client, call=call, request_id=request_id, hash_key=self._hash_key, clock=self._clock
        )

    def answered(self, audit: CallAudit, status: int) -> None:
        """Record a call that is about to be answered. Raises StoreUnavailable: then it must not be."""
        own = [] if audit.is_taken else [audit.entry(status)]
        self._record(audit, own + audit.refusals())

    def refused(self, audit: CallAudit, status: int, problem: str) -> None:
        """Record a call that is about to be refused. Raises StoreUnavailable."""
        self._record(audit, [audit.entry(status, problem=problem), *audit.refusals()])

    def _record(self, audit: CallAudit, entries: Sequence[AuditEntry]) -> None:
        self._entries.ask([(entry, audit.client.payers) for entry in entries])

    def _record_all(self, questions: Sequence[_Question], sent: Sent) -> list[None]:
        payers = {
            payer
            for entry, granted in questions
            # A token may have outlived what it was asked for; this transaction only adds rows.
            for payer in ((entry.payer_id,) if entry.payer_id is not None else granted or EVERY_PAYER)
        }
        with self._store.transaction(EVERY_PAYER if ALL_PAYERS in payers else sorted(payers)) as tx:
            tx.audit.record([entry for entry, _ in questions])
            with around(Step.AUDIT_COMMIT):
                tx.commit(sent)
        return [None] * len(questions)
