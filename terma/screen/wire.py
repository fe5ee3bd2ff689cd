"""How a hub and a screen worker talk: frames, and screens as JSON without names.

A frame is two lengths (big-endian, four bytes each), then a JSON object, then bytes. Both ends
are of one release, so nothing here is versioned.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from backends.protocol.rows import ChangedRow, Row, Run, Screen

LENGTHS = struct.Struct(">II")


def frame(head: dict[str, Any], data: bytes = b"") -> bytes:
    """Return a frame."""
    packed = json.dumps(head, separators=(",", ":")).encode()
    return LENGTHS.pack(len(packed), len(data)) + packed + data


def pack_row(row: Row) -> list[Any]:
    """Return a row as JSON has it."""
    runs = [
        [run.text, run.foreground, run.background, run.attributes, run.link] for run in row.runs
    ]
    return [runs, row.wraps]


def unpack_row(packed: list[Any]) -> Row:
    """Return the row that `pack_row` has packed."""
    runs, wraps = packed
    return Row(
        runs=tuple(
            Run(
                text=text,
                foreground=foreground,
                background=background,
                attributes=tuple(attributes),
                link=link,
            )
            for text, foreground, background, attributes, link in runs
        ),
        wraps=wraps,
    )


def pack_screen(screen: Screen) -> dict[str, Any]:
    """Return a screen as JSON has it."""
    packed = pack_cursor(screen)
    packed["lines"] = [pack_row(row) for row in screen.lines]
    packed["scrollback"] = [pack_row(row) for row in screen.scrollback]
    for name in ("columns", "rows", "scrollback_rows", "is_alternate", "engine"):
        packed[name] = getattr(screen, name)
    return packed


def unpack_screen(packed: dict[str, Any], offset: int, warning: str | None) -> Screen:
    """Return the screen that `pack_screen` has packed, as it was at an offset."""
    rest = {name: value for name, value in packed.items() if name not in ("lines", "scrollback")}
    return Screen(
        offset=offset,
        lines=tuple(map(unpack_row, packed["lines"])),
        scrollback=tuple(map(unpack_row, packed["scrollback"])),
        warning=warning,
        **rest,
    )


def pack_cursor(screen: Screen) -> dict[str, Any]:
    """Return what every change tells besides rows."""
    return {
        "cursor_column": screen.cursor_column,
        "cursor_row": screen.cursor_row,
        "cursor_is_visible": screen.cursor_is_visible,
        "title": screen.title,
    }


def unpack_rows(packed: list[Any]) -> tuple[ChangedRow, ...]:
    """Return the rows of a change, each of which came with its index."""
    return tuple(ChangedRow(index=index, row=unpack_row(row)) for index, row in packed)
