"""The kinds of danger that a command can have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What may go wrong; the value is how it is told."""

    DELETES = "deletes"
    OVERWRITES = "overwrites"
    NETWORK = "network"
    ROOT = "other rights"
    RUNS_DOWNLOAD = "runs what it downloads"
    PERMISSIONS = "changes permissions"
    KILLS = "ends processes"
    POWER = "turns the machine off"
    DEVICE = "writes to a device"
    SYSTEM = "changes the system"
    BACKGROUND = "goes on in the background"
    FORK_BOMB = "starts itself again and again"
    RUNS_FILE = "runs a file that is not shown"
    UNKNOWN = "unknown program"
    HIDDEN = "cannot be seen through"
    UNREADABLE = "cannot be read through"


GRAVE = frozenset(
    (
        Kind.DELETES, Kind.ROOT, Kind.RUNS_DOWNLOAD, Kind.POWER, Kind.DEVICE, Kind.FORK_BOMB,
        Kind.HIDDEN, Kind.UNREADABLE,
    )
)  # fmt: skip
"""What a person has to say a whole `yes` to."""


@dataclass(frozen=True)
class Danger:
    """A danger, and the part of the command that has it, or the reason."""

    kind: Kind
    part: str

    @property
    def is_grave(self) -> bool:
        """Tell whether it needs a whole `yes`."""
        return self.kind in GRAVE
