"""A stream's lines that are plainly valid say the same, and have the same digest, as read closely."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, fields

from services.coverage_api.bodies import parse_json
from services.coverage_api.schemas import line_reading
from services.coverage_api.schemas.fields import Identifier, Text
from services.coverage_api.schemas.line_reading import PlainTexts
from services.coverage_api.schemas.plain_reading import acceptance
from services.coverage_api.schemas.service import TIDIED
from services.coverage_api.schemas.visit_event import VisitReportSchema
from services.coverage_api.schemas.visit_event_reading import read_plain_events, read_visit_event, streamed
from shared.domain.errors import NeedlecapError
from shared.domain.intake import StreamedEvent
from tests.api_service import event
from tests.documents import ODD, document
from tests.model.running import searching


def closely(text: bytes) -> StreamedEvent | None:
    """What the closer reading makes of a line, which is what a single event is read by."""
    try:
        return streamed(read_visit_event(parse_json(text)))
    except NeedlecapError:
        return None


def meaning(found: StreamedEvent | None) -> Any:
    """An event without the order of names in its content, which the inbox does not keep."""
    return found and found._replace(content=orjson.loads(found.content or b"null"))


@searching(60)
@given(data=st.data(), indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_what_is_read_plainly_is_what_the_closer_reading_makes_of_it(
    data: st.DataObject, indent: int | None, *, ascii_only: bool
) -> None:
    """For right, odd and wrong objects, however they are written: also the digest is the same (I2)."""
    schema = VisitReportSchema()
    values = data.draw(
        st.lists(document(schema, sound=True) | document(schema, sound=False) | ODD, max_size=4)
    )
    texts = [json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode() for value in values]
    for text, plain in zip(texts, read_plain_events(texts), strict=True):
        if plain is not None:
            assert meaning(plain) == meaning(closely(text))


@searching(60)
@given(data=st.data())
def test_right_objects_need_no_closer_look(data: st.DataObject) -> None:
    """Whatever is right is read plainly where everything in it says something."""
    value = data.draw(document(VisitReportSchema(), sound=True))
    value.pop("authorization", None)
    text = orjson.dumps(without_the_unsaid(value))
    (plain,) = read_plain_events([text])
    assert meaning(plain) == meaning(closely(text)) is not None


def without_the_unsaid(value: Any) -> Any:
    """A JSON value without nulls, and without empty lists and objects."""
    if isinstance(value, dict):
        kept = {name: without_the_unsaid(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner not in (None, [], {})}
    return [without_the_unsaid(inner) for inner in value] if isinstance(value, list) else value


def line(text: str, **changes: Any) -> bytes:
    """An event in which the value of `state`, "WI", is replaced by a text that stands for JSON."""
    return json.dumps(event(1, **changes)).replace('"WI"', text).encode()


@pytest.mark.parametrize(
    "text",
    [
        line("null"),
        line('"WI", "state": "WI"'),
        line('"WI", "state": "MN"'),
        line('"WI", "state": "WI"', injury_id="a:b").replace(b"a:b", rb"a\u003ab"),
        line('"WI", "provider": {"npi": "9000000101"}', provider={"npi": "9000000101"}),
        line('"WI"', provider={"npi": "N"}).replace(b'"N"', b'"9000000101", "npi": "9000000101"'),
        line('"WI"', provider={"npi": "N"}).replace(
            b'"N"', rb'"9000000101"}, "injury_id": "a\u003ab", "a": {}'
        ),
        line('"WI"', provider=None),
        line('"WI"', provider={}),
        line('"WI"', provider={"credentials": []}),
        line('"WI"', clinical={"related_to": [], "improving": None}),
        line('"WI"', authorization={"number": "A1"}),
        line('"WI"', type="visit.voided"),
        line('"wi"'),
        line('"WI"', colour="red"),
        line('"WI"', service_date="2026-02-30"),
        line('"WI"', member_id=" SAMPLE-0001"),
        line('"WI"', lines=[]),
        line('"WI"', lines=[{"procedure_code": "20560", "quantity": 1.0}]),
        line('"WI"', lines=[{"procedure_code": "20560", "quantity": "1"}]),
        line('"WI"', lines=[{"procedure_code": "20560", "quantity": True}]),
        line('"WI"', lines=[{"procedure_code": "20560", "quantity": 0}]),
        line('"WI"', lines=[{"procedure_code": "20560", "diagnosis_codes": ["M54.50", "?"]}]),
        line('"WI"', self_pay=1),
        line('"\\ud800"'),
        line('"WI"')[:-1],
        line('"WI"') + b"}",
        line('"WI"').replace(b"SAMPLE", b"\xff"),
        line("[" * 5_000 + "]" * 5_000),
        b"",
        b"[]",
    ],
)
def test_what_is_not_plain_is_left_alone_and_its_neighbours_are_read(text: bytes) -> None:
    """It is not guessed at, whether it turns out to be right or wrong, and it keeps nobody else back."""
    before, after = line('"WI"'), line('"MN"')
    found = read_plain_events([before, text, after])
    assert [plain is None for plain in found] == [False, True, False]
    assert [meaning(plain) for plain in found[::2]] == [meaning(closely(before)), meaning(closely(after))]


def test_a_text_that_looks_like_json_is_no_repeated_name() -> None:
    """Colons and quotes of a text are the text's."""
    text = orjson.dumps(event(1, injury_id='a": "b": \\ :'))
    (plain,) = read_plain_events([text])
    assert meaning(plain) == meaning(closely(text)) is not None


