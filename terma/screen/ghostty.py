"""The screen engine of libghostty-vt: fast, and it may abort the process on hostile output.

Everything here is calls of its C API through cffi (`pyghostty`), so what they return is `Any`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pyghostty.core import (  # type: ignore[import-untyped]
    check,
    ffi,
    init_sized,
    lib,
    union_fn,
)

from backends.cleaning import clean_line
from backends.protocol.screens import Screen
from terma.screen import paint
from terma.screen.look import ATTRIBUTES, PLAIN, CellRow, Look, joined, printable

_PENDING_BYTES = 1 << 20
"""How long an unfinished sequence may be and still be in a dump."""

_SCROLLBACK_BYTES = 256 << 20
_CACHED_CELLS = 50_000

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

_AS_RESET = (b"\x1b(B", b"\x1b)B")

# A cell as its 64 bits say: text, columns, style, and what only its place can tell.
_Cell = tuple[str, int, Any, bool, bool]


def _value(getter: Any, subject: Any, key: int, kind: str) -> Any:
    out = ffi.new(f"{kind}*")
    check(getter(subject, key, out), f"get {key}")
    return out[0]


class GhosttyEngine:
    """A terminal of libghostty-vt."""

    NAME = "ghostty"

    def __init__(self, columns: int, rows: int, scrollback: int) -> None:
        self._scrollback = scrollback
        self._cells: dict[int, _Cell] = {}
        self._mark: Any = None
        self._size = (columns, rows)
        self._has_links = False
        self._behind: paint.Picture | None = None
        self._held = b""  # the start of what may be a switch to the alternate screen
        handle = ffi.new("GhosttyTerminal*")
        check(lib.ghostty_terminal_new(ffi.NULL, handle, columns, rows), "new terminal")
        self._terminal = handle[0]
        self._configure()

    def close(self) -> None:
        """Free the terminal."""
        self._unmark()
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
        check(lib.ghostty_terminal_resize(self._terminal, *self._size, 8, 16), "resize")

    def show(self, scrollback: int = 0) -> Screen:
        """Return what is shown, with so many of the rows above."""
        kept = self._get("scrollback_rows", "size_t")
        above = min(scrollback, kept)
        rows = [row.row() for row in self._rows(above)]
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
        if self._is_alternate():
            return []
        first, end = self._untaken(), self._get("scrollback_rows", "size_t")
        rows = self._texts(first, end - first)
        if rows or self._mark is None:
            self._unmark()
            self._mark = self._track()
        return rows

    def visible(self) -> Sequence[tuple[str, bool]]:
        """Return the rows on the primary screen that `scrolled` has not returned."""
        if self._is_alternate():
            rows = self._behind.rows if self._behind is not None else ()
            return [(row.text(), row.wraps) for row in rows]
        first = max(self._untaken(), self._get("scrollback_rows", "size_t"))
        return self._texts(first, self._get("total_rows", "size_t") - first)

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
        cursor = self._cursor()
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
        above = self._get("scrollback_rows", "size_t")
        if self._has_links:  # which the library's formatter leaves out
            written = paint.history(itertools.islice(self._rows(above), above))
        else:
            written = self._formatted(above) if above else b""
        return paint.pack((self._get("cols"), self._get("rows")), above, written, painted)

    def load(self, state: bytes) -> None:
        """Take over a state that `dump` returned."""
        (columns, rows), above, written, painted = paint.unpack(state)
        engine = GhosttyEngine(columns, rows, self._scrollback)
        engine.feed(written)
        engine.feed(b"\r\n" * (rows - 1))
        missing = above - engine._get("scrollback_rows", "size_t")
        engine.feed(b"\r\n" * max(0, min(missing, self._scrollback)))
        engine.feed(painted)
        self.close()
        self._terminal, self._has_links = engine._terminal, engine._has_links
        self._behind, self._held, self._size = engine._behind, engine._held, engine._size

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

    def _get(self, name: str, kind: str = "uint16_t") -> Any:
        key = getattr(lib, f"GHOSTTY_TERMINAL_DATA_{name.upper()}")
        return _value(lib.ghostty_terminal_get, self._terminal, key, kind)

    def _mode(self, number: int, is_ansi: bool = False) -> bool:
        config = ffi.new("GhosttyTerminalModeConfig*")
        config.mode = number | (is_ansi << 15)
        key = lib.GHOSTTY_TERMINAL_DATA_MODE
        # A mode that it does not know is off.
        return not lib.ghostty_terminal_get(self._terminal, key, config) and bool(config.value)

    def _is_alternate(self) -> bool:
        screen = self._get("active_screen", "GhosttyTerminalScreen")
        return bool(screen == lib.GHOSTTY_TERMINAL_SCREEN_ALTERNATE)

    def _title(self) -> str:
        title = self._get("title", "GhosttyString")
        return ffi.buffer(title.ptr, title.len)[:].decode("utf-8", "replace") if title.len else ""

    def _pending(self) -> bytes:
        return _allocated(lib.ghostty_terminal_continuation_alloc, self._terminal)

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
        selection.start = selection.end = self._ref(0, 0, lib.GHOSTTY_POINT_TAG_ACTIVE)[0]
        options.selection = selection
        return self._format(options)

    def _formatted(self, above: int) -> bytes:
        """Return what writes the rows above, with lines that go on as one."""
        options = init_sized("GhosttyFormatterTerminalOptions")
        options.emit, options.unwrap = lib.GHOSTTY_FORMATTER_FORMAT_VT, True
        tag = lib.GHOSTTY_POINT_TAG_SCREEN
        selection = init_sized("GhosttySelection")
        selection.start = self._ref(0, 0, tag)[0]
        selection.end = self._ref(self._get("cols") - 1, above - 1, tag)[0]
        options.selection = selection
        return self._format(options) + b"\r\n"

    def _format(self, options: Any) -> bytes:
        formatter = ffi.new("GhosttyFormatter*")
        made = lib.ghostty_formatter_terminal_new(ffi.NULL, formatter, self._terminal, options[0])
        check(made, "new formatter")
        try:
            return _allocated(lib.ghostty_formatter_format_alloc, formatter[0])
        finally:
            lib.ghostty_formatter_free(formatter[0])

    def _picture(self) -> paint.Picture:
        column, row = self._get("cursor_x"), self._get("cursor_y")
        last = None
        if self._get("cursor_pending_wrap", "bool"):
            last = self._last_glyph(column, row)
        return paint.Picture(
            rows=list(self._rows(0)),
            cursor=paint.Place(column=column, row=row, last=last),
            keyboard=self._get("kitty_keyboard_flags", "uint8_t"),
        )

    def _last_glyph(self, column: int, row: int) -> tuple[str, Look, int]:
        with _Render(self._terminal, 0) as render:
            for number, (values, cells, _) in enumerate(render.rows()):
                if number == row:
                    at = column
                    while at and self._cell(values[at])[1] == 0:
                        at -= 1
                    text, _, style, is_placed, has_link = self._cell(values[at])
                    ref = (at, number + self._get("scrollback_rows", "size_t"))
                    look = self._look(style, cells, at, has_link, ref, {})
                    return _grapheme(cells, at) if is_placed else text, look, column - at + 1
        return " ", PLAIN, 1

    # -- cells -------------------------------------------------------------------------------

    def _rows(self, above: int) -> Iterator[CellRow]:
        """Yield so many rows above, then those of the screen."""
        first = self._get("scrollback_rows", "size_t") - above
        looks: dict[Any, Look] = {}
        with _Render(self._terminal, above) as render:
            for number, (values, cells, wraps) in enumerate(render.rows()):
                yield self._row(values, cells, wraps, first + number, looks)

    def _row(
        self, values: list[int], cells: Any, wraps: bool, number: int, looks: dict[Any, Look]
    ) -> CellRow:
        is_full = bool(values) and self._cell(values[-1])[2:] != (0, False, False)
        is_full = is_full or (bool(values) and self._cell(values[-1])[0] != " ")
        end = len(values)
        while end and not values[end - 1]:
            end -= 1
        found: list[tuple[str, Look]] = []
        for column in range(end):
            text, width, style, is_placed, has_link = self._cell(values[column])
            if not width:
                continue
            if width == 2 and column == len(values) - 1:
                text = " "  # a new size has cut it
            if has_link:
                look = self._look(style, cells, column, True, (column, number), looks)
            else:
                look = looks.get(style) or self._look(style, cells, column, False, None, looks)
            found.append((_grapheme(cells, column) if is_placed else text, look))
        return CellRow(spans=joined(found), wraps=wraps, is_full=is_full)

    def _cell(self, value: int) -> _Cell:
        found = self._cells.get(value)
        if found is None:
            if len(self._cells) > _CACHED_CELLS:
                self._cells.clear()
            found = self._cells[value] = _read_cell(value)
        return found

    def _look(
        self,
        style: Any,
        cells: Any,
        column: int,
        has_link: bool,
        at: tuple[int, int] | None,
        looks: dict[Any, Look],
    ) -> Look:
        look = looks.get(style)
        if look is None:
            look = looks[style] = _read_look(style, cells, column)
        if has_link and at is not None:
            ref = self._ref(*at, lib.GHOSTTY_POINT_TAG_SCREEN)
            link = _filled(lambda *to: lib.ghostty_grid_ref_hyperlink_uri(ref, *to))
            look = replace(look, link=link.decode("utf-8", "replace") or None)
        return look

    def _ref(self, column: int, row: int, tag: int) -> Any:
        call = union_fn(
            "ghostty_terminal_grid_ref",
            "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyGridRef*)",
        )
        ref = init_sized("GhosttyGridRef")
        check(call(self._terminal, _point(column, row, tag)[0], ref), "grid ref")
        return ref

    def _cursor(self) -> Any:
        with _Render(self._terminal, 0) as render:
            return render.cursor()

    # -- rows as text ------------------------------------------------------------------------

    def _texts(self, first: int, count: int) -> list[tuple[str, bool]]:
        """Return rows as plain text, counted from the oldest row above."""
        if count <= 0:
            return []
        shown = self._text(first, count, is_joined=False)
        lines = [printable(line).rstrip(" ") for line in shown.split("\n")]
        lines += [""] * (count - len(lines))
        # Row by row is slow, and hardly any go on: where joining changes nothing, none do.
        is_any = self._text(first, count, is_joined=True).count("\n") != shown.count("\n")
        last = count - 1
        return [
            (line, (is_any or number == last) and self._wraps(first + number))
            for number, line in enumerate(lines[:count])
        ]

    def _text(self, first: int, count: int, is_joined: bool) -> str:
        options = init_sized("GhosttyTerminalSelectionFormatOptions")
        options.emit = lib.GHOSTTY_FORMATTER_FORMAT_PLAIN
        options.trim, options.unwrap = True, is_joined
        selection = init_sized("GhosttySelection")
        tag = lib.GHOSTTY_POINT_TAG_SCREEN
        selection.start = self._ref(0, first, tag)[0]
        selection.end = self._ref(self._get("cols") - 1, first + count - 1, tag)[0]
        options.selection = selection
        text = _allocated(
            lambda allocator, at, size: lib.ghostty_terminal_selection_format_alloc(
                self._terminal, allocator, options[0], at, size
            )
        )
        return text.decode("utf-8", "replace")

    def _wraps(self, row: int) -> bool:
        found = ffi.new("GhosttyRow*")
        ref = self._ref(0, row, lib.GHOSTTY_POINT_TAG_SCREEN)
        check(lib.ghostty_grid_ref_row(ref, found), "row")
        return bool(_value(lib.ghostty_row_get, found[0], lib.GHOSTTY_ROW_DATA_WRAP, "bool"))

    def _untaken(self) -> int:
        """Return the first row that `scrolled` has not returned, counted from the oldest above.

        It may be on the screen: a higher one takes rows back from above.
        """
        point = ffi.new("GhosttyPointCoordinate*")
        tag = lib.GHOSTTY_POINT_TAG_SCREEN
        if self._mark is None or lib.ghostty_tracked_grid_ref_point(self._mark, tag, point):
            return 0
        return int(point.y)

    def _track(self) -> Any:
        """Return a mark on the first row of the screen, which moves with it."""
        call = union_fn(
            "ghostty_terminal_grid_ref_track",
            "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyTrackedGridRef*)",
        )
        ref = ffi.new("GhosttyTrackedGridRef*")
        point = _point(0, 0, lib.GHOSTTY_POINT_TAG_ACTIVE)
        check(call(self._terminal, point[0], ref), "track")
        return ref[0]

    def _unmark(self) -> None:
        if self._mark is not None:
            lib.ghostty_tracked_grid_ref_free(self._mark)
            self._mark = None


class _Render:
    """The rows of a terminal as the library hands them to whoever draws."""

    def __init__(self, terminal: Any, above: int) -> None:
        self._state = ffi.new("GhosttyRenderState*")
        self._rows = ffi.new("GhosttyRenderStateRowIterator*")
        self._cells = ffi.new("GhosttyRenderStateRowCells*")
        check(lib.ghostty_render_state_new(ffi.NULL, self._state), "new render state")
        overscan = ffi.new("GhosttyRenderStateOverscan*", {"above": min(above, 0xFFFF)})
        option = lib.GHOSTTY_RENDER_STATE_OPTION_OVERSCAN
        check(lib.ghostty_render_state_set(self._state[0], option, overscan), "overscan")
        check(lib.ghostty_render_state_update(self._state[0], terminal), "update")

    def __enter__(self) -> _Render:
        return self

    def __exit__(self, *_: object) -> None:
        lib.ghostty_render_state_row_cells_free(self._cells[0])
        lib.ghostty_render_state_row_iterator_free(self._rows[0])
        lib.ghostty_render_state_free(self._state[0])

    def cursor(self) -> Any:
        cursor = init_sized("GhosttyRenderStateCursor")
        key = lib.GHOSTTY_RENDER_STATE_DATA_CURSOR
        check(lib.ghostty_render_state_get(self._state[0], key, cursor), "cursor")
        return cursor[0]

    def rows(self) -> Iterator[tuple[list[int], Any, bool]]:
        """Yield each row's cells as numbers, their handle, and whether it goes on."""
        check(lib.ghostty_render_state_row_iterator_new(ffi.NULL, self._rows), "new rows")
        check(lib.ghostty_render_state_row_cells_new(ffi.NULL, self._cells), "new cells")
        key = lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR
        check(lib.ghostty_render_state_get(self._state[0], key, self._rows), "rows")
        view, row = ffi.new("GhosttyCellsView*"), ffi.new("GhosttyRow*")
        read = lib.ghostty_render_state_row_get
        while lib.ghostty_render_state_row_iterator_next(self._rows[0]):
            check(read(self._rows[0], lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS_RAW, view), "raw")
            check(
                read(self._rows[0], lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS, self._cells), "cells"
            )
            check(read(self._rows[0], lib.GHOSTTY_RENDER_STATE_ROW_DATA_RAW, row), "row")
            wraps = _value(lib.ghostty_row_get, row[0], lib.GHOSTTY_ROW_DATA_WRAP, "bool")
            yield ffi.unpack(view.ptr, view.len), self._cells[0], bool(wraps)


