"""A log as lines: what left the screen at its top, or was wiped off it, and when.

An engine emulates the log in small steps; after each, the rows that have scrolled away are taken.
What a program wipes at once (a cleared screen) was seen as well, so it is taken just before.
Lines of the alternate screen are none: programs draw there, and nothing of it is left.

A line's time is that of the step in which the cursor left it. Most of a long log is lines one
after another, as `cat` puts them out: of such a run only both ends go through the engine.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Sequence

from terma.screen import runs
from terma.screen.base import Rows, ScreenEngine

STEP = 4096
"""Bytes after which rows are taken; it bounds how exact a line's time and offset are."""

KEPT_ROWS = 4 * STEP
"""Rows above that an engine must keep: what a step can push there, and a new size."""

# Erase the display or what is above it, a full reset; erasing from the cursor on may be all too.
_WIPES = re.compile(rb"\x1b\[[23]?J|\x1bc")
_LONGEST_WIPE = 4
_TO_ALTERNATE = rb"\x1b\[\?(?:\d+;)*(?:1049|1047|47)(?:;\d+)*h"
# Before these, what has scrolled away is taken: afterwards it may be too late.
_CUT = re.compile(rb"(%s)|%s" % (_WIPES.pattern, _TO_ALTERNATE))

_WORTH = 2 * STEP
"""Bytes of a run below which asking the engine about itself takes longer than the run."""

_LONGEST = 1 << 18
"""Characters after which a line that goes on and on is another one."""

Lines = tuple[float, int, list[str]]
"""When some lines were complete, at which offset all of them were, and their texts."""


