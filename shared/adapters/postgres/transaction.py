"""One transaction and the repositories that work in it. Repositories never commit."""

from __future__ import annotations

from functools import cached_property

from shared.adapters.postgres.audit import PostgresAudit
from shared.adapters.postgres.bulk_inbox import PostgresBulkInbox
from shared.adapters.postgres.catalog import PostgresCatalog
from shared.adapters.postgres.clients import PostgresClients
from shared.adapters.postgres.dead_letters import PostgresDeadLetters
from shared.adapters.postgres.determinations import PostgresDeterminations, TextsKept
from shared.adapters.postgres.duplicates import PostgresDuplicates
from shared.adapters.postgres.enrollments import PostgresEnrollments
from shared.adapters.postgres.holds import PostgresHolds, PostgresOverrides
from shared.adapters.postgres.inbox import PostgresInbox
from shared.adapters.postgres.ledger import PostgresLedger
from shared.adapters.postgres.member_books import PostgresMemberBooks
from shared.adapters.postgres.merges import PostgresMerges
from shared.adapters.postgres.opening_balances import PostgresOpeningBalances
from shared.adapters.postgres.outbox import PostgresOutbox
from shared.adapters.postgres.past import PostgresPast
from shared.adapters.postgres.payers import PostgresPayers
from shared.adapters.postgres.period_reports import PostgresPeriodReports
from shared.adapters.postgres.plans import PostgresPlans
from shared.adapters.postgres.rebuilding import PostgresRebuilding
from shared.adapters.postgres.receipts import PostgresReceipts
from shared.adapters.postgres.rule_effects import PostgresRuleEffects
from shared.adapters.postgres.standing import PostgresStanding
from shared.adapters.postgres.trips import Connection, Trips
from shared.adapters.postgres.visit_listing import PostgresVisitListing
from shared.adapters.postgres.worker_jobs import PostgresWorkerJobs
from shared.ports import Sent, nobody_waits


class PostgresTransaction:
    """The repositories of one open transaction, each made when first asked for."""

    def __init__(
        self, connection: Connection, trips: Trips, texts_kept: TextsKept, *, payers: tuple[str, ...]
    ) -> None:
        """Work on `connection`, on behalf of a caller who sees `payers`; `trips` go on it too.

        `texts_kept` is what was learned of the database in transactions before.
        """
        self._connection = connection
        self._trips = trips
        self._texts_kept = texts_kept
        self.payers = payers

    def commit(self, sent: Sent = nobody_waits) -> None:
        """Make everything done so far durable. Without it, leaving the block takes it all back.

        `sent` is called when only the server is waited for.
        """
        self._trips.commit(sent)

    @cached_property
    def audit(self) -> PostgresAudit:
        """The audit trail."""
        return PostgresAudit(self._connection, self._trips)

    @cached_property
    def inbox(self) -> PostgresInbox:
        """Visit events: accepted, pending, applied."""
        return PostgresInbox(self._connection, self._trips)

    @cached_property
    def books(self) -> PostgresMemberBooks:
        """Members' histories and states."""
        return PostgresMemberBooks(self._connection, self._trips)

    @cached_property
    def holds(self) -> PostgresHolds:
        """Holds."""
        return PostgresHolds(self._connection)

    @cached_property
    def catalog(self) -> PostgresCatalog:
        """The rule catalog."""
        return PostgresCatalog(self._connection, self._trips)

    @cached_property
    def overrides(self) -> PostgresOverrides:
        """Overrides."""
        return PostgresOverrides(self._connection)

    @cached_property
    def clients(self) -> PostgresClients:
        """The systems that may call."""
        return PostgresClients(self._connection, self._trips)

    @cached_property
    def known_payers(self) -> PostgresPayers:
        """The payers there are."""
        return PostgresPayers(self._connection)

    @cached_property
    def plans(self) -> PostgresPlans:
        """Plans of payers."""
        return PostgresPlans(self._connection)

    @cached_property
    def enrollments(self) -> PostgresEnrollments:
        """Members' enrollments."""
        return PostgresEnrollments(self._connection)

    @cached_property
    def receipts(self) -> PostgresReceipts:
        """Receipts of accepted events."""
        return PostgresReceipts(self._connection)

    @cached_property
    def determinations(self) -> PostgresDeterminations:
        """Recorded answers."""
        return PostgresDeterminations(self._connection, self._trips, self._texts_kept)

    @cached_property
    def standing(self) -> PostgresStanding:
        """Counts of events and of what waits."""
        return PostgresStanding(self._connection)

    @cached_property
    def outbox(self) -> PostgresOutbox:
        """Counters to project."""
        return PostgresOutbox(self._connection, self._trips)

    @cached_property
    def jobs(self) -> PostgresWorkerJobs:
        """The worker's jobs."""
        return PostgresWorkerJobs(self._connection)

    @cached_property
    def visits(self) -> PostgresVisitListing:
        """Visits, as those see them who must explain a count."""
        return PostgresVisitListing(self._connection)

    @cached_property
    def bulk_inbox(self) -> PostgresBulkInbox:
        """Visit events by the thousand."""
        return PostgresBulkInbox(self._connection)

    @cached_property
    def rebuilding(self) -> PostgresRebuilding:
        """What states are rebuilt from."""
        return PostgresRebuilding(self._connection, self._trips)

    @cached_property
    def ledger(self) -> PostgresLedger:
        """The ledger, to be checked."""
        return PostgresLedger(self._connection)

    @cached_property
    def dead_letters(self) -> PostgresDeadLetters:
        """Events that failed too often."""
        return PostgresDeadLetters(self._connection)

    @cached_property
    def duplicates(self) -> PostgresDuplicates:
        """Possible duplicates, and what was decided about them."""
        return PostgresDuplicates(self._connection)

    @cached_property
    def merges(self) -> PostgresMerges:
        """Merges of members."""
        return PostgresMerges(self._connection)

    @cached_property
    def opening_balances(self) -> PostgresOpeningBalances:
        """What members had used elsewhere."""
        return PostgresOpeningBalances(self._connection)

    @cached_property
    def periods(self) -> PostgresPeriodReports:
        """Benefit periods, and what was reported of them."""
        return PostgresPeriodReports(self._connection)

    @cached_property
    def past(self) -> PostgresPast:
        """What was known of members at a moment."""
        return PostgresPast(self._connection)

    @cached_property
    def rule_effects(self) -> PostgresRuleEffects:
        """What changes of rules touch and changed."""
        return PostgresRuleEffects(self._connection)