def _read_cell(value: int) -> _Cell:
    def get(name: str, kind: str = "int") -> Any:
        key = getattr(lib, f"GHOSTTY_CELL_DATA_{name}")
        return _value(lib.ghostty_cell_get, value, key, kind)

    tag = get("CONTENT_TAG")
    if tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
        return " ", 1, str(get("COLOR_PALETTE", "uint8_t")), False, False
    if tag == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_RGB:
        return " ", 1, _hex(get("COLOR_RGB", "GhosttyColorRgb")), False, False
    wide = get("WIDE")
    width = {lib.GHOSTTY_CELL_WIDE_NARROW: 1, lib.GHOSTTY_CELL_WIDE_WIDE: 2}.get(wide, 0)
    code = get("CODEPOINT", "uint32_t")
    is_placed = tag == lib.GHOSTTY_CELL_CONTENT_CODEPOINT_GRAPHEME
    text = chr(code) if code else " "
    if not width:
        text = ""
    return text, width, get("STYLE_ID", "uint16_t"), is_placed, get("HAS_HYPERLINK", "bool")


def _read_look(style: Any, cells: Any, column: int) -> Look:
    if isinstance(style, str):
        return Look(background=style)
    if not style:
        return PLAIN
    found = init_sized("GhosttyStyle")
    check(lib.ghostty_render_state_row_cells_select(cells, column), "select")
    key = lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_STYLE
    check(lib.ghostty_render_state_row_cells_get(cells, key, found), "style")
    return Look(
        foreground=_colour(found.fg_color),
        background=_colour(found.bg_color),
        attributes=tuple(name for name in ATTRIBUTES if getattr(found, name)),
        underline=found.underline,
        underline_colour=_colour(found.underline_color),
    )


