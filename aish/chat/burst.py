"""Input that takes a burst of plain characters as one paste.

Where a terminal does not mark pastes, every character would be a key, with a redraw and a look for
completions of its own: that takes time by the square of the length.
"""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator

from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys

LEAST = 32
"""Characters that come at once; nobody types so fast."""

LARGE = 512
"""Characters; lines that come at once and are fewer may have been typed ahead, and are sent."""

_SIZE = 65536
_MOST = 16 * 1024 * 1024
_GAP_S = 0.05
"""What follows a large piece within this time belongs to it: terminals hand on 4 kB at most."""

_SPACES: dict[Keys | str, str] = {Keys.ControlM: "\n", Keys.ControlJ: "\n", Keys.ControlI: "\t"}


class BurstInput(Vt100Input):
    """Keys of a terminal; a burst of them is a paste."""

    def read_keys(self) -> list[KeyPress]:
        """Return the keys that have come."""
        piece = self.stdin_reader.read(_SIZE)
        self.vt100_parser.feed(piece)
        size = len(piece)
        while len(piece) >= LARGE and size < _MOST and self._has_more():
            piece = self.stdin_reader.read(_SIZE)
            self.vt100_parser.feed(piece)
            size += len(piece)
        keys, self._buffer = self._buffer, []
        return list(merged(keys)) if len(keys) >= LEAST else keys

    def _has_more(self) -> bool:
        return bool(select.select([self.fileno()], [], [], _GAP_S)[0])


def merged(keys: Iterable[KeyPress]) -> Iterator[KeyPress]:
    """Yield keys, and a paste for each run of many plain characters.

    A large one has its breaks and tabs in it, but for those at its end: an Enter after it sends it.
    """
    run: list[KeyPress] = []
    is_after_escape = False
    for key in keys:
        is_plain = _is_plain(key) or (bool(run) and key.key in _SPACES)
        if is_plain and not is_after_escape:
            run.append(key)
            continue
        yield from _whole(run)
        run = []
        yield key
        is_after_escape = key.key is Keys.Escape
    yield from _whole(run)


def _whole(run: list[KeyPress]) -> Iterator[KeyPress]:
    if len(run) >= LARGE:
        yield from _paste(run)
        return
    start = 0
    for end, key in enumerate(run, 1):
        if key.key in _SPACES or end == len(run):
            yield from _paste(run[start:end])
            start = end


def _paste(run: list[KeyPress]) -> Iterator[KeyPress]:
    end = len(run)
    while end and run[end - 1].key in _SPACES:
        end -= 1
    if end < LEAST:
        yield from run
        return
    text = "".join(_SPACES.get(key.key, key.data) for key in run[:end])
    yield KeyPress(Keys.BracketedPaste, text)
    yield from run[end:]


def _is_plain(key: KeyPress) -> bool:
    return not isinstance(key.key, Keys) and key.data == key.key
