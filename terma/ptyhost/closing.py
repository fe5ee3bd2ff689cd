"""The end of everything in a terminal: hang up, wait, kill, until nothing is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable

from terma.ptyhost import processes
from terma.ptyhost.failure import Failure
from terma.ptyhost.loop import Loop
from terma.ptyhost.processes import Process
from terma.ptyhost.terminal import Terminal

_FIRST_ROUND_S = 0.01
_ROUND_S = 0.1
_GIVE_UP_S = 2.0
_SPARE = 3

Key = tuple[int, bytes]
Done = Callable[[dict[str, object] | Failure], None]


class _Closing:
    """A terminal that is being closed: what was found of it so far, and who waits."""

    def __init__(self, terminal: Terminal, kill_at: float) -> None:
        self.terminal, self.kill_at = terminal, kill_at
        self.seen: set[Key] = set()
        self.done: list[Done] = []

    def answer(self, outcome: dict[str, object] | Failure) -> None:
        """Tell everybody who waits."""
        for done in self.done:
            done(outcome)


class Closings:
    """Closes terminals, all of them with one look at the processes in each round.

    Args:
        loop: It has the timers.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._closings: dict[str, _Closing] = {}
        self._next_at = float("inf")
        self._pause_s = _FIRST_ROUND_S
        self._scan_s = 0.0
        self._spare: list[int] = []
        self._keep_spare()

    def add(self, terminal: Terminal, grace_s: float, done: Done) -> None:
        """Close a terminal; `done` gets how many processes ended, and the pids that are left."""
        kill_at = time.monotonic() + grace_s
        closing = self._closings.setdefault(terminal.id, _Closing(terminal, kill_at))
        closing.kill_at = min(closing.kill_at, kill_at)
        closing.done.append(done)
        self._pause_s = _FIRST_ROUND_S
        # Those that are closed together come together; a look is not taken for each of them.
        self._plan(2 * self._scan_s if len(self._closings) > 1 else 0.0)

    def hang_up(self, terminals: Collection[Terminal]) -> None:
        """Hang up on all that is in these terminals.

        Raises:
            OSError: The processes cannot be looked at.
        """
        for found in self._find(terminals).values():
            send(found, signal.SIGHUP)
            send(found, signal.SIGCONT)

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
        try:
            found = self._find([closing.terminal for closing in self._closings.values()])
            now = time.monotonic()
            self._scan_s = now - began
            self._end(now, found)
        except OSError as error:
            self._give_up(f"the processes cannot be looked at: {error.strerror or error}")
        finally:
            # Whatever went wrong: who waits for the end of a terminal is answered.
            if self._closings:
                self._plan(self._until_next(time.monotonic()))

    def _end(self, now: float, found: dict[str, list[Process]]) -> None:
        """Send each terminal's processes what is due, and answer where that is over."""
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
                ended = len(closing.seen) - len(left)
                closing.answer({"ended": ended, "left": [process.pid for process in left]})

    def _give_up(self, reason: str) -> None:
        """Answer those whose time is over that nothing is known of them."""
        now = time.monotonic()
        for identity, closing in tuple(self._closings.items()):
            if now >= closing.kill_at + _GIVE_UP_S:
                del self._closings[identity]
                closing.answer(Failure("failed", reason))

    def _find(self, terminals: Collection[Terminal]) -> dict[str, list[Process]]:
        # A look needs descriptors, and terminals may have taken all that there are.
        while self._spare:
            os.close(self._spare.pop())
        try:
            return find(terminals)
        finally:
            self._keep_spare()

    def _keep_spare(self) -> None:
        try:
            while len(self._spare) < _SPARE:
                self._spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            pass  # there are fewer for now; the next look tries again

    def _until_next(self, now: float) -> float:
        pause = max(self._pause_s, 2 * self._scan_s)
        self._pause_s = min(2 * self._pause_s, _ROUND_S)
        killing = [one.kill_at - now for one in self._closings.values() if one.kill_at > now]
        if len(killing) < len(self._closings):
            return max(_FIRST_ROUND_S, 2 * self._scan_s)
        return min([pause, *killing])


def find(terminals: Collection[Terminal]) -> dict[str, list[Process]]:
    """Find every process of each terminal with one look.

    Raises:
        OSError: No look can be had.
    """
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
        if identity:
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
