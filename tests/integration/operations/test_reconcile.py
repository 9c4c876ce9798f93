"""Reconciling: counters that are wrong are written anew, the ledger is only spoken of."""

from __future__ import annotations

from dataclasses import replace

import redis

from services.operator_cli.member_handles import handle_of
from shared.accounting.reconcile_counters import compare_counters
from shared.domain.records import CounterImage
from tests.counter_images import HASH_KEY
from tests.desk import Desk, member

ALL_RIGHT = "accumulators not as the ledger says: 0, counters compared: 3, wrong and written anew: 0"


def _counted(desk: Desk) -> dict[str, CounterImage]:
    """Three members with two visits each, and the counters that show them."""
    names = ("ANN", "BEN", "CAL")
    for name in names:
        desk.record_many(desk.enroll(name), 2)
    desk.counters().project(desk.drain())
    desk.office.change("delete from counter_outbox")
    shown = desk.counters().read([member(name) for name in names])
    return {name: shown[member(name)] for name in names}


def test_right_counters_are_left_alone(desk: Desk) -> None:
    """Nothing is wrong, nothing is written, and the exit code is 0."""
    _counted(desk)
    result = desk.needlecap("reconcile")
    assert result.exit_code == 0, result.output
    assert ALL_RIGHT in result.stdout
    assert "not there and written: 0" in result.stdout


def test_wrong_counters_are_written_anew(desk: Desk) -> None:
    """One that is ahead, one that shows something else and one that is behind are as Postgres says."""
    right = _counted(desk)
    ann = right["ANN"].accumulators[0]
    wrong_state = replace(ann, state=replace(ann.state, used=9))
    counters = desk.counters()
    counters.forget([image.ref for image in right.values()])
    counters.project(
        [
            replace(right["ANN"], accumulators=(wrong_state,)),
            replace(right["BEN"], version=right["BEN"].version + 5),
            replace(right["CAL"], version=right["CAL"].version - 1),
        ]
    )
    drift = compare_counters(desk.database, counters, [member(name) for name in right])
    assert (drift.different, drift.ahead, drift.behind) == (
        (member("ANN"),),
        (member("BEN"),),
        (member("CAL"),),
    )
    result = desk.needlecap("reconcile")
    assert result.exit_code == 0, result.output
    assert "wrong and written anew: 3" in result.stdout
    assert dict(counters.read([member(name) for name in right])) == {
        image.ref: image for image in right.values()
    }
    assert ALL_RIGHT in desk.needlecap("reconcile").stdout


def test_counter_on_its_way_is_not_wrong(desk: Desk) -> None:
    """A counter that is behind and queued is the sweep's, and no drift."""
    right = _counted(desk)
    desk.record_many(member("ANN"), 1)
    desk.drain()
    drift = compare_counters(desk.database, desk.counters(), [image.ref for image in right.values()])
    assert drift.wrong == ()
    assert drift.missing == ()


def test_empty_redis_is_filled(desk: Desk) -> None:
    """After FLUSHALL a reconcile has every counter there again."""
    right = _counted(desk)
    with redis.Redis.from_url(desk.redis_url) as client:
        client.flushall()
    result = desk.needlecap("reconcile")
    assert result.exit_code == 0
    assert "counters compared: 0, wrong and written anew: 0, not there and written: 3" in result.stdout
    shown = desk.counters().read([image.ref for image in right.values()])
    assert set(shown.values()) == set(right.values())


def test_difference_to_the_ledger_is_said_and_left(desk: Desk) -> None:
    """What the ledger says otherwise is told with the member's hash; nothing is changed, exit code 1."""
    _counted(desk)
    desk.office.change("update accumulator set used = 7 where member_id = 'SAMPLE-BEN'")
    for _ in range(2):
        result = desk.needlecap("reconcile")
        assert result.exit_code == 1
        handle = handle_of(HASH_KEY, member("BEN"))
        assert f"member {handle}, limit dry-needling: used 7, held 0, version 2" in result.stdout
        assert "the ledger says used 2, held 0, version 2" in result.stdout
        assert "SAMPLE-BEN" not in result.output
    assert desk.office.rows("select used from accumulator where member_id = 'SAMPLE-BEN'") == [(7,)]
    assert desk.needlecap("rebuild").exit_code == 0
    assert desk.needlecap("reconcile").exit_code == 0


def test_redis_that_is_away_is_said(desk: Desk) -> None:
    """Without Redis nothing is compared and the exit code says so."""
    _counted(desk)
    away = replace(desk, redis_url="redis://127.0.0.1:1/0")
    result = away.needlecap("reconcile")
    assert result.exit_code == 1
    assert "Redis cannot answer" in result.output
