"""Rule documents as they are sent: their own parser reads them, and knows every field."""

from __future__ import annotations

from typing import Any

from marshmallow import INCLUDE, Schema, fields

from shared.domain.errors import Invalid


class RuleDocumentSchema(Schema):
    """A rule document in the form of shared/catalog; rule-document.schema.json there tells all."""

    class Meta:
        """The document's own parser refuses what it does not know."""

        unknown = INCLUDE

    title = fields.String(required=True)
    authority = fields.String(required=True)


def read_rule_document(value: object) -> dict[str, Any]:
    """The document as it was sent, for the parser of rule documents. Raises Invalid for what is no object."""
    if not isinstance(value, dict):
        raise Invalid([("", "Must be a JSON object.")])
    return value
