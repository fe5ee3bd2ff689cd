"""A piece of a terminal's output, as it lies in the log and travels within the hub."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes from `offset` on, put out at `at` (seconds since the epoch) on a terminal of a size."""

    offset: int
    at: float
    columns: int
    rows: int
    data: bytes

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + len(self.data)
