"""The words of the written confirmation: what a person reads in the place of codes and paths."""

from __future__ import annotations

from collections.abc import Mapping

#: By decision: what it is called, and what that means.
DECISIONS: Mapping[str, tuple[str, str]] = {
    "covered": ("Covered", "The rules held cover the service asked about."),
    "covered_with_conditions": (
        "Covered, with conditions",
        "The rules held cover the service asked about, if what it depends on is met.",
    ),
    "not_covered": (
        "Not covered",
        "By the rules held, the service asked about is not covered.",
    ),
    "unknown_verify_with_plan": (
        "Not known: ask the plan",
        "The rules held do not decide this. Ask the plan before the service is given.",
    ),
}

#: What an unknown answer means where the request left out what a rule asks for.
INPUTS_MISSING = (
    "The rules held cannot decide this without what is listed below as not stated. "
    "Ask again with it, or ask the plan."
)

AUTHORITIES: Mapping[str, str] = {
    "law": "law",
    "government_program": "government program",
    "plan_document": "the plan's own document",
    "payer_policy": "policy of the payer",
    "general_article": "general article",
}

REQUIREMENTS: Mapping[str, str] = {
    "required": "Required",
    "not_required": "Not required",
    "not_applicable": "Does not apply",
    "unknown": "Not known: ask the plan",
}

COST_SHARING: Mapping[str, str] = {
    "stated": "As stated",
    "none": "None",
    "unknown": "Not known: ask the plan",
}

MEASURES: Mapping[str, str] = {
    "visit": "visits",
    "service_day": "days with a service",
    "service_line": "billed lines",
    "unit": "units",
}

BASES: Mapping[str, str] = {
    "plan_year": "Plan year",
    "calendar_year": "Calendar year",
    "contract_year": "Contract year",
    "enrollment_year": "Year of enrollment",
    "first_service_year": "Year that opens with the first service",
    "rolling_days": "Rolling period",
    "lifetime": "Lifetime",
    "authorization": "Prior authorization",
    "injury": "Injury",
}

NETWORKS: Mapping[str, str] = {"in": "In network", "out": "Out of network"}

#: What a check can say, by its path, in the order in which it is shown.
INPUTS: Mapping[str, str] = {
    "lines": "Billed lines",
    "lines[].procedure_code": "Procedure code",
    "lines[].quantity": "Quantity of a line",
    "lines[].modifiers": "Modifiers of a line",
    "lines[].diagnosis_codes": "Diagnosis codes of a line",
    "lines[].muscles": "Number of muscles needled",
    "provider.type": "Type of provider",
    "provider.npi": "Provider's NPI",
    "provider.credentials": "Provider's credentials",
    "billing_provider.type": "Type of billing provider",
    "billing_provider.npi": "Billing provider's NPI",
    "billing_provider.credentials": "Billing provider's credentials",
    "state": "State of the service",
    "place_of_service": "Place of service",
    "network": "Network",
    "clinical.onset_on": "Date the condition began",
    "clinical.improving": "Patient improves",
    "clinical.purpose": "Purpose of the care",
    "clinical.related_to": "Cause of the condition",
    "clinical.documented": "Documented in the chart",
    "authorization.number": "Prior authorization's number",
    "authorization.start": "Prior authorization's first date",
    "authorization.end": "Prior authorization ends before",
    "injury_id": "Injury",
    "hold_id": "Units held for this service",
}


def spaced(code: str) -> str:
    """A code as words: `physical_therapist` is physical therapist."""
    return code.replace("_", " ")


def sentence(text: str) -> str:
    """A text with a capital first letter."""
    return text[:1].upper() + text[1:]


def input_words(path: str) -> str:
    """What a path of the request is about; a path without words is said as it is."""
    return INPUTS.get(path, path)
