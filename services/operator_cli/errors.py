"""What the operator's command says when it cannot do what was asked."""

from __future__ import annotations

import click


class OperatorError(click.ClickException):
    """A command could not do its work. The message is shown to the operator; the exit code is 1."""


class DataDirError(OperatorError):
    """The data directory does not hold what a command needs, or may not be used."""


class AlreadyRunningError(OperatorError):
    """Another runner holds the data directory."""


class PortTakenError(OperatorError):
    """Something else listens on the port that was asked for."""


class ServerError(OperatorError):
    """An embedded or given server cannot be started or reached."""


class ChildFailedError(OperatorError):
    """A process that the runner started did not come to answer."""
