"""The screen engine of libghostty-vt: fast, and it may abort the process on hostile output."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from backends.cleaning import clean_line
from backends.protocol.rows import Screen
from terma.screen import ghostty_calls as calls
from terma.screen import paint
from terma.screen.base import MAX_ANSWERS
from terma.screen.ghostty_calls import allocated, check, ffi, init_sized, lib
from terma.screen.ghostty_cells import Cells
from terma.screen.ghostty_texts import Texts

_PENDING_BYTES = 1 << 20
"""How long an unfinished sequence may be and still be in a dump."""

_SCROLLBACK_BYTES = 256 << 20

_CELL = (8, 16)
"""Pixels of a cell, for who asks."""

_SHAPES = {1: (1, 2), 2: (3, 4), 0: (5, 6), 3: (1, 2)}
"""DECSCUSR by the engine's number of a cursor's shape: blinking, steady."""

_REGION = re.compile(rb"\x1b\[(\d+);(\d+)r")
_MARGINS = re.compile(rb"\x1b\[(\d+);(\d+)s")
_TAB_STOP = re.compile(rb"\x1b\[(\d+)G\x1bH")
_OTHER_KEYS = re.compile(rb"\x1b\[>4;\d+m")
_LAST_PLACE = re.compile(rb".*\x1b\[\d+;\d+H", re.DOTALL)
_SEQUENCE = re.compile(
    rb"\x1b\][^\x07\x1b]*\x1b\\|\x1b\[[^@-~]*[@-~]|\x1b[ -/]+[0-~]|\x1b[n-~]|[\x0e\x0f]"
)
_TO_ALTERNATE = re.compile(rb"\x1b\[\?(?:\d+;)*(?:1049|1047|47)(?:;\d+)*h")
_BEGUN = re.compile(rb"\x1b(?:\[(?:\?[\d;]*)?)?\Z")
_LONGEST_SWITCH = 32
_MAX_CAPTURED = 20
"""How often one piece of output may have the primary screen kept: it takes a while."""

_SHIFT = re.compile(rb"\x1b[()*+][ -/]*[0-~]|\x1b[n-~]|\x0e")
_AS_RESET = (b"\x1b(B", b"\x1b)B")


class GhosttyEngine:
    """A terminal of libghostty-vt."""

    NAME = "ghostty"

    def __init__(self, columns: int, rows: int, scrollback: int) -> None:
        self._scrollback = scrollback
        self._size = (columns, rows)
        self._has_links = False
        self._behind: paint.Picture | None = None
        self._held = b""  # the start of what may be a switch to the alternate screen
        self._answers = bytearray()
        self._callbacks = _callbacks(self._answers)
        handle = ffi.new("GhosttyTerminal*")
        check(lib.ghostty_terminal_new(ffi.NULL, handle, columns, rows), "new terminal")
        self._terminal = handle[0]
        self._cells, self._texts = Cells(self._terminal), Texts(self._terminal)
        self._configure()

    def close(self) -> None:
        """Free the terminal."""
        self._texts.close()
        if self._terminal is not None:
            lib.ghostty_terminal_free(self._terminal)
            self._terminal = None

    def feed(self, data: bytes) -> None:
        """Take the next output; it may end anywhere."""
        self._has_links = self._has_links or b"]8;" in data
        data = self._held + data
        begun = _BEGUN.search(data, max(0, len(data) - _LONGEST_SWITCH))
        end = begun.start() if begun else len(data)
        data, self._held = data[:end], data[end:]
        start = captured = 0
        for switch in _TO_ALTERNATE.finditer(data):
            self._write(data[start : switch.start()])
            start = switch.start()
            if not self._is_alternate() and captured < _MAX_CAPTURED:
                # The library shows nobody the screen behind, so this is the time to look.
                self._behind = self._picture()
                captured += 1
        self._write(data[start:])
        if (self._get("cols"), self._get("rows")) != self._size:
            self._take_size()  # the size is the terminal's, not its program's

    def _write(self, data: bytes) -> None:
        lib.ghostty_terminal_vt_write(self._terminal, data, len(data))

    def answers(self) -> bytes:
        """Return what the terminal has answered its program since the last call."""
        answers = bytes(self._answers)
        self._answers.clear()
        return answers

    def resize(self, columns: int, rows: int) -> None:
        """Take another size; the lines of the primary screen are wrapped anew."""
        if self._behind is not None and self._is_alternate():
            other = GhosttyEngine(self._get("cols"), self._get("rows"), 0)
            other.feed(paint.paint(paint.State(picture=self._behind)))
            other.resize(columns, rows)
            self._behind = other._picture()
            other.close()
        self._size = (columns, rows)
        self._take_size()

    def _take_size(self) -> None:
        check(lib.ghostty_terminal_resize(self._terminal, *self._size, *_CELL), "resize")

    def show(self, scrollback: int = 0) -> Screen:
        """Return what is shown, with so many of the rows above."""
        kept = calls.above(self._terminal)
        above = min(scrollback, kept)
        rows = [row.row() for row in self._cells.rows(above)]
        columns = self._get("cols")
        column = self._get("cursor_x") + self._get("cursor_pending_wrap", "bool")
        return Screen(
            offset=0,
            columns=columns,
            rows=self._get("rows"),
            lines=tuple(rows[above:]),
            scrollback=tuple(rows[:above]),
            scrollback_rows=kept,
            cursor_column=column,
            cursor_row=self._get("cursor_y"),
            cursor_is_visible=self._get("cursor_visible", "bool"),
            title=clean_line(self._title()),
            is_alternate=self._is_alternate(),
            engine=self.NAME,
        )

    def scrolled(self) -> Sequence[tuple[str, bool]]:
        """Return the rows that have left the screen at its top since the last call."""
        return [] if self._is_alternate() else self._texts.scrolled()

    def visible(self) -> Sequence[tuple[str, bool]]:
        """Return the rows on the primary screen that `scrolled` has not returned."""
        if self._is_alternate():
            rows = self._behind.rows if self._behind is not None else ()
            return [(row.text(), row.wraps) for row in rows]
        return self._texts.visible()

    def passed(self) -> int | None:
        """Return how many rows above the cursor's `scrolled` has not returned."""
        if self._is_alternate():
            return None
        row = calls.above(self._terminal) + int(self._get("cursor_y"))
        return max(row - self._texts.untaken(), 0)

    def place(self) -> tuple[int, int, bool]:
        """Return the cursor's column and row, and whether the alternate screen is shown."""
        return self._get("cursor_x"), self._get("cursor_y"), self._is_alternate()

    def is_plain(self) -> bool:
        """Tell whether text and line ends are shown just as they come."""
        if self._held or self._is_alternate() or self._pending():
            return False
        modes = self._mode(paint.WRAP), self._mode(paint.INSERT, is_ansi=True)
        if modes != (True, False) or self._mode(paint.MARGINS):
            return False
        control = self._control()
        rest = [sequence for sequence in _SHIFT.findall(control) if sequence not in _AS_RESET]
        return not (_REGION.search(control) or rest)

    def repaint(self) -> bytes:
        """Return what brings a real terminal of this size to this state."""
        self._settle()
        control = self._control()
        # What waits to wrap is in there as text; the picture has it already.
        tail = b"".join(
            sequence
            for sequence in _SEQUENCE.findall(_LAST_PLACE.sub(b"", control, count=1))
            if sequence not in _AS_RESET
        )
        region, margins = _REGION.search(control), _MARGINS.search(control)
        other_keys = _OTHER_KEYS.search(control)
        alternate = next((mode for mode in paint.ALTERNATE if self._mode(mode)), 1049)
        cursor = self._cells.cursor()
        state = paint.State(
            picture=self._picture(),
            primary=self._behind if self._is_alternate() else None,
            alternate=alternate,
            modes=frozenset(mode for mode in paint.MODES if self._mode(mode)),
            ansi_modes=frozenset(
                mode for mode in (paint.INSERT, paint.NEW_LINE) if self._mode(mode, is_ansi=True)
            ),
            region=_pair(region),
            margins=_pair(margins) if self._mode(paint.MARGINS) else None,
            is_origin=self._mode(paint.ORIGIN),
            wraps=self._mode(paint.WRAP),
            shape=_SHAPES[cursor.visual_style][0 if cursor.blinking else 1],
            cursor_is_visible=self._get("cursor_visible", "bool"),
            tab_stops=[int(stop[1]) - 1 for stop in _TAB_STOP.finditer(control)],
            title=self._title(),
            after=(other_keys[0] if other_keys else b"") + tail + self._pending() + self._held,
        )
        return paint.paint(state)

    def dump(self) -> bytes:
        """Return the state, rows above included.

        Not as the library's own snapshot: a terminal made of one gives new looks to wrong cells.
        """
        painted = self.repaint()
        above = calls.above(self._terminal)
        if self._has_links:  # which the library's formatter leaves out
            written = paint.history(itertools.islice(self._cells.rows(above), above))
        else:
            written = self._formatted(above) if above else b""
        return paint.pack((self._get("cols"), self._get("rows")), above, written, painted)

    def load(self, state: bytes) -> None:
        """Take over a state that `dump` returned."""
        (columns, rows), above, written, painted = paint.unpack(state)
        engine = GhosttyEngine(columns, rows, self._scrollback)
        engine.feed(written)
        engine.feed(b"\r\n" * (rows - 1))
        missing = above - calls.above(engine._terminal)
        engine.feed(b"\r\n" * max(0, min(missing, self._scrollback)))
        engine.feed(painted)
        self.close()
        self._terminal, self._has_links = engine._terminal, engine._has_links
        self._cells, self._texts = engine._cells, engine._texts
        self._behind, self._held, self._size = engine._behind, engine._held, engine._size
        self._answers, self._callbacks = engine._answers, engine._callbacks

    # -- the terminal's own values -----------------------------------------------------------

    def _configure(self) -> None:
        for option, kind, value in (
            ("SCROLLBACK_MAX_BYTES", "size_t", _SCROLLBACK_BYTES),
            ("SCROLLBACK_MAX_LINES", "size_t", self._scrollback),
            ("CONTINUATION_MAX_BYTES", "size_t", _PENDING_BYTES),
            ("KITTY_IMAGE_STORAGE_LIMIT", "uint64_t", 0),
        ):
            key = getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}")
            check(lib.ghostty_terminal_set(self._terminal, key, ffi.new(f"{kind}*", value)), option)
        for option, callback in self._callbacks.items():
            key = getattr(lib, f"GHOSTTY_TERMINAL_OPT_{option}")
            check(lib.ghostty_terminal_set(self._terminal, key, callback), option)

    def _get(self, name: str, kind: str = "uint16_t") -> Any:
        return calls.get(self._terminal, name, kind)

    def _mode(self, number: int, is_ansi: bool = False) -> bool:
        config = ffi.new("GhosttyTerminalModeConfig*")
        config.mode = number | (is_ansi << 15)
        key = lib.GHOSTTY_TERMINAL_DATA_MODE
        # A mode that it does not know is off.
        return not lib.ghostty_terminal_get(self._terminal, key, config) and bool(config.value)

    def _is_alternate(self) -> bool:
        return calls.is_alternate(self._terminal)

    def _title(self) -> str:
        title = self._get("title", "GhosttyString")
        return ffi.buffer(title.ptr, title.len)[:].decode("utf-8", "replace") if title.len else ""

    def _pending(self) -> bytes:
        return allocated(lib.ghostty_terminal_continuation_alloc, self._terminal)

    def _settle(self) -> None:
        """Give up a sequence that is too long to be kept: nobody means a title of a megabyte."""
        size = ffi.new("size_t*")
        result = lib.ghostty_terminal_continuation_buf(self._terminal, ffi.NULL, 0, size)
        if result not in (lib.GHOSTTY_SUCCESS, lib.GHOSTTY_OUT_OF_SPACE):
            self._write(b"\x18")

    def _control(self) -> bytes:
        """Return its state as sequences, with one cell only."""
        options = init_sized("GhosttyFormatterTerminalOptions")
        options.emit = lib.GHOSTTY_FORMATTER_FORMAT_VT
        for name in ("scrolling_region", "tabstops", "keyboard"):
            setattr(options.extra, name, True)
        for name in ("cursor", "style", "hyperlink", "protection", "kitty_keyboard", "charsets"):
            setattr(options.extra.screen, name, True)
        selection = init_sized("GhosttySelection")
        selection.start = selection.end = calls.ref(
            self._terminal, 0, 0, lib.GHOSTTY_POINT_TAG_ACTIVE
        )[0]
        options.selection = selection
        return self._format(options)

    def _formatted(self, above: int) -> bytes:
        """Return what writes the rows above, with lines that go on as one."""
        options = init_sized("GhosttyFormatterTerminalOptions")
        options.emit, options.unwrap = lib.GHOSTTY_FORMATTER_FORMAT_VT, True
        selection = calls.selection(self._terminal, 0, above)
        options.selection = selection
        return self._format(options) + b"\r\n"

    def _format(self, options: Any) -> bytes:
        formatter = ffi.new("GhosttyFormatter*")
        made = lib.ghostty_formatter_terminal_new(ffi.NULL, formatter, self._terminal, options[0])
        check(made, "new formatter")
        try:
            return allocated(lib.ghostty_formatter_format_alloc, formatter[0])
        finally:
            lib.ghostty_formatter_free(formatter[0])

    def _picture(self) -> paint.Picture:
        column, row = self._get("cursor_x"), self._get("cursor_y")
        last = None
        if self._get("cursor_pending_wrap", "bool"):
            last = self._cells.last_glyph(column, row)
        return paint.Picture(
            rows=list(self._cells.rows(0)),
            cursor=paint.Place(column=column, row=row, last=last),
            keyboard=self._get("kitty_keyboard_flags", "uint8_t"),
        )


def _callbacks(answers: bytearray) -> dict[str, Any]:
    """Return what the library calls to answer a program; they must live as long as the terminal."""

    def answer(terminal: Any, user: Any, data: Any, size: int) -> None:
        if len(answers) < MAX_ANSWERS:
            answers.extend(ffi.buffer(data, size))

    def size(terminal: Any, user: Any, found: Any) -> bool:
        found.columns, found.rows = (calls.get(terminal, name) for name in ("cols", "rows"))
        found.cell_width, found.cell_height = _CELL
        return True

    return {
        "WRITE_PTY": ffi.callback("GhosttyTerminalWritePtyFn", answer),
        "SIZE": ffi.callback("GhosttyTerminalSizeFn", size),
    }


def _pair(found: re.Match[bytes] | None) -> tuple[int, int] | None:
    return (int(found[1]), int(found[2])) if found else None
