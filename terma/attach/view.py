"""What a person's window shows: the output itself, or a screen in a frame, or that all is lost.

Output passes unchanged where the terminal has the size of the window. Where it has not, what a
program says would mean other places here: then the screen is drawn in a frame, until the sizes
agree again and a repaint has come.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from backends.cleaning import clean_line
from backends.protocol.screens import Row, Screen, ScreenChange
from backends.protocol.terminals import Output, TerminalInfo
from terma.attach.frame import Frame
from terma.attach.modes import (
    ALTERNATE,
    CLEAR,
    CUT,
    ORIGIN,
    ORIGIN_OFF,
    PUSH_TITLE,
    REPORTS_OFF,
    UNSURE,
    at_bottom,
    is_between,
    make_room,
    reset,
    title,
)
from terma.attach.notices import BELL
from terma.attach.person import Person
from terma.attach.status import Guard, status_text
from terma.attach.traces import Traces
from terma.attach.wire import Size
from terma.look import change as change_of
from terma.look import row_in_color

SETTLE_S = 0.3
"""Seconds for which the sizes may differ after the window's has changed: the terminal follows."""

_TAIL = 4096
_KEEP_PLACE = (None, 1049)
"""Of the modes that show the alternate screen, only 1049 keeps the cursor's place on the main."""
_NOTICE_S = 10.0
"""How long it is shown that another terminal waits."""


class Mode(Enum):
    """What is on the window."""

    EMPTY = "empty"
    RAW = "raw"
    FRAMED = "framed"
    LOST = "lost"


