"""One terminal: its pair, its program, what it has put out and what waits to be typed."""

from __future__ import annotations

import os
import signal
import termios
import time

from terma.ptyhost import child
from terma.ptyhost.exit_file import ExitFile
from terma.ptyhost.failure import Failure
from terma.ptyhost.input import Done, Input, Source
from terma.ptyhost.log import Log
from terma.ptyhost.loop import READ, WRITE, Loop
from terma.ptyhost.output import Output

_SMALL_READ = 1024
_LINGER_S = 0.25
_LAST_READ = 1 << 20


class Opening:
    """What `open` asks for."""

    __slots__ = (
        "columns", "command", "environment", "exit_file", "folder", "log", "log_bytes", "meta",
        "preface", "rows", "terminal",
    )  # fmt: skip

    def __init__(self, terminal: str, command: list[str], folder: str) -> None:
        self.terminal, self.command, self.folder = terminal, command, folder
        self.environment: dict[bytes, bytes] = {}
        self.columns, self.rows = 80, 24
        self.log: str | None = None
        self.log_bytes = 64_000_000
        self.exit_file: str | None = None
        self.meta: object = None
        self.preface = b""


class Owner:
    """Who hears what happens in a terminal."""

    def started(self, terminal: Terminal, failure: Failure | None) -> None:
        """Hear that the program runs, or could not be started."""

    def ended(self, terminal: Terminal) -> None:
        """Hear that the program has ended and its output is read."""

    def recording(self, terminal: Terminal) -> None:
        """Hear that nothing can be written down any more, or that it can again."""


class Terminal:
    """A terminal from `open` to `forget`.

    Raises:
        Failure: No terminal, no process, or a log that cannot be continued.
    """

    def __init__(self, opening: Opening, loop: Loop, owner: Owner) -> None:
        self.id = opening.terminal
        self.meta = opening.meta
        self.started_at = self.active_at = time.time()
        self.exit: dict[str, object] | None = None
        self.input = Input()
        size = opening.columns, opening.rows
        path = opening.exit_file or (opening.log and f"{opening.log}/exit.json")
        self._exit_file = ExitFile(path)
        log = _open_log(opening, self._exit_file.end())
        self.output = Output(log, size, loop, lambda: owner.recording(self))
        self._loop, self._owner = loop, owner
        self._program, self._folder = opening.command[0], opening.folder
        self._preface = opening.preface
        self._status: int | None = None
        self._waits_to_type = False
        self._master, self._slave = child.open_pty(*size)
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
        else:
            self._exit_file.remove()
            self._take(b"")
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
            "end": self.output.end,
            "at": time.time(),
        }
        self.output.finish()
        try:
            self._exit_file.write(self.exit)
        except OSError as error:
            self.output.complain(error)
        self.input.fail("its program has ended")
        self._owner.ended(self)

    def _hang_up(self) -> None:
        if self._master >= 0:
            self._loop.watch(self._master, 0, self._on_ready)
            os.close(self._master)
        if self._slave >= 0:
            os.close(self._slave)
        self._master = self._slave = -1

    # -- output and input ---------------------------------------------------------------------

    def resize(self, columns: int, rows: int) -> None:
        """Give it another size; nothing happens where it has it.

        Raises:
            Failure: Its program has ended.
        """
        if (columns, rows) == self.output.size:
            return
        if self._master < 0:
            raise Failure("ended", f"nothing runs in {self.id}")
        termios.tcsetwinsize(self._master, (rows, columns))
        self.output.resize(columns, rows)

    def type(self, source: Source, data: bytes, whole_lines: bool, done: Done) -> None:
        """Type bytes, after all that waits; `done` is called once the terminal has taken them.

        Raises:
            Failure: Its program has ended, too much waits, or a line is too long; nothing of it
                is typed.
        """
        if self._master < 0 or self.is_reaped:
            raise Failure("ended", f"nothing runs in {self.id}", input=self.input.count)
        waited = self.input.waits
        if whole_lines and self.is_canonical:
            self.input.add_lines(source, data, done)
        else:
            self.input.add(source, data, done)
        if not waited:
            self._type()

    def drop_input(self, client: object) -> None:
        """Forget what waits of a client that is gone."""
        if self.input.waits:
            self.input.drop(client)
            self._type()

    def cancel_input(self, source: Source) -> int:
        """Forget what waits of a request; returns how many bytes will not be typed."""
        dropped = self.input.cancel(source)
        self._type()
        return dropped

    def _type(self) -> None:
        if self._master < 0:
            return
        self.input.type_into(self._master, self._loop.share)
        if self._waits_to_type != self.input.waits:
            self._waits_to_type = self.input.waits
            events = READ | WRITE if self._waits_to_type else READ
            self._loop.watch(self._master, events, self._on_ready)

    def _on_ready(self, ready: int) -> None:
        if ready & WRITE:
            self._type()
        if ready & READ and self._master >= 0 and self._read(self._loop.share):
            if self.is_reaped:
                self._finish()
            else:
                # Something hung it up under its program: nothing more comes, and it would be
                # ready for ever.
                self._loop.watch(self._master, 0, self._on_ready)

    def _read(self, limit: int) -> bool:
        """Read up to a limit; returns whether nothing more can come."""
        parts, is_over = [], False
        while limit > 0:
            try:
                data = os.read(self._master, limit)
            except BlockingIOError:
                break
            except OSError:  # EIO: nobody has it open any more (pty(7))
                data = b""
            if not data:
                is_over = True
                break
            parts.append(data)
            limit -= len(data)
            if len(data) < _SMALL_READ and not self.is_reaped:
                break  # most likely all; if not, it is ready again
        if parts:
            self.active_at = time.time()
            self._take(b"".join(parts))
        return is_over

    def _take(self, data: bytes) -> None:
        """Take output; what was to be before it comes before the first, once the program runs."""
        if data or self._preface:
            data, self._preface = self._preface + data, b""
            self.output.take(data)


def _open_log(opening: Opening, end: int) -> Log | None:
    if opening.log is None:
        return None
    try:
        return Log(opening.log, opening.log_bytes, end)
    except OSError as error:
        raise Failure("failed", f"{opening.log} cannot be read: {error.strerror}") from error


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)
