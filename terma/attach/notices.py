"""Telling a person who is attached that another terminal waits for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from backends.cleaning import clean_line
from backends.protocol.messages import Event
from backends.protocol.terminals import TerminalInfo, TerminalState

BELL = b"\x07"

_started: set[int] = set()  # programs of the desktop that may still run


_MAX_DETAIL = 100


class Notices:
    """Says once for each wait which terminal waits; `own` is the one that the person looks at."""

    def __init__(self, own: str) -> None:
        self.own = own
        self._waiting: dict[str, str] = {}
        self._told: set[str] = set()  # who waited when it was last known

    @property
    def summary(self) -> str:
        """Which terminals wait still, in one line; nothing where none does."""
        return "; ".join(self._waiting.values())

    def take(self, event: Event) -> str | None:
        """Return what a person should hear of `terminal.NAME.state`; follows `….renamed`."""
        _, _, rest = event.subject.partition(".")
        name, _, kind = rest.rpartition(".")
        if kind == "renamed" and event.data.get("to"):
            self._rename(name, str(event.data["to"]))
        if kind != "state" or not name:
            return None
        if event.data.get("state") != TerminalState.WAITING.value:
            self._waiting.pop(name, None)
            return None
        if name in self._waiting or name == self.own:
            return None
        words = self._waiting[name] = _words(name, event.data.get("detail"))
        return words

    def take_all(self, terminals: Iterable[TerminalInfo]) -> str:
        """Take how every terminal is; returns what a person should hear of those that wait."""
        waiting = {
            info.name: _words(info.name, info.detail)
            for info in terminals
            if info.state is TerminalState.WAITING and info.name != self.own
        }
        told, self._told = {*self._told, *self._waiting}, set()
        self._waiting |= waiting
        return "; ".join(words for name, words in waiting.items() if name not in told)

    def forget(self) -> None:
        """Take it that none waits, until `take_all`: nobody tells any more."""
        self._told |= set(self._waiting)
        self._waiting.clear()

    def _rename(self, name: str, to: str) -> None:
        if name == self.own:
            self.own = to
        if name in self._waiting:
            self._waiting[to] = clean_line(to) + self._waiting.pop(name)[len(clean_line(name)) :]


def _words(name: str, detail: object) -> str:
    more = clean_line(str(detail or "")).strip()[:_MAX_DETAIL]
    return f"{clean_line(name)} waits" + (f": {more}" if more else "")


def call_person(how: str, text: str) -> bytes:
    """Tell a person in the way of the configuration.

    Args:
        how: As `notify` under `[terma]`.
        text: Clean, one line.

    Returns:
        What is to be sent to their terminal.
    """
    if how == "none":
        return b""
    if how == "osc9":
        return b"\x1b]9;%s\x1b\\" % text.encode("utf-8", "replace")
    if how == "desktop" and _tell_desktop(text):
        return b""
    return BELL


def _tell_desktop(text: str) -> bool:
    """Start the desktop's own program; returns whether there is one."""
    command = ["notify-send", "--app-name=terma", "--", text]
    if sys.platform == "darwin":
        script = 'on run argv\ndisplay notification (item 1 of argv) with title "terma"\nend run'
        command = ["osascript", "-e", script, text]
    _collect_ended()
    streams = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    try:
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=streams)
    except OSError:
        return False
    _started.add(pid)
    return True


def _collect_ended() -> None:
    """Take leave of those of our programs that have ended."""
    for pid in list(_started):
        if os.waitpid(pid, os.WNOHANG)[0]:
            _started.discard(pid)
