"""Every deliberate error: its kind on the wire, its exit status, its hint.

A `TektonError` is something a user can meet and mend. Bugs stay ordinary exceptions.
"""

from __future__ import annotations

from typing import ClassVar


class TektonError(Exception):
    """An error that names what happened and what to do about it.

    Args:
        message: What happened and why, in one line, without a final stop.
        hint: What to do, with a command that can be run.
    """

    kind: ClassVar[str] = "failed"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @staticmethod
    def of_kind(kind: str, message: str, hint: str | None = None) -> TektonError:
        """Rebuild an error received from a peer; an unknown kind becomes a plain `TektonError`."""
        return _BY_KIND.get(kind, TektonError)(message, hint)

    def lines(self) -> str:
        """The error as it is shown to a person: one line, or two with the hint."""
        text = f"error: {self.message}"
        return f"{text}\nhint: {self.hint}" if self.hint else text


class UsageError(TektonError):
    """The command or message was not understood."""

    kind = "usage"
    exit_status = 2


class NotFound(TektonError):
    """Nothing has that name, or what had it is gone."""

    kind = "not_found"
    exit_status = 3


class CannotConnect(TektonError):
    """Nobody answers at that address."""

    kind = "cannot_connect"
    exit_status = 4


class ConnectionLost(CannotConnect):
    """The peer went away before it had answered."""

    kind = "connection_lost"


class Unauthorized(CannotConnect):
    """The peer refuses this client: no token, a wrong one, or a foreign user."""

    kind = "unauthorized"


class TimedOut(TektonError):
    """No answer within the time that the caller allowed."""

    kind = "timed_out"
    exit_status = 5


class ModelError(TektonError):
    """The model's server failed or refused."""

    kind = "model_failed"
    exit_status = 6


class NoModel(ModelError):
    """No model is there to answer."""

    kind = "no_model"


class SchemaMismatch(ModelError):
    """The answer does not fit the JSON schema that was asked for."""

    kind = "schema_mismatch"


class AnswerTruncated(ModelError):
    """The answer stopped before its finish marker; what had arrived was delivered."""

    kind = "truncated"


class ProtocolError(TektonError):
    """A message broke the protocol; the connection stays usable."""

    kind = "protocol"


class UnknownMethod(ProtocolError):
    """The peer does not know the method."""

    kind = "unknown_method"


class InvalidMessage(ProtocolError):
    """A field is missing or has the wrong type."""

    kind = "invalid"


class MessageTooLarge(ProtocolError):
    """A message is larger than the limit."""

    kind = "too_large"


class Busy(TektonError):
    """Too much is under way already."""

    kind = "busy"


class Cancelled(TektonError):
    """The request was cancelled by the one who made it."""

    kind = "cancelled"


class ConfigError(TektonError):
    """The configuration cannot be used; the message has file, line and reason."""

    kind = "config"


class AlreadyRunning(TektonError):
    """Another process does this already."""

    kind = "already_running"


class StorageError(TektonError):
    """Something could not be written or read."""

    kind = "storage"


def _tree(base: type[TektonError]) -> dict[str, type[TektonError]]:
    found = {base.kind: base}
    for subclass in base.__subclasses__():
        found |= _tree(subclass)
    return found


_BY_KIND = _tree(TektonError)
