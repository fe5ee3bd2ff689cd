"""A program whose answer is read line by line, and whose whole group of processes ends with it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path

MAX_LINE = 16 * 1024 * 1024
"""Bytes of a line."""

MAX_ERRORS = 4096
"""Bytes of the end of its standard error that are kept."""

GRACE_S = 2.0
"""How long a program may take to end by itself, and again after SIGTERM."""

_TIED = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
if os.getppid() == int(sys.argv[1]):
    try:
        os.execv(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"error: {error.strerror}: {sys.argv[2]}")
"""
# Linux sends SIGTERM (15) to what has asked for it (PR_SET_PDEATHSIG, 1; see prctl(2)) when its
# parent dies, kill -9 included; it stays asked for after exec. Asking between fork and exec of
# this process itself would not be safe beside its threads.

_CHUNK = 64 * 1024
_LOOK_EVERY_S = 0.02


class LineTooLong(Exception):
    """A line passes `MAX_LINE`."""


class AgentProcess:
    """A running program; `end` has to be called, whatever happens."""

    def __init__(self, process: asyncio.subprocess.Process, message: bytes) -> None:
        self._process = process
        self._errors = b""
        self._tasks = [
            asyncio.ensure_future(self._send(message)),
            asyncio.ensure_future(self._keep_errors()),
        ]

    @classmethod
    async def start(
        cls, argv: Sequence[str], message: bytes, folder: Path, environment: Mapping[str, str]
    ) -> AgentProcess:
        """Start a program in a session of its own; the message goes to its standard input.

        On Linux it ends with this process, however this one ends.

        Raises:
            OSError: It cannot be started.
        """
        if sys.platform == "linux":
            argv = [sys.executable, "-ISc", _TIED, str(os.getpid()), *argv]
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        return cls(process, message)

    @property
    def pid(self) -> int:
        """Its process id, which is that of its group."""
        return self._process.pid

    @property
    def errors(self) -> str:
        """The end of what it wrote to its standard error."""
        return self._errors.decode(errors="replace")

    async def lines(self, silence_s: float) -> AsyncGenerator[bytes, None]:
        """Yield each line of its standard output, without its end; the last may have had none.

        Raises:
            TimeoutError: Nothing came for that long.
            LineTooLong: A line was too long to be kept.
        """
        assert self._process.stdout is not None  # nosec B101
        pieces: list[bytes] = []
        size = 0
        while True:
            async with asyncio.timeout(silence_s):
                chunk = await self._process.stdout.read(_CHUNK)
            *whole, rest = chunk.split(b"\n")
            if whole:
                whole[0] = b"".join([*pieces, whole[0]])
                pieces, size = [], 0
            for line in whole:
                if line.strip():
                    yield line
            pieces.append(rest)
            size += len(rest)
            if size > MAX_LINE:
                raise LineTooLong
            if not chunk:
                break
        if last := b"".join(pieces).strip():
            yield last

    async def status(self) -> int | None:
        """Return its exit status, negative for a signal; `None` where it goes on running."""
        try:
            async with asyncio.timeout(GRACE_S):
                await self._tasks[1]  # its last words
                return await self._process.wait()
        except TimeoutError:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, if anything of it is left."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # macOS refuses what it should not find

    async def end(self, at_once: bool) -> None:
        """End the program and all that it started: SIGTERM, then SIGKILL.

        Args:
            at_once: Else it may first end by itself.
        """
        if at_once or not await self._is_gone():
            self.signal(signal.SIGTERM)
            if not await self._is_gone():
                self.signal(signal.SIGKILL)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Else what was not read to its end stays open; there is no public way to it.
        self._process._transport.close()  # type: ignore[attr-defined]
        await self._process.wait()

    async def _is_gone(self) -> bool:
        """Wait shortly until nothing of the group is left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GRACE_S
        while self._exists():
            if loop.time() > deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True

    def _exists(self) -> bool:
        if self._process.returncode is None:
            return True
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    async def _send(self, message: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # nosec B101
        try:
            stdin.write(message)
            await stdin.drain()
            stdin.close()
            await stdin.wait_closed()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, or has heard enough: its output tells

    async def _keep_errors(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None  # nosec B101
        while chunk := await stderr.read(_CHUNK):
            self._errors = (self._errors + chunk)[-MAX_ERRORS:]
