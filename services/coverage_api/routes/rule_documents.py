"""`/v1/rule-documents`: what is covered, as dated, versioned, cited statements."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from services.coverage_api.http import Answer, Call, Endpoint, JsonBody, Parameter, Reply, Roles
from services.coverage_api.paging import CURSOR_LENGTH_MAX, read_cursor, write_cursor
from services.coverage_api.routes.parts import Json, Parts
from services.coverage_api.schemas.administration_answers import (
    LoadedDocumentAnswerSchema,
    RuleDocumentsAnswerSchema,
)
from services.coverage_api.schemas.rule_documents import RuleDocumentSchema, read_rule_document
from services.coverage_api.usecases.list_rule_documents import list_rule_documents
from services.coverage_api.usecases.put_rule_document import LoadedDocument, put_rule_document
from shared.domain.catalog_records import DocumentRow
from shared.domain.errors import Invalid
from shared.domain.rule_precedence import VersionDates, dates_of, instead_of

TAG = "Rule documents"
ADMIN: Roles = ("admin",)
PAGE_DOCUMENTS_MAX = 100


def endpoints(parts: Parts) -> list[Endpoint]:
    """The calls about rule documents."""
    return [_list(parts), _put(parts)]


def _list(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        cursor = call.request.args.get("cursor")
        after = None
        if cursor is not None:
            document_id, version = read_cursor(cursor[:CURSOR_LENGTH_MAX], (str, int))
            after = (str(document_id), int(version))
        page = list_rule_documents(parts.tools, call.client, after, PAGE_DOCUMENTS_MAX)
        last = page.rows[-1] if page.more else None
        following = write_cursor([last.document_id, last.version]) if last else None
        documents = [row_json(row, page.in_force[row.document_id]) for row in page.rows]
        return Answer(status=200, body={"rule_documents": documents, "next_cursor": following})

    return Endpoint(
        name="listRuleDocuments",
        method="GET",
        path="/v1/rule-documents",
        roles=ADMIN,
        tag=TAG,
        summary="The rule documents there are",
        description="`in_force` has the service dates for which a version is the latest that runs.",
        handler=handle,
        parameters=(
            Parameter(name="cursor", place="query", description="An earlier answer's `next_cursor`."),
        ),
        replies={200: Reply(description="Documents by id and version.", schema=RuleDocumentsAnswerSchema)},
        problems={422: "The cursor is none of ours."},
    )


def _put(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        loaded = put_rule_document(
            parts.tools,
            call.audit,
            call.path["document_id"],
            int(call.path["version"]),
            call.body,
            activate=_activate(call.request.args.get("activate", "true")),
        )
        return Answer(status=201 if loaded.change.created else 200, body=loaded_json(loaded))

    return Endpoint(
        name="putRuleDocument",
        method="PUT",
        path="/v1/rule-documents/{document_id:slug}/versions/{version:number}",
        roles=ADMIN,
        tag=TAG,
        summary="Load a version of a rule document",
        description=(
            "It runs from now on unless `activate=false`; the visits it touches are counted again. A "
            "document that names no single payer needs an `admin` of all payers. A version's content "
            "never changes: give a change a new version, also to go back to what an earlier one says. For "
            "service dates that a later version speaks of too (`later_versions`), that one is in force."
        ),
        handler=handle,
        body=JsonBody(
            read=read_rule_document,
            bytes_max=parts.settings.single_body_bytes_max,
            shown=(RuleDocumentSchema,),
        ),
        parameters=(
            Parameter(
                name="activate",
                place="query",
                description="Whether it runs from now on.",
                schema={"type": "string", "enum": ["true", "false"], "default": "true"},
            ),
        ),
        replies={
            200: Reply(description="This version was there.", schema=LoadedDocumentAnswerSchema),
            201: Reply(description="The new version.", schema=LoadedDocumentAnswerSchema),
        },
        problems={
            404: "It names a payer that is not there for this client.",
            409: "The version has other content, or contradicts the running catalog.",
        },
    )


def _activate(text: str) -> bool:
    if text not in {"true", "false"}:
        raise Invalid([("/activate", "Must be true or false.")])
    return text == "true"


def row_json(row: DocumentRow, in_force: Sequence[VersionDates]) -> Json:
    """A stored document, without its rules; `in_force` is of all its versions."""
    body = orjson.loads(row.body)
    return {
        "document_id": row.document_id,
        "version": row.version,
        "payer_id": row.payer_id,
        "authority": body.get("authority"),
        "title": body.get("title"),
        "running": row.runs,
        "activated_in": row.activated_in,
        "retired_in": row.retired_in,
        "loaded_at": row.loaded_at,
        "loaded_by": row.loaded_by,
        "in_force": _own(row.version, in_force),
    }


def loaded_json(loaded: LoadedDocument) -> Json:
    """A document as it was loaded."""
    spans = loaded.change.in_force
    later = instead_of(dates_of(loaded.document), spans) if loaded.change.activated else ()
    return {
        "document_id": loaded.document.document_id,
        "version": loaded.document.version,
        "authority": loaded.document.authority,
        "title": loaded.document.title,
        "running": loaded.change.activated,
        "catalog_version": loaded.change.catalog_version,
        "members_to_fold_again": loaded.change.members,
        "ran_before": loaded.change.ran_since is not None,
        "in_force": _own(loaded.document.version, spans),
        "later_versions": [{"version": dates.version, **_dates_json(dates)} for dates in later],
    }


def _own(version: int, in_force: Sequence[VersionDates]) -> list[Json]:
    return [_dates_json(dates) for dates in in_force if dates.version == version]


def _dates_json(dates: VersionDates) -> Json:
    return {"start": dates.start, "end": dates.end}
