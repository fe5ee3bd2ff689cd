"""What a terminal does: rules that take what was seen of it, and tell a state.

Best source first: the marks of a shell's prompt, the process in the foreground, and whether it
puts anything out. What wants a person (a bell, a notification) goes before all of them until
somebody types or attaches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from backends.protocol.terminals import TerminalState
from terma.service.marks import Mark, MarkKind

QUIET_S = 2.0
"""Seconds without output after which a program that gives no marks counts as idle."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A state, who told it, since when, and more of it."""

    state: TerminalState
    source: str
    since: float
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """All that is known of what a terminal does; `wants` is what wants a person."""

    base: Seen
    wants: Seen | None = None
    has_marks: bool = False

    @property
    def now(self) -> Seen:
        """The state that is shown."""
        return self.wants or self.base


def after_mark(activity: Activity, mark: Mark, at: float, is_attended: bool) -> Activity:
    """Return what is known after a mark; a bell that somebody hears wants nobody."""
    idle, busy = TerminalState.IDLE, TerminalState.BUSY
    match mark.kind:
        case MarkKind.PROMPT if activity.has_marks and activity.base.state is idle:
            return activity
        case MarkKind.PROMPT:
            return replace(activity, base=Seen(idle, "prompt mark", at), has_marks=True)
        case MarkKind.DONE:
            detail = f"exit {mark.text}" if mark.text not in ("", "0") else None
            return replace(activity, base=Seen(idle, "prompt mark", at, detail), has_marks=True)
        case MarkKind.COMMAND:
            return replace(activity, base=Seen(busy, "prompt mark", at), has_marks=True)
        case MarkKind.BELL | MarkKind.NOTICE if not is_attended:
            is_bell = mark.kind is MarkKind.BELL
            if activity.wants and is_bell:
                return activity  # it waits already, and may have said why
            source = "bell" if is_bell else "notification"
            since = activity.wants.since if activity.wants else at
            return replace(
                activity, wants=Seen(TerminalState.WAITING, source, since, mark.text or None)
            )
    return activity


def after_output(activity: Activity, at: float) -> Activity:
    """Return what is known once something was put out: without marks, that it is busy."""
    if activity.has_marks or activity.base.state is not TerminalState.IDLE:
        return activity
    return replace(activity, base=Seen(TerminalState.BUSY, "output", at))


def after_quiet(activity: Activity, at: float) -> Activity:
    """Return what is known once nothing was put out for a while."""
    if activity.has_marks or activity.base.state is not TerminalState.BUSY:
        return activity
    return replace(activity, base=Seen(TerminalState.IDLE, "output", at))


def after_person(activity: Activity) -> Activity:
    """Return what is known once somebody typed or attached."""
    return replace(activity, wants=None)


def with_foreground(seen: Seen, has_marks: bool, is_shell: bool, command: str | None) -> Seen:
    """Return a state with what runs in the foreground.

    Args:
        seen: What is known otherwise.
        has_marks: Marks have told it.
        is_shell: The terminal's own program is a shell.
        command: What runs in the foreground, `None` where that is the terminal's own program.
    """
    if seen.state not in (TerminalState.IDLE, TerminalState.BUSY):
        return seen
    if has_marks:
        is_named = seen.state is TerminalState.BUSY and command
        return replace(seen, detail=command) if is_named else seen
    if command:
        return Seen(TerminalState.BUSY, "foreground process", seen.since, command)
    if is_shell:
        return Seen(TerminalState.IDLE, "foreground process", seen.since)
    return seen
