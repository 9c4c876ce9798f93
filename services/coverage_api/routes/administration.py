"""`/v1/payers`, `/v1/payers/{payer_id}/plans` and `/v1/enrollments`: what administrators write."""

from __future__ import annotations

from services.coverage_api.http import Answer, Call, Endpoint, JsonBody, Reply, Roles
from services.coverage_api.routes.parts import Json, Parts
from services.coverage_api.schemas.administration import (
    EnrollmentsSchema,
    PayerSchema,
    PlanSchema,
    plan_of,
    span_of,
)
from services.coverage_api.schemas.administration_answers import (
    EnrollmentsAnswerSchema,
    PayerAnswerSchema,
    PlanAnswerSchema,
)
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.usecases.put_enrollments import put_enrollments
from services.coverage_api.usecases.put_payer import put_payer
from services.coverage_api.usecases.put_plan import StoredPlan, put_plan
from shared.domain.enrollment import EnrollmentSpan
from shared.domain.records import MemberRef

TAG = "Administration"
ADMIN: Roles = ("admin",)


def endpoints(parts: Parts) -> list[Endpoint]:
    """The calls with which administrators describe payers, plans and enrollments."""
    return [_put_payer(parts), _put_plan(parts), _put_enrollments(parts)]


def _put_payer(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        payer_id, name = call.path["payer_id"], call.body["name"]
        is_new = put_payer(parts.tools, call.audit, payer_id, name)
        return Answer(status=201 if is_new else 200, body={"payer_id": payer_id, "name": name})

    return Endpoint(
        name="putPayer",
        method="PUT",
        path="/v1/payers/{payer_id:slug}",
        roles=ADMIN,
        tag=TAG,
        summary="Name a payer, or make a new one",
        description="A new payer needs an `admin` that was granted all payers.",
        handler=handle,
        body=JsonBody(
            read=Reader(PayerSchema).read,
            bytes_max=parts.settings.single_body_bytes_max,
            shown=(PayerSchema,),
        ),
        payer="path_or_new",
        replies={
            200: Reply(description="The payer, which was there.", schema=PayerAnswerSchema),
            201: Reply(description="The new payer.", schema=PayerAnswerSchema),
        },
    )


def _put_plan(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        plan = plan_of(call.path["payer_id"], call.path["plan_id"], call.body)
        stored = put_plan(parts.tools, call.audit, plan)
        return Answer(status=201 if stored.is_new else 200, body=plan_json(stored))

    return Endpoint(
        name="putPlan",
        method="PUT",
        path="/v1/payers/{payer_id:slug}/plans/{plan_id:text}",
        roles=ADMIN,
        tag=TAG,
        summary="Make or replace a plan",
        description="A change has the visits of its members counted again.",
        handler=handle,
        body=JsonBody(
            read=Reader(PlanSchema).read,
            bytes_max=parts.settings.single_body_bytes_max,
            shown=(PlanSchema,),
        ),
        payer="path",
        replies={
            200: Reply(description="The plan, which was there.", schema=PlanAnswerSchema),
            201: Reply(description="The new plan.", schema=PlanAnswerSchema),
        },
    )


def _put_enrollments(parts: Parts) -> Endpoint:
    def handle(call: Call) -> Answer:
        ref = MemberRef(payer_id=call.body["payer_id"], member_id=call.body["member_id"])
        given = [span_of(span) for span in call.body["spans"]]
        spans = put_enrollments(parts.tools, call.audit, ref, given, call.request_id)
        body = {
            "payer_id": ref.payer_id,
            "member_id": ref.member_id,
            "spans": [span_json(span) for span in spans],
        }
        return Answer(status=200, body=body)

    return Endpoint(
        name="putEnrollments",
        method="PUT",
        path="/v1/enrollments",
        roles=ADMIN,
        tag=TAG,
        summary="Replace a member's enrollment spans",
        description="Spans are half-open and may not overlap. The member's visits are counted again.",
        handler=handle,
        body=JsonBody(
            read=Reader(EnrollmentsSchema).read,
            bytes_max=parts.settings.single_body_bytes_max,
            shown=(EnrollmentsSchema,),
        ),
        payer="body",
        replies={200: Reply(description="The member's spans.", schema=EnrollmentsAnswerSchema)},
        problems={409: "The member was merged into another one: send that one's spans."},
    )


def plan_json(stored: StoredPlan) -> Json:
    """A plan as the contract shows it."""
    plan = stored.plan
    return {
        "payer_id": plan.payer_id,
        "plan_id": plan.plan_id,
        "version": stored.version,
        "name": plan.name,
        "funding": plan.funding,
        "market": plan.market,
        "region": plan.region,
        "plan_year_start": plan.plan_year_start,
        "contract_start": plan.contract_start,
        "carry_over": plan.carry_over,
    }


def span_json(span: EnrollmentSpan) -> Json:
    """A span as the contract shows it."""
    return {
        "plan_id": span.plan_id,
        "start": span.start,
        "end": span.end,
        "attributes": list(span.attributes),
    }