def test_among_many_texts_each_keeps_its_place() -> None:
    """However many come at once, and whatever is wrong with some of them."""
    texts = [orjson.dumps(event(number)) for number in range(450)]
    texts[7], texts[210], texts[449] = line("1"), line('"WI", "state": "MN"'), line('"WI"', visit_id=" v")
    found = read_plain_events(texts)
    assert [place for place, plain in enumerate(found) if plain is None] == [7, 210, 449]
    assert meaning(found[448]) == meaning(closely(texts[448])) is not None


def test_what_was_read_before_is_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of lines that came before, in the same bytes or others, good or not, remembered or forgotten."""
    monkeypatch.setattr(line_reading, "_FORMS_REMEMBERED", 3)
    monkeypatch.setattr(line_reading, "_FORM_BYTES_REMEMBERED", 200)
    providers: list[Any] = [
        {"npi": "9000000101"},
        {"npi": "N"},
        {"credentials": ["a: b"]},
        {"type": "physician", "credentials": ["x" * 60] * 4},
        {"npi": "9000000102"},
    ]
    texts = [
        json.dumps(event(number, provider=provider), indent=indent).encode()
        for number, (provider, indent) in enumerate(product(providers, [None, 2]))
    ]
    plain = PlainTexts(VisitReportSchema(), TIDIED)
    for _ in range(3):
        forms = [read and read[1] for read in plain.read(texts)]
        told = [closely(text) for text in texts]
        assert [form and sha256(form).digest() for form in forms] == [
            event and event.payload_digest for event in told
        ]


@given(ids=st.sets(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=12), max_size=3))
def test_ids_accepted_at_a_glance_are_accepted_one_by_one(ids: set[str]) -> None:
    """The glance may miss some that are right, but no wrong one passes."""
    field = Identifier(10)
    accepts = acceptance(field)
    assert accepts is not None
    assert not field.accepts_at_a_glance(ids) or all(map(accepts, ids))
    assert field.accepts_at_a_glance({"a", "B-2", "~" * 10})


class _Shouted(fields.String):
    """A kind of field that the reader has never heard of."""


class _OddSchema(Schema):
    shouted = _Shouted()
    ruled = fields.Raw(validate=lambda _: True)
    known = Text(5)


def test_unknown_kinds_of_fields_and_rules_are_left_alone() -> None:
    """What the reader does not know it does not guess at; where it is absent it does not matter."""
    texts = PlainTexts(_OddSchema())
    read = texts.read([b'{"shouted": "A"}', b'{"ruled": 1}', b'{"known": "A"}'])
    assert [item is None for item in read] == [True, True, False]
