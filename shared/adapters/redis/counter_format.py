"""How a member's counter is written: compact, and telling by itself whether it is whole.

format (1 byte), version (6 bytes, big-endian), the accumulators, Adler-32 of all before (4 bytes).
`scripts/project.lua` reads the first two and the last. Whole numbers are written seven bits a byte, the
lowest first; what can be negative is folded onto the natural numbers; dates are their ordinals.
"""

from __future__ import annotations

import functools
import zlib
from datetime import date

from shared.domain.accumulator import Accumulator, AccumulatorKey, DayUse
from shared.domain.benefit_period import BenefitPeriod
from shared.domain.limit import Basis
from shared.domain.records import CounterImage, MemberRef, StoredAccumulator

FORMAT = 1
VERSION_MAX = 2**48 - 1

#: Many members have used as much of the same limits: so many different contents of counters are read once.
SAME_MAX = 2_000

_VERSION_BYTES = 6
_SUM_BYTES = 4
_HEADER_BYTES = 1 + _VERSION_BYTES

# Places in this tuple are stored: bases may be added at its end, never moved. The domain's own list
# has no such duty.
_BASES: tuple[Basis, ...] = (
    "plan_year",
    "calendar_year",
    "contract_year",
    "enrollment_year",
    "first_service_year",
    "rolling_days",
    "lifetime",
    "authorization",
    "injury",
)


def encode(image: CounterImage) -> bytes:
    """The bytes of a counter; the member itself is not in them."""
    assert 0 <= image.version <= VERSION_MAX, "the version fits its place"
    writer = _Writer()
    writer.number(len(image.accumulators))
    for stored in image.accumulators:
        _write(writer, stored)
    head = bytes([FORMAT]) + image.version.to_bytes(_VERSION_BYTES, "big")
    written = head + writer.written
    return written + zlib.adler32(written).to_bytes(_SUM_BYTES, "big")


def decode(ref: MemberRef, value: bytes) -> CounterImage | None:
    """The counter that `encode` wrote, or None if these bytes are anything else."""
    body, checksum = value[:-_SUM_BYTES], value[-_SUM_BYTES:]
    if len(value) < _HEADER_BYTES + _SUM_BYTES or value[0] != FORMAT:
        return None
    if int.from_bytes(checksum, "big") != zlib.adler32(body):
        return None
    accumulators = _accumulators(body[_HEADER_BYTES:])
    if accumulators is None:
        return None
    version = int.from_bytes(value[1:_HEADER_BYTES], "big")
    return CounterImage(ref=ref, version=version, accumulators=accumulators)


@functools.lru_cache(maxsize=SAME_MAX)
def _accumulators(written: bytes) -> tuple[StoredAccumulator, ...] | None:
    """The accumulators of a counter, or None if these bytes are anything else."""
    reader = _Reader(written, at=0)
    try:
        accumulators = tuple(_read(reader) for _ in range(reader.number()))
    except (IndexError, ValueError, OverflowError):
        return None
    return accumulators if reader.at_end else None


def _write(writer: _Writer, stored: StoredAccumulator) -> None:
    state, key = stored.state, stored.state.key
    # Most members have none of these, so each costs a bit when it is not there.
    rare = (state.held, state.granted, state.opening, state.carried)
    present = (
        stored.in_use,
        bool(key.period.subject),
        *map(bool, rare),
        bool(state.days),
        bool(state.held_days),
    )
    writer.number(sum(1 << place for place, there in enumerate(present) if there))
    writer.text(key.plan_id)
    writer.text(key.limit_id)
    writer.number(_BASES.index(key.period.basis))
    writer.number(key.period.start.toordinal())
    writer.number((key.period.end - key.period.start).days)
    writer.number(stored.version)
    for count in (state.used, state.visits, state.allowed, *filter(None, rare)):
        writer.signed(count)
    if key.period.subject:
        writer.text(key.period.subject)
    if state.days:
        writer.number(len(state.days))
        for day in state.days:
            writer.number(day.on.toordinal())
            writer.signed(day.shared)
            writer.signed(day.granted)
            writer.signed(day.visits)
            writer.signed(day.ahead)
    if state.held_days:
        writer.number(len(state.held_days))
        for on, units in state.held_days:
            writer.number(on.toordinal())
            writer.signed(units)


def _read(reader: _Reader) -> StoredAccumulator:
    marks = reader.number()
    in_use, has_subject, *rare, has_days, has_held_days = (bool(marks >> place & 1) for place in range(8))
    plan_id, limit_id = reader.text(), reader.text()
    basis = _BASES[reader.number()]
    start = reader.day()
    end = date.fromordinal(start.toordinal() + reader.number())
    version = reader.number()
    used, visits, allowed = reader.signed(), reader.signed(), reader.signed()
    held, granted, opening, carried = (reader.signed() if there else 0 for there in rare)
    subject = reader.text() if has_subject else ""
    days = tuple(
        DayUse(
            on=reader.day(),
            shared=reader.signed(),
            granted=reader.signed(),
            visits=reader.signed(),
            ahead=reader.signed(),
        )
        for _ in range(reader.number() if has_days else 0)
    )
    held_days = tuple((reader.day(), reader.signed()) for _ in range(reader.number() if has_held_days else 0))
    period = BenefitPeriod(basis=basis, start=start, end=end, subject=subject)
    state = Accumulator(
        key=AccumulatorKey(plan_id=plan_id, limit_id=limit_id, period=period),
        used=used,
        held=held,
        granted=granted,
        opening=opening,
        carried=carried,
        visits=visits,
        allowed=allowed,
        days=days,
        held_days=held_days,
    )
    return StoredAccumulator(state=state, version=version, in_use=in_use)


class _Writer:
    """Appends values to bytes."""

    def __init__(self) -> None:
        self.written = bytearray()

    def number(self, value: int) -> None:
        """A natural number."""
        assert value >= 0, "a natural number"
        while value > 0x7F:
            self.written.append(value & 0x7F | 0x80)
            value >>= 7
        self.written.append(value)

    def signed(self, value: int) -> None:
        """A whole number: 0, -1, 1, -2 ... become 0, 1, 2, 3 ..."""
        self.number(value * 2 if value >= 0 else -value * 2 - 1)

    def text(self, value: str) -> None:
        """Text, after its length in bytes."""
        encoded = value.encode()
        self.number(len(encoded))
        self.written += encoded


class _Reader:
    """Takes values from bytes; raises IndexError or ValueError where they end or make no sense."""

    def __init__(self, value: bytes, at: int) -> None:
        self._value = value
        self._at = at

    @property
    def at_end(self) -> bool:
        """Whether everything was taken."""
        return self._at == len(self._value)

    def number(self) -> int:
        """See _Writer.number."""
        found, shift = 0, 0
        while True:
            byte = self._value[self._at]
            self._at += 1
            found |= (byte & 0x7F) << shift
            shift += 7
            if byte <= 0x7F:
                return found

    def day(self) -> date:
        """A date, written as its ordinal."""
        return date.fromordinal(self.number())

    def signed(self) -> int:
        """See _Writer.signed."""
        number = self.number()
        return -(number + 1) // 2 if number % 2 else number // 2

    def text(self) -> str:
        """See _Writer.text."""
        length = self.number()
        taken = self._value[self._at : self._at + length]
        if len(taken) != length:
            raise ValueError("the text is cut off")
        self._at += length
        return taken.decode()
