"""Determinations: the recorded answers to eligibility checks.

Most of an answer's body is what many answers say word for word. It is stored once for each payer, by its
digest, and an answer's row has the digest beside what is its own. Texts are never changed or deleted. How
many events wait is in no text, but in the standing beside an answer.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import psycopg

from shared.adapters.postgres.arrays import Bigints, Blobs, Instants, Texts, Utf8Texts
from shared.adapters.postgres.trips import Statement, Trips
from shared.domain.determination_record import AnsweredCheck, DeterminationRecord, telling_of
from shared.domain.errors import StoreUnavailable
from shared.domain.records import MemberRef

#: Texts remembered as stored. One that was forgotten is only sent once more.
TEXTS_KNOWN_MAX = 20_000
#: Texts whose digests are remembered, of some 6 KB each; the answers to come share them.
_DIGESTS_MAX = 2_000

_INSERT_TEXTS = Statement(
    "determination_texts",
    """
insert into determination_text (digest, payer_id, text)
select * from unnest(%(digests)b::bytea[], %(payers)b::text[], %(texts)b::text[])
    on conflict do nothing
""",
)

# Where a text is not stored, whatever we believed, its row has neither a body nor a text, and is refused.
_INSERT = Statement(
    "determinations",
    """
insert into determination
       (check_id, payer_id, client_id, decided_at, catalog_version, request, standing, opening, said)
select g.check_id, g.payer_id, g.client_id, g.decided_at, g.catalog_version, g.request::json,
       g.standing::json, g.opening, t.digest
  from unnest(%(check_ids)b::text[], %(payers)b::text[], %(clients)b::text[], %(decided)b::timestamptz[],
              %(catalogs)b::bigint[], %(requests)b::text[], %(standings)b::text[], %(openings)b::text[],
              %(digests)b::bytea[])
       as g (check_id, payer_id, client_id, decided_at, catalog_version, request, standing, opening, said)
  left join lateral (
       select x.digest from determination_text x
        where x.digest = g.said and x.payer_id = g.payer_id offset 0) t on true
""",
)

#: The two parts of a body, and how many events it tells of; one from before there were parts is whole.
_PARTS = """case when d.body is null then d.opening else '' end,
       coalesce(d.body::text, (select t.text from determination_text t
                                where t.digest = d.said and t.payer_id = d.payer_id)),
       coalesce((d.standing ->> 'pending_events')::bigint, 0)"""


class TextsKept:
    """Texts that were seen to be stored. Shared by threads: to forget one costs sending it once more."""

    def __init__(self) -> None:
        """Know of none."""
        self._known: set[tuple[bytes, str]] = set()

    def missing(self, named: Mapping[tuple[bytes, str], bytes]) -> list[tuple[bytes, str]]:
        """Those of these texts, by digest and payer, that may not be stored, in one order for everybody."""
        return sorted(named.keys() - self._known)

    def note(self, names: Iterable[tuple[bytes, str]]) -> None:
        """These texts are stored."""
        if len(self._known) >= TEXTS_KNOWN_MAX:
            self._known = set()
        self._known.update(names)

    def doubted(self, fault: psycopg.Error) -> Exception:
        """What is to be raised for a fault of storing answers.

        Where one lacked its text, the database is not the one it was: of that we know nothing any more.
        """
        if fault.diag.constraint_name != "determination_whole":
            return fault
        self._known = set()
        return StoreUnavailable()


class PostgresDeterminations:
    """Answers in one transaction. They are written once and never changed."""

    def __init__(self, connection: psycopg.Connection[Any], trips: Trips, texts_kept: TextsKept) -> None:
        """Work on an open transaction, which commits by way of `trips`."""
        self._connection = connection
        self._trips = trips
        self._texts_kept = texts_kept

    def record(self, records: Sequence[DeterminationRecord]) -> None:
        """Write answers with the commit, before they are given.

        The commit raises StoreUnavailable where a text is gone that was seen to be stored.
        """
        digests = [_digest(r.said) for r in records]
        self._keep({(digest, r.payer_id): r.said for digest, r in zip(digests, records, strict=True)})
        errand = _INSERT.errand(
            {
                "check_ids": Texts([r.check_id for r in records]),
                "payers": Texts([r.payer_id for r in records]),
                "clients": Texts([r.client_id for r in records]),
                "decided": Instants([r.decided_at for r in records]),
                "catalogs": Bigints([r.catalog_version for r in records]),
                "requests": Utf8Texts([r.request for r in records]),
                "standings": Utf8Texts([r.standing for r in records]),
                "openings": Utf8Texts([r.opening for r in records]),
                "digests": Blobs(digests),
            }
        )
        self._trips.tell(errand, failing=self._texts_kept.doubted)

    def _keep(self, named: Mapping[tuple[bytes, str], bytes]) -> None:
        """Write what is said with the commit, as far as it was not seen to be stored."""
        missing = self._texts_kept.missing(named)
        if not missing:
            return
        errand = _INSERT_TEXTS.errand(
            {
                "digests": Blobs([digest for digest, _ in missing]),
                "payers": Texts([payer_id for _, payer_id in missing]),
                "texts": Utf8Texts([named[name] for name in missing]),
            }
        )
        self._trips.tell(errand)
        self._trips.once_committed(partial(self._texts_kept.note, missing))

    def body(self, check_id: str) -> tuple[MemberRef, bytes] | None:
        """Whom an answer is about, and the answer as it was given, byte for byte.

        None if the transaction sees none of that id.
        """
        row = self._connection.execute(
            f"""
            select d.payer_id, d.request ->> 'member_id', {_PARTS}
              from determination d where d.check_id = %(check_id)s
            """,
            {"check_id": check_id},
        ).fetchone()
        if row is None:
            return None
        payer_id, member_id, opening, said, pending = row
        body = opening.encode() + telling_of(pending, said.encode())
        return MemberRef(payer_id=payer_id, member_id=member_id), body

    def find(self, check_id: str) -> AnsweredCheck | None:
        """The whole record of an answer; None if the transaction sees none of that id."""
        row = self._connection.execute(
            f"""
            select d.check_id, d.payer_id, d.client_id, d.decided_at, d.catalog_version,
                   d.request::text, d.standing::text, {_PARTS}, c.name, c.role, p.name
              from determination d
              join client c on c.client_id = d.client_id
              join payer p on p.payer_id = d.payer_id
             where d.check_id = %(check_id)s
            """,
            {"check_id": check_id},
        ).fetchone()
        if row is None:
            return None
        record = DeterminationRecord(
            check_id=row[0],
            payer_id=row[1],
            client_id=row[2],
            decided_at=row[3],
            catalog_version=row[4],
            request=row[5].encode(),
            standing=row[6].encode() if row[6] is not None else None,
            opening=row[7].encode(),
            said=row[8].encode(),
            pending_events=row[9],
        )
        return AnsweredCheck(record=record, client_name=row[10], client_role=row[11], payer_name=row[12])


@functools.lru_cache(maxsize=_DIGESTS_MAX)
def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
