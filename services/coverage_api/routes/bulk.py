"""`/v1/visit-events/bulk`: any number of visit events, streamed, one per line."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Self

from werkzeug.exceptions import ClientDisconnected

from services.coverage_api.bodies import parse_json
from services.coverage_api.errors import (
    BodyTooLarge,
    EventConflict,
    MalformedBody,
    PayerNotFound,
    TooBusy,
    Unauthenticated,
    problem,
    problem_type,
)
from services.coverage_api.http import NDJSON_TYPE, Answer, Call, Endpoint, Reply
from services.coverage_api.interpreter import HandedOnSooner
from services.coverage_api.ndjson import Part, parts_of, read_lines
from services.coverage_api.routes.parts import Json, Parts, judge_items
from services.coverage_api.schemas.answers import BulkAnswerSchema
from services.coverage_api.schemas.visit_event_reading import (
    read_plain_events,
    read_visit_event,
    streamed,
)
from services.coverage_api.stream_turns import Turn
from services.coverage_api.usecases.load_visit_events import Loaded, load_visit_events
from shared.domain.errors import Invalid, NeedlecapError, StoreUnavailable
from shared.domain.intake import StreamedEvent

#: A stream's first part is small, so that Postgres soon has something to do; each next has twice as many.
PART_LINES_FIRST = 125
PART_LINES_MAX = 2_000
PART_BYTES_MAX = 2 * 1024 * 1024

#: Parts of one stream that were read and are not durable yet. Two have a connection: one is made durable
#: while the rows of the other are written. Two more wait, so that reading goes on when the disk takes longer
#: than reading a part.
PARTS_UNDER_WAY_MAX = 4

#: Rejected lines that are shown with their problem; of the others only the count and the numbers.
PROBLEMS_MAX = 1_000
NUMBERS_MAX = 100_000

RETRY_SECONDS = 5


class _Tally:
    """What became of the lines so far, in bounded memory."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.lines = 0
        self.counts = {"accepted": 0, "replayed": 0, "rejected": 0}
        self._rejected: list[Json] = []
        self._further: list[int] = []

    def reject(self, number: int, error: NeedlecapError) -> None:
        """Note why the line of this number was refused."""
        self.counts["rejected"] += 1
        kind = problem_type(error)
        self._call.audit.refuse_item(kind.status, kind.slug)
        if len(self._rejected) < PROBLEMS_MAX:
            self._rejected.append({"line": number, "problem": self._problem(error)})
        elif len(self._further) < NUMBERS_MAX:
            self._further.append(number)

    def _problem(self, error: NeedlecapError) -> Json:
        document = problem(error, self._call.request_id)
        return {**document, "detail": "The line has faults."} if isinstance(error, Invalid) else document

    def answer(self) -> Json:
        """The counts, and the rejected lines by number."""
        rejected = sorted(self._rejected, key=lambda item: int(item["line"]))
        body: Json = {"lines": self.lines, **self.counts, "rejected_lines": rejected}
        return {**body, "further_rejected_lines": sorted(self._further)} if self._further else body


def endpoints(parts: Parts) -> list[Endpoint]:
    """The call for streams of visit events."""
    handed_on_sooner = HandedOnSooner()

    def handle(call: Call) -> Answer:
        with parts.loading_room.place(call.client.client_id) as may_load:
            if not may_load:
                raise TooBusy(RETRY_SECONDS)
            # Asked once: a stream that was let in is taken in to its end, however long it is.
            parts.backlog.require_room()
            # Postgres waits while the thread that has its answer waits for the one that reads lines.
            with handed_on_sooner:
                return _load(parts, call)

    return [
        Endpoint(
            name="loadVisitEvents",
            method="POST",
            path="/v1/visit-events/bulk",
            roles=("ehr",),
            tag="Visit events",
            summary="Report any number of visit events, one JSON object per line",
            description=(
                "The lines are taken in as they come, each on its own. Sending the same stream again is "
                "safe: what was accepted before is counted as replayed. A stream whose key or token is "
                "closed meanwhile ends with 401, which says how many lines were taken in."
            ),
            handler=handle,
            streams=NDJSON_TYPE,
            replies={
                200: Reply(description="Counts, and the rejected lines.", schema=BulkAnswerSchema),
            },
            problems={
                429: (
                    "As many streams as may be are being taken in (`too_busy`), or accepted events have "
                    "waited too long to be applied (`backlog`): nothing was taken in, try later."
                )
            },
        )
    ]


def _load(parts: Parts, call: Call) -> Answer:
    tally = _Tally(call)
    lines = read_lines(call.request.stream, parts.settings.single_body_bytes_max)
    try:
        with _Storing(parts, call, tally) as storing:
            for part in parts_of(lines, PART_LINES_FIRST, PART_LINES_MAX, PART_BYTES_MAX):
                # A stream may take as long as it likes; each part of it has the time of one call.
                parts.store.begin_call()
                storing.follow(part, _judge_part(parts, call, part, tally))
            storing.settle()
    except Unauthenticated as error:
        raise Unauthenticated(
            f"The key or token was closed when {tally.lines} lines were taken in; send them all again."
        ) from error
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"The database stopped answering after {tally.lines} lines were taken in; send them all again."
        ) from error
    except (ClientDisconnected, OSError) as error:
        raise MalformedBody(f"The stream broke off; {tally.lines} lines were taken in.") from error
    return Answer(status=200, body=tally.answer())


