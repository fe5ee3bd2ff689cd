"""What is left of a terminal that nobody holds any more."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from backends.errors import TektonError
from terma.ptyhost.processes import survivors

_LOOK_EVERY_S = 0.05
_GIVE_UP_S = 2.0


def end_leftovers(terminal: str, grace_s: float) -> tuple[int, tuple[int, ...]]:
    """Hang up on every process that carries a terminal's id, and kill it after the grace.

    Returns:
        How many ended, and the pids that are still there.

    Raises:
        TektonError: The processes cannot be looked at.
    """
    began = time.monotonic()
    seen: set[int] = set()
    while True:
        left = _find(terminal)
        elapsed_s = time.monotonic() - began
        if not left or elapsed_s > grace_s + _GIVE_UP_S:
            return len(seen.difference(left)), tuple(left)
        if elapsed_s >= grace_s:
            _send(left, signal.SIGKILL)
        new = [pid for pid in left if pid not in seen]
        seen.update(new)
        _send(new, signal.SIGHUP)
        _send(new, signal.SIGCONT)
        time.sleep(_LOOK_EVERY_S)


def _find(terminal: str) -> list[int]:
    try:
        return survivors([terminal]).get(terminal, [])
    except OSError as error:
        raise TektonError(
            f"the processes of a terminal cannot be looked at: {error.strerror}",
            f"`ps axeww | grep TERMA_INSTANCE={terminal}` shows them",
        ) from error


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(OSError):  # it is gone, or is found again in what is left
            os.kill(pid, number)
