"""One terminal: its pair, its program, what it has put out and what waits to be typed."""

from __future__ import annotations

import json
import os
import signal
import termios
import time
from collections import deque
from collections.abc import Callable

from terma.ptyhost import child
from terma.ptyhost.failure import Failure
from terma.ptyhost.log import Log
from terma.ptyhost.loop import READ, WRITE, Loop

MAX_LINE = 4095
"""Bytes before the end of a line that the kernel keeps in canonical mode (termios(3))."""

_RING = 64 << 10
_RING_ALONE = 256 << 10
_SPARE = 16 << 10
_MAX_QUEUE = 1 << 20
_MAX_SIZES = 1024
_SMALL_READ = 1024
_LINGER_S = 0.25
_LAST_READ = 1 << 20
_RETRY_S = 1.0


class Opening:
    """What `open` asks for."""

    __slots__ = (
        "columns", "command", "environment", "exit_file", "folder", "log", "log_bytes", "meta",
        "rows", "terminal",
    )  # fmt: skip

    def __init__(self, terminal: str, command: list[str], folder: str) -> None:
        self.terminal, self.command, self.folder = terminal, command, folder
        self.environment: dict[bytes, bytes] = {}
        self.columns, self.rows = 80, 24
        self.log: str | None = None
        self.log_bytes = 64_000_000
        self.exit_file: str | None = None
        self.meta: object = None


class Owner:
    """Who is told what happens in a terminal; each is called in the loop."""

    def started(self, terminal: Terminal, failure: Failure | None) -> None:
        """The program runs, or could not be started."""

    def ended(self, terminal: Terminal) -> None:
        """The program has ended and its output is read."""

    def recording(self, terminal: Terminal) -> None:
        """`log_error` has changed."""


class _Input:
    """Bytes that wait to be typed, for whom, and whom to tell."""

    __slots__ = ("done", "rest", "size", "source")

    def __init__(self, source: object, data: bytes, done: Callable[[Failure | None], None]) -> None:
        self.source, self.rest, self.size, self.done = source, memoryview(data), len(data), done