class View:
    """Draws on a person's terminal.

    Args:
        person: The terminal.
        info: The terminal that is shown, as it was before.
        is_read_only: Whether nothing is typed here.
        has_status: Whether the last row is a status line.
    """

    def __init__(
        self, person: Person, info: TerminalInfo, is_read_only: bool, has_status: bool
    ) -> None:
        self.mode = Mode.EMPTY
        self.notices: list[str] = []
        self._person = person
        self._name = info.name
        self._info: TerminalInfo | None = None
        self._is_read_only = is_read_only
        self._has_status = has_status
        self._inside: Size = (info.columns, info.rows)
        self._window = person.size
        self._guard = Guard(self.size[1])
        self._settle_by = 0.0
        self._is_repaint_due = False
        self._screen: Screen | None = None
        self._frame = Frame(*self.size)
        self._is_stale = False
        self._tail = b""
        self._later = b""
        self._is_displaced = False
        self._loss = ""
        self._traces = Traces()
        self._waiting = ""
        self._lacks_title = False
        self.waiting_until: float | None = None
        """When `settle` has to be called, as long as a notice is shown that another waits."""

    @property
    def has_reports(self) -> bool:
        """Whether the window may say something that nobody typed."""
        return self._traces.has_reports

    @property
    def lacks_title(self) -> bool:
        """Whether the window's title is a notice that is over; `show_state` mends it."""
        return self._lacks_title

    @property
    def size(self) -> Size:
        """The size that a terminal needs to fill the window."""
        columns, rows = self._window
        return columns, max(rows - self._has_status, 1)

    @property
    def is_shown(self) -> bool:
        """Whether the terminal is on the window as it is now."""
        return self.mode in (Mode.RAW, Mode.FRAMED)

    @property
    def settle_by(self) -> float | None:
        """When `settle` has to be called."""
        return self._settle_by if self.mode is Mode.RAW and self._inside != self.size else None

    @property
    def wants_screen(self) -> bool:
        """Whether the rows of the screen are needed."""
        return self.mode is Mode.FRAMED

    def wants_repaint(self) -> bool:
        """Tell, once, that the sizes agree again and a repaint is needed."""
        is_wanted = self.mode is Mode.FRAMED and self._inside == self.size
        is_new = is_wanted and not self._is_repaint_due
        self._is_repaint_due = is_wanted
        return is_new

    # -- what comes --------------------------------------------------------------------------

    def begin(self) -> None:
        """Move away what the window shows."""
        self._person.put(make_room(self._window[1]))

    def show_history(self, rows: Sequence[Row]) -> None:
        """Have rows above the first repaint."""
        if rows:
            lines = "".join(f"{row_in_color(row)}\r\n" for row in rows)
            self._person.put(b"\x1b[H" + lines.encode("utf-8", "replace"))
            self.begin()

    def show_output(self, output: Output, now: float) -> None:
        """Show output, or do so later in a frame."""
        if output.columns is not None and output.rows is not None:
            self._inside = (output.columns, output.rows)
        if output.notice:
            self.tell(output.notice)
        data = b64decode(output.data)
        if output.is_repaint:
            self._repaint(data, now)
        elif self.mode is Mode.RAW:
            self._put(data)
        self.settle(now)

    def _repaint(self, data: bytes, now: float) -> None:
        self._is_repaint_due = False
        if self._inside != self.size and now >= self._settle_by:
            self._begin_frame()
            return
        self._begin_afresh(self._reset())
        self.mode, self._loss = Mode.RAW, ""
        if self._has_status:
            self._guard = Guard(self.size[1])
            self._person.put(self._guard.region)
        self._put(data.replace(title(""), title(self._title_of(""))))

    def settle(self, now: float) -> None:
        """Begin a frame where the sizes differ for good; end a notice that was shown for long."""
        if self.waiting_until is not None and now >= self.waiting_until:
            self._waiting, self.waiting_until = "", None
            self._lacks_title = not self._has_status
            self._guard.is_cleared = True
            self._draw_later()
        if self.mode is Mode.RAW and self._inside != self.size and now >= self._settle_by:
            self._begin_frame()

    def _begin_frame(self) -> None:
        """Begin to draw on the alternate screen, so that nothing of it stays on the main one."""
        before = self._reset()
        if self.mode is Mode.EMPTY:
            before += b"\x1b[H"
        elif self._covers_last_row:
            before += self._last_row
        self._is_displaced |= self._traces.alternate not in _KEEP_PLACE
        self.mode, self._loss = Mode.FRAMED, ""
        self._screen = None
        self._frame = Frame(*self.size)
        self._begin_afresh(before + ALTERNATE + CLEAR)
        self._draw_status()

    def show_change(self, change: ScreenChange) -> None:
        """Show what has changed on the screen, where it is in a frame."""
        self._screen = change.screen or change_of(self._screen, change)
        self._draw_frame()

    def show_state(self, info: TerminalInfo) -> None:
        """Show how the terminal is, where there is a status line or a title is missing."""
        self._name = info.name
        if self._lacks_title:
            self._lacks_title = False
            self._later += title(self._title_of(info.title))
            self._draw_later()
        if info != self._info:
            self._info = info
            self._guard.is_cleared = True
            self._draw_later()

    def resize(self, now: float) -> None:
        """Take the window's size as it is now."""
        self._window = self._person.size
        if not self._is_read_only:
            self._settle_by = now + SETTLE_S
        self._is_repaint_due = False
        if self.mode is Mode.LOST:
            self._draw_loss()
        elif self.mode is Mode.FRAMED:
            self._frame = Frame(*self.size)
            self._begin_afresh(CUT + b"\x1b[0m" + CLEAR)
            self._draw_frame()
            self._draw_status()
        elif self._has_status:
            self._guard = Guard(self.size[1])
            self._later += b"\x1b7" + self._guard.region + b"\x1b8"
            self._draw_later()
        self.settle(now)

    def show_loss(self, words: str) -> None:
        """Say in the last row that the hub is gone; what the window shows stays."""
        if self.mode is not Mode.LOST:
            self._begin_afresh(CUT + REPORTS_OFF)
        self.mode, self._loss = Mode.LOST, words
        self._is_repaint_due = False
        self._draw_loss()

    def tell(self, words: str) -> None:
        """Tell the person something: in the status line or the window's title, and at the end."""
        self.notices.append(words)
        self._waiting = ""
        if self._has_status:
            self._guard.is_cleared = True
        else:
            self._later += title(f"{self._name}: {words}")
        self._draw_later()

    def rename(self, name: str) -> None:
        """Take the terminal's new name."""
        self._name = name
        if self._info is not None:
            self._info = replace(self._info, name=name)
        self._guard.is_cleared = True
        self._draw_later()

    def show_waiting(self, words: str, now: float) -> None:
        """Show for a while, in the status line or the window's title, that another waits."""
        self._waiting, self.waiting_until = words, now + _NOTICE_S
        if self._has_status:
            self._guard.is_cleared = True
        else:
            self._later += title(words)
        self._draw_later()

    def call(self, sequence: bytes = BELL) -> None:
        """Ring, or send another sequence that shows nothing."""
        self._later += sequence
        self._draw_later()

    def catch_up(self) -> None:
        """Draw what was left out while the terminal was behind."""
        if self._is_stale and not self._person.is_behind:
            self._draw_frame()

    def end_sequence(self) -> bytes:
        """Return what restores every mode of the window, and goes to the row below."""
        alternate = self._traces.alternate
        is_unsure = self._person.is_behind or self._person.has_dropped
        restored = self._reset(is_unsure) + self._traces.colors_off + self._traces.titles_off
        if self.mode is Mode.EMPTY:
            return restored
        is_placed = not is_unsure and alternate in _KEEP_PLACE and not self._is_displaced
        if self._covers_last_row or not is_placed:
            return restored + self._last_row
        return restored + b"\r\n\x1b[J"

    @property
    def _covers_last_row(self) -> bool:
        """Whether something of ours is in the last row of the main screen."""
        if self.mode is Mode.FRAMED:
            return False
        return self._has_status or (self.mode is Mode.LOST and self._traces.alternate is None)

    @property
    def _last_row(self) -> bytes:
        """What goes to the last row and clears it."""
        return ORIGIN_OFF + b"\x1b[%d;1H\x1b[K" % self._window[1]

    def _reset(self, is_unsure: bool = False) -> bytes:
        """Return what undoes all modes.

        Args:
            is_unsure: Some of the output was not shown, so that its traces may not be there.
        """
        return reset(UNSURE if is_unsure else self._traces.alternate)

    def _title_of(self, text: str) -> str:
        """Return the title of the window: the terminal's, or its name where it has none."""
        return clean_line(text or self._name)

    # -- drawing -----------------------------------------------------------------------------

    def _put(self, data: bytes) -> None:
        shown = self._guard.feed(data) if self._has_status else data
        self._person.put(shown)
        self._traces.feed(shown)
        if self._traces.has_taken_title:  # it was the person's, which has to be there at the end
            self._traces.has_taken_title = False
            self._later += PUSH_TITLE
        self._is_displaced = self._is_displaced or ORIGIN in shown
        self._tail = shown[-_TAIL:] if len(shown) >= _TAIL else (self._tail + shown)[-_TAIL:]
        if self._later or (self._has_status and self._guard.is_cleared):
            self._draw_later()

    def _begin_afresh(self, sequence: bytes) -> None:
        """Send what ends the output, wherever in a sequence it is."""
        self._person.put(sequence)
        self._traces.feed(sequence)
        self._tail = b""

    def _draw_later(self) -> None:
        """Draw what is ours, if no sequence of the output is under way."""
        if not is_between(self._tail):
            return
        self._person.put(self._later)
        self._later = b""
        if self._guard.is_cleared and self.mode is not Mode.LOST:
            self._draw_status()

    def _draw_status(self) -> None:
        if self._has_status and self.mode is not Mode.EMPTY:
            notice = self._waiting or (self.notices[-1] if self.notices else "")
            text = status_text(self._name, self._info, notice, self._is_read_only)
            self._person.put(at_bottom(text, *self._window))
        self._guard.is_cleared = False

    def _draw_frame(self) -> None:
        self._is_stale = self._person.is_behind
        if self.mode is Mode.FRAMED and self._screen is not None and not self._is_stale:
            self._person.put(self._frame.draw(self._screen, self._note()))

    def _note(self) -> str:
        columns, rows = self._inside
        words = f"{self._name} is {columns} x {rows}"
        return words if self._is_read_only else f"{words}; type, and it takes this size"

    def _draw_loss(self) -> None:
        self._begin_afresh(CUT + at_bottom(f" {self._loss}", *self._window))
