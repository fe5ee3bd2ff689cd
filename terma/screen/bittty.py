"""The screen engine of bittty: slow, and nothing but Python, so no output can kill the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bittty import BITTTY, Board  # type: ignore[import-untyped]
from bittty.present import RowsScrolledOff, ScrollbackCleared  # type: ignore[import-untyped]
from bittty.style import Color, Style  # type: ignore[import-untyped]
from bittty.video import Cell, Line  # type: ignore[import-untyped]
from wcwidth import wcwidth

from backends.cleaning import clean_line
from backends.protocol.rows import Screen
from terma.screen import paint
from terma.screen.base import MAX_ANSWERS
from terma.screen.look import PLAIN, UNDERLINES, CellRow, Look, joined

_PENDING_CHARACTERS = 1 << 20
"""After so many characters an unfinished sequence is given up."""

_SHAPES = {"block": (1, 2), "underline": (3, 4), "bar": (5, 6)}
"""DECSCUSR by a cursor's shape: blinking, steady."""

# Printers and macros are for terminals of steel: here they would only swallow output.
_MODEL = replace(BITTTY, options=frozenset(), macro_space=None)

_NAMES = {
    "bold": "bold",
    "faint": "dim",
    "italic": "italic",
    "underline": "underline",
    "blink": "blink",
    "inverse": "reverse",
    "invisible": "conceal",
    "strikethrough": "strike",
    "overline": "overline",
}
_CACHED_LOOKS = 10_000
_MAX_CLUSTER = 32
"""Characters of a cell; what more is put on top of each other, nobody can read."""


class _Host:
    """The line to the program: it takes answers."""

    closed = False

    def __init__(self) -> None:
        self.answers = bytearray()

    def write(self, data: str) -> int:
        """Take an answer."""
        return self.write_bytes(data.encode())

    def write_bytes(self, data: bytes) -> int:
        """Take an answer."""
        if len(self.answers) < MAX_ANSWERS:
            self.answers += data
        return len(data)

    def flush(self) -> None:
        """Have nothing to do."""

    def resize(self, rows: int, columns: int) -> None:
        """Have nothing to do: the size comes from there."""


