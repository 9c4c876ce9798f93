"""Plays the tour: makes each call, shows it, and compares the answer with what it has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from services.operator_cli.api_client import ApiAnswer, Caller
from services.operator_cli.tour.rendering import Screen
from services.operator_cli.tour.step import Check, Step, checks_of

REPEAT_SECONDS_MAX = 20.0
REPEAT_PAUSE_SECONDS = 0.1
UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """The passing of time, so that a test need not wait."""

    monotonic: Callable[[], float]
    pause: Callable[[float], None]


def play(steps: Iterable[Step], caller: Caller, screen: Screen, time: Time) -> bool:
    """Play every step; whether every answer was what it has to be.

    A wrong answer does not end the tour, since what follows from it is worth seeing; a refusal does,
    and of a refused key nothing else is said.
    Raises ApiUnreachableError if the service does not answer.
    """
    results: list[tuple[Step, list[Check]]] = []
    story = list(steps)
    for number, step in enumerate(story, start=1):
        screen.show_request(number, step)
        answer = _answer(step, caller, time)
        checks = checks_of(step, answer)
        screen.show_answer(step, answer, checks)
        if answer.status == UNAUTHORIZED:
            screen.show_refused_key(number, len(story), step)
            return False
        results.append((step, checks))
        if answer.status not in step.statuses:
            break
    screen.show_summary(results)
    return all(check.holds for _, checks in results for check in checks)


def _answer(step: Step, caller: Caller, time: Time) -> ApiAnswer:
    """The answer to the step's call; of one that is repeated, the last."""
    deadline = time.monotonic() + REPEAT_SECONDS_MAX
    while True:
        answer = caller.call(step.role, step.method, step.path, step.body, step.headers)
        refused = answer.status not in step.statuses
        settled = refused or step.repeat_until is None or step.repeat_until.holds(answer)
        if settled or time.monotonic() >= deadline:
            return answer
        time.pause(REPEAT_PAUSE_SECONDS)