class Renderer:
    """The lines of one log; its pieces come in order."""

    def __init__(self, engine: ScreenEngine, rows: int) -> None:
        self._engine = engine
        self._rows = rows
        self._found: list[Lines] = []
        self._open: list[str] = []  # rows of a line that goes on
        self._open_size = 0
        self._at = 0.0
        self._offset = 0
        self._times: deque[tuple[int, float]] = deque()  # from which offsets on it is when
        # When the cursor left the rows that are not taken yet: how many, when, at which offset.
        self._left: deque[tuple[int, float, int]] = deque()
        self._left_count = 0
        self._ahead = 0  # rows on the screen that are taken already
        self._unsettled = 0  # bytes since rows were taken
        self._held = b""  # the start of what may be a wipe
        engine.scrolled()

    def feed(self, times: Sequence[tuple[int, float]], data: bytes) -> list[Lines]:
        """Take what comes next, and return the lines that are complete with it.

        Args:
            times: At which offsets its parts begin, and when each was put out.
            data: All of them.
        """
        self._times = deque(times)
        self._offset = times[0][0] - len(self._held)
        data = self._held + data
        end = _whole(data)
        data, self._held = data[:end], data[end:]
        start = 0
        for cut in _CUT.finditer(data):
            self._take_in(data[start : cut.start()])
            start = cut.end()
            self._cut(cut[0])
        self._take_in(data[start:])
        self._settle()
        return self._given()

    def resize(self, columns: int, rows: int) -> list[Lines]:
        """Take another size, and return the lines that it pushes off the screen."""
        self._rows = rows
        self._engine.resize(columns, rows)
        self._watch_cursor()
        self._settle()
        return self._given()

    def finish(self) -> list[Lines]:
        """Return what is left on the screen."""
        self._step(self._held)
        self._held = b""
        self._settle()
        self._add(_without_blanks(self._engine.visible()))
        self._close()
        return self._given()

    def _given(self) -> list[Lines]:
        found, self._found = self._found, []
        return found

    # -- through the engine ------------------------------------------------------------------

    def _take_in(self, data: bytes) -> None:
        start = 0
        while start < len(data):
            line = data.find(b"\n", start, start + STEP) + 1
            run = runs.RUN.match(data, line) if line else None
            if run is not None and run.end() - line >= _WORTH:
                self._step(data[start:line])
                self._settle()
                self._take_run(run[0])
                start = run.end()
            else:
                self._step(data[start : start + STEP])
                start += STEP

    def _step(self, data: bytes) -> None:
        """Have the engine take output of at most a step, and now and then take rows from it."""
        start = 0
        while start < len(data):
            end = min(len(data), start + self._until_next_piece())
            self._engine.feed(data[start:end])
            self._reach(end - start)
            self._watch_cursor()
            start = end
        self._unsettled += len(data)
        if self._unsettled >= STEP:
            self._settle()

    def _until_next_piece(self) -> int:
        for offset, _ in self._times:
            if offset > self._offset:
                return offset - self._offset
        return sys.maxsize

    def _reach(self, count: int) -> None:
        """Note that so many more bytes are taken in."""
        self._offset += count
        while self._times and self._times[0][0] < self._offset:
            self._at = self._times.popleft()[1]

    def _watch_cursor(self) -> None:
        """Note which rows the cursor has left."""
        passed = self._engine.passed()
        if passed is None:
            return
        left = max(passed - self._ahead, 0)
        while left < self._left_count:  # it has gone up again
            count, at, offset = self._left.pop()
            self._left_count -= count
            self._note(left - self._left_count, at, offset)
        self._note(left - self._left_count, self._at, self._offset)

    def _settle(self) -> None:
        """Take rows that have scrolled away."""
        self._unsettled = 0
        rows = self._engine.scrolled()
        known = min(self._ahead, len(rows))
        self._ahead -= known
        self._add(rows[known:])

    def _note(self, count: int, at: float, offset: int) -> None:
        if count > 0:
            self._left.append((count, at, offset))
            self._left_count += count

    def _cut(self, cut: bytes) -> None:
        """Take what may wipe something off the screen, or hide it."""
        column, row, is_alternate = self._engine.place()
        is_wipe = _WIPES.match(cut) and (cut != b"\x1b[J" or (row, column) == (0, 0))
        if not is_wipe or cut == b"\x1b[3J" or is_alternate:
            if cut != b"\x1b[J":
                self._settle()
            self._step(cut)
            return
        self._settle()
        self._add(_without_blanks(self._engine.visible()))
        self._close()
        self._forget_left()
        self._engine.feed(cut)
        self._engine.scrolled()  # an engine may push there what it wipes: that was just taken
        self._reach(len(cut))
        self._watch_cursor()

    # -- past the engine ---------------------------------------------------------------------

    def _take_run(self, run: bytes) -> None:
        """Take whole lines; the engine gets the first and the last, which fill its screen."""
        ends = runs.ends(run, self._rows)
        if ends is None:
            self._steps(run)
            return
        self._steps(run[: ends[0]])
        self._settle()
        shown = self._engine.visible()
        is_plain = self._engine.is_plain() and self._engine.passed() == len(shown) - 1
        if not (is_plain and runs.is_shown(run[: ends[0]], shown)):
            self._steps(run[ends[0] :])
            return
        self._add(shown[:-1])
        self._forget_left()
        self._pass(run[ends[0] : ends[1]])
        self._ahead = len(shown) - 1
        self._steps(run[ends[1] :])
        self._settle()

    def _steps(self, data: bytes) -> None:
        for start in range(0, len(data), STEP):
            self._step(data[start : start + STEP])

    def _pass(self, data: bytes) -> None:
        """Take whole lines as they are."""
        start = 0
        while start < len(data):
            end = start + min(STEP, self._until_next_piece())
            end = data.rfind(b"\n", start, end) + 1 or data.index(b"\n", end) + 1
            self._reach(end - start)
            self._found.append((self._at, self._offset, runs.texts(data[start:end])))
            start = end

    # -- rows into lines ---------------------------------------------------------------------

    def _add(self, rows: Rows) -> None:
        """Take rows, oldest first, and join those of one line."""
        taken = 0
        while taken < len(rows):
            count, at, offset = len(rows) - taken, self._at, self._offset
            if self._left:
                known, at, offset = self._left.popleft()
                self._left_count -= known
                if known > count:
                    self._left.appendleft((known - count, at, offset))
                    self._left_count += known - count
                count = min(count, known)
            if texts := self._joined(rows[taken : taken + count]):
                self._found.append((at, offset, texts))
            taken += count

    def _joined(self, rows: Rows) -> list[str]:
        """Return the lines that are complete with some rows."""
        texts = []
        for text, wraps in rows:
            if wraps and self._open_size < _LONGEST:
                self._open.append(text)
                self._open_size += len(text)
            elif self._open:
                texts.append("".join([*self._open, text]).rstrip(" "))
                self._open, self._open_size = [], 0
            else:
                texts.append(text)
        return texts

    def _close(self) -> None:
        """End a line whose other rows are gone."""
        if self._open:
            self._add([("", False)])

    def _forget_left(self) -> None:
        self._left.clear()
        self._left_count = 0


def _whole(data: bytes) -> int:
    """Return where the data ends without what may be the start of a wipe."""
    at = data.rfind(b"\x1b", max(0, len(data) - _LONGEST_WIPE + 1))
    return len(data) if at < 0 or _WIPES.match(data, at) else at


def _without_blanks(rows: Rows) -> Rows:
    end = len(rows)
    while end and not rows[end - 1][0]:
        end -= 1
    return rows[:end]
