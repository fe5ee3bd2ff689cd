"""A worker process as the hub sees it: started on need, asked one thing at a time, expendable."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from terma.screen import wire

log = logging.getLogger(__name__)

READ_S = 2.0
"""Processor seconds that a worker may take to read output: it gets little at once."""

WORK_S = 8.0
"""The same for all else, such as a snapshot with 100,000 rows."""

STUCK_S = 2.0
"""Seconds without any processor time after which a worker that should answer is given up."""

_TICK_S = 0.25
_END_S = 2.0
_TELLS_TIMES = os.path.exists("/proc/self/stat")


class WorkerDied(Exception):
    """The worker ended while it was asked.

    `is_killed`: by a SIGKILL that was not ours, so perhaps not of what it was asked;
    `is_unrelated`: it had not even been asked, or was stopped from outside.
    """

    def __init__(self, reason: str, is_killed: bool = False, is_unrelated: bool = False) -> None:
        super().__init__(reason)
        self.is_killed = is_killed
        self.is_unrelated = is_unrelated


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
        self._verdict: WorkerDied | None = None  # why we have killed it
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
        asking = asyncio.ensure_future(self._ask(head, data, generation))
        # If this is cancelled, nobody else would take note of what it died of.
        asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(asking)

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
            has_ended = generation and not (self.is_running and self.generation == generation)
            if self._is_closing or has_ended:
                raise WorkerDied("it has ended before", is_unrelated=True)
            if not self.is_running:
                await self._start()
                if self._is_closing:
                    raise WorkerDied("it has ended before", is_unrelated=True)
            limit = READ_S if head["do"] in ("feed", "lines") else WORK_S
            try:
                answer = await self._exchange(head, data, limit)
                self._ready = self.generation
                return answer
            except (OSError, asyncio.IncompleteReadError):
                await self._end()
            raise await self._died()

    async def _exchange(
        self, head: dict[str, Any], data: bytes, limit: float
    ) -> tuple[dict[str, Any], bytes]:
        assert self._reader is not None  # nosec B101
        assert self._writer is not None  # nosec B101
        judging = asyncio.ensure_future(self._judge(limit))
        try:
            self._writer.write(wire.frame(head, data))
            await self._writer.drain()
            lengths = await self._reader.readexactly(wire.LENGTHS.size)
            head_size, data_size = wire.LENGTHS.unpack(lengths)
            answer = json.loads(await self._reader.readexactly(head_size))
            return answer, await self._reader.readexactly(data_size)
        finally:
            judging.cancel()

    async def _judge(self, limit: float) -> None:
        """Kill the worker if it takes so many processor seconds for an answer, or gets none."""
        begun = before = _processor_s(self.pid)
        idle_s = 0.0
        while True:
            await asyncio.sleep(_TICK_S)
            now = _processor_s(self.pid)
            idle_s = idle_s + _TICK_S if now == before else 0.0
            before = now
            if now - begun > limit:
                self._verdict = WorkerDied(f"no answer within {limit:g} s")
            elif idle_s >= STUCK_S:
                reason = f"no processor time for {STUCK_S:g} s"
                self._verdict = WorkerDied(reason, is_unrelated=True)
            else:
                continue
            self._kill()
            return

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
        self._verdict = None
        self.generation += 1
        self._watch = asyncio.ensure_future(self._wait(self._process, self._writer))

    async def _wait(self, process: asyncio.subprocess.Process, writer: asyncio.StreamWriter) -> str:
        """Wait for the end of a process; return why it ended."""
        status = await process.wait()
        writer.close()
        reason = str(self._verdict or _reason(status))
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
        is_killed = self._process.returncode == -signal.SIGKILL
        return self._verdict or WorkerDied(reason, is_killed=is_killed)

    def _kill(self) -> None:
        # Not by the process object, which would take the status that the event loop waits for.
        if self._process is not None and self.is_running:
            try:
                os.kill(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it has just ended by itself


def _processor_s(pid: int) -> float:
    """Return the processor seconds that a process has had; the time, where that is not told."""
    if not _TELLS_TIMES:
        return time.monotonic()
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # proc(5): what follows the name are the state and, as the 12th and 13th, the times.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0  # it has just ended
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _reason(status: int) -> str:
    if status >= 0:
        return f"exit {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
