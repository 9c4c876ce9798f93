"""What a chaos run says at its end."""

from __future__ import annotations

from tests.chaos.run import Outcome

FAULTS_SHOWN_MAX = 20


def lines_of(outcome: Outcome) -> list[str]:
    """The report; the last line is the verdict."""
    counts, found = outcome.counts, outcome.findings
    kills = {name.removeprefix("killed "): n for name, n in outcome.mischief.items() if "killed" in name}
    others = {name: n for name, n in outcome.mischief.items() if "killed" not in name}
    return [
        (
            f"seed: {outcome.plan.seed}, {outcome.plan.seconds / 60:g} minutes, "
            f"{outcome.plan.clients} clients, {outcome.plan.members} members"
        ),
        f"killed: {_listed(kills)} ({outcome.restarts} restarts)",
        f"besides: {_listed(others)}",
        (
            f"events: {outcome.sent} sent, {outcome.acknowledged} acknowledged, {outcome.repeats} repeats of "
            "acknowledged ones"
        ),
        f"holds: {outcome.holds} placed, overrides: {outcome.overrides} granted",
        (
            f"calls: {counts['checks']} checks answered, {counts['answered 503']} answers 503, "
            f"{counts['answered 429']} answers 429, {counts['no answer']} without an answer, all sent again; "
            f"slowest 503 or 429 of an API not paused after {counts['slowest no ms'] / 1000:.1f} s"
        ),
        (
            f"operator's commands meanwhile: {counts['commands']} found nothing wrong, "
            f"{counts['commands that met a server away']} met a server away"
        ),
        (
            f"recoveries: {outcome.recoveries}, the longest {outcome.longest_recovery_seconds:.1f} s; "
            f"an event waited at most {outcome.longest_wait_seconds:.1f} s; at the end caught up in "
            f"{outcome.catch_up_seconds:.1f} s"
        ),
        (
            f"audited: {outcome.samples} snapshots meanwhile, {found.entries} ledger entries, "
            f"{found.counters_compared} Redis counters, every state against a rebuild and the model"
        ),
        *(f"WRONG: {fault}" for fault in found.faults[:FAULTS_SHOWN_MAX]),
        *([f"WRONG: {len(found.faults)} faults in all"] if found.faults else []),
        f"{found.lost} lost, {found.double} double, {found.overruns} overruns",
    ]


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items())) or "nothing"
