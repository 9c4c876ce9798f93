"""The circuit in front of a Postgres that does not answer."""

from __future__ import annotations

from shared.adapters.postgres.circuit import Circuit


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """The seconds it was moved to."""
        return self.now


def test_closed_circuit_admits_everybody() -> None:
    """Nothing is refused while calls are answered."""
    circuit = Circuit(0.5, Clock())
    assert all(circuit.admits() for _ in range(3))


def test_time_out_refuses_all_but_one_probe_a_while() -> None:
    """After a time-out one caller per interval tries, the others are refused."""
    clock = Clock()
    circuit = Circuit(0.5, clock)
    circuit.timed_out()
    assert not circuit.admits()
    clock.now = 0.5
    assert [circuit.admits() for _ in range(3)] == [True, False, False]
    clock.now = 1.0
    assert circuit.admits()


def test_answered_probe_closes_it() -> None:
    """One answer is enough."""
    circuit = Circuit(0.5, Clock())
    circuit.timed_out()
    circuit.answered()
    assert all(circuit.admits() for _ in range(3))
