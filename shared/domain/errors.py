"""The one root of our errors, and what the domain raises. The docstrings are the messages."""

from __future__ import annotations


class NeedlecapError(Exception):
    """Something Needlecap says no to."""

    def __init__(self, detail: str | None = None) -> None:
        """Say `detail`, or the class's own sentence. Never a person's data (I8)."""
        super().__init__(detail or (self.__doc__ or "").strip().splitlines()[0])


class StoreUnavailable(NeedlecapError):
    """The database cannot answer at the moment, so nothing can be said (I13)."""


class CountersUnavailable(NeedlecapError):
    """Redis cannot answer at the moment; Postgres does."""


class ConcurrentChange(NeedlecapError):
    """Somebody else changed the same thing in between; nothing was changed, and it can be tried again."""


class NotFound(NeedlecapError):
    """There is nothing here that this client may see."""


class Conflict(NeedlecapError):
    """The request contradicts what is already stored."""


class HoldKeyTaken(Conflict):
    """This idempotency key was used before for another hold."""


class OverrideKeyTaken(Conflict):
    """This idempotency key was used before for another override."""


class Invalid(NeedlecapError):
    """The request cannot be carried out as it stands."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        """Name each fault as (JSON pointer, message)."""
        super().__init__("The request has faults.")
        self.errors = errors
