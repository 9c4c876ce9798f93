"""The rule catalog in Postgres: every version of every document, and which of them run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg

from shared.adapters.postgres.trips import Statement, Trips
from shared.domain.catalog_records import DocumentRow
from shared.domain.errors import Conflict
from shared.messages import shard_of

#: Members asked to be folded again in one statement.
_CHUNK = 10_000


_COLUMNS = "document_id, version, payer_id, body::text, loaded_at, loaded_by, activated_in, retired_in"


#: Members with a visit, a hold or an opening balance, theirs or of a member who was merged into them.
_COUNTED = """exists (
    select from member f
     where f.payer_id = k.payer_id and (f.member_id = k.member_id or f.merged_into = k.member_id)
       and (exists (select from visit v where v.payer_id = f.payer_id and v.member_id = f.member_id)
            or exists (select from hold h where h.payer_id = f.payer_id and h.member_id = f.member_id)
            or exists (select from opening_balance b
                        where b.payer_id = f.payer_id and b.member_id = f.member_id)))"""


#: What `PostgresCatalog.version` asks.
RUNNING = Statement("catalog", "select version from catalog").errand()


class PostgresCatalog:
    """The catalog in one transaction."""

    def __init__(self, connection: psycopg.Connection[Any], trips: Trips) -> None:
        """Work on an open transaction, whose questions go by `trips`."""
        self._connection = connection
        self._trips = trips

    def version(self) -> int:
        """The number of the running catalog; 0 before anything was loaded."""
        rows = self._trips.ask(RUNNING)
        return int(rows[0][0]) if rows else 0

    def lock_for_change(self, payer_ids: Sequence[str] | None) -> int:
        """Let nobody else change the catalog, nor fold members of these payers (None: of all) by it.

        The number of the running catalog.
        """
        row = self._connection.execute("select version from catalog for update").fetchone()
        self._connection.execute(
            """select from payer where %(all)s or payer_id = any (%(payers)s)
                order by payer_id for no key update""",
            {"all": payer_ids is None, "payers": list(payer_ids or ())},
        )
        return int(row[0]) if row else 0

    def find(self, document_id: str, version: int) -> DocumentRow | None:
        """One version of one document, if the transaction may see it."""
        row = self._connection.execute(
            f"select {_COLUMNS} from rule_document where document_id = %s and version = %s",
            [document_id, version],
        ).fetchone()
        return _row(row) if row else None

    def listing(self) -> list[DocumentRow]:
        """Every version of every document that the transaction may see."""
        rows = self._connection.execute(f"select {_COLUMNS} from rule_document order by document_id, version")
        return [_row(row) for row in rows]

    def insert(self, row: DocumentRow) -> None:
        """Store a version of a document; it runs from `activated_in` on, if that is said.

        Raises Conflict when somebody whose documents this transaction may not see has this one.
        """
        try:
            self._insert(row)
        except psycopg.errors.UniqueViolation as error:
            raise Conflict("this name and version of a rule document are taken") from error

    def _insert(self, row: DocumentRow) -> None:
        self._connection.execute(
            """insert into rule_document
                      (document_id, version, payer_id, body, loaded_at, loaded_by, activated_in)
               values (%s, %s, %s, %s, %s, %s, %s)""",
            [
                row.document_id,
                row.version,
                row.payer_id,
                row.body,
                row.loaded_at,
                row.loaded_by,
                row.activated_in,
            ],
        )

    def activate(self, document_id: str, version: int, catalog_version: int) -> None:
        """Let a stored version run from a catalog on."""
        self._connection.execute(
            """update rule_document set activated_in = %s, retired_in = null
                where document_id = %s and version = %s""",
            [catalog_version, document_id, version],
        )

    def raise_version(self, version: int) -> None:
        """Make `version` the running catalog."""
        self._connection.execute("update catalog set version = %s", [version])

    def put_reference(self, version: int, body: str) -> None:
        """Store the catalog's other parts, as of catalog `version`."""
        self._connection.execute(
            "insert into catalog_reference (since_version, body) values (%s, %s)", [version, body]
        )

    def reference(self, version: int) -> str | None:
        """The catalog's other parts as of catalog `version`, as JSON text."""
        row = self._connection.execute(
            """select body::text from catalog_reference
                where since_version <= %s order by since_version desc limit 1""",
            [version],
        ).fetchone()
        return str(row[0]) if row else None

    def documents(self, version: int) -> list[str]:
        """The documents of catalog `version`, as JSON texts."""
        rows = self._connection.execute(
            """select body::text from rule_document
                where activated_in <= %(version)s and (retired_in is null or retired_in > %(version)s)
                order by document_id, version""",
            {"version": version},
        )
        return [str(body) for (body,) in rows]

    def add_payers(self, names: Mapping[str, str]) -> None:
        """Make the payers that are not there yet."""
        self._connection.execute(
            """insert into payer (payer_id, name) select * from unnest(%s::text[], %s::text[])
               on conflict do nothing""",
            [list(names), list(names.values())],
        )

    def request_refolds(self, payer_ids: Sequence[str] | None, reason: str) -> int:
        """Have every member of these payers (None: of all) for whom something is counted folded again."""
        requested = 0
        for members in self._members(payer_ids):
            self._connection.execute(
                """insert into refold_request (payer_id, member_id, shard, reason, requested_at)
                   select m.payer_id, m.member_id, m.shard, %(reason)s, clock_timestamp()
                     from unnest(%(payers)b::text[], %(members)b::text[], %(shards)b::smallint[])
                          as m (payer_id, member_id, shard)
                   on conflict (payer_id, member_id) do update
                      set reason = excluded.reason, requested_at = excluded.requested_at, attempts = 0""",
                {
                    "reason": reason,
                    "payers": [payer for payer, _ in members],
                    "members": [member for _, member in members],
                    "shards": [shard_of(payer, member) for payer, member in members],
                },
            )
            requested += len(members)
        return requested

    def _members(self, payer_ids: Sequence[str] | None) -> Iterator[list[tuple[str, str]]]:
        after: tuple[str, str] = ("", "")
        while True:
            rows = self._connection.execute(
                f"""select k.payer_id, k.member_id from member k
                     where k.merged_into is null
                       and (k.payer_id, k.member_id) > (%(payer)s, %(member)s)
                       and (%(all)s or k.payer_id = any (%(payers)s))
                       and {_COUNTED}
                     order by k.payer_id, k.member_id limit %(chunk)s""",
                {
                    "payer": after[0],
                    "member": after[1],
                    "all": payer_ids is None,
                    "payers": list(payer_ids or ()),
                    "chunk": _CHUNK,
                },
            ).fetchall()
            if not rows:
                return
            yield [(payer, member) for payer, member in rows]
            after = rows[-1]


def _row(row: Sequence[Any]) -> DocumentRow:
    return DocumentRow(
        document_id=row[0],
        version=row[1],
        payer_id=row[2],
        body=row[3],
        loaded_at=row[4],
        loaded_by=row[5],
        activated_in=row[6],
        retired_in=row[7],
    )
