"""Plans of a payer and the spans over which a member is enrolled in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Funding = Literal["fully_insured", "self_funded", "government", "other"]
Market = Literal[
    "group",
    "individual",
    "medicare",
    "medicare_advantage",
    "medicaid",
    "va",
    "tricare",
    "workers_comp",
    "other",
]
CarryOver = Literal["none", "same_product", "all"]

FUNDINGS: tuple[str, ...] = ("fully_insured", "self_funded", "government", "other")
MARKETS: tuple[str, ...] = (
    "group",
    "individual",
    "medicare",
    "medicare_advantage",
    "medicaid",
    "va",
    "tricare",
    "workers_comp",
    "other",
)
CARRY_OVERS: tuple[str, ...] = ("none", "same_product", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A plan of a payer.

    `plan_year_start` is "MM-DD" (default "01-01"); `contract_start` a date whose month and day open
    the contract year; `carry_over` says whether a change into this plan brings counts along.
    """

    payer_id: str
    plan_id: str
    name: str
    funding: Funding
    market: Market
    region: str | None = None
    plan_year_start: str = "01-01"
    contract_start: date | None = None
    carry_over: CarryOver = "none"

    def same_product(self, other: Plan) -> bool:
        """Whether two plans are one product: same payer, funding, market and region."""
        mine = (self.payer_id, self.funding, self.market, self.region)
        return mine == (other.payer_id, other.funding, other.market, other.region)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentSpan:
    """A member's enrollment in a plan over `[start, end)`; `end` None is open.

    `attributes` are the payer's own labels for the member that a rule may ask for.
    """

    plan_id: str
    start: date
    end: date | None = None
    attributes: tuple[str, ...] = ()

    def covers(self, day: date) -> bool:
        """Whether `day` lies in `[start, end)`."""
        return self.start <= day and (self.end is None or day < self.end)


def span_on(spans: tuple[EnrollmentSpan, ...], day: date) -> EnrollmentSpan | None:
    """The span that covers `day`, or None. A member's spans do not overlap (refused at the door)."""
    return next((span for span in spans if span.covers(day)), None)
