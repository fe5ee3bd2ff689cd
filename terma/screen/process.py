"""A worker process as the hub sees it: started on need, asked one thing at a time, expendable."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from terma.screen import wire

log = logging.getLogger(__name__)

ANSWER_S = 10.0
"""Seconds that a worker may take for an answer, and once more for each megabyte it gets."""

_END_S = 2.0


class WorkerDied(Exception):
    """The worker ended while it was asked.

    `is_killed`: by a SIGKILL that was not ours, so perhaps not of what it was asked; `is_over`: it
    had not even been asked.
    """

    def __init__(self, reason: str, is_killed: bool = False, is_over: bool = False) -> None:
        super().__init__(reason)
        self.is_killed = is_killed
        self.is_over = is_over


class WorkerProcess:
    """A screen worker. `generation` counts its lives: what an earlier one held is gone."""

    def __init__(self) -> None:
        self.generation = 0
        self.on_death: Callable[[str], None] | None = None
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._watch: asyncio.Task[str] | None = None
        self._is_closing = False
        self._is_hung = False
        self._ready = 0  # the life that has all imported

    @property
    def pid(self) -> int:
        """The process, 0 where none runs."""
        return self._process.pid if self.is_running and self._process is not None else 0

    @property
    def is_running(self) -> bool:
        """Whether there is a process that holds what this life was given."""
        return self._watch is not None and not self._watch.done()

    @property
    def is_ready(self) -> bool:
        """Whether it answers at once."""
        return self.is_running and self._ready == self.generation

    async def prepare(self) -> None:
        """Have it ready before it is needed.

        Raises:
            WorkerDied: It ended.
        """
        await self.ask({"do": "prepare", "id": ""})

    async def ask(
        self, head: dict[str, Any], data: bytes = b"", generation: int = 0
    ) -> tuple[dict[str, Any], bytes]:
        """Ask for something and return the answer; it is asked to the end if this is cancelled.

        Args:
            head: What is asked.
            data: What belongs to it.
            generation: The life that is meant; 0 for any, which starts a process if none runs.

        Raises:
            WorkerDied: It ended before it answered, or took too long and was killed.
        """
        return await asyncio.shield(asyncio.ensure_future(self._ask(head, data, generation)))

    async def close(self) -> None:
        """End the process."""
        self._is_closing = True
        if self._writer is not None:
            self._writer.close()
        async with self._lock:  # who was asking sees that it has ended
            if self._writer is not None and self._watch is not None:
                self._writer.close()
                await self._end()
                await self._watch

    async def _end(self) -> None:
        """Kill what has closed its socket, or should, unless it ends by itself."""
        assert self._watch is not None  # nosec B101
        done, _ = await asyncio.wait((self._watch,), timeout=_END_S)
        if not done:
            self._kill()

    async def _ask(
        self, head: dict[str, Any], data: bytes, generation: int
    ) -> tuple[dict[str, Any], bytes]:
        async with self._lock:
            is_over = generation and not (self.is_running and self.generation == generation)
            if self._is_closing or is_over:
                raise WorkerDied("it has ended before", is_over=True)
            if not self.is_running:
                await self._start()
                if self._is_closing:
                    raise WorkerDied("it has ended before", is_over=True)
            try:
                async with asyncio.timeout(ANSWER_S * (1 + len(data) / wire.MAX_DATA)):
                    answer = await self._exchange(head, data)
                    self._ready = self.generation
                    return answer
            except TimeoutError:
                self._is_hung = True
                self._kill()
            except (OSError, asyncio.IncompleteReadError):
                await self._end()
            raise await self._died()

    async def _exchange(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        assert self._reader is not None  # nosec B101
        assert self._writer is not None  # nosec B101
        self._writer.write(wire.frame(head, data))
        await self._writer.drain()
        lengths = await self._reader.readexactly(wire.LENGTHS.size)
        head_size, data_size = wire.LENGTHS.unpack(lengths)
        answer = json.loads(await self._reader.readexactly(head_size))
        return answer, await self._reader.readexactly(data_size)

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C in the hub's terminal is for the hub.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "terma.screen.worker",
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._is_hung = False
        self.generation += 1
        self._watch = asyncio.ensure_future(self._wait(self._process, self._writer))

    async def _wait(self, process: asyncio.subprocess.Process, writer: asyncio.StreamWriter) -> str:
        """Wait for the end of a process; return why it ended."""
        status = await process.wait()
        writer.close()
        reason = _reason(status, self._is_hung)
        if not self._is_closing:
            log.warning("screen worker %d ended: %s", process.pid, reason)
            if self.on_death is not None:
                told = f"screen worker {process.pid} ended: {reason}"
                asyncio.get_running_loop().call_soon(self.on_death, told)
        return reason

    async def _died(self) -> WorkerDied:
        assert self._watch is not None  # nosec B101
        assert self._process is not None  # nosec B101
        reason = await self._watch
        is_killed = self._process.returncode == -signal.SIGKILL and not self._is_hung
        return WorkerDied(reason, is_killed=is_killed)

    def _kill(self) -> None:
        # Not by the process object, which would take the status that the event loop waits for.
        if self._process is not None and self.is_running:
            try:
                os.kill(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has just ended by itself


def _reason(status: int, is_hung: bool) -> str:
    if is_hung:
        return f"no answer within {ANSWER_S:g} s"
    if status >= 0:
        return f"exit {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
