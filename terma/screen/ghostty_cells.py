"""The cells of a terminal of libghostty-vt as rows of text and looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from terma.screen import ghostty_calls as calls
from terma.screen.ghostty_calls import check, ffi, filled, init_sized, lib, ref, value
from terma.screen.look import ATTRIBUTES, PLAIN, CellRow, Look, joined

_CACHED_CELLS = 50_000

# A cell as its 64 bits say: text, columns, style, and what only its place can tell.
_Cell = tuple[str, int, Any, bool, bool]


class Cells:
    """Reads the cells of one terminal."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal
        self._cells: dict[int, _Cell] = {}

    def cursor(self) -> Any:
        """Return how the cursor is drawn."""
        with _Render(self._terminal, 0) as render:
            return render.cursor()

    def last_glyph(self, column: int, row: int) -> tuple[str, Look, int]:
        """Return what stands at a place: its text, its look, and how many columns it takes."""
        with _Render(self._terminal, 0) as render:
            for number, (values, cells, _) in enumerate(render.rows()):
                if number == row:
                    at = column
                    while at and self._cell(values[at])[1] == 0:
                        at -= 1
                    text, _, style, is_placed, has_link = self._cell(values[at])
                    place = (at, number + calls.above(self._terminal))
                    look = self._look(style, cells, at, has_link, place, {})
                    return _grapheme(cells, at) if is_placed else text, look, column - at + 1
        return " ", PLAIN, 1

    def rows(self, above: int) -> Iterator[CellRow]:
        """Yield so many rows above, then those of the screen."""
        first = calls.above(self._terminal) - above
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
            cell = ref(self._terminal, *at, lib.GHOSTTY_POINT_TAG_SCREEN)
            link = filled(lambda *to: lib.ghostty_grid_ref_hyperlink_uri(cell, *to))
            look = replace(look, link=link.decode("utf-8", "replace") or None)
        return look


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
        """Return the cursor."""
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
            wraps = value(lib.ghostty_row_get, row[0], lib.GHOSTTY_ROW_DATA_WRAP, "bool")
            yield ffi.unpack(view.ptr, view.len), self._cells[0], bool(wraps)


def _read_cell(cell: int) -> _Cell:
    def get(name: str, kind: str = "int") -> Any:
        key = getattr(lib, f"GHOSTTY_CELL_DATA_{name}")
        return value(lib.ghostty_cell_get, cell, key, kind)

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
