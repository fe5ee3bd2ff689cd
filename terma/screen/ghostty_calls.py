"""The calls of libghostty-vt that everything else here is made of.

They go through cffi (`pyghostty`), so what they return is `Any`.
"""

from __future__ import annotations

from typing import Any

from pyghostty.core import (  # type: ignore[import-untyped]
    check,
    ffi,
    init_sized,
    lib,
    union_fn,
)

__all__ = ["check", "ffi", "init_sized", "lib", "union_fn"]


def value(getter: Any, subject: Any, key: int, kind: str) -> Any:
    """Return a value of a type from something that has several."""
    out = ffi.new(f"{kind}*")
    check(getter(subject, key, out), f"get {key}")
    return out[0]


def get(terminal: Any, name: str, kind: str = "uint16_t") -> Any:
    """Return a value of a terminal by its name in the library."""
    key = getattr(lib, f"GHOSTTY_TERMINAL_DATA_{name.upper()}")
    return value(lib.ghostty_terminal_get, terminal, key, kind)


def above(terminal: Any) -> int:
    """Return how many rows there are above the screen."""
    return int(get(terminal, "scrollback_rows", "size_t"))


def is_alternate(terminal: Any) -> bool:
    """Tell whether the alternate screen is shown."""
    screen = get(terminal, "active_screen", "GhosttyTerminalScreen")
    return bool(screen == lib.GHOSTTY_TERMINAL_SCREEN_ALTERNATE)


def ref(terminal: Any, column: int, row: int, tag: int) -> Any:
    """Return a reference to a cell, which is good until the next output."""
    call = union_fn(
        "ghostty_terminal_grid_ref",
        "GhosttyResult(*)(GhosttyTerminal, GhosttyPointS, GhosttyGridRef*)",
    )
    found = init_sized("GhosttyGridRef")
    check(call(terminal, point(column, row, tag)[0], found), "grid ref")
    return found


def selection(terminal: Any, first: int, count: int) -> Any:
    """Return what marks rows, counted from the oldest row above."""
    tag = lib.GHOSTTY_POINT_TAG_SCREEN
    found = init_sized("GhosttySelection")
    found.start = ref(terminal, 0, first, tag)[0]
    found.end = ref(terminal, get(terminal, "cols") - 1, first + count - 1, tag)[0]
    return found


def point(column: int, row: int, tag: int) -> Any:
    """Return a place in the coordinates of a tag."""
    found = ffi.new("GhosttyPointS*")
    found.tag = tag
    found.value.x, found.value.y = column, row
    return found


def allocated(call: Any, *subject: Any) -> bytes:
    """Return what a function of the library allocates."""
    at, size = ffi.new("uint8_t**"), ffi.new("size_t*")
    check(call(*subject, ffi.NULL, at, size), "read")
    if not size[0]:
        return b""
    try:
        return bytes(ffi.buffer(at[0], size[0]))
    finally:
        lib.ghostty_free(ffi.NULL, at[0], size[0])


def filled(call: Any) -> bytes:
    """Return what a function of the library writes into a buffer that it is given."""
    size = ffi.new("size_t*")
    call(ffi.NULL, 0, size)
    buffer = ffi.new("uint8_t[]", max(size[0], 1))
    check(call(buffer, len(buffer), size), "read")
    return bytes(ffi.buffer(buffer, size[0]))
