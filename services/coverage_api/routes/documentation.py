"""`/openapi.json`, `/docs` and `/problems/...`: the API's description, for programs and for people.

Each page is rendered once from the document, when it is first asked for; it has no script, and loads nothing
from another host.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2
from flask import Response, request
from markupsafe import Markup, escape

from services.coverage_api.errors import ProblemType, problem_kinds
from services.coverage_api.http import HTML_TYPE, JSON_TYPE, to_json
from services.coverage_api.openapi import STYLE_PATH
from shared.domain.errors import NotFound

Json = dict[str, Any]
View = Callable[[], Response]
ProblemView = Callable[[str], Response]

PAGES = Path(__file__).parent.parent / "pages"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def document_view(document: Callable[[], Json]) -> View:
    """The OpenAPI document."""
    return _constant(lambda: to_json(document()), JSON_TYPE)


def page_view(document: Callable[[], Json]) -> View:
    """The document as a page."""
    return _constant(lambda: _page(document()).encode(), "text/html; charset=utf-8")


def style_view() -> View:
    """The page's style sheet."""
    return _constant((PAGES / "docs.css").read_bytes, "text/css; charset=utf-8")


def start() -> Response:
    """The way from the bare address to the page."""
    return Response(status=302, headers={"Location": "/docs"}, content_type=f"{HTML_TYPE}; charset=utf-8")


def problem_view() -> ProblemView:
    """What a type of problem means and what to do: a page for who asks for one, JSON for all others.

    Raises NotFound for a type that there is not.
    """
    template = _templates().get_template("problem.html")
    pages = {
        kind.slug: (
            _constant(partial(_explained, kind), JSON_TYPE),
            _constant(partial(_explained_page, template, kind), f"{HTML_TYPE}; charset=utf-8"),
        )
        for kind in problem_kinds()
    }

    def view(slug: str) -> Response:
        if slug not in pages:
            raise NotFound
        as_json, as_page = pages[slug]
        best = request.accept_mimetypes.best_match([JSON_TYPE, HTML_TYPE], JSON_TYPE)
        response = (as_page if best == HTML_TYPE else as_json)()
        response.headers["Vary"] = "Accept"
        return response

    return view


def _explained(kind: ProblemType) -> bytes:
    return to_json(
        {
            "type": f"/problems/{kind.slug}",
            "title": kind.title,
            "status": kind.status,
            "means": kind.means,
            "remedy": kind.remedy,
        }
    )


def _explained_page(template: jinja2.Template, kind: ProblemType) -> bytes:
    return template.render(problem=kind).encode()


def _page(document: Json) -> str:
    return (
        _templates()
        .get_template("docs.html")
        .render(
            document=document,
            operations=[operation for operation in _operations(document) if operation["path"] != STYLE_PATH],
            problems=problem_kinds(),
            schemas=[
                _schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())
            ],
        )
    )


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["words"] = _words
    return environment


def _words(text: str) -> Markup:
    """A text of the document as HTML, its `code` spans as such."""
    # What is marked as safe has been escaped just before.
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704


def _constant(make: Callable[[], bytes], content_type: str) -> View:
    body = cache(make)

    def view() -> Response:
        response = Response(body(), content_type=content_type)
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        response.headers["Cache-Control"] = "public, max-age=300"
        return response

    return view


def _operations(document: Json) -> Iterator[Json]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield {
                "id": operation["operationId"],
                "method": method.upper(),
                "path": path,
                "tag": operation["tags"][0],
                "summary": operation["summary"],
                "paragraphs": [p for p in operation.get("description", "").split("\n\n") if p],
                "parameters": [{"description": "", **p} for p in operation.get("parameters", [])],
                "example": _example(operation),
                "body": sorted(set(_refs(operation.get("requestBody", {})))),
                "answers": [
                    (status, reply["description"], next(_refs(reply.get("content", {})), None))
                    for status, reply in operation["responses"].items()
                ],
            }


def _example(operation: Json) -> str | None:
    """The example of an operation's body as text, an object over several lines; None without one."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "example" in content:
            example = content["example"]
            return example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return None


def _schema(name: str, schema: Json) -> Json:
    required = set(schema.get("required", ()))
    return {
        "name": name,
        "text": schema.get("description", ""),
        "fields": [
            {
                "name": field,
                "required": field in required,
                "kind": _kind(value),
                "ref": next(_refs(value), None),
                "may_be_null": {"type": "null"} in value.get("anyOf", ()),
                "values": _values(value),
                "text": value.get("description", ""),
            }
            for field, value in schema.get("properties", {}).items()
        ],
    }


def _kind(value: Json) -> str:
    kind = value.get("type", "")
    said = " or ".join(kind) if isinstance(kind, list) else kind
    if "items" in value:
        return f"{said} of {_kind(value['items'])}".strip()
    return f"{said} ({value['format']})" if "format" in value else said


def _values(value: Json) -> str:
    inner = value.get("items", value)
    if "enum" in inner:
        return ", ".join(str(word) for word in inner["enum"] if word is not None)
    if "pattern" in inner and "maxLength" not in inner:
        return str(inner["pattern"])
    bounds = [
        f"{word} {inner[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
        if key in inner
    ]
    return " ".join(bounds)


def _refs(value: Any) -> Iterator[str]:
    """The names of the schemas that a part of the document refers to."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rsplit("/", 1)[1]
        for inner in value.values():
            yield from _refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _refs(inner)
