"""The hub's line to ptyhost: it finds it, starts it, and speaks its protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import logging
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, cast

from backends.errors import (
    Busy,
    ConnectionLost,
    NotFound,
    TektonError,
    TimedOut,
    UsageError,
)
from backends.paths import Paths, private_folder
from backends.runtime import is_private
from terma.ptyhost import frames
from terma.ptyhost.address import holder
from terma.service.hosted import Ended, Hosted, Opening, Read, hosted_of

LOGGER = logging.getLogger(__name__)

PROGRAM = Path(frames.__file__).with_name("__main__.py")
"""ptyhost, to be run by its path."""

_START_S = 10.0
_HELLO_S = 2.5
_RETURN_S = 5.0
"""Both are more than ptyhost takes to see that its socket is gone."""

_SILENT_S = 4.0
"""How long a request waits until ptyhost is asked whether it answers at all, and that does."""

_TRY_AGAIN_S = 0.02
_IS_HELD = 3
_MAX_REPLY = 256 << 20
_MAX_SAID = 200

_PIECE = 3_000_000
"""Bytes that are typed by one request: they fit in a frame in base64, too."""

_HINTS: Mapping[str, tuple[type[TektonError], str | None]] = {
    "not_found": (NotFound, "`terma list` shows the terminals that are there"),
    "exists": (UsageError, None),
    "usage": (UsageError, None),
    "no_program": (NotFound, "name a program that is on your PATH, or its full path, after `--`"),
    "no_folder": (NotFound, "`--cwd` names the folder to start in"),
    "no_terminal": (TektonError, "end what you no longer need: `terma close NAME`"),
    "ended": (TektonError, "`terma restore NAME` runs it anew"),
    "line_too_long": (UsageError, "send it in shorter lines, or from a file"),
    "busy": (Busy, "its program does not read what is typed; `terma attach NAME` shows it"),
    "unknown_op": (
        TektonError,
        "an older ptyhost holds your terminals; it is replaced once all of them are closed",
    ),
}


def _ignore(*_: Any) -> None:
    """Until the owner has said what is to be done."""


class Host:
    """The hub's line to ptyhost.

    The owner sets what is called before it connects; each is called in the loop and must be
    quick. Every request raises `ConnectionLost` where the line is down or goes down, `TimedOut`
    where ptyhost answers nothing any more, and `UsageError` where it is too large.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._socket = paths.socket("ptyhost", is_ci=False)
        self._line: _Line | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._channels: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self._typing: set[str] = set()
        self._starting = asyncio.Lock()
        self.pid = 0
        """Of ptyhost; 0 while not connected."""
        self.ops: frozenset[str] = frozenset()
        """The requests it knows."""
        self.on_output: Callable[[str, int, bytes], None] = _ignore
        self.on_size: Callable[[str, int, int, int], None] = _ignore
        self.on_trimmed: Callable[[str, int], None] = _ignore
        self.on_exit: Callable[[str, int | None, str | None, int], None] = _ignore
        self.on_log: Callable[[str, str | None], None] = _ignore
        self.on_lost: Callable[[str], None] = _ignore

    # -- the line -----------------------------------------------------------------------------

    async def connect(self) -> bool:
        """Connect to the ptyhost that runs; `False` where none does.

        One that lives and cannot be reached is waited for, for some seconds.

        Raises:
            TimedOut: What listens at its socket does not answer.
            TektonError: One lives, but its socket is gone; or it does not speak as one; or the
                runtime folder is not this user's alone.
        """
        async with self._starting:
            return await self._find()

    async def start(self) -> None:
        """Connect, and start a ptyhost where none runs.

        Raises:
            TimedOut: It did not come, or does not answer.
            TektonError: It could not be started, or one lives that cannot be reached.
        """
        async with self._starting:
            deadline = asyncio.get_running_loop().time() + _START_S
            while not await self._find():
                if asyncio.get_running_loop().time() > deadline:
                    raise TimedOut(f"ptyhost was not there within {_START_S:g} s", self._hint())
                if await asyncio.to_thread(self._launch) == _IS_HELD:
                    await asyncio.sleep(_TRY_AGAIN_S)  # somebody else is starting it

    async def disconnect(self) -> None:
        """Hang up; ptyhost goes on, and `on_lost` is not called."""
        line, self._line = self._line, None
        if line:
            line.transport.close()
            self._forget_line("the line to ptyhost was closed")

    async def _find(self) -> bool:
        """Connect; while one lives that does not listen, give it time to do so again."""
        deadline = asyncio.get_running_loop().time() + _RETURN_S
        while not await self._connect():
            pid = await asyncio.to_thread(holder, os.fspath(self._socket))
            if pid is None:
                return False
            if asyncio.get_running_loop().time() > deadline:
                raise TektonError(
                    f"ptyhost{f' {pid}' if pid else ''} lives, but its socket is gone",
                    f"it should be {self._socket}; {self._hint()}",
                )
            await asyncio.sleep(_TRY_AGAIN_S)
        return True

    async def _connect(self) -> bool:
        if self._line:
            return True
        if not self._is_there():
            return False
        loop = asyncio.get_running_loop()
        before = self._inode()
        try:
            path = os.fspath(self._socket)
            _, self._line = await loop.create_unix_connection(lambda: _Line(self), path)
        except OSError:
            return False
        try:
            said = await asyncio.wait_for(self._ask("hello", version=frames.VERSION), _HELLO_S)
            self.pid, self.ops = _greeting(said)
        except ConnectionLost:
            return False  # it was about to end
        except TimeoutError:
            await self.disconnect()
            if self._inode() != before:
                return False  # ptyhost has taken its place again
            raise TimedOut(
                f"what listens at {path} did not answer within {_HELLO_S:g} s",
                "`tekton down --all` ends ptyhost and its terminals",
            ) from None
        except TektonError:
            await self.disconnect()
            raise
        return True

    def _is_there(self) -> bool:
        folder = os.fspath(self._paths.runtime)
        if not os.path.lexists(self._socket):
            return False
        if not is_private(folder):
            raise TektonError(
                f"{folder} is not a folder of this user alone",
                "somebody may have put it there; remove it, or set TEKTON_HOME",
            )
        return True

    def _inode(self) -> int:
        try:
            return self._socket.lstat().st_ino
        except OSError:
            return 0

    def _hint(self) -> str:
        return f"what it said is in {self._paths.logs / 'ptyhost.out'}"

    def _launch(self) -> int:
        """Run the program, which leaves a ptyhost behind; returns its status, 0 or `_IS_HELD`."""
        private_folder(self._paths.runtime)
        private_folder(self._paths.logs)
        said = self._paths.logs / "ptyhost.out"
        with _open_to_append(said) as output:
            before = output.tell()
            try:
                status = subprocess.run(
                    [sys.executable, "-I", "-S", "-X", "utf8", PROGRAM, self._socket],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
                    start_new_session=True, timeout=_START_S, check=False,
                    env={"PATH": os.environ.get("PATH", os.defpath)},
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired as error:
                raise TimedOut(f"ptyhost did not start within {_START_S:g} s") from error
            except OSError as error:
                raise TektonError(f"ptyhost cannot be started: {error.strerror}") from error
        if status not in (0, _IS_HELD):
            lines = said.read_bytes()[before:].decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"it ended with status {status}"
            raise TektonError(f"ptyhost cannot start: {reason}", self._hint())
        return status

    def _lost(self, line: _Line, reason: str) -> None:
        if line is self._line:
            was_up, self._line = bool(self.pid), None
            self._forget_line(reason)
            if was_up:
                _tell(self.on_lost, reason)

    def _forget_line(self, reason: str) -> None:
        self.pid, self.ops = 0, frozenset()
        self._channels.clear()
        self._numbers.clear()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(_line_is_down(reason))

    # -- requests -----------------------------------------------------------------------------

    async def list(self) -> list[Hosted]:
        """List what it holds, those too whose program has ended."""
        answer = await self._ask("list")
        return [hosted_of(fields) for fields in answer.get("terminals", ())]

    async def open(self, opening: Opening) -> int:
        """Open a terminal; returns the program's pid, once it runs.

        Raises:
            NotFound: The program or the folder is not there.
            TektonError: The system has no terminal left, or cannot start a process.
        """
        answer = await self._ask(
            "open", terminal=opening.terminal, command=opening.command, folder=opening.folder,
            environment=base64.b64encode(opening.environment).decode(),
            columns=opening.columns, rows=opening.rows, meta=opening.meta,
            log=opening.log and os.fspath(opening.log), log_bytes=opening.log_bytes,
            exit_file=opening.exit_file and os.fspath(opening.exit_file),
            preface=base64.b64encode(opening.preface).decode(),
        )  # fmt: skip
        return int(answer["pid"])

    async def follow(self, terminal: str, offset: int) -> int:
        """Have the output handed to `on_output`, from an offset on, or from the oldest one kept.

        Returns the offset that it begins at. The size there is handed to `on_size` first, and
        output may be handed over before this returns. A second call begins anew.
        """
        await self.unfollow(terminal)
        number = next(self._ids)
        self._channels[number], self._numbers[terminal] = terminal, number
        try:
            while True:
                answer = await self._ask(
                    "subscribe", terminal=terminal, channel=number, offset=offset
                )
                if not answer.get("trimmed"):
                    return offset
                offset = int(answer["oldest"])
        except BaseException:
            self._drop_channel(terminal, number)
            raise

    async def unfollow(self, terminal: str) -> None:
        """Have no more output handed over; nothing happens where none was."""
        number = self._numbers.get(terminal)
        if number is not None:
            self._drop_channel(terminal, number)
            await self._ask("unsubscribe", channel=number)

    def _drop_channel(self, terminal: str, number: int) -> None:
        self._channels.pop(number, None)
        if self._numbers.get(terminal) == number:
            del self._numbers[terminal]

    async def read(self, terminal: str, offset: int, limit: int) -> Read:
        """Read at most `limit` bytes of output, 1 MiB at once; nothing at the end."""
        while True:
            answer = await self._ask("read", terminal=terminal, offset=offset, limit=limit)
            if isinstance(answer, Read):
                return answer
            offset = int(answer["oldest"])

    async def write(self, terminal: str, data: bytes, whole_lines: bool = False) -> int:
        """Type into a terminal; returns all that was ever typed there, once it has taken this.

        What waits of it when this is cancelled is not typed any more; of whole lines, what is
        left of the one that is typed in part still is. An older ptyhost types all of it.

        Raises:
            UsageError: With `whole_lines`, a line is longer than the terminal takes.
            Busy: Too much waits to be typed there.
        """
        pieces = _pieces(data, whole_lines)
        if terminal in self._typing:
            raise Busy("a long text is being typed there", _HINTS["busy"][1])
        if len(pieces) == 1:
            return await self._type(terminal, data, whole_lines)
        typed = count = 0
        self._typing.add(terminal)
        try:
            for piece in pieces:
                count = await self._type(terminal, piece, whole_lines)
                typed += len(piece)
        except TektonError as error:
            reason = f"{error.message}; of {len(data)} bytes the first {typed} were typed"
            raise type(error)(reason, error.hint) from error
        finally:
            self._typing.discard(terminal)
        return count

    async def _type(self, terminal: str, data: bytes | memoryview, whole_lines: bool) -> int:
        number = next(self._ids)
        if whole_lines:
            packed = base64.b64encode(data).decode()
            frame = frames.message(
                {"id": number, "op": "write", "terminal": terminal, "data": packed,
                 "whole_lines": True}
            )  # fmt: skip
        else:
            name = terminal.encode()
            head = frames.INPUT_HEAD.pack(number, len(name))
            frame = frames.frame(frames.INPUT, head, name, data)
        try:
            answer = await self._exchange(number, frame)
        except (asyncio.CancelledError, TimedOut):
            if self._line and not self._lacks("cancel"):
                fields = {"op": "cancel", "terminal": terminal, "request": number}
                self._send(frames.message({"id": next(self._ids), **fields}))
            raise
        return int(answer.get("input", 0))

    async def resize(self, terminal: str, columns: int, rows: int) -> None:
        """Give a terminal another size."""
        await self._ask("resize", terminal=terminal, columns=columns, rows=rows)

    async def signal(self, terminal: str, signal: str) -> None:
        """Send a signal, `INT` or `SIGINT`, to what is in the foreground."""
        await self._ask("signal", terminal=terminal, signal=signal)

    async def set_meta(self, terminal: str, meta: Any) -> None:
        """Replace what is kept beside a terminal; an older ptyhost keeps what it was."""
        if self._lacks("meta"):
            return
        await self._ask("meta", terminal=terminal, meta=meta)

    async def close(self, terminal: str, grace_s: float = 2.0) -> Ended:
        """End every process of a terminal: hang up, and kill after a time (seconds)."""
        answer = await self._ask("close", terminal=terminal, grace_s=grace_s)
        return Ended(int(answer["ended"]), tuple(answer["left"]))

    async def forget(self, terminal: str) -> None:
        """Forget a terminal whose program has ended; its log is left.

        An older ptyhost remembers it for as long as it runs.
        """
        if self._lacks("forget"):
            return
        self._channels.pop(self._numbers.pop(terminal, 0), None)
        await self._ask("forget", terminal=terminal)

    def _lacks(self, op: str) -> bool:
        return self._line is not None and op not in self.ops

    # -- frames -------------------------------------------------------------------------------

    async def _ask(self, op: str, **arguments: Any) -> Any:
        number = next(self._ids)
        return await self._exchange(number, frames.message({"id": number, "op": op, **arguments}))

    async def _exchange(self, number: int, frame: bytes) -> Any:
        """Send a request and wait for its answer, for as long as ptyhost answers at all."""
        future = self._post(number, frame)
        try:
            while not (await asyncio.wait((future,), timeout=_SILENT_S))[0]:
                await self._knock()
            return future.result()
        finally:
            self._waiting.pop(number, None)

    async def _knock(self) -> None:
        number = next(self._ids)
        hello = {"id": number, "op": "hello", "version": frames.VERSION}
        future = self._post(number, frames.message(hello))
        try:
            if not (await asyncio.wait((future,), timeout=_SILENT_S))[0]:
                raise TimedOut(
                    f"ptyhost (pid {self.pid}) does not answer", "`tekton status` shows its state"
                )
            future.result()
        finally:
            self._waiting.pop(number, None)

    def _post(self, number: int, frame: bytes) -> asyncio.Future[Any]:
        self._send(frame)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        return future

    def _send(self, frame: bytes) -> None:
        if not self._line:
            raise _line_is_down("ptyhost is not connected")
        length = len(frame) - frames.LENGTH_BYTES
        if length > frames.MAX_REQUEST:
            raise UsageError(
                f"this is too large for ptyhost: {length} bytes, at most {frames.MAX_REQUEST}"
            )
        self._line.transport.write(frame)

    def _on_frame(self, kind: int, payload: bytes) -> None:
        if kind == frames.OUTPUT:
            channel, offset = frames.OUTPUT_HEAD.unpack_from(payload)
            terminal = self._channels.get(channel)
            if terminal is not None:
                _tell(self.on_output, terminal, offset, payload[frames.OUTPUT_HEAD.size :])
        elif kind == frames.READ:
            number, offset, oldest, end = frames.READ_HEAD.unpack_from(payload)
            self._resolve(number, Read(offset, payload[frames.READ_HEAD.size :], oldest, end))
        elif kind == frames.MESSAGE:
            fields: dict[str, Any] = frames.fields_of(payload)
            if "event" in fields:
                self._on_event(fields)
            elif "error" in fields:
                self._resolve(fields["id"], _error_of(fields["error"]))
            else:
                self._resolve(fields["id"], fields["ok"])

    def _resolve(self, number: int, answer: Any) -> None:
        future = self._waiting.pop(number, None)
        if future is None or future.done():
            return  # whoever asked has given up
        if isinstance(answer, TektonError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _on_event(self, fields: dict[str, Any]) -> None:
        event = fields["event"]
        if event == "exit":
            status, died_of = fields.get("status"), fields.get("signal")
            _tell(self.on_exit, fields["terminal"], status, died_of, fields["end"])
        elif event == "log":
            _tell(self.on_log, fields["terminal"], fields.get("error"))
        elif fields.get("channel") in self._channels:
            terminal = self._channels[fields["channel"]]
            if event == "size":
                size = fields["columns"], fields["rows"]
                _tell(self.on_size, terminal, fields["offset"], *size)
            elif event == "trimmed":
                _tell(self.on_trimmed, terminal, fields["oldest"])


class _Line(asyncio.Protocol):
    """The connection itself."""

    transport: asyncio.Transport

    def __init__(self, host: Host) -> None:
        self._host = host
        self._splitter = frames.Splitter(_MAX_REPLY)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._splitter.split(data):
                self._host._on_frame(kind, payload)
        except (frames.FrameError, struct.error, KeyError) as error:
            self.transport.abort()
            self._host._lost(self, f"ptyhost sent what cannot be understood: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        held = f"ptyhost (pid {self._host.pid}), which held it," if self._host.pid else "ptyhost"
        self._host._lost(self, f"{held} is gone{f': {exc}' if exc else ''}")


def _pieces(data: bytes, whole_lines: bool) -> list[memoryview]:
    """Cut what is to be typed, at the ends of lines where they are to stay whole.

    Raises:
        UsageError: A line among them may be refused after others were typed.
    """
    if whole_lines and len(data) > _PIECE and _has_long_line(data):
        raise UsageError(
            f"{len(data)} bytes are too many to be typed at once, with a line of more than "
            f"{frames.MAX_LINE}: at most {_PIECE}",
            "send it in pieces, or in shorter lines",
        )
    view, pieces, at = memoryview(data), [], 0
    while len(data) - at > _PIECE:
        end = at + _PIECE
        if whole_lines:
            end = _behind_lines(data, at, end)
        pieces.append(view[at:end])
        at = end
    return [*pieces, view[at:]]


def _has_long_line(data: bytes) -> bool:
    at = 0
    while len(data) - at > frames.MAX_LINE:
        end = _behind_lines(data, at, at + frames.MAX_LINE + 1)
        if not end:
            return True
        at = end
    return False


def _behind_lines(data: bytes, begin: int, end: int) -> int:
    """Return where the last line that ends between two places is over; 0 where none does."""
    return 1 + max(data.rfind(b"\n", begin, end), data.rfind(b"\r", begin, end))


def _tell(call: Callable[..., None], *told: Any) -> None:
    """Call the owner; a mistake there must not cut the line to every terminal."""
    try:
        call(*told)
    except Exception:
        LOGGER.exception("what ptyhost told could not be taken up")


def _line_is_down(reason: str) -> ConnectionLost:
    return ConnectionLost(reason, "`terma list` shows what is left; `terma restore` reopens it")


def _open_to_append(path: Path) -> IO[bytes]:
    """Open a plain file; a FIFO in its place is not waited at.

    Raises:
        TektonError: There is something else, or it cannot be written to.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o600)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return open(fd, "ab")
        os.close(fd)
        reason = "it is no plain file"
    except OSError as error:
        reason = str(error.strerror)
    raise TektonError(f"{path} cannot be written: {reason}", f"remove it: `rm {path}`")


def _greeting(said: Any) -> tuple[int, frozenset[str]]:
    """Return pid and requests from the answer to `hello`."""
    try:
        return int(said.get("pid", 0)), frozenset(map(str, said.get("ops", ())))
    except (AttributeError, TypeError, ValueError) as error:
        raise TektonError(
            f"what ptyhost says of itself cannot be understood: {said}"[:_MAX_SAID],
            "`tekton down --all` ends it and its terminals",
        ) from error


def _error_of(fields: Mapping[str, Any]) -> TektonError:
    kind, message = str(fields.get("kind")), str(fields.get("message"))
    error, hint = _HINTS.get(kind, (TektonError, None))
    return error(message, hint)
