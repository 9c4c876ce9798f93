"""Log lines come out whole and in order, without a call having waited for them."""

from __future__ import annotations

import io
import threading

from services.coverage_api.log_lines import WAITING_MAX, LogLines
from tests.waiting import wait_for


def test_lines_are_written_in_a_moment_without_being_asked_for() -> None:
    """The thread writes what came, again and again."""
    out = io.BytesIO()
    lines = LogLines(out, gather_seconds=0.001)
    lines.write(b"one\n")
    wait_for(lambda: out.getvalue() == b"one\n")
    lines.write(b"two\n")
    wait_for(lambda: out.getvalue() == b"one\ntwo\n")


def test_lines_of_a_thread_stay_whole_and_in_order() -> None:
    """Many threads write at once, more lines than may wait; none is lost, torn or overtaken."""
    out = io.BytesIO()
    lines = LogLines(out, gather_seconds=60)
    each = WAITING_MAX // 2

    def write(name: int) -> None:
        for number in range(each):
            lines.write(f"{name} {number}\n".encode())

    threads = [threading.Thread(target=write, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert out.getvalue(), "what may not wait was written before the end"
    lines.close()
    written = [tuple(map(int, line.split())) for line in out.getvalue().splitlines()]
    for name in range(3):
        assert [number for whose, number in written if whose == name] == list(range(each))


def test_closing_writes_what_waits() -> None:
    """A process that ends leaves no line behind."""
    out = io.BytesIO()
    lines = LogLines(out, gather_seconds=60)
    lines.write(b"last\n")
    lines.close()
    assert out.getvalue() == b"last\n"


class FullOnce(io.BytesIO):
    """A file on a disk that is full at the first write, and has room again afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    def write(self, lines: object) -> int:
        """Refuse the first lines."""
        if not self.refused:
            self.refused += 1
            raise OSError(28, "No space left on device")
        return super().write(lines)  # type: ignore[arg-type]  # bytes, as LogLines gives them


def test_log_that_cannot_be_written_fails_no_call_and_goes_on_later() -> None:
    """A full disk costs the lines of that moment, neither the caller nor the lines that follow."""
    out = FullOnce()
    lines = LogLines(out, gather_seconds=0.001)
    lines.write(b"lost\n")
    wait_for(lambda: out.refused == 1)
    lines.write(b"kept\n")
    wait_for(lambda: out.getvalue() == b"kept\n")
