"""A recording as asciicast, version 2: a header and then events, each a line of JSON.

The format is https://docs.asciinema.org/manual/asciicast/v2/.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_INVALID = re.compile("[\udc80-\udcff]")  # what stands for a byte that is no UTF-8 (PEP 383)
_UNKNOWN = "\ufffd"


class Cast:
    """Turns a terminal's output, piece by piece, into the lines of a cast.

    Args:
        title: What the recording is called.
        environment: Variables to tell of; by custom TERM and SHELL.
    """

    def __init__(self, title: str, environment: Mapping[str, str]) -> None:
        self._title = title
        self._environment = dict(environment)
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._size: tuple[int, int] | None = None
        self._began_at = 0.0
        self._elapsed = 0.0
        self._end: int | None = None
        self.invalid = 0
        """How many bytes were no UTF-8; U+FFFD stands for each."""
        self.missing = 0
        """How many bytes between the pieces were not there."""

    def take(self, offset: int, at: float, size: tuple[int, int], data: bytes) -> Iterator[str]:
        """Yield the lines for a piece that was put out at `at` on a terminal of columns and rows.

        It may end within a character, which then comes with the next piece.
        """
        if self._size is None:
            self._began_at = at
            yield _line(self._header(size))
        elif self._end is not None and offset > self._end:
            self.missing += offset - self._end
            yield from self._text(b"", is_whole=True)  # a character does not reach over a gap
        self._elapsed = max(self._elapsed, at - self._began_at)
        if self._size not in (None, size):
            yield self._event("r", f"{size[0]}x{size[1]}")
        self._size, self._end = size, offset + len(data)
        yield from self._text(data)

    def finish(self) -> Iterator[str]:
        """Yield what is left; of a recording of nothing, a header alone."""
        if self._size is None:
            yield _line(self._header((80, 24)))
        yield from self._text(b"", is_whole=True)

    def _header(self, size: tuple[int, int]) -> dict[str, Any]:
        return {
            "version": 2,
            "width": size[0],
            "height": size[1],
            "timestamp": int(self._began_at),
            "title": self._title,
            "env": self._environment,
        }

    def _text(self, data: bytes, is_whole: bool = False) -> Iterator[str]:
        text = self._decoder.decode(data, is_whole)
        if not text.isascii():
            text, invalid = _INVALID.subn(_UNKNOWN, text)
            self.invalid += invalid
        if text:
            yield self._event("o", text)

    def _event(self, kind: str, text: str) -> str:
        return _line([round(self._elapsed, 6), kind, text])


def _line(value: object) -> str:
    return json.dumps(value) + "\n"  # ASCII, so that the file itself drives no terminal
