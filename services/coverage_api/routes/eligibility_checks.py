"""`/v1/eligibility-checks`: is this member's service covered, and why?"""

from __future__ import annotations

import orjson

from services.coverage_api.confirmation import ConfirmationPage
from services.coverage_api.http import (
    HTML_TYPE,
    JSON_TYPE,
    Answer,
    Call,
    Endpoint,
    JsonBody,
    Reply,
    Roles,
    SharedQuestion,
)
from services.coverage_api.known_keys import KeyChanged
from services.coverage_api.routes.parts import Json, Parts, judge_items, refused
from services.coverage_api.schemas.answers import CheckBatchResultsSchema
from services.coverage_api.schemas.determination_answers import DeterminationSchema
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.schemas.service import EligibilityBatchSchema, EligibilityCheckSchema, said
from services.coverage_api.usecases.check_eligibility import EligibilityCheck
from services.coverage_api.usecases.find_confirmation import find_confirmation
from services.coverage_api.usecases.find_determination import find_determination
from shared.domain.determination_record import DeterminationRecord

TAG = "Eligibility checks"
ASKING: Roles = ("ehr", "portal")
READING: Roles = ("ehr", "portal", "admin")

_CHECK = Reader(EligibilityCheckSchema)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The calls about eligibility checks."""
    return [_check(parts), _check_batch(parts), _find(parts)]


def read_check(value: object) -> Json:
    """A check with its defaults, in one form for all ways of saying the same. Raises Invalid."""
    return said(_CHECK.read(value))


def _check(parts: Parts) -> Endpoint:
    def handle(call: Call) -> SharedQuestion:
        check = EligibilityCheck(client=call.client, audit=call.audit, request=call.body, caller=call.caller)
        return SharedQuestion(gathering=parts.checks, question=check, to_answer=_determined)

    return Endpoint(
        name="checkEligibility",
        method="POST",
        path="/v1/eligibility-checks",
        roles=ASKING,
        tag=TAG,
        summary="Ask whether a member's service is covered, and why",
        description=(
            "An unknown member or code is an answer, not an error. What a rule needs and the request "
            "lacks is named in `missing_inputs`."
        ),
        handler=handle,
        body=JsonBody(
            read=read_check,
            bytes_max=parts.settings.single_body_bytes_max,
            shown=(EligibilityCheckSchema,),
        ),
        payer="body",
        confirms=True,
        replies={201: Reply(description="The recorded answer.", schema=DeterminationSchema)},
    )


def _determined(record: DeterminationRecord) -> Answer:
    return Answer(status=201, body=record.body)


def _check_batch(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        judged = judge_items(parts, call, call.body["checks"], read_check)
        checks = [
            EligibilityCheck(client=call.client, audit=call.audit, request=request)
            for request in judged
            if isinstance(request, dict)
        ]
        records = iter(parts.checks.ask(checks))
        results = [
            _result(next(records)) if isinstance(item, dict) else refused(item, call) for item in judged
        ]
        return Answer(status=200, body={"results": results})

    return Endpoint(
        name="checkEligibilityBatch",
        method="POST",
        path="/v1/eligibility-checks/batch",
        roles=ASKING,
        tag=TAG,
        summary="Ask up to 100 eligibility checks at once",
        description="Each check is answered or refused on its own, in the order of the checks.",
        handler=handle,
        body=JsonBody(
            read=Reader(EligibilityBatchSchema).read,
            bytes_max=parts.settings.batch_body_bytes_max,
            shown=(EligibilityBatchSchema,),
            items_in="checks",
            items_shown=(EligibilityCheckSchema,),
        ),
        replies={200: Reply(description="One result for each check.", schema=CheckBatchResultsSchema)},
    )


def _find(parts: Parts) -> Endpoint:
    page = ConfirmationPage()
    varies = ("Vary", "Accept")

    def handle(call: Call) -> Answer:
        check_id = call.path["check_id"]
        if call.request.accept_mimetypes.best_match([JSON_TYPE, HTML_TYPE], JSON_TYPE) == HTML_TYPE:
            confirmation = find_confirmation(parts.tools, call.client, check_id)
            call.audit.concerns(confirmation.check.record.payer_id, confirmation.request["member_id"])
            return Answer(
                status=200,
                body=page.render(confirmation),
                headers=(varies, ("Content-Security-Policy", page.policy)),
                media_type=f"{HTML_TYPE}; charset=utf-8",
            )
        ref, body = find_determination(parts.tools, call.client, check_id)
        call.audit.concerns(ref.payer_id, ref.member_id)
        return Answer(status=200, body=body, headers=(varies,))

    return Endpoint(
        name="findEligibilityCheck",
        method="GET",
        path="/v1/eligibility-checks/{check_id:id}",
        roles=READING,
        tag=TAG,
        summary="The answer to a check, as it was given",
        description="With `Accept: text/html`, as a written confirmation to be printed.",
        handler=handle,
        replies={
            200: Reply(
                description="The same body as when it was made.",
                schema=DeterminationSchema,
                also=(HTML_TYPE,),
            )
        },
        problems={404: "There is no such check of a payer that the client sees."},
    )


def _result(record: DeterminationRecord | KeyChanged) -> Json:
    assert isinstance(record, DeterminationRecord), "the key of a batch was looked up before"
    return {"status": 201, "determination": orjson.Fragment(record.body)}
