"""What a chat shows above its input: answers as they stream, and lines of its own between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from aish.chat.above import Above
from aish.layout import wrap
from aish.render import REFRESH_S, TAIL_ROWS, MarkdownRows
from backends.cleaning import clean, clean_line
from backends.console import BOLD, DIM, RED
from backends.errors import TektonError

_SHORTEST_S = REFRESH_S * 0.8
"""What is read in gathers comes every `REFRESH_S`, more or less: it is drawn as it comes."""


class Screen:
    """Collects what is to be shown, and draws it some twenty times a second at most.

    While the terminal is somebody else's it only collects.
    """

    def __init__(
        self, above: Above, columns: Callable[[], int], rows: Callable[[], int], color: bool
    ) -> None:
        self._above = above
        self._columns = columns
        self._height = rows
        self._color = color
        self._markdown = MarkdownRows(color, has_tail=True)
        self._texts: list[str] = []
        self._rows: list[str] = []
        self._timer: asyncio.Handle | None = None
        self._drawn_at = 0.0
        self._is_speaking = False
        self.shows_names = False
        """Whether each answer stands under a heading."""

    # -- answers -------------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """Begin an answer."""
        self._is_speaking = True
        if self.shows_names:
            self._add([self._paint(f"== {clean_line(name)} ==", BOLD)])

    def take(self, text: str) -> None:
        """Show the next piece of it."""
        self._texts.append(text)
        self._schedule()

    def end(self, note: str | None) -> None:
        """End it, and say in a word how if it is not complete."""
        self._settle()
        self._rows += self._markdown.finish(self.width)
        self._is_speaking = False
        self._add([*([self._paint(f"({note})", DIM)] if note else []), ""])

    # -- lines of the chat's own -----------------------------------------------------------------

    def say(self, line: str) -> None:
        """Show a line beside the answers."""
        self._say(clean_line(line), DIM)

    def show(self, rows: Sequence[str]) -> None:
        """Show rows as they are."""
        self._add(rows)

    def complain(self, error: TektonError, prefix: str = "") -> None:
        """Show an error and its hint."""
        self._say("error: " + clean_line(prefix + error.message), RED)
        if error.hint:
            self._say(f"hint: {clean_line(error.hint)}", DIM)

    def echo(self, mark: str, text: str) -> None:
        """Show what was typed, as it was."""
        width = max(self.width - len(mark), 1)
        lines = clean(text).expandtabs(4)
        shown = [lines[start:end] for start, end in wrap(lines, width)]
        first, *rest = shown
        space = " " * len(mark)
        self._add([self._paint(mark, BOLD) + first, *(space + row for row in rest)])

    def _say(self, line: str, style: str) -> None:
        shown = [line[start:end].rstrip() for start, end in wrap(line, self.width)]
        self._add([self._paint(row, style) for row in shown])

    # -- drawing ---------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw what has been collected, if the terminal is ours."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._above.can_draw:
            return
        self._settle()
        rows, self._rows = self._rows, []
        tail = self._markdown.tail(self.width, self._tail_rows())
        if tail:
            tail = [*tail, ""]
        self._above.draw(rows, tail, is_steady=self._is_speaking)
        self._drawn_at = time.monotonic()

    def draw_due(self) -> None:
        """Draw if something waits for it."""
        if self._rows or self._texts:
            self._schedule()

    def hide(self) -> None:
        """Take what is not finished off the screen, before somebody else has it."""
        self.draw()
        if self._above.can_draw:
            self._above.draw([], [], is_steady=False)

    def _add(self, rows: Sequence[str]) -> None:
        self._settle()
        self._rows += rows
        self._schedule()

    def _settle(self) -> None:
        """Turn the text that has come into rows."""
        texts, self._texts = self._texts, []
        if texts:
            self._rows += self._markdown.feed("".join(texts), self.width)

    def _schedule(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        wait = self._drawn_at + _SHORTEST_S - time.monotonic()
        self._timer = loop.call_later(wait, self.draw) if wait > 0 else loop.call_soon(self.draw)

    def _tail_rows(self) -> int:
        return max(min(TAIL_ROWS, self._height() // 2 - 2, self._above.room - 1), 0)

    @property
    def width(self) -> int:
        """Columns that rows may take: a full one would leave open where the cursor is."""
        return max(self._columns() - 1, 1)

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._color and text else text
