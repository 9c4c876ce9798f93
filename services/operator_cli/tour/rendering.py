"""How the tour looks: colored in a terminal, plain text anywhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from services.operator_cli.api_client import ApiAnswer
from services.operator_cli.tour.json_text import Shown, json_text, pick
from services.operator_cli.tour.step import Check, Step

WIDTH_MAX = 120
_RIGHT_UNDER = (
    "What is right follows from the rules of this version; `needlecap rules list` has those that run."
)
HEADERS_SHOWN = ("idempotent-replay",)
_highlighted = JSONHighlighter()


class Screen:
    """What the operator sees of the tour. With `full`, bodies are shown whole."""

    def __init__(self, console: Console, *, full: bool = False) -> None:
        """Print to `console`, which knows whether it is a terminal."""
        self._console = console
        self._full = full

    def show_request(self, number: int, step: Step) -> None:
        """The title of a step and the call it is about to make."""
        self._console.print()
        self._console.print(Rule(Text(f"{number}. {step.title}", style="bold"), align="left", style="dim"))
        line = Text.assemble((step.method, "bold cyan"), f" {step.path}", (f"   as {step.role}", "dim"))
        self._print(line)
        for name, value in step.headers.items():
            self._print(Text(f"{name}: {value}"))
        if step.body is not None:
            self._show_body(step.body, step.request_shown)

    def show_answer(self, step: Step, answer: ApiAnswer, checks: Sequence[Check]) -> None:
        """The answer, and where it is not what it has to be."""
        right = all(check.holds for check in checks)
        self._print(
            Text.assemble(("->", "dim"), " ", (str(answer.status), "bold green" if right else "bold red"))
        )
        for name in HEADERS_SHOWN:
            if name in answer.headers:
                self._print(Text(f"{name.title()}: {answer.headers[name]}"))
        self._show_body(answer.body, step.answer_shown if answer.status in step.statuses else None)
        for check in checks:
            if not check.holds:
                self._print(Text(f"WRONG: {_difference(check)}", style="bold red"))

    def show_refused_key(self, number: int, total: int, step: Step) -> None:
        """Why the tour ends here: no answer can be right without a key."""
        said = f"stopped at step {number} of {total}: the key for the role {step.role} is refused (401)"
        self._print(Text(said, style="bold red"))

    def show_summary(self, results: Sequence[tuple[Step, Sequence[Check]]]) -> None:
        """Each step with what was checked of its answer, and the verdict."""
        self._console.print()
        self._console.print(Rule(Text("What was shown", style="bold"), align="left", style="dim"))
        table = Table()
        table.add_column("step")
        table.add_column("the answer", overflow="fold")
        table.add_column("as it has to be")
        wrong = 0
        for step, checks in results:
            failed = [check for check in checks if not check.holds]
            wrong += bool(failed)
            said = ", ".join(_difference(check) for check in failed) or ", ".join(
                _agreed(check) for check in checks
            )
            table.add_row(
                Text(step.title), Text(said), Text("no", "bold red") if failed else Text("yes", "green")
            )
        self._console.print(table)
        verdict = (
            f"{wrong} of {len(results)} answers are wrong"
            if wrong
            else f"all {len(results)} answers are right"
        )
        self._print(Text(f"The tour is over: {verdict}.", style="bold red" if wrong else "bold green"))
        if wrong:
            self._print(Text(_RIGHT_UNDER))

    def _show_body(self, body: Any, shown: Shown) -> None:
        width = min(self._console.width, WIDTH_MAX)
        value = body if self._full else pick(body, shown)
        self._print(_highlighted(json_text(value, width)))

    def _print(self, text: Text) -> None:
        """Print a line as it is: what is copied from the screen must not have been wrapped."""
        self._console.print(text, soft_wrap=True)


def _difference(check: Check) -> str:
    return f"{check.place} is {json.dumps(check.found)}, not {json.dumps(check.expected)}"


def _agreed(check: Check) -> str:
    value = check.found if isinstance(check.found, str) else json.dumps(check.found)
    return value if check.place == "status" else f"{check.place.rpartition('.')[2]} {value}"