class _Good(NamedTuple):
    """The good lines of a part: their numbers and their events."""

    numbers: Sequence[int]
    events: Sequence[StreamedEvent]


@dataclass(frozen=True, slots=True)
class _Stored:
    """A part of a stream that is being stored, with its good lines."""

    lines: int
    numbers: Sequence[int]
    turn: Turn
    loaded: Future[Loaded]


class _Storing:
    """Stores parts of a stream, each in a thread of its own, while the next one is read.

    Parts are stored in order, each in one commit. What is in memory is one part that is being made
    durable, one whose rows are being written, two that wait for a connection, and one that is being read.
    """

    def __init__(self, parts: Parts, call: Call, tally: _Tally) -> None:
        self._parts = parts
        self._call = call
        self._tally = tally
        self._threads = ThreadPoolExecutor(max_workers=PARTS_UNDER_WAY_MAX, thread_name_prefix="bulk")
        self._under_way: deque[_Stored] = deque()
        #: Whether what comes is likely new, as it was last. A stream that is sent again is there in full.
        self._all_new = True

    def follow(self, part: Part, good: _Good) -> None:
        """Store the good lines of a part behind those before it. Raises Unauthenticated, StoreUnavailable."""
        if len(self._under_way) == PARTS_UNDER_WAY_MAX:
            self._settle_first()
        before = self._under_way[-1].turn if self._under_way else None
        turn = Turn((event.visit_id for event in good.events), before)
        loaded = self._threads.submit(self._store, good.events, turn, all_new=self._all_new)
        self._under_way.append(_Stored(len(part.texts), good.numbers, turn, loaded))

    def settle(self) -> None:
        """Wait until all that is being stored is durable, and count it.

        Raises Unauthenticated when the stream's key was closed meanwhile, and StoreUnavailable.
        """
        while self._under_way:
            self._settle_first()

    def _settle_first(self) -> None:
        first = self._under_way.popleft()
        loaded = first.loaded.result()
        self._all_new = loaded.accepted == len(first.numbers)
        self._tally.counts["accepted"] += loaded.accepted
        self._tally.counts["replayed"] += loaded.replayed
        for place in sorted(loaded.conflicts):
            self._tally.reject(first.numbers[place], EventConflict())
        for place in sorted(loaded.withdrawn):
            self._tally.reject(first.numbers[place], PayerNotFound())
        self._tally.lines += first.lines

    def _store(self, events: Sequence[StreamedEvent], turn: Turn, *, all_new: bool) -> Loaded:
        with turn:
            turn.await_connection()
            self._parts.store.begin_call()
            return load_visit_events(self._parts.tools, self._call.audit, events, turn, all_new=all_new)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Settle what a broken stream left under way, so that it is said how far it came."""
        try:
            self.settle()
        except NeedlecapError:
            # Behind a part that failed the others do; what is told is why that one did.
            if not isinstance(error, NeedlecapError):
                raise
        finally:
            self._threads.shutdown()


def _judge_part(parts: Parts, call: Call, part: Part, tally: _Tally) -> _Good:
    """Judge each line of a part; the good ones, in order."""
    found = read_plain_events([text or b"" for text in part.texts])
    payers = {event.payer_id for event in found if event is not None}
    visible = parts.doorkeeper.visible_payers(call.client, payers)
    plain = [event for event in found if event is not None]
    if len(plain) == len(found) and visible >= payers:
        return _Good(part.numbers, plain)
    closely = [(number, text) for number, text, event in zip(*part, found, strict=True) if event is None]
    judged = _judge_closely(parts, call, closely, tally)
    good = []
    for number, event in zip(part.numbers, found, strict=True):
        if event is None:
            if number in judged:
                good.append((number, judged[number]))
        elif event.payer_id in visible:
            good.append((number, event))
        else:
            tally.reject(number, PayerNotFound())
    return _Good([number for number, _ in good], [event for _, event in good])


def _judge_closely(
    parts: Parts, call: Call, lines: Iterable[tuple[int, bytes | None]], tally: _Tally
) -> dict[int, StreamedEvent]:
    """Judge lines that are not plainly valid; the good ones by number."""
    parsed: list[tuple[int, object]] = []
    for number, text in lines:
        try:
            parsed.append((number, _value_of(text, parts.settings.single_body_bytes_max)))
        except NeedlecapError as error:
            tally.reject(number, error)
    good = {}
    judged = judge_items(parts, call, [value for _, value in parsed], read_visit_event)
    for (number, _), event in zip(parsed, judged, strict=True):
        if isinstance(event, NeedlecapError):
            tally.reject(number, event)
        else:
            good[number] = streamed(event)
    return good


def _value_of(text: bytes | None, line_bytes_max: int) -> object:
    if text is None:
        raise BodyTooLarge(f"A line may have at most {line_bytes_max} bytes.")
    return parse_json(text, "line")
