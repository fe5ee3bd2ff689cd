"""What runs in the foreground of a terminal."""

from __future__ import annotations

import psutil

from terma.service.hosted import Hosted

_MAX = 60


def foreground_of(hosted: Hosted, pid: int) -> str | None:
    """Return the command in the foreground; `None` where that is the terminal's own program."""
    if hosted.foreground in (0, pid):
        return None
    try:
        words = psutil.Process(hosted.foreground).cmdline()
    except psutil.Error:
        return None  # it has just ended
    line = " ".join([words[0].rpartition("/")[2], *words[1:]]) if words else ""
    return (line if len(line) <= _MAX else f"{line[: _MAX - 1]}…") or None
