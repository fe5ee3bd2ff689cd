"""`terma screen`: what a terminal shows."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from backends.console import has_color, say
from backends.errors import UsageError
from terma.options import Debug, Json, Name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backends.protocol.screens import Screen, ScreenChange
    from backends.protocol.terminals import TerminalEnd
    from terma.stage import Stage

_ALL = 1_000_000
"""More rows than any screen keeps."""

_ENTER = b"\x1b[22;0t\x1b[?1049h\x1b[?7l\x1b[H\x1b[2J"
_LEAVE = b"\x1b[?2026l\x1b[m\x1b[?7h\x1b[?25h\x1b[?1049l\x1b[23;0t"


class Color(Enum):
    """When there are colours."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def screen(
    name: Name,
    scrollback: Annotated[
        str, typer.Option("-s", "--scrollback", metavar="N|all", help="So many rows above, too.")
    ] = "0",
    color: Annotated[Color, typer.Option("--color", help="Default: on a terminal.")] = Color.AUTO,
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Follow it; q leaves.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """terma screen alice: what alice shows now.

    --json has the cursor, the title, colours, and where links lead.
    """
    from backends.client.blocking import BlockingTekton
    from backends.protocol import schema
    from backends.protocol.screens import ShowScreen, WatchScreen
    from terma.look import to_text

    above = _rows(scrollback)
    if watch and (as_json or above):
        raise UsageError("--watch shows the screen alone", "leave out --json and --scrollback")
    with BlockingTekton(is_local=True) as tekton:
        if watch:
            _watch(name, lambda: tekton.stream(WatchScreen(name=name)))
            return
        shown = tekton.call(ShowScreen(name=name, scrollback=above))
    if as_json:
        print(json.dumps(schema.encode(shown), indent=1))
        return
    is_colored = has_color(sys.stdout) if color is Color.AUTO else color is Color.ALWAYS
    sys.stdout.write(to_text(shown, is_colored))
    if shown.warning:
        say(f"warning: {shown.warning}")


def _rows(text: str) -> int:
    if text == "all":
        return _ALL
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise UsageError(f"--scrollback {text!r} is no number of rows", "a number, or all")
    return int(text)


class _LastRow(io.TextIOBase):
    """Shows in the last row what is told while a screen fills the terminal; it is drawn over."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def write(self, text: str) -> int:
        """Show a line."""
        if text.strip():
            rows = self._stage.size()[1]
            self._stage.write(f"\x1b7\x1b[{rows};1H\x1b[0;7m {text.strip()} \x1b[0m\x1b8".encode())
        return len(text)


def _watch(name: str, ask: Callable[[], Iterator[ScreenChange | TerminalEnd]]) -> None:
    """Show a screen until the terminal ends, or a person has seen enough."""
    from backends.protocol.terminals import TerminalEnd, TerminalState
    from terma.look import change, draw, title
    from terma.patience import patiently
    from terma.stage import QUIT, Incoming, Stage

    if not sys.stdout.isatty():
        raise UsageError("--watch needs a terminal", "without it the screen is printed once")
    changes = patiently(ask, "the screen")
    news = [next(changes)]  # an error comes before anything is drawn
    incoming = Incoming(changes)
    shown: Screen | None = None
    with Stage(_ENTER, _LEAVE) as stage, redirect_stderr(_LastRow(stage)):
        while not isinstance(end := news[-1] if news else None, TerminalEnd):
            shown = change(shown, end) if end else shown
            if shown is not None:
                stage.write((title(name, shown) + draw(shown, *stage.size())).encode())
            keys, has_come = stage.wait(incoming)
            if not QUIT.isdisjoint(keys):
                return
            news = incoming.take() if has_come else []
    verb = "has" if end.state is TerminalState.EXITED else "is"
    say(f"{name} {verb} {end.state.value}" + (f": {end.detail}" if end.detail else ""))
