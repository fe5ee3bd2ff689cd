"""What a request can fail with."""

from __future__ import annotations


class Failure(Exception):
    """A request that was refused or has failed; `kind` is one of the documented ones."""

    def __init__(self, kind: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.kind, self.message, self.more = kind, message, more

    def fields(self) -> dict[str, object]:
        """The error as it is sent."""
        return {"kind": self.kind, "message": self.message, **self.more}
