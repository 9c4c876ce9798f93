"""Accumulators: what is used and held of one limit in one benefit period.

`Accumulator` is the frozen state that is stored and compared; `Tally` is the same while visits are
being folded into it. Both count whole units of the limit's measure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from shared.domain.benefit_period import BenefitPeriod, rolling_window
from shared.domain.limit import Limit
from shared.domain.record import record

#: Plan id, limit id, and the period's basis, start, end and subject.
KeyName = tuple[str, str, str, date, date, str]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AccumulatorKey:
    """One plan x limit x benefit period of a member."""

    plan_id: str
    limit_id: str
    period: BenefitPeriod

    @property
    def name(self) -> KeyName:
        """The same as a plain tuple, which is looked up by several times as quickly."""
        period = self.period
        return self.plan_id, self.limit_id, period.basis, period.start, period.end, period.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUse:
    """What was counted on one service date: `shared` units, `granted` ones of a visit's own override, visits.

    `ahead` is the part of the shared units that stands ahead of the order: brought by a posted hold or
    an opening balance. `visits` may be more than the units: a second visit on a counted day adds none.
    """

    on: date
    shared: int
    granted: int
    visits: int
    ahead: int = 0


@record(frozen=True, slots=True, kw_only=True)
class Accumulator:
    """The state of one accumulator, a pure function of the member's history (I4).

    `allowed` is the most that any of its units was counted under, so `used + held <= allowed` holds
    for every state (I3), also after a limit was lowered; what is allowed on a given service date
    follows from the rules. `granted` is the part of `used` that overrides for single visits carry,
    `opening` the part brought from elsewhere, `carried` the part that another plan's visits left here.
    `days` is kept only for limits that need it (`Limit.keeps_days`).
    """

    key: AccumulatorKey
    used: int
    held: int
    granted: int
    opening: int
    carried: int
    visits: int
    allowed: int
    days: tuple[DayUse, ...] = ()
    held_days: tuple[tuple[date, int], ...] = ()


@dataclass(slots=True)
class Tally:
    """The running state of one accumulator during a fold; see `Accumulator` for the fields."""

    key: AccumulatorKey
    used: int = 0
    held: int = 0
    granted: int = 0
    opening: int = 0
    carried: int = 0
    visits: int = 0
    allowed_shared: int = 0
    keeps_days: bool = False
    shared_days: dict[date, int] = field(default_factory=dict)
    granted_days: dict[date, int] = field(default_factory=dict)
    held_days: dict[date, int] = field(default_factory=dict)
    visit_days: dict[date, int] = field(default_factory=dict)
    ahead_days: dict[date, int] = field(default_factory=dict)

    @classmethod
    def of(cls, state: Accumulator) -> Tally:
        """The tally that goes on from a stored state."""
        return cls(
            key=state.key,
            used=state.used,
            held=state.held,
            granted=state.granted,
            opening=state.opening,
            carried=state.carried,
            visits=state.visits,
            allowed_shared=state.allowed - state.granted,
            keeps_days=bool(state.days or state.held_days),
            shared_days={day.on: day.shared for day in state.days if day.shared},
            granted_days={day.on: day.granted for day in state.days if day.granted},
            held_days=dict(state.held_days),
            visit_days={day.on: day.visits for day in state.days if day.visits},
            ahead_days={day.on: day.ahead for day in state.days if day.ahead},
        )

    def counted_on(self, day: date) -> bool:
        """Whether a unit is already counted on `day`."""
        return day in self.shared_days or day in self.granted_days

    @property
    def first_on(self) -> date | None:
        """The earliest service date that a visit is counted on; None where none is, or dates are not kept.

        Units that were used elsewhere say on no date that one of them was a visit.
        """
        return min(self.visit_days, default=None)

    def number_of_next(self, *, up_to: date | None = None) -> int:
        """The number of the visit that comes next; `up_to` its service date, if those make the order."""
        later = sum(n for day, n in self.visit_days.items() if day > up_to) if up_to is not None else 0
        return self.visits - later + 1

    def room(self, limit: Limit, allowed: int, on: date, *, up_to: date | None = None) -> int:
        """Units a service on `on` still finds, when `allowed` of them are shared by all; never negative.

        A rolling limit is as full as the fullest of the windows that contain `on`. With `up_to`,
        units of later service dates make way unless they stand ahead of the order: that is the place
        of a service in `service_date` order.
        """
        if limit.basis == "rolling_days":
            return max(0, allowed - self.fullest_window(limit.rolling_days or 1, on, up_to=up_to))
        taken = self.used - self.granted
        if up_to is not None:
            taken -= sum(units for day, units in self._making_way(up_to))
        return max(0, allowed - taken - self.held)

    def _making_way(self, up_to: date) -> list[tuple[date, int]]:
        """The shared units of dates after `up_to` that an earlier service may take the place of."""
        return [
            (day, units - self.ahead_days.get(day, 0))
            for day, units in self.shared_days.items()
            if day > up_to
        ]

    def fullest_window(self, length: int, on: date, *, up_to: date | None = None) -> int:
        """The most shared and held units in any window of `length` dates that contains `on`."""
        taken: dict[date, int] = {}
        for days in (self.shared_days, self.held_days):
            for day, units in days.items():
                if abs((day - on).days) < length:
                    taken[day] = taken.get(day, 0) + units
        for day, units in self._making_way(up_to) if up_to is not None else ():
            if day in taken:
                taken[day] -= units
        last_days = [on, *(day for day in taken if day > on)]
        return max(self._in_window(taken, length, last) for last in last_days)

    @staticmethod
    def _in_window(taken: dict[date, int], length: int, last: date) -> int:
        start, end = rolling_window(length, last)
        return sum(units for day, units in taken.items() if start <= day < end)

    def used_in_window(self, length: int, on: date) -> tuple[int, int, int]:
        """Used, held and granted units of the window of `length` dates that ends with `on`.

        The granted ones are part of the used ones.
        """
        shared, held, granted = (
            self._in_window(days, length, on)
            for days in (self.shared_days, self.held_days, self.granted_days)
        )
        return shared + granted, held, granted

    def allow(self, allowed: int) -> None:
        """Note that units were weighed against `allowed` shared ones; the most is what is kept."""
        self.allowed_shared = max(self.allowed_shared, allowed)

    def open(self, units: int, on: date, limit: Limit) -> None:
        """Begin with `units` that were used elsewhere, visits or days if that is what is measured.

        They lie in the whole period, ahead of every visit; in a rolling limit on their own date.
        """
        self.used += units
        self.opening += units
        if not limit.divisible:
            self.visits += units
        if units and limit.basis == "rolling_days":
            for days in (self.shared_days, self.ahead_days):
                days[on] = days.get(on, 0) + units

    def carry(self, units: int, on: date) -> None:
        """Count one visit under another plan, as far as it fits here."""
        self.carried += units
        self.count(units, 0, on)

    def join(self, other: Tally) -> None:
        """Take up all that another period counted."""
        for name in ("used", "held", "granted", "opening", "carried", "visits"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("shared_days", "granted_days", "held_days", "visit_days", "ahead_days"):
            days: dict[date, int] = getattr(self, name)
            for day, units in getattr(other, name).items():
                days[day] = days.get(day, 0) + units

    def hold(self, units: int, on: date) -> None:
        """Promise `units` to a service on `on`; negative takes the promise back."""
        self.held += units
        self.held_days[on] = self.held_days.get(on, 0) + units
        if not self.held_days[on]:
            del self.held_days[on]

    def count(self, units: int, granted: int, on: date, *, ahead: int = 0) -> None:
        """Count one visit of `units`: `granted` of them from its own override, `ahead` from its hold."""
        self.used += units
        self.granted += granted
        self.visits += 1
        if not self.keeps_days:
            return
        self.visit_days[on] = self.visit_days.get(on, 0) + 1
        parts = ((self.shared_days, units - granted), (self.granted_days, granted), (self.ahead_days, ahead))
        for days, part in parts:
            if part:
                days[on] = days.get(on, 0) + part

    def state(self) -> Accumulator:
        """The frozen state reached."""
        days: tuple[DayUse, ...] = ()
        if self.keeps_days:
            days = tuple(
                DayUse(
                    on=day,
                    shared=self.shared_days.get(day, 0),
                    granted=self.granted_days.get(day, 0),
                    visits=self.visit_days.get(day, 0),
                    ahead=self.ahead_days.get(day, 0),
                )
                for day in sorted(self.shared_days.keys() | self.visit_days.keys())
            )
        return Accumulator(
            key=self.key,
            used=self.used,
            held=self.held,
            granted=self.granted,
            opening=self.opening,
            carried=self.carried,
            visits=self.visits,
            allowed=self.allowed_shared + self.granted,
            days=days,
            held_days=tuple(sorted(self.held_days.items())) if self.keeps_days else (),
        )