class BitttyEngine:
    """A board of bittty with the rows that leave it at its top."""

    NAME = "bittty"
    keeps_scrollback = True

    def __init__(self, columns: int, rows: int, scrollback: int) -> None:
        self._above: deque[Line | CellRow] = deque(maxlen=scrollback)
        self._new = 0  # rows above since they were last asked for
        self._looks: dict[Style, Look] = {}
        self._size = (columns, rows)
        self._board = Board(width=columns, height=rows, model=_MODEL)
        self._board.attach_display(self)
        self._host = _Host()
        self._board.host.attach(self._host)
        _join_marks(self._board.blitter)

    def close(self) -> None:
        """Free nothing: it is all Python's."""

    def present(self, event: object) -> None:
        """Take what the board tells of itself."""
        if isinstance(event, RowsScrolledOff):
            self._above.extend(event.lines)
            self._new += len(event.lines)
        elif isinstance(event, ScrollbackCleared):
            self._above.clear()
            self._new = 0

    def feed(self, data: bytes) -> None:
        """Take the next output; it may end anywhere."""
        self._board.feed_host_data(data)
        parser = self._board.parser
        if len(parser.buffer) > _PENDING_CHARACTERS:
            parser.reset()
        if (self._board.width, self._board.height) != self._size:
            self._board.resize(*self._size)  # the size is the terminal's, not its program's
        self._compact()

    def answers(self) -> bytes:
        """Return what the terminal has answered its program since the last call."""
        answers = bytes(self._host.answers)
        self._host.answers.clear()
        return answers

    def resize(self, columns: int, rows: int) -> None:
        """Take another size; the lines on the primary screen are wrapped anew."""
        board = self._board
        over = board.cursor.y + 1 - rows
        if over > 0 and not board.blitter.in_alt_screen:
            # The board would cut at the bottom, where people look.
            board.blitter.set_scroll_region(0, board.height - 1)
            board.blitter.scroll(over)
            board.cursor.y -= over
        self._size = (columns, rows)
        board.resize(columns, rows)
        self._compact()

    def show(self, scrollback: int = 0) -> Screen:
        """Return what is shown, with so many of the rows above."""
        board = self._board
        kept = len(self._above)
        first = kept - min(scrollback, kept)
        above = [self._row(self._above[at]).row() for at in range(first, kept)]
        return Screen(
            offset=0,
            columns=board.width,
            rows=board.height,
            lines=tuple(row.row() for row in self._page(board.blitter.main_page)),
            scrollback=tuple(above),
            scrollback_rows=kept,
            cursor_column=board.cursor.display_x + int(board.cursor.wrap_pending),
            cursor_row=board.cursor.y,
            cursor_is_visible=board.modes.cursor_visible,
            title=clean_line(self._shown_title()),
            is_alternate=board.blitter.in_alt_screen,
            engine=self.NAME,
        )

    def scrolled(self) -> Sequence[tuple[str, bool]]:
        """Return the rows that have left the screen at its top since the last call."""
        count, self._new = min(self._new, len(self._above)), 0
        kept = len(self._above)
        rows = [self._row(self._above[at]) for at in range(kept - count, kept)]
        return [(row.text(), row.wraps) for row in rows]

    def visible(self) -> Sequence[tuple[str, bool]]:
        """Return the rows on the primary screen."""
        page = self._board.blitter.pages[self._board.blitter.shown_page]
        return [(row.text(), row.wraps) for row in self._page(page)]

    def passed(self) -> int | None:
        """Return how many rows above the cursor's `scrolled` has not returned."""
        if self._board.blitter.in_alt_screen:
            return None
        return min(self._new, len(self._above)) + int(self._board.cursor.y)

    def place(self) -> tuple[int, int, bool]:
        """Return the cursor's column and row, and whether the alternate screen is shown."""
        cursor = self._board.cursor
        return cursor.display_x, cursor.y, self._board.blitter.in_alt_screen

    def is_plain(self) -> bool:
        """Tell whether text and line ends are shown just as they come."""
        board, blitter = self._board, self._board.blitter
        is_whole = (blitter.scroll_top, blitter.scroll_bottom) == (0, board.height - 1)
        return (
            is_whole
            and not blitter.in_alt_screen
            and self._mode(paint.WRAP)
            and not self._mode(paint.INSERT, is_private=False)
            and not self._mode(paint.MARGINS)
            and not self._after()
        )

    def repaint(self) -> bytes:
        """Return what brings a real terminal of this size to this state."""
        board, blitter, cursor = self._board, self._board.blitter, self._board.cursor
        is_alternate = blitter.in_alt_screen
        saved = cursor.saved[is_alternate]
        last = self._last_glyph() if cursor.wrap_pending else None
        region = (blitter.scroll_top + 1, blitter.scroll_bottom + 1)
        margins = (blitter.left_margin + 1, blitter.right_margin + 1)
        blinking, steady = _SHAPES.get(cursor.shape, (1, 2))
        state = paint.State(
            picture=paint.Picture(
                rows=self._page(blitter.main_page),
                cursor=paint.Place(cursor.display_x, cursor.y, last),
                saved=paint.Place(saved.x, saved.y),
                keyboard=board.keyboard.kitty_flags,
            ),
            primary=self._primary() if is_alternate else None,
            alternate=1049,
            pen=self._look(board.style.current),
            modes=frozenset(mode for mode in paint.MODES if self._mode(mode)),
            ansi_modes=frozenset(
                mode
                for mode in (paint.INSERT, paint.NEW_LINE)
                if self._mode(mode, is_private=False)
            ),
            region=None if region == (1, board.height) else region,
            margins=margins if self._mode(paint.MARGINS) else None,
            is_origin=self._mode(paint.ORIGIN),
            wraps=self._mode(paint.WRAP),
            shape=blinking if board.modes.cursor_blinking else steady,
            cursor_is_visible=board.modes.cursor_visible,
            tab_stops=sorted(stop for stop in cursor.tab_stops if 0 < stop < board.width),
            title=self._shown_title(),
            after=self._after(),
        )
        return paint.paint(state)

    def dump(self) -> bytes:
        """Return the state, rows above included."""
        size, above = (self._board.width, self._board.height), len(self._above)
        written = paint.history(self._row(row) for row in self._above)
        return paint.pack(size, above, written, self.repaint())

    def load(self, state: bytes) -> None:
        """Take over a state that `dump` returned."""
        (columns, rows), above, written, painted = paint.unpack(state)
        engine = BitttyEngine(columns, rows, self._above.maxlen or 0)
        engine.feed(written)
        engine.feed(b"\r\n" * (rows - 1))
        missing = above - len(engine._above)
        engine.feed(b"\r\n" * max(0, min(missing, self._above.maxlen or 0)))
        engine.feed(painted)
        self._board, self._above, self._new = engine._board, engine._above, 0
        self._size, self._host = (columns, rows), engine._host
        self._board.attach_display(self)

    # -- the board's own values --------------------------------------------------------------

    def _mode(self, number: int, is_private: bool = True) -> bool:
        return bool(self._board.modes.mode_status(is_private, number) == 1)

    def _shown_title(self) -> str:
        title: str = self._board.title.title
        return "" if title == "Terminal" else title  # its own, where nobody has set one

    def _primary(self) -> paint.Picture:
        blitter, cursor = self._board.blitter, self._board.cursor
        saved = cursor.saved[False]
        place = paint.Place(saved.x, saved.y)
        flags = self._board.keyboard._kitty[False].flags
        return paint.Picture(
            rows=self._page(blitter.pages[blitter.shown_page]),
            cursor=place,
            saved=place,
            keyboard=flags,
        )

    def _last_glyph(self) -> tuple[str, Look, int]:
        page, cursor = self._board.blitter.main_page, self._board.cursor
        row = page.grid[cursor.y]
        at = page.owner_x(cursor.display_x, cursor.y)
        style, text = row[at]
        return str(text) or " ", self._look(style), cursor.display_x - at + 1

    def _after(self) -> bytes:
        """Return character sets, the keyboard's level, and what has begun of a sequence."""
        board = self._board
        sets = board.charset.charset_array
        parts = [
            f"\x1b{sign}{name}" for sign, name in zip("()*+", sets, strict=True) if name != "B"
        ]
        if board.charset.current_charset == 1:
            parts.append("\x0e")
        if board.keyboard.modify_other_keys:
            parts.append(f"\x1b[>4;{board.keyboard.modify_other_keys}m")
        parts.append(board.parser.buffer)
        # What the decoder holds back are the first bytes of a character.
        pending: bytes = board.printer._decoder.getstate()[0]
        return "".join(parts).encode("utf-8", "replace") + pending

    # -- cells -------------------------------------------------------------------------------

    def _page(self, page: Any) -> list[CellRow]:
        return [self._row(page.line(number)) for number in range(page.height)]

    def _compact(self) -> None:
        """Make small what stays: a board's row is a tuple for each cell."""
        at = len(self._above) - 1
        while at >= 0 and isinstance(self._above[at], Line):
            self._above[at] = self._row(self._above[at])
            at -= 1

    def _row(self, line: Line | CellRow) -> CellRow:
        if isinstance(line, CellRow):
            return line
        cells = line.cells
        end = len(cells)
        if not line.wrapped:
            while end and cells[end - 1][1] == " " and cells[end - 1][0] == _UNSTYLED:
                end -= 1
        is_full = bool(cells) and (end == len(cells) or line.wrapped)
        return CellRow(spans=self._spans(cells[:end]), wraps=line.wrapped, is_full=is_full)

    def _spans(self, cells: Iterable[Cell]) -> tuple[tuple[str, Look], ...]:
        return joined((str(text), self._look(style)) for style, text in cells if text)

    def _look(self, style: Style) -> Look:
        found = self._looks.get(style)
        if found is None:
            if len(self._looks) > _CACHED_LOOKS:
                self._looks.clear()
            found = self._looks[style] = _read_look(style)
        return found


