"""The rows of a terminal of libghostty-vt as text, each of them once."""

from __future__ import annotations

from typing import Any

from terma.screen import ghostty_calls as calls
from terma.screen.ghostty_calls import allocated, check, ffi, init_sized, lib, union_fn
from terma.screen.look import printable


class Texts:
    """Reads the rows of one terminal, and marks how far it has come."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal
        self._mark: Any = None

    def close(self) -> None:
        """Free the mark."""
        if self._mark is not None:
            lib.ghostty_tracked_grid_ref_free(self._mark)
            self._mark = None

    def scrolled(self) -> list[tuple[str, bool]]:
        """Return the rows above that it has not returned."""
        first, end = self.untaken(), calls.above(self._terminal)
        rows = self._rows(first, end - first)
        if rows or self._mark is None:
            self.close()
            self._mark = self._track()
        return rows

    def visible(self) -> list[tuple[str, bool]]:
        """Return the rows on the screen that `scrolled` has not returned."""
        first = max(self.untaken(), calls.above(self._terminal))
        return self._rows(first, calls.get(self._terminal, "total_rows", "size_t") - first)

    def untaken(self) -> int:
        """Return the first row that `scrolled` has not returned, counted from the oldest above.

        It may be on the screen: a higher one takes rows back from above.
        """
        place = ffi.new("GhosttyPointCoordinate*")
        tag = lib.GHOSTTY_POINT_TAG_SCREEN
        if self._mark is None or lib.ghostty_tracked_grid_ref_point(self._mark, tag, place):
            return 0
        return int(place.y)

    def _track(self) -> Any:
        """Return a mark on the first row of the screen, which moves with it."""
        call = union_fn(
            "ghostty_terminal_grid_ref_track",
            "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyTrackedGridRef*)",
        )
        ref = ffi.new("GhosttyTrackedGridRef*")
        place = calls.point(0, 0, lib.GHOSTTY_POINT_TAG_ACTIVE)
        check(call(self._terminal, place[0], ref), "track")
        return ref[0]

    def _rows(self, first: int, count: int) -> list[tuple[str, bool]]:
        """Return rows as plain text, counted from the oldest row above."""
        if count <= 0:
            return []
        shown = self._text(first, count, is_joined=False)
        lines = list(map(printable, shown.split("\n")))
        lines += [""] * (count - len(lines))
        # Row by row is slow, and hardly any go on: where joining changes nothing, none do.
        is_any = self._text(first, count, is_joined=True).count("\n") != shown.count("\n")
        if not is_any:
            rows = [(line.rstrip(" "), False) for line in lines[: count - 1]]
            return [*rows, self._row(lines[count - 1], first + count - 1)]
        return [self._row(line, first + number) for number, line in enumerate(lines[:count])]

    def _row(self, line: str, row: int) -> tuple[str, bool]:
        """Return a row; where it goes on, the blanks at its end are in the midst of a line."""
        wraps = self._wraps(row)
        return line if wraps else line.rstrip(" "), wraps

    def _text(self, first: int, count: int, is_joined: bool) -> str:
        options = init_sized("GhosttyTerminalSelectionFormatOptions")
        options.emit = lib.GHOSTTY_FORMATTER_FORMAT_PLAIN
        options.trim, options.unwrap = False, is_joined
        selection = calls.selection(self._terminal, first, count)
        options.selection = selection
        text = allocated(
            lambda allocator, at, size: lib.ghostty_terminal_selection_format_alloc(
                self._terminal, allocator, options[0], at, size
            )
        )
        return text.decode("utf-8", "replace")

    def _wraps(self, row: int) -> bool:
        found = ffi.new("GhosttyRow*")
        ref = calls.ref(self._terminal, 0, row, lib.GHOSTTY_POINT_TAG_SCREEN)
        check(lib.ghostty_grid_ref_row(ref, found), "row")
        return bool(calls.value(lib.ghostty_row_get, found[0], lib.GHOSTTY_ROW_DATA_WRAP, "bool"))