class Terminal:
    """A terminal from `open` to `forget`.

    Raises:
        Failure: No terminal, no process, or a log that cannot be continued.
    """

    def __init__(self, opening: Opening, loop: Loop, owner: Owner) -> None:
        self.id = opening.terminal
        self.meta = opening.meta
        self.columns, self.rows = opening.columns, opening.rows
        self.started_at = self.active_at = time.time()
        self.input = 0
        self.exit: dict[str, object] | None = None
        self.log_error: str | None = None
        self.followers: list[Callable[[], None]] = []
        """Called when there is output or another size."""
        self._loop, self._owner = loop, owner
        self._program, self._folder = opening.command[0], opening.folder
        self._log = _open_log(opening)
        self._exit_file = opening.exit_file or (opening.log and f"{opening.log}/exit.json")
        self.end = self._log.end if self._log else 0
        self._ring = bytearray()
        self._ring_bytes = _RING if self._log else _RING_ALONE
        self.sizes: deque[tuple[int, int, int]] = deque(
            [(self.end, self.columns, self.rows)], _MAX_SIZES
        )
        self.sizes_ever = 1
        self._queue: deque[_Input] = deque()
        self._queued = self._unfinished = 0
        self._status: int | None = None
        self._retries = self._waits_to_type = False
        self._remove_exit_file()
        self._master, self._slave = child.open_pty(self.columns, self.rows)
        try:
            self.pid, self._start = child.start(
                [os.fsencode(word) for word in opening.command], os.fsencode(opening.folder),
                opening.environment, self._slave,
            )  # fmt: skip
        except Failure:
            self._hang_up()
            raise
        loop.watch(self._start, READ, self._on_start)
        loop.watch(self._master, READ, self._on_ready)

    # -- the program --------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether its end has not been told yet."""
        return self.exit is None

    @property
    def is_reaped(self) -> bool:
        """Whether its pid may be somebody else's by now."""
        return self._status is not None

    @property
    def foreground(self) -> int:
        """The process group that keys go to; 0 where that is not known."""
        try:
            return os.tcgetpgrp(self._master) if self._master >= 0 else 0
        except OSError:
            return 0

    @property
    def is_canonical(self) -> bool:
        """Whether it reads whole lines."""
        try:
            return self._master >= 0 and bool(termios.tcgetattr(self._master)[3] & termios.ICANON)
        except termios.error:
            return False

    def send_signal(self, number: int) -> None:
        """Send a signal to the foreground group, or to the program's where there is none.

        Raises:
            Failure: Nothing runs there, or it may not be signalled.
        """
        if self.is_reaped:
            raise Failure("ended", f"nothing runs in {self.id}")
        for group in (self.foreground, self.pid):
            try:
                if group > 0:
                    os.killpg(group, number)
                    return
            except ProcessLookupError:
                continue
            except OSError as error:
                raise Failure("failed", f"no signal can be sent: {error.strerror}") from error
        raise Failure("ended", f"nothing runs in {self.id}")

    def program_ended(self, status: int) -> None:
        """Take the status of waitpid(2); the end is told once the output is read."""
        self._status = status
        if self._start >= 0:
            self._on_start(READ)
        if self._master < 0:
            return
        # Ours must go before theirs counts as the last one.
        os.close(self._slave)
        self._slave = -1
        self._loop.later(_LINGER_S, self._read_the_rest)
        self._on_ready(READ)

    def _on_start(self, _ready: int) -> None:
        try:
            failure = child.outcome(self._start, self._program, self._folder)
        except BlockingIOError:
            return
        self._loop.watch(self._start, 0, self._on_start)
        os.close(self._start)
        self._start = -1
        if failure:
            self._hang_up()
        self._owner.started(self, failure)

    def _read_the_rest(self) -> None:
        """End, though others still hold the terminal: it has ended when its program has."""
        if self.exit is None and self._master >= 0:
            self._read(_LAST_READ)
            self._finish()

    def _finish(self) -> None:
        self._hang_up()
        status = self._status or 0
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self.exit = {
            "status": None if number else os.WEXITSTATUS(status),
            "signal": _name_of(number) if number else None,
            "end": self.end,
            "at": time.time(),
        }
        if self._log:
            self._record(is_last=True)
            self._log.close()
            if self.log_error is None:
                self._ring.clear()
        self._write_exit_file()
        while self._queue:
            self._queue.popleft().done(Failure("ended", "its program has ended", input=self.input))
        self._owner.ended(self)

    def _hang_up(self) -> None:
        if self._master >= 0:
            self._loop.watch(self._master, 0, self._on_ready)
            os.close(self._master)
        if self._slave >= 0:
            os.close(self._slave)
        self._master = self._slave = -1

    def _remove_exit_file(self) -> None:
        try:
            if self._exit_file:
                os.unlink(self._exit_file)
        except OSError:
            pass  # there is none, or nothing can be written there: that shows at the end

    def _write_exit_file(self) -> None:
        if not self._exit_file:
            return
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(f"{self._exit_file}.new", flags, 0o600)
            with open(fd, "w", encoding="ascii") as file:
                json.dump(self.exit, file)
            os.replace(f"{self._exit_file}.new", self._exit_file)
        except OSError as error:
            self._complain(error)

    # -- output -------------------------------------------------------------------------------

    @property
    def oldest(self) -> int:
        """The offset of the first byte that is kept."""
        start = self.end - len(self._ring)
        if self._log and self._log.segments:
            return min(start, self._log.segments[0].start)
        return start

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """Return output from an offset on, or from the next one that is kept; may be short."""
        start = self.end - len(self._ring)
        if offset < start and self._log:
            try:
                found = self._log.read(offset, limit)
            except OSError as error:
                self._complain(error)
                found = None
            if found and found[0] < max(start, offset + 1):
                return found
        offset = max(offset, start)
        return offset, bytes(self._ring[offset - start : offset - start + limit])

    def size_at(self, offset: int) -> int:
        """Return which of the sizes ever held at an offset, counted from 0."""
        number = self.sizes_ever
        for begin, _, _ in reversed(self.sizes):
            number -= 1
            if begin <= offset:
                break
        return number

    def size(self, number: int) -> tuple[int, int, int]:
        """Return a size by that count, as offset, columns and rows; or the oldest one kept."""
        return self.sizes[max(0, number - self.sizes_ever + len(self.sizes))]

    def resize(self, columns: int, rows: int) -> None:
        """Give it another size; nothing happens where it has it.

        Raises:
            Failure: Its program has ended.
        """
        if (columns, rows) == (self.columns, self.rows):
            return
        if self._master < 0:
            raise Failure("ended", f"nothing runs in {self.id}")
        termios.tcsetwinsize(self._master, (rows, columns))
        self.columns, self.rows = columns, rows
        self.sizes.append((self.end, columns, rows))
        self.sizes_ever += 1
        if self._log and not self.log_error:
            try:
                self._log.resize(self.end, time.time(), (columns, rows))
            except OSError as error:
                self._complain(error)
        self._tell()

    def _on_ready(self, ready: int) -> None:
        if ready & WRITE:
            self._type()
        if ready & READ and self._master >= 0 and self._read(self._loop.share):
            if self.is_reaped:
                self._finish()
            elif self._master >= 0:
                # Something hung it up under its program: nothing more comes, and it would be
                # ready for ever.
                self._loop.watch(self._master, 0, self._on_ready)

    def _read(self, limit: int) -> bool:
        """Read up to a limit; returns whether nothing more can come."""
        parts, room, is_over = [], limit, False
        while room > 0:
            try:
                data = os.read(self._master, room)
            except BlockingIOError:
                break
            except OSError:  # EIO: nobody has it open any more (pty(7))
                is_over = True
                break
            if not data:
                is_over = True
                break
            parts.append(data)
            room -= len(data)
            if len(data) < _SMALL_READ and not self.is_reaped:
                break  # most likely all; if not, it is ready again
        if parts:
            self._take(b"".join(parts))
        return is_over

    def _take(self, data: bytes) -> None:
        offset, self.active_at = self.end, time.time()
        ring = self._ring
        ring += data
        self.end += len(data)
        if self._log:
            if self._log.end == offset and not self.log_error:
                self._write_down(offset, data)
            elif not self._retries:
                self._record()
        if len(ring) > self._ring_bytes + _SPARE:
            del ring[: len(ring) - self._ring_bytes]
        self._tell()

    def _tell(self) -> None:
        for follower in tuple(self.followers):
            follower()

    # -- the log ------------------------------------------------------------------------------

    def _record(self, is_last: bool = False) -> None:
        """Write down what the log has not got, as far as it is still known."""
        if self._log:
            start = self.end - len(self._ring)
            offset = max(start, self._log.end)
            if offset < self.end:
                self._write_down(offset, bytes(self._ring[offset - start :]), is_last)

    def _write_down(self, offset: int, data: bytes, is_last: bool = False) -> None:
        assert self._log
        try:
            self._log.append(offset, data, time.time(), (self.columns, self.rows))
        except OSError as error:
            self._complain(error)
            if not is_last and not self._retries:
                self._retries = True
                self._loop.later(_RETRY_S, self._retry)
        else:
            if self.log_error:
                self.log_error = None
                self._owner.recording(self)

    def _retry(self) -> None:
        self._retries = False
        if self.is_running:
            self._record()

    def _complain(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        if reason != self.log_error:
            self.log_error = reason
            self._owner.recording(self)

    # -- input --------------------------------------------------------------------------------

    def type(
        self, source: object, data: bytes, whole_lines: bool,
        done: Callable[[Failure | None], None],
    ) -> None:  # fmt: skip
        """Type bytes, after all that waits; `done` is called once the terminal has taken them.

        Raises:
            Failure: Its program has ended, too much waits, or a line is too long; nothing of it
                is typed.
        """
        if self._master < 0 or self.is_reaped:
            raise Failure("ended", f"nothing runs in {self.id}", input=self.input)
        if self._queued + len(data) > _MAX_QUEUE and self._queue:
            raise Failure("busy", f"{self._queued} bytes wait to be typed into {self.id}")
        self._unfinished = self._check(data) if whole_lines else 0
        self._queue.append(_Input(source, data, done))
        self._queued += len(data)
        if len(self._queue) == 1:
            self._type()

    def drop_input(self, source: object) -> None:
        """Forget what waits of a client that has gone; `input` tells how far it came."""
        kept = deque(entry for entry in self._queue if entry.source is not source)
        if len(kept) != len(self._queue):
            self._queue = kept
            self._queued = sum(len(entry.rest) for entry in kept)
            self._type()

    def _check(self, data: bytes) -> int:
        """Return how long the line is that the bytes leave unfinished.

        Raises:
            Failure: The kernel would cut one of their lines.
        """
        if not self.is_canonical:
            return 0
        lines = data.replace(b"\r", b"\n").split(b"\n")
        lengths = [len(line) for line in lines]
        lengths[0] += self._unfinished
        if max(lengths) > MAX_LINE:
            raise Failure(
                "line_too_long",
                f"a line has {max(lengths)} bytes, and the terminal takes {MAX_LINE} in one",
            )
        return lengths[-1]

    def _type(self) -> None:
        room = self._loop.share
        while self._queue and room > 0 and self._master >= 0:
            entry = self._queue[0]
            try:
                taken = os.write(self._master, entry.rest[:room]) if entry.rest else 0
            except BlockingIOError:
                break
            except OSError as error:
                self._queue.popleft()
                self._queued -= len(entry.rest)
                reason = f"it cannot be typed into: {error.strerror}"
                entry.done(Failure("ended", reason, input=self.input))
                continue
            room -= taken
            self.input += taken
            self._queued -= taken
            entry.rest = entry.rest[taken:]
            if not entry.rest:
                self._queue.popleft()
                entry.done(None)
        if self._master >= 0 and self._waits_to_type != bool(self._queue):
            self._waits_to_type = bool(self._queue)
            events = READ | WRITE if self._waits_to_type else READ
            self._loop.watch(self._master, events, self._on_ready)


def _open_log(opening: Opening) -> Log | None:
    if opening.log is None:
        return None
    try:
        return Log(opening.log, opening.log_bytes)
    except OSError as error:
        raise Failure("failed", f"{opening.log} cannot be read: {error.strerror}") from error


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)