_UNSTYLED = Style()


def _join_marks(blitter: Any) -> None:
    """Have characters without a width of their own stand with the one before, as terminals do.

    The board does so only where a program asks for whole clusters; else each took a column.
    """
    select = blitter._select_writer

    def select_writer() -> None:
        select()
        if "write_text" not in blitter.__dict__:
            blitter.write_text = write

    def write(text: str, code: Any = "") -> None:
        plain = type(blitter).write_text
        if text.isascii():
            plain(blitter, text, code)
            return
        start = 0
        for at, character in enumerate(text):
            if character > "\u02ff" and wcwidth(character) == 0:
                if start < at:
                    plain(blitter, text[start:at], code)
                _join(blitter, character)
                start = at + 1
        if start < len(text):
            plain(blitter, text[start:], code)

    blitter._select_writer = select_writer
    select_writer()


def _join(blitter: Any, mark: str) -> None:
    cursor, page = blitter.board.cursor, blitter.current_page
    column = cursor.display_x if cursor.wrap_pending else cursor.display_x - 1
    if column < 0:
        return
    at = page.owner_x(column, cursor.y)
    style, text = page.grid[cursor.y][at]
    if text and len(text) < _MAX_CLUSTER:
        page.grid[cursor.y][at] = (style, type(text)(text + mark))


def _read_look(style: Style) -> Look:
    underline = 0
    if style.underline:
        underline = UNDERLINES.index(style.underline_style or "single")
    attributes = tuple(name for name, own in _NAMES.items() if getattr(style, own))
    look = Look(
        foreground=_colour(style.fg),
        background=_colour(style.bg),
        attributes=attributes,
        link=style.hyperlink or None,
        underline=underline,
        underline_colour=_colour(style.underline_color),
    )
    return PLAIN if look == PLAIN else look


def _colour(colour: Color | None) -> str | None:
    if colour is None or colour.mode == "default" or colour.value is None:
        return None
    if isinstance(colour.value, int):
        return str(colour.value)
    red, green, blue = colour.value
    return f"#{red:02x}{green:02x}{blue:02x}"
