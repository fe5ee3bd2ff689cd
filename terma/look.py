"""A screen as text, plain or with its colours; every escape sequence is one written here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from backends.cleaning import clean_line
from backends.protocol.screens import Row, Run, Screen, ScreenChange

_ATTRIBUTES = {
    "bold": "1", "faint": "2", "italic": "3", "underline": "4", "blink": "5", "inverse": "7",
    "invisible": "8", "strikethrough": "9", "overline": "53",
}  # fmt: skip
_RGB = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_NUMBER = re.compile(r"[0-9]{1,3}")
_PLAIN = "\x1b[0m"


def to_text(screen: Screen, has_color: bool) -> str:
    """Return what a screen shows, and what it has of the rows above.

    Each row is a line that ends in a line feed; rows at the bottom that show nothing are left out.
    """
    rows = [*screen.scrollback, *screen.lines]
    while rows and not any(run.text.strip() or run.background for run in rows[-1].runs):
        rows.pop()
    shown = row_in_color if has_color else row_in_text
    return "".join(f"{shown(row)}\n" for row in rows)


def row_in_text(row: Row) -> str:
    """Return a row's text alone."""
    return "".join(clean_line(run.text) for run in row.runs).rstrip()


def row_in_color(row: Row) -> str:
    """Return a row with its colours and attributes; it ends without any."""
    written = ""
    has_look = False
    for run in row.runs:
        codes = _codes(run)
        if codes or has_look:
            written += f"\x1b[{';'.join(['0', *codes])}m"
        has_look = bool(codes)
        written += clean_line(run.text)
    return written + _PLAIN if has_look else written


def change(screen: Screen | None, news: ScreenChange) -> Screen | None:
    """Return a screen as it is after a change; `None` as long as none has come whole."""
    screen = news.screen or screen
    if screen is None:
        return None
    lines = list(screen.lines)
    for changed in news.rows:
        if 0 <= changed.index < len(lines):
            lines[changed.index] = changed.row
    return replace(
        screen, lines=tuple(lines), offset=news.offset, title=news.title, warning=news.warning,
        cursor_column=news.cursor_column, cursor_row=news.cursor_row,
        cursor_is_visible=news.cursor_is_visible,
    )  # fmt: skip


def draw(screen: Screen, columns: int, rows: int) -> str:
    """Return what shows a screen on a whole terminal of that size, which does not wrap lines.

    Where it is too low, the part with the cursor is shown.
    """
    first = min(max(screen.cursor_row - rows + 1, 0), max(len(screen.lines) - rows, 0))
    drawn = "".join(_placed(screen.lines[first : first + rows]))
    row, column = screen.cursor_row - first + 1, min(screen.cursor_column + 1, columns)
    cursor = f"\x1b[{row};{column}H\x1b[?25h" if screen.cursor_is_visible else ""
    # Drawn at once, where the terminal can: half a picture flickers.
    return f"\x1b[?2026h\x1b[?25l{drawn}\x1b[J{cursor}\x1b[?2026l"


def title(name: str, screen: Screen) -> str:
    """Return what sets a terminal's title to that of a screen."""
    return f"\x1b]2;{clean_line(f'{name}: {screen.title}' if screen.title else name)}\x1b\\"


def _placed(rows: Sequence[Row]) -> Iterator[str]:
    for number, row in enumerate(rows, 1):
        yield f"\x1b[{number};1H{_PLAIN}{row_in_color(row)}\x1b[K"
    yield f"\x1b[{len(rows) + 1};1H" if rows else "\x1b[H"


def _codes(run: Run) -> list[str]:
    """Return the parameters of SGR (ECMA-48, 8.3.117) that make a run's look."""
    codes = [_ATTRIBUTES[name] for name in run.attributes if name in _ATTRIBUTES]
    return codes + _color(run.foreground, 30) + _color(run.background, 40)


def _color(color: str | None, base: int) -> list[str]:
    """Return the parameters of a colour; 30 is the base of the foreground, 40 the other's."""
    if color is None:
        return []
    if rgb := _RGB.fullmatch(color):
        return [str(base + 8), "2", *(str(int(part, 16)) for part in rgb.groups())]
    if not _NUMBER.fullmatch(color) or (number := int(color)) > 255:
        return []
    if number < 16:
        return [str(base + number if number < 8 else base + 60 + number - 8)]
    return [str(base + 8), "5", str(number)]
