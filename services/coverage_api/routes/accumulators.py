"""`/v1/accumulators`: how many services of a benefit period are used."""

from __future__ import annotations

from datetime import date

from services.coverage_api.http import Answer, Call, Endpoint, JsonBody, Reply
from services.coverage_api.routes.parts import Parts
from services.coverage_api.schemas.answers import AccumulatorsAnswerSchema
from services.coverage_api.schemas.reading import Reader
from services.coverage_api.schemas.searches import AccumulatorSearchSchema
from services.coverage_api.usecases.search_accumulators import search_accumulators
from shared.domain.records import MemberRef


def endpoints(parts: Parts) -> list[Endpoint]:
    """The calls about accumulators."""

    def handle(call: Call) -> Answer:
        ref = MemberRef(payer_id=call.body["payer_id"], member_id=call.body["member_id"])
        on = date.fromisoformat(call.body["service_date"])
        found = search_accumulators(parts.tools, ref, on, call.body.get("known_at"))
        return Answer(status=200, body={"accumulators": found.accumulators, "reasons": found.reasons})

    return [
        Endpoint(
            name="searchAccumulators",
            method="POST",
            path="/v1/accumulators/search",
            roles=("ehr", "portal"),
            tag="Accumulators",
            summary="How a member's limits stand on a service date",
            description=(
                "With `known_at`, a date-time with its UTC offset: as they stood by what had been counted, "
                "held and granted at that moment; one that lies ahead answers for now. A change has the time "
                "at which it began to be made, so an answer given while it was being made, mostly a fraction "
                "of a second, may not know of it yet; what a check answered is kept with the check. Which "
                "plan's limits are shown, and what is allowed, follow from the rules and the enrollment of "
                "the service date as they are known today: units that were counted under another plan then "
                "are not in `used`."
            ),
            handler=handle,
            body=JsonBody(
                read=Reader(AccumulatorSearchSchema).read,
                bytes_max=parts.settings.single_body_bytes_max,
                shown=(AccumulatorSearchSchema,),
            ),
            payer="body",
            replies={
                200: Reply(
                    description="Every limit of the plan that covers the member on that date.",
                    schema=AccumulatorsAnswerSchema,
                )
            },
        )
    ]