def _colour(colour: Any) -> str | None:
    if colour.tag == lib.GHOSTTY_STYLE_COLOR_PALETTE:
        return str(colour.value.palette)
    return _hex(colour.value.rgb) if colour.tag == lib.GHOSTTY_STYLE_COLOR_RGB else None


def _hex(colour: Any) -> str:
    return f"#{colour.r:02x}{colour.g:02x}{colour.b:02x}"


def _grapheme(cells: Any, column: int) -> str:
    check(lib.ghostty_render_state_row_cells_select(cells, column), "select")
    size = ffi.new("uint32_t*")
    read = lib.ghostty_render_state_row_cells_get
    check(read(cells, lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_LEN, size), "length")
    codes = ffi.new("uint32_t[]", max(size[0], 1))
    check(read(cells, lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_BUF, codes), "codes")
    return "".join(map(chr, codes[0 : size[0]]))


def _point(column: int, row: int, tag: int) -> Any:
    point = ffi.new("GhosttyPointS*")
    point.tag = tag
    point.value.x, point.value.y = column, row
    return point


def _allocated(call: Any, *subject: Any) -> bytes:
    """Return what a function of the library allocates."""
    at, size = ffi.new("uint8_t**"), ffi.new("size_t*")
    check(call(*subject, ffi.NULL, at, size), "read")
    if not size[0]:
        return b""
    try:
        return bytes(ffi.buffer(at[0], size[0]))
    finally:
        lib.ghostty_free(ffi.NULL, at[0], size[0])


def _filled(call: Any) -> bytes:
    """Return what a function of the library writes into a buffer that it is given."""
    size = ffi.new("size_t*")
    call(ffi.NULL, 0, size)
    buffer = ffi.new("uint8_t[]", max(size[0], 1))
    check(call(buffer, len(buffer), size), "read")
    return bytes(ffi.buffer(buffer, size[0]))


def _pair(found: re.Match[bytes] | None) -> tuple[int, int] | None:
    return (int(found[1]), int(found[2])) if found else None
