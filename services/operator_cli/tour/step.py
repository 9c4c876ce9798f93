"""One step of the tour: a call, what of it is shown, and what the contract says the answer is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.operator_cli.api_client import ApiAnswer
from services.operator_cli.tour.json_text import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A value that the answer has to have: at a place such as `accumulators.0.used` of its body.

    A place that begins with `header.` is a header, its name in lower case. `*` stands for every item
    of a list, of which at least one must be there and all must have the value.
    """

    place: str
    value: Any

    def found_in(self, answer: ApiAnswer) -> Any:
        """The value there is at the place, None if there is none; of `*`, one that differs if any does."""
        kind, _, name = self.place.partition(".")
        if kind == "header":
            return answer.headers.get(name)
        return self._at(answer.body, self.place.split("."))

    def holds(self, answer: ApiAnswer) -> bool:
        """Whether the answer is as expected."""
        found = self.found_in(answer)
        return bool(found == self.value and type(found) is type(self.value))

    def _at(self, value: Any, path: list[str]) -> Any:
        if not path:
            return value
        name, *rest = path
        if isinstance(value, dict):
            return self._at(value.get(name), rest)
        if not isinstance(value, list):
            return None
        if name != "*":
            index = int(name)
            return self._at(value[index], rest) if index < len(value) else None
        found = [self._at(item, rest) for item in value]
        return next((item for item in found if item != self.value), found[0] if found else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A call with a title, made as a client of `role`; `statuses` are those it may be answered with.

    `request_shown` and `answer_shown` are what of the bodies is printed. With `repeat_until`, the call
    is repeated until that holds, for a bounded time.
    """

    title: str
    role: str
    method: str
    path: str
    statuses: tuple[int, ...]
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expects: tuple[Expectation, ...] = ()
    request_shown: Shown = None
    answer_shown: Shown = None
    repeat_until: Expectation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was compared: what was expected, what was found, and whether they agree."""

    place: str
    expected: Any
    found: Any
    holds: bool


def checks_of(step: Step, answer: ApiAnswer) -> list[Check]:
    """Compare an answer with what its step expects, the status first."""
    status = Check(
        place="status",
        expected=step.statuses[0],
        found=answer.status,
        holds=answer.status in step.statuses,
    )
    return [
        status,
        *(
            Check(
                place=expectation.place,
                expected=expectation.value,
                found=expectation.found_in(answer),
                holds=expectation.holds(answer),
            )
            for expectation in step.expects
        ),
    ]
