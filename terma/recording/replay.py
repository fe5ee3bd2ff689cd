"""Playing a recording at the pace at which it was made, faster or slower."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from backends.cleaning import clean_line
from terma.recording.harmless import ENTER, LEAVE, Harmless
from terma.recording.recorded import Frame
from terma.stage import QUIT, Incoming, Stage
from terma.times import show_time

SKIP_S = 5.0
"""Seconds that the right arrow passes over, as the clock counts them."""

_SLOWEST, _FASTEST = 1 / 16, 1024.0
_FASTER = frozenset({b"+", b"="})
_RIGHT = frozenset({b"\x1b[C", b"\x1bOC"})
_PAUSED = "paused: space goes on, . shows the next, q ends it"
_KEEPS = frozenset({b"\x1b7", b"\x1b[s"})
_KEPT = re.compile(rb"\x1b[78]|\x1b\[[su]")  # where the cursor is kept, and fetched from there


class Pace:
    """When what comes next in a recording is due; every `now` is a steady clock's, in seconds.

    Seconds of the recording are counted as they are played: a pause is no longer than its limit.

    Args:
        speed: Seconds of the recording in one second; 0 waits for nothing.
        idle_limit_s: The longest pause, in seconds of the recording.
    """

    def __init__(self, speed: float, idle_limit_s: float) -> None:
        self.speed = speed
        self.is_paused = False
        self.expected_s = 0.0
        """When the next output is due, in seconds of the recording since the first."""
        self._idle_limit_s = idle_limit_s
        self._at: float | None = None  # when the next was put out
        self._left_s = 0.0  # of the recording, until the next is due
        self._counted_at = 0.0
        self._skip_until: float | None = None

    def expect(self, at: float, now: float) -> None:
        """Say when in the recording the next output was put out."""
        if self._at is None:
            self._counted_at = now
        else:
            self._count(now)
            # What came late does not count: `_left_s` may be below 0, but not by much.
            self._left_s = max(self._left_s, -0.1 * self.speed)
            pause_s = min(max(at - self._at, 0.0), self._idle_limit_s)
            self._left_s += pause_s
            self.expected_s += pause_s
        self._at = at

    def wait_s(self, now: float) -> float | None:
        """Return how long it is until the next is due, `None` for as long as it is paused."""
        if self._skip_until is not None:
            if self.expected_s < self._skip_until:
                self._left_s = 0.0
                return 0.0
            self._skip_until, self._left_s = None, 0.0
        if self.is_paused:
            return None
        self._count(now)
        return max(self._left_s / self.speed, 0.0) if self.speed else 0.0

    def pause(self, now: float) -> None:
        """Pause, or go on."""
        self._count(now)
        self.is_paused = not self.is_paused

    def change_speed(self, factor: float, now: float) -> None:
        """Play that much faster from here on."""
        self._count(now)
        if self.speed:
            self.speed = min(max(self.speed * factor, _SLOWEST), _FASTEST)

    def skip(self, now: float) -> None:
        """Pass over some seconds of the recording, without a pause."""
        self._count(now)
        reached_s = self.expected_s - max(self._left_s, 0.0)
        self._skip_until = max(self._skip_until or 0.0, reached_s) + SKIP_S

    def _count(self, now: float) -> None:
        if not self.is_paused:
            self._left_s -= (now - self._counted_at) * self.speed
        self._counted_at = now


class Player:
    """Plays frames on a stage; keys pause, step, skip, and change the speed.

    Args:
        name: Whose recording it is.
        frames: What is played, oldest first.
        pace: How fast.
        clock: A steady clock, in seconds.
    """

    def __init__(
        self, name: str, frames: Iterator[Frame], pace: Pace, clock: Callable[[], float]
    ) -> None:
        self._name = clean_line(name)
        self._frames = Incoming(frames)
        self._pace = pace
        self._clock = clock
        self._filter = Harmless()
        self._mark = _Mark()
        self._title = ""
        self._steps = 0  # frames that are shown next, paused or not
        self._shown_s = 0.0
        self.shown: Frame | None = None
        """The last frame that was shown."""

    def play(self) -> None:
        """Play to the end, or until a person has seen enough; the terminal is as before then."""
        with Stage(ENTER, LEAVE) as stage:
            if self._play_all(stage) and stage.has_keys:
                columns, rows = stage.size()
                end = f" the end of {self._name}: any key leaves "[: columns - 1]
                stage.write(f"\x1b[!p\x1b[r\x1b[{rows};1H\x1b[7m{end}\x1b[m\x1b[K".encode())
                while not stage.wait()[0]:
                    pass

    def _play_all(self, stage: Stage) -> bool:
        """Tell whether the end was reached."""
        frame: Frame | None = None
        while True:
            due_s = None if frame is None else self._pace.wait_s(self._clock())
            keys, has_come = stage.wait(self._frames if frame is None else None, due_s)
            if not QUIT.isdisjoint(keys):
                return False
            for key in keys:
                self._press(key)
            if has_come:
                if not (taken := self._frames.take()):
                    return True
                frame = taken[0]
                self._pace.expect(frame.at, self._clock())
            if frame is not None and (self._steps or self._pace.wait_s(self._clock()) == 0):
                self._show(frame, stage)
                frame = None
            self._tell_position(stage)

    def _press(self, key: bytes) -> None:
        """Do what a key says."""
        now = self._clock()
        if key == b" ":
            self._pace.pause(now)
        elif key in _FASTER or key == b"-":
            self._pace.change_speed(2.0 if key in _FASTER else 0.5, now)
        elif key in _RIGHT:
            self._pace.skip(now)
        elif key == b".":
            self._steps += 1
            if not self._pace.is_paused:
                self._pace.pause(now)

    def _show(self, frame: Frame, stage: Stage) -> None:
        if self.shown is None and frame.rows < stage.size()[1]:  # so that it scrolls where it did
            stage.write(f"\x1b[1;{frame.rows}r".encode())
        self._mark.hide(stage)
        stage.write(self._mark.note(self._filter.feed(frame.data)))
        self._steps = max(self._steps - 1, 0)
        self.shown, self._shown_s = frame, self._pace.expected_s

    def _tell_position(self, stage: Stage) -> None:
        """Tell where we are, whenever that changes: in the title and, paused, below it all."""
        if self.shown is None:
            return
        seconds = int(self._shown_s)
        facts = [f"{self._name} {seconds // 60}:{seconds % 60:02}", show_time(self.shown.at)]
        facts.append(_PAUSED if self._pace.is_paused else f"{self._pace.speed:g}x")
        columns, rows = stage.size()
        if self.shown.columns > columns or self.shown.rows > rows:
            facts.append(f"needs {self.shown.columns} x {self.shown.rows}")
        title = ", ".join(facts)
        if title != self._title:
            self._title = title
            stage.write(f"\x1b]2;{title}\x1b\\".encode())
        if not self._pace.is_paused:
            self._mark.hide(stage)
        elif self.shown.rows < rows:
            self._mark.show(f"{facts[0]}, {_PAUSED}", stage)


class _Mark:
    """A line on the last row of the stage, while nothing else is written there.

    Writing it takes the place in which a terminal keeps its cursor, so there is none while a
    program needs what it has kept there.
    """

    def __init__(self) -> None:
        self._text = ""
        self._row = 0
        self._is_place_taken = False

    def note(self, data: bytes) -> bytes:
        """Return what is shown of a recording, having seen to where the cursor is kept."""
        for found in _KEPT.finditer(data):
            self._is_place_taken = found[0] in _KEEPS
        return data

    def show(self, text: str, stage: Stage) -> None:
        """Show a text, as far as it fits."""
        if self._is_place_taken or text == self._text:
            return
        self.hide(stage)
        self._text = text
        columns, self._row = stage.size()
        self._write(f" {text} "[: columns - 1], stage)

    def hide(self, stage: Stage) -> None:
        """Wipe it away."""
        if self._text:
            self._text = ""
            self._write("", stage)

    def _write(self, text: str, stage: Stage) -> None:
        begin = f"\x1b7\x1b[?6l\x1b[{self._row};1H\x0f\x1b(B"
        stage.write(f"{begin}\x1b[0;7m{text}\x1b[m\x1b[K\x1b8".encode())
