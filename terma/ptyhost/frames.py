"""Frames: a length, a kind, and a payload; what ptyhost and its clients send each other."""

from __future__ import annotations

import json
import struct

VERSION = 1

MESSAGE = 1
OUTPUT = 2
READ = 3
INPUT = 4

MAX_REQUEST = 4 << 20
"""The longest frame that ptyhost takes, in bytes; a client takes longer ones."""

OUTPUT_HEAD = struct.Struct(">IQ")
"""Channel and offset."""

READ_HEAD = struct.Struct(">IQQQ")
"""Id of the request, offset, oldest and end."""

MAX_LINE = 4095
"""Bytes before the end of a line that the kernel keeps in canonical mode (termios(3))."""

INPUT_HEAD = struct.Struct(">IB")
"""Id of the request, and how long the terminal's id is."""

LENGTH_BYTES = 4
"""At the front of a frame, and not counted in its length."""

_HEAD = struct.Struct(">IB")


class FrameError(ValueError):
    """A peer sent what is no frame."""


def frame(kind: int, *parts: bytes | bytearray | memoryview) -> bytes:
    """Put a frame together."""
    return b"".join((_HEAD.pack(1 + sum(map(len, parts)), kind), *parts))


def message(fields: dict[str, object]) -> bytes:
    """Put a JSON object into a frame."""
    return frame(MESSAGE, json.dumps(fields, separators=(",", ":")).encode())


def fields_of(payload: bytes) -> dict[str, object]:
    """Return the JSON object of a frame of that kind.

    Raises:
        FrameError: It is none.
    """
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise FrameError("no JSON object")
    return fields


class Splitter:
    """Cuts what arrives into frames; it keeps no more than one frame that is not whole."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def split(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what has arrived; returns the frames that are whole now, as kind and payload.

        Raises:
            FrameError: A length that no frame has; nothing can be read after it.
        """
        buffer, frames, at = self._buffer, [], 0
        buffer += data
        while len(buffer) - at >= _HEAD.size:
            length, kind = _HEAD.unpack_from(buffer, at)
            if not 1 <= length <= self._limit:
                raise FrameError(f"a frame of {length} bytes")
            end = at + LENGTH_BYTES + length
            if len(buffer) < end:
                break
            frames.append((kind, bytes(memoryview(buffer)[at + _HEAD.size : end])))
            at = end
        del buffer[:at]
        return frames
