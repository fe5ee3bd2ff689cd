"""The end of everything in a terminal: hang up, wait, kill, until nothing is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable

from terma.ptyhost import processes
from terma.ptyhost.loop import Loop
from terma.ptyhost.processes import Process
from terma.ptyhost.terminal import Terminal

_FIRST_ROUND_S = 0.01
_ROUND_S = 0.1
_GIVE_UP_S = 2.0

Key = tuple[int, bytes]


class _Closing:
    """A terminal that is being closed: what was found of it so far, and who waits."""

    def __init__(self, terminal: Terminal, kill_at: float) -> None:
        self.terminal, self.kill_at = terminal, kill_at
        self.seen: set[Key] = set()
        self.done: list[Callable[[int, list[int]], None]] = []


class Closings:
    """Closes terminals, all of them with one look at the processes in each round.

    Args:
        loop: It has the timers.
        spared: Returns pids that are never signalled: whoever is connected.
    """

    def __init__(self, loop: Loop, spared: Callable[[], set[int]]) -> None:
        self._loop, self._spared = loop, spared
        self._closings: dict[str, _Closing] = {}
        self._next_at = float("inf")
        self._pause_s = _FIRST_ROUND_S
        self._scan_s = 0.0

    def add(
        self, terminal: Terminal, grace_s: float, done: Callable[[int, list[int]], None]
    ) -> None:
        """Close a terminal; `done` gets how many processes ended, and the pids that are left."""
        kill_at = time.monotonic() + grace_s
        closing = self._closings.setdefault(terminal.id, _Closing(terminal, kill_at))
        closing.kill_at = min(closing.kill_at, kill_at)
        closing.done.append(done)
        self._pause_s = _FIRST_ROUND_S
        # Those that are closed together come together; a look is not taken for each of them.
        self._plan(2 * self._scan_s if len(self._closings) > 1 else 0.0)

    def __contains__(self, terminal: str) -> bool:
        return terminal in self._closings

    @property
    def is_busy(self) -> bool:
        """Whether any terminal is being closed."""
        return bool(self._closings)

    def _plan(self, delay_s: float) -> None:
        at = time.monotonic() + delay_s
        if at < self._next_at:
            self._next_at = at
            self._loop.later(delay_s, self._on_time)

    def _on_time(self) -> None:
        if time.monotonic() >= self._next_at:
            self._next_at = float("inf")
            self._round()

    def _round(self) -> None:
        began = time.monotonic()
        found = find([closing.terminal for closing in self._closings.values()], self._spared())
        now = time.monotonic()
        self._scan_s = now - began
        for identity, closing in tuple(self._closings.items()):
            left = found[identity]
            new = [process for process in left if _key(process) not in closing.seen]
            closing.seen.update(map(_key, left))
            if now >= closing.kill_at:
                send(left, signal.SIGKILL)
            else:
                send(new, signal.SIGHUP)
                send(new, signal.SIGCONT)
            is_over = not left and not closing.terminal.is_running
            if is_over or now >= closing.kill_at + _GIVE_UP_S:
                del self._closings[identity]
                for done in closing.done:
                    done(len(closing.seen) - len(left), [process.pid for process in left])
        if self._closings:
            self._plan(self._until_next(now))

    def _until_next(self, now: float) -> float:
        pause = max(self._pause_s, 2 * self._scan_s)
        self._pause_s = min(2 * self._pause_s, _ROUND_S)
        killing = [one.kill_at - now for one in self._closings.values() if one.kill_at > now]
        if len(killing) < len(self._closings):
            return max(_FIRST_ROUND_S, 2 * self._scan_s)
        return min([pause, *killing])


def find(terminals: Iterable[Terminal], spared: set[int]) -> dict[str, list[Process]]:
    """Find every process of each terminal with one look."""
    table = processes.scan()
    pids = {process.pid for process in table}
    found: dict[str, list[Process]] = {terminal.id: [] for terminal in terminals}
    sessions = {}
    for terminal in terminals:
        # A session's id stays taken while anything is left of it: a process that has it as its
        # pid, once ours was reaped, is the first of a stranger's session.
        if not terminal.is_reaped or terminal.pid not in pids:
            sessions[terminal.pid] = terminal.id
    for process in table:
        identity = process.instance if process.instance in found else ""
        identity = identity or sessions.get(process.session, "")
        if identity and process.pid not in spared:
            found[identity].append(process)
    return found


def send(targets: Iterable[Process], number: int) -> None:
    """Send a signal to each; one that is gone, or somebody else's, is left as it is."""
    for process in targets:
        try:
            os.kill(process.pid, number)
        except OSError:
            pass  # it is found again in the next round, and in what is left in the end


def _key(process: Process) -> Key:
    return process.pid, process.started
