"""The written confirmation of a recorded answer: a page that prints well and needs nothing but itself.

It says what the record says, in plain words. It has no script, and its one style sheet is part of it
and allowed by its hash.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import jinja2
from markupsafe import Markup

from services.coverage_api import confirmation_words as words
from services.coverage_api.routes.documentation import PAGES
from services.coverage_api.usecases.find_confirmation import Confirmation

Json = dict[str, Any]

#: Values that a request's part may have without a path of its own.


class ConfirmationPage:
    """Renders confirmations; the policy is made once."""

    def __init__(self) -> None:
        """Read the style sheet."""
        style = (PAGES / "confirmation.css").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        #: The Content-Security-Policy under which the page looks as it should, and nothing else happens.
        self.policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        self._style = Markup(style)  # noqa: S704 - our own file

    def render(self, confirmation: Confirmation) -> bytes:
        """The page of a confirmation, as HTML in UTF-8."""
        return _template().render(facts(confirmation), style=self._style).encode()


@functools.cache
def _template() -> jinja2.Template:
    """The template, compiled when it is first needed."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"day": in_words, "sentence": words.sentence, "spaced": words.spaced}
    environment.globals |= {"words": words}
    return environment.get_template("confirmation.html")


def facts(confirmation: Confirmation) -> Json:
    """Everything the template shows."""
    check, answer = confirmation.check, confirmation.answer
    title, meaning = words.DECISIONS[answer["decision"]]
    if answer["decision"] == "unknown_verify_with_plan" and answer["missing_inputs"]:
        meaning = words.INPUTS_MISSING
    return {
        "check_id": check.record.check_id,
        "decided_at": check.record.decided_at,
        "decided_on": moment_in_words(check.record.decided_at),
        "asked_by": check.client_name,
        "payer": check.payer_name,
        "plan": confirmation.plan_name,
        "request": confirmation.request,
        "circumstances": list(_circumstances(confirmation.request)),
        "answer": answer,
        "decision": title,
        "meaning": meaning,
        "counts": [_count(accumulator) for accumulator in answer["accumulators"]],
        "sharing": list(_cost_sharing(answer["cost_sharing"])),
        "unknown": list(_unknown(answer)),
        "sources": _sources(answer, confirmation.titles),
    }


def in_words(text: str | date | None) -> str:
    """A calendar date as people write it, such as March 4, 2026."""
    if text is None:
        return "open"
    on = date.fromisoformat(text) if isinstance(text, str) else text
    return f"{on:%B} {on.day}, {on.year}"


def moment_in_words(at: datetime) -> str:
    """An instant in UTC."""
    return f"{in_words(at.date())}, {at:%H:%M:%S} UTC"


def _circumstances(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the request said besides who, when and the lines, in words."""
    for path, label in words.INPUTS.items():
        part, _, name = path.partition(".")
        if part.startswith("lines"):
            continue
        value = request.get(part, {}).get(name) if name else request.get(part)
        if value not in (None, []):
            yield label, _said(path, value)


def _said(path: str, value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if path == "network":
        return words.NETWORKS[value]
    if path in {"clinical.onset_on", "authorization.start", "authorization.end"}:
        return in_words(value)
    if isinstance(value, list):
        return ", ".join(words.spaced(item) for item in value)
    return words.spaced(value) if path.endswith((".type", ".purpose")) else str(value)


def _count(accumulator: Mapping[str, Any]) -> Json:
    """One limit's count; a limit without a maximum only numbers the visits."""
    period = accumulator["period"]
    basis = words.BASES[period["basis"]]
    return {
        **accumulator,
        "label": accumulator["label"] or accumulator["limit_id"],
        "capped": accumulator["allowed"] is not None,
        "measure": words.MEASURES[accumulator["measure"]],
        "basis": f"{basis} of {period['days']} days" if "days" in period else basis,
        "first": period["start"],
        # The period's end is not in it; people name the last day.
        "last": date.fromisoformat(period["end"]) - timedelta(days=1) if period["end"] else None,
        "assumptions": [words.spaced(name) for name in accumulator["assumptions"]],
    }


def _cost_sharing(sharing: Mapping[str, Any]) -> Iterator[str]:
    """What the member pays, as far as it is known, in sentences."""
    yield words.COST_SHARING[sharing["status"]] + "."
    if (cents := sharing.get("copay_cents")) is not None:
        yield f"Copay ${cents // 100}.{cents % 100:02}."
    if (percent := sharing.get("coinsurance_percent")) is not None:
        yield f"Coinsurance {percent} %."
    if (applies := sharing.get("deductible_applies")) is not None:
        yield "The deductible applies." if applies else "The deductible does not apply."
    if sharing["note"]:
        yield f"{words.sentence(sharing['note'])}."


def _unknown(answer: Mapping[str, Any]) -> Iterator[str]:
    """What the answer does not rest on because nobody said it or no rule that is held does."""
    for path in answer["missing_inputs"]:
        yield f"Not stated, though a rule asks for it: {words.input_words(path)}."
    if answer["decided_by"] is None and answer["decision"] == "unknown_verify_with_plan":
        yield "No rule that is held decides this case."
    for name, label in (("prior_authorization", "a prior authorization"), ("referral", "a referral")):
        if answer[name] == "unknown":
            yield f"Whether {label} is needed."
    if answer["cost_sharing"]["status"] == "unknown":
        yield "What the member pays."
    for accumulator in answer["accumulators"]:
        for name in accumulator["assumptions"]:
            yield f"{_left_open(name, accumulator)}, so the count rests on an assumption."
    waiting = max((accumulator["pending_events"] for accumulator in answer["accumulators"]), default=0)
    if waiting:
        yield f"{waiting} reported visit events were not counted yet at the time of the answer."


def _left_open(name: str, accumulator: Mapping[str, Any]) -> str:
    """What the source of a limit does not say, and what is taken for it."""
    label, start = accumulator["label"] or accumulator["limit_id"], accumulator["period"]["start"]
    if name == "measure":
        measure = words.MEASURES[accumulator["measure"]]
        return f"The source does not say what one service is in the limit {label}; {measure} are counted"
    if name == "plan_year_start" and start is not None:
        first = in_words(start)
        return f"The source does not say when the year of the limit {label} starts; it counts from {first}"
    return f"The source does not say the {words.spaced(name)} of the limit {label}"


def _sources(answer: Json, titles: Mapping[tuple[str, int], str]) -> list[Json]:
    """Every source the answer names, once, the one that decides first."""
    found: dict[tuple[str, int], Json] = {}
    for source in _named(answer["decided_by"]), *map(_named, answer.values()):
        for one in source:
            found.setdefault((one["document_id"], one["version"]), one)
    return [{**source, "title": titles.get(name) or source.get("title")} for name, source in found.items()]


def _named(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        if "document_id" in value and "authority" in value:
            yield value
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)
