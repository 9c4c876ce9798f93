"""`needlecap rules`: a catalog looked at, previewed, changed, and what that changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from services.operator_cli.commands.changes import KINDS
from shared.adapters.catalog_files import packaged_catalog
from shared.domain.client import EVERY_PAYER
from tests.builders import PAYER
from tests.desk import Desk, member

PACKAGED = (packaged_catalog() / "documents" / "security-health-plan.yaml").read_text(encoding="utf-8")

#: The packaged document's next version: twelve visits of a plan year from 2026 on.
LOWERED = (
    PACKAGED.replace("version: 1", "version: 2", 1)
    .replace("from: 2021-01-01", "from: 2026-01-01")
    .replace("allowed: 20", "allowed: 12")
)
NAME = "shp-dry-needling-employer"

#: How a list begins to tell of both: with the dates that they speak of.
OLD = f"{NAME} 1 payer_policy from 2021-01-01"
NEW = f"{NAME} 2 payer_policy from 2026-01-01"


def needlecap(desk: Desk, *arguments: str, text: str | None = None, exit_code: int = 0) -> str:
    """What `needlecap rules` says; `text` is written to the file that FILE stands for."""
    files = {"document.yaml": text} if text is not None else None
    given = [str(desk.data_dir / "document.yaml") if a == "FILE" else a for a in arguments]
    result = desk.needlecap("rules", *given, files=files)
    assert result.exit_code == exit_code, result.output
    return result.output


@contextmanager
def worker(desk: Desk) -> Iterator[None]:
    """Somebody who folds members again while the block lasts."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            desk.drain()
            over.wait(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def fourteen_visits(desk: Desk) -> None:
    """Ann with fourteen visits of 2026 and one of 2025, Ben with one."""
    ann, ben = desk.enroll("ANN"), desk.enroll("BEN")
    for number in range(1, 15):
        desk.record(ann, f"a{number}", f"2026-03-{number:02}")
    desk.record(ann, "a0", "2025-03-01")
    desk.record(ben, "b1", "2026-03-01")
    desk.drain()


def state_of(desk: Desk) -> list[Any]:
    """Everything that a look at rules must leave alone."""
    queries = (
        "select * from catalog",
        "select document_id, version, activated_in from rule_document order by 1, 2",
        "select * from refold_request",
        "select count(*), max(entry_no) from ledger_entry",
        "select member_id, version from member order by 1",
    )
    return [desk.office.rows(query) for query in queries]


# Looking


def test_list_says_which_versions_run(desk: Desk) -> None:
    """Each version with its authority, dates, the dates for which it is in force, payers and state."""
    needlecap(desk, "load", "FILE", text=LOWERED)
    said = needlecap(desk, "list")
    old, new = versions_listed(said)
    assert old == f"{OLD} from 2021-01-01 security-health-plan runs since catalog 1"
    assert new == f"{NEW} - security-health-plan loaded, does not run"
    assert said.splitlines()[-2:] == [
        "its other parts that answers cite: code-list 1, state-scope-of-practice 1",
        "running catalog: 1",
    ]
    assert any(line.startswith("article-health-news") for line in said.splitlines())


def test_list_tells_of_a_document_that_this_release_cannot_read(desk: Desk) -> None:
    """As after going back to an earlier one: that is when an operator looks."""
    desk.tamper(
        "update rule_document set body = (body::jsonb || '{\"later\": 1}')::json where document_id = %s", NAME
    )
    [line] = versions_listed(needlecap(desk, "list"))
    assert line == f"{OLD} from 2021-01-01 security-health-plan runs since catalog 1"


def versions_listed(said: str) -> list[str]:
    """The lines of a list about the versions of the one document, with single blanks."""
    return [" ".join(line.split()) for line in said.splitlines() if line.startswith(NAME)]


def test_diff_names_what_differs_by_its_key(desk: Desk) -> None:
    """Beside the version that runs, each difference is a line with a path that names the limit."""
    assert needlecap(desk, "diff", "FILE", text=LOWERED).splitlines() == [
        f"{NAME} version 2, beside version 1 (runs since catalog 1)",
        '~ effective.from: "2021-01-01" -> "2026-01-01"',
        "~ limits[dry-needling].allowed: 20 -> 12",
        "~ version: 1 -> 2",
    ]
    assert needlecap(desk, "diff", "FILE", text=PACKAGED).splitlines()[1:] == ["no difference"]
    new = LOWERED.replace(NAME, "shp-unheard-of")
    assert (
        needlecap(desk, "diff", "FILE", text=new) == "shp-unheard-of version 2: no version of it is loaded\n"
    )


# Previewing


def test_preview_says_what_would_change_and_writes_nothing(desk: Desk) -> None:
    """Two of Ann's visits would be over the limit; who Ann is stays out of it unless asked."""
    fourteen_visits(desk)
    before = state_of(desk)
    said = needlecap(desk, "preview", "FILE", text=LOWERED)
    assert "beside catalog 1: touches service dates from 2026-01-01 of security-health-plan" in said
    assert "members looked at: 2, members it would touch: 1" in said
    assert "payer security-health-plan: members 1, visits 2, holds 0, units used 14 -> 12" in said
    assert "counted -> over_limit: visits 2" in said
    assert "limit dry-needling, plan employer, plan_year from 2026-01-01: used 14 -> 12" in said
    assert "SAMPLE" not in said
    assert "a13" not in said
    assert "2026-03-13" not in said
    assert state_of(desk) == before
    named = needlecap(desk, "preview", "FILE", "--show-members")
    assert "member SAMPLE-ANN:" in named
    assert "visit a13 of 2026-03-13: counted (within_limit) -> over_limit (limit_exhausted)" in named
    assert state_of(desk) == before


def test_preview_agrees_with_what_activation_then_does(desk: Desk) -> None:
    """The previewed visits and counts are those that change."""
    fourteen_visits(desk)
    before = desk.dispositions()
    previewed = needlecap(desk, "preview", "FILE", "--show-members", text=LOWERED)
    needlecap(desk, "load", "FILE", "--activate", "--no-wait")
    desk.drain()
    after = desk.dispositions()
    changed = {visit for visit in after if before[visit] != after[visit]}
    assert changed == {"a13", "a14"}
    assert {line.split()[1] for line in previewed.splitlines() if line.startswith("  visit ")} == changed


def test_preview_of_what_runs_already_touches_nobody(desk: Desk) -> None:
    """The same document again is no change."""
    fourteen_visits(desk)
    said = needlecap(desk, "preview", "FILE", text=PACKAGED)
    assert "runs already as it is" in said
    assert "members looked at: 0, members it would touch: 0" in said


def test_preview_follows_members_that_were_merged(desk: Desk) -> None:
    """Visits that were reported under an old id are counted where they belong now, once."""
    ann, old = desk.enroll("ANN"), desk.enroll("OLD")
    desk.record_many(ann, 7)
    desk.record_many(old, 7, "2026-03-05")
    desk.drain()
    desk.office.change("update member set merged_into = 'SAMPLE-ANN' where member_id = 'SAMPLE-OLD'")
    said = needlecap(desk, "preview", "FILE", text=LOWERED)
    assert "members looked at: 1, members it would touch: 1" in said
    assert "units used 14 -> 12" in said


# Changing


def test_staged_document_does_not_run(desk: Desk) -> None:
    """Loading keeps a version; the running catalog, and everything counted by it, stays."""
    fourteen_visits(desk)
    said = needlecap(desk, "load", "FILE", text=LOWERED)
    assert said == (f"{NAME} version 2 is loaded and does not run yet; `needlecap rules activate` lets it\n")
    assert desk.office.rows("select version from catalog") == [(1,)]
    assert desk.office.rows("select count(*) from refold_request") == [(0,)]
    assert needlecap(desk, "load", "FILE") == said


def test_activated_document_counts_again_and_says_what_changed(desk: Desk) -> None:
    """The command waits for the worker and lists what moved; again it says that it does nothing."""
    fourteen_visits(desk)
    needlecap(desk, "load", "FILE", text=LOWERED)
    with worker(desk):
        said = needlecap(desk, "activate", NAME, "2")
        again = needlecap(desk, "activate", NAME, "2")
    first, *listed = said.splitlines()
    assert first == f"{NAME} version 2 runs; catalog 2, 2 members to fold again"
    assert listed[0] == "changed by catalog 2: members 1"
    assert "  counted -> over_limit: visits 2" in listed
    assert "  limit dry-needling, plan employer, plan_year from 2026-01-01: used 14 -> 12" in listed
    assert again.splitlines() == [
        f"{NAME} version 2 runs already, since catalog 2: nothing was done",
        f"`needlecap rules changes {NAME} 2` lists what it changed when it began to run",
    ]
    assert desk.used(member("ANN")) == [(date(2025, 1, 1), 1, 0), (date(2026, 1, 1), 12, 0)]
    assert desk.dispositions()["a14"] == "over_limit"
    assert desk.needlecap("rebuild", "--check").exit_code == 0


def test_earlier_version_that_runs_does_not_come_back(desk: Desk) -> None:
    """Activating it says that nothing was done, and what is in force from when; so does the list."""
    fourteen_visits(desk)
    needlecap(desk, "load", "FILE", "--activate", "--no-wait", text=LOWERED)
    desk.drain()
    before = state_of(desk)
    for command in (["activate", NAME, "1"], ["load", "FILE", "--activate"]):
        assert needlecap(desk, *command, text=PACKAGED).splitlines() == [
            f"{NAME} version 1 runs already, since catalog 1: nothing was done",
            "for service dates from 2026-01-01 version 2 is in force instead",
            "to go back to what version 1 says, load it as a new version",
            f"`needlecap rules changes {NAME} 1` lists what it changed when it began to run",
        ]
    assert state_of(desk) == before
    assert versions_listed(needlecap(desk, "list")) == [
        f"{OLD} from 2021-01-01 before 2026-01-01 security-health-plan runs since catalog 1",
        f"{NEW} from 2026-01-01 security-health-plan runs since catalog 2",
    ]
    needlecap(
        desk, "load", "FILE", "--activate", "--no-wait", text=LOWERED.replace("version: 2", "version: 3")
    )
    assert "none: later versions are" in versions_listed(needlecap(desk, "list"))[1]


def test_changes_are_listed_as_they_were_recorded(desk: Desk) -> None:
    """Later events change nothing of what an activation did; members are named only when asked."""
    fourteen_visits(desk)
    needlecap(desk, "load", "FILE", "--activate", "--no-wait", text=LOWERED)
    desk.drain()
    listed = needlecap(desk, "changes", NAME, "2", "--show-members")
    assert "visit a14 of 2026-03-14: counted (within_limit) -> over_limit (limit_exhausted)" in listed
    for number in (1, 2, 13):
        desk.void(f"a{number}")
    desk.drain()
    assert needlecap(desk, "changes", NAME, "2", "--show-members") == listed
    assert "SAMPLE" not in needlecap(desk, "changes", NAME, "2")
    assert "never ran" not in needlecap(desk, "changes", NAME, "1")


def test_change_that_moves_no_unit_is_listed(desk: Desk) -> None:
    """A visit over the limit that the new rule does not cover at all counts as little, and is listed."""
    ann = desk.enroll("ANN")
    desk.record_many(ann, 21)
    desk.drain()
    denied = PACKAGED.replace("version: 1", "version: 2", 1).replace(
        "    decision: covered_with_conditions\n    conditions: [cost_sharing_applies]",
        "    decision: not_covered\n    reason: {code: excluded}",
    )
    needlecap(desk, "load", "FILE", "--activate", "--no-wait", text=denied)
    desk.drain()
    listed = needlecap(desk, "changes", NAME, "2")
    assert "  counted -> not_covered: visits 20" in listed
    assert "  over_limit -> not_covered: visits 1" in listed
    assert "used 20 -> 0" in listed


def test_members_for_whom_something_is_counted_are_folded_again(desk: Desk) -> None:
    """Who has only an opening balance, or only visits under an id that was given up, is counted again too."""
    ann, old, _ = desk.enroll("ANN"), desk.enroll("OLD"), desk.enroll("NOTHING")
    desk.record_many(old, 3)
    desk.drain()
    desk.merge("SAMPLE-OLD", "SAMPLE-ANN")
    ben = desk.enroll("BEN")
    desk.office.change(
        "insert into opening_balance values"
        " (%s, %s, 'employer', 'dry-needling', '2026-01-01', 15, 'elsewhere', 1, now())",
        PAYER,
        ben.member_id,
    )
    desk.refold(ben)
    said = needlecap(desk, "load", "FILE", "--activate", "--no-wait", text=LOWERED)
    assert "2 members to fold again" in said
    waiting = desk.office.rows("select member_id from refold_request order by 1")
    assert waiting == [(ann.member_id,), (ben.member_id,)]
    desk.drain()
    assert desk.used(ben) == [(date(2026, 1, 1), 12, 0)]


def test_other_changes_are_listed_by_their_cause(desk: Desk) -> None:
    """A plan whose year starts elsewhere, and a merge, each with what it changed."""
    fourteen_visits(desk)
    desk.office.change("update plan set plan_year_start = '03-05', version = 2")
    with desk.database.transaction(EVERY_PAYER) as tx:
        tx.plans.request_refolds(PAYER, "employer")
        tx.commit()
    desk.drain()
    listed = desk.needlecap("changes", "refold", "plan-employer-2").output
    assert "changed by refold plan-employer-2: members 2" in listed
    assert "plan_year from 2025-03-05: used 0 -> 4" in listed
    assert desk.merge("SAMPLE-BEN", "SAMPLE-ANN").exit_code == 0
    ((merge_id,),) = desk.office.rows("select merge_id from member_merge")
    assert "used 4 -> 5" in desk.needlecap("changes", "merge", merge_id).output
    assert desk.needlecap("changes", "merged", merge_id).exit_code == 2


def test_cause_that_never_was_is_told_from_one_that_changed_nothing(desk: Desk) -> None:
    """A slip in an id ends with exit code 1, wherever that can be known."""
    for kind in KINDS:
        nobodys = desk.needlecap("changes", kind, "nope")
        if kind in {"enrollment", "refold", "rebuild"}:
            assert (nobodys.exit_code, nobodys.stdout) == (0, f"changed by {kind} nope: members 0\n")
            assert "or never was" in nobodys.stderr
        else:
            assert (nobodys.exit_code, nobodys.stdout) == (1, "")
            assert f"nothing of the kind {kind}" in nobodys.stderr
    ann, ben = desk.enroll("ANN"), desk.enroll("BEN")
    assert desk.merge(ann.member_id, ben.member_id).exit_code == 0
    ((merge_id,),) = desk.office.rows("select merge_id from member_merge")
    listed = desk.needlecap("changes", "merge", merge_id)
    assert (listed.exit_code, listed.output) == (0, f"changed by merge {merge_id}: members 0\n")
    desk.office.change(
        "insert into override_grant (override_id, payer_id, client_id, member_id, limit_id, service_date,"
        " quantity, approver, reason, created_at)"
        " select 'o1', %s, client_id, %s, 'dry-needling', '2026-03-04', 1, 'A', 'R', now()"
        " from client limit 1",
        PAYER,
        ben.member_id,
    )
    revoked = desk.needlecap("changes", "override.revoked", "o1")
    assert (desk.needlecap("changes", "override", "o1").exit_code, revoked.exit_code) == (0, 1)


def test_broken_file_changes_nothing(desk: Desk) -> None:
    """It is refused with file, line, key and what was expected; the running catalog stays as it was."""
    fourteen_visits(desk)
    before = state_of(desk)
    broken = LOWERED.replace("allowed: 12", "allowed: a dozen")
    for command in (["load"], ["load", "--activate"], ["diff"], ["preview"]):
        said = needlecap(desk, *command, "FILE", text=broken, exit_code=1)
        file = desk.data_dir / "document.yaml"
        assert f"{file}:21: limits[0].allowed: expected a whole number" in said
        assert state_of(desk) == before


def test_version_keeps_its_content(desk: Desk) -> None:
    """Other content under a version that was loaded is refused, wherever it is to go."""
    before = state_of(desk)
    changed = PACKAGED.replace("allowed: 20", "allowed: 21")
    for command in (["load"], ["load", "--activate"], ["preview"]):
        said = needlecap(desk, *command, "FILE", text=changed, exit_code=1)
        assert "other content" in said
    assert state_of(desk) == before


def test_unknown_version_or_payer_is_refused(desk: Desk) -> None:
    """What is not loaded cannot run, and a document of a payer nobody knows is not loaded."""
    for command in ("activate", "changes"):
        assert "version 7 is not loaded" in needlecap(desk, command, NAME, "7", exit_code=1)
    foreign = LOWERED.replace("payers: [security-health-plan]", "payers: [nobody-here]")
    assert "not known: nobody-here" in needlecap(desk, "load", "FILE", text=foreign, exit_code=1)
    needlecap(desk, "load", "FILE", text=LOWERED)
    assert "never ran" in needlecap(desk, "changes", NAME, "2", exit_code=1)


def test_what_contradicts_the_catalog_by_now_is_not_activated(desk: Desk) -> None:
    """Two staged documents may contradict each other; the second to be activated is refused."""
    other = """
document_id: shp-{name}
version: 1
title: "{name}"
authority: payer_policy
source: {{citation: "invented"}}
effective: {{from: 2030-01-01}}
applies_to: [{{payers: [medica-central]}}]
limits:
  - {{limit_id: {name}, codes: ["20560"], allowed: 3, measure: visit, period: {{basis: plan_year}},
     ordering: {name}}}
"""
    for name in ("received", "service_date"):
        needlecap(desk, "load", "FILE", text=other.format(name=name).replace("shp-service_date", "shp-dates"))
    needlecap(desk, "activate", "shp-received", "1", "--no-wait")
    said = needlecap(desk, "activate", "shp-dates", "1", exit_code=1)
    assert "needs the ordering of" in said
    assert desk.office.rows("select version from catalog") == [(2,)]
    assert desk.office.rows("select activated_in from rule_document where document_id = 'shp-dates'") == [
        (None,)
    ]
