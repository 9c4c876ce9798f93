"""How soon a thread that works without end hands the interpreter on."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.coverage_api.interpreter import HandedOnSooner, wake_without_interrupting


def test_interpreter_is_handed_on_sooner_until_the_last_has_left() -> None:
    """Two may overlap, and one may fail: afterwards it is as it was."""
    usual = sys.getswitchinterval()
    sooner = HandedOnSooner(usual / 5)
    with sooner:
        with pytest.raises(ValueError, match="broken"), sooner:
            raise ValueError("broken")
        assert sys.getswitchinterval() == pytest.approx(usual / 5)
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_threads_that_wake_up_interrupt_nobody() -> None:
    """Neither the thread that asks for it nor one that it begins; others are as they were."""
    usual = os.sched_getscheduler(0)

    def begin_another() -> tuple[int, int]:
        wake_without_interrupting()
        with ThreadPoolExecutor(1) as inner:
            return os.sched_getscheduler(0), inner.submit(os.sched_getscheduler, 0).result()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(begin_another).result() == (os.SCHED_BATCH, os.SCHED_BATCH)
    assert os.sched_getscheduler(0) == usual


def test_what_serves_the_api_wakes_without_interrupting() -> None:
    """The module that the server loads says so, before the server begins its threads."""
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:9/none", "REDIS_URL": "redis://127.0.0.1:9/0"}
    served = subprocess.run(
        [sys.executable, "-c", "import os, services.coverage_api.wsgi; os._exit(os.sched_getscheduler(0))"],
        env={**os.environ, **nowhere, "NEEDLECAP_HASH_KEY": "00" * 32},
        timeout=60,
        check=False,
    )
    assert served.returncode == os.SCHED_BATCH
