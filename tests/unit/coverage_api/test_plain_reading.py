"""What the quick reader accepts, marshmallow accepts too and makes the same of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields

from services.coverage_api import bootstrap
from services.coverage_api.schemas.fields import StrictSchema
from services.coverage_api.schemas.plain_reading import NotPlain, plain_reader
from services.coverage_api.schemas.service import EligibilityCheckSchema
from services.coverage_api.schemas.visit_event import VisitReportSchema, VisitVoidSchema
from tests.api_service import check, event
from tests.documents import ODD, document
from tests.model.running import searching


def schemas_below(kind: type[Schema]) -> Iterator[type[Schema]]:
    """Every schema that a request is read with."""
    for schema in kind.__subclasses__():
        yield schema
        yield from schemas_below(schema)


#: The bootstrap imports every route, and they every schema.
assert bootstrap.__doc__
SCHEMAS = sorted(set(schemas_below(StrictSchema)), key=lambda schema: schema.__name__)


def loaded(schema: Schema, value: Any) -> Any:
    """What marshmallow makes of a value, or None where it refuses."""
    try:
        return schema.load(value)
    except ValidationError:
        return None


@pytest.mark.parametrize("kind", SCHEMAS)
@searching(30)
@given(data=st.data())
def test_what_is_read_plainly_is_what_marshmallow_makes_of_it(
    kind: type[Schema], data: st.DataObject
) -> None:
    """For right, odd and wrong objects alike: the same values of the same types in the same order."""
    schema = kind()
    value = data.draw(document(schema, sound=True) | document(schema, sound=False) | ODD)
    try:
        plain = plain_reader(schema)(value)
    except NotPlain:
        return
    assert repr(plain) == repr(loaded(schema, value))


@pytest.mark.parametrize("kind", [EligibilityCheckSchema, VisitReportSchema, VisitVoidSchema])
@searching(30)
@given(data=st.data())
def test_right_objects_need_no_marshmallow(kind: type[Schema], data: st.DataObject) -> None:
    """Whatever is right is read plainly, save where a span's own rule may refuse it."""
    schema = kind()
    value = data.draw(document(schema, sound=True))
    value.pop("authorization", None)
    assert plain_reader(schema)(value) == schema.load(value)


def test_rules_over_several_fields_are_kept() -> None:
    """A span that ends before it begins is not plainly right, whatever its dates are by themselves."""
    read = plain_reader(EligibilityCheckSchema())
    held = {"number": "A1", "start": "2026-01-01"}
    assert read(check(authorization={**held, "end": "2026-02-01"}))["authorization"]["number"] == "A1"
    with pytest.raises(NotPlain):
        read(check(authorization={**held, "end": "2026-01-01"}))


class _Shouted(fields.String):
    """A kind of field that the reader has never heard of."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return super()._serialize(value, attr, obj, **kwargs)


class _OddSchema(StrictSchema):
    shouted = _Shouted()
    ruled = fields.Raw(validate=lambda _: True)


@pytest.mark.parametrize("value", [{"shouted": "A"}, {"ruled": 1}])
def test_unknown_kinds_of_fields_and_rules_are_left_to_marshmallow(value: Any) -> None:
    """What the reader does not know it does not guess at; where it is absent it does not matter."""
    read = plain_reader(_OddSchema())
    with pytest.raises(NotPlain):
        read(value)
    assert read({}) == {}


def test_an_event_is_read_with_its_defaults() -> None:
    """What was not said is there with its default, as marshmallow has it."""
    body = event(1)
    assert plain_reader(VisitReportSchema())(body) == VisitReportSchema().load(body)
    assert plain_reader(VisitReportSchema())(body)["visit_status"] == "completed"
