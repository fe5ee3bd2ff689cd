"""One terminal's screen: how far a worker has read its output, and how it gets the rest."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Protocol

from terma.screen import snapshot as snapshots
from terma.screen.process import WorkerDied, WorkerProcess
from terma.screen.snapshot import Snapshot
from terma.service.parts import (
    BATCH,
    FAST,
    SIMPLE,
    TOO_SLOW,
    Pace,
    Part,
    batches,
    from_offset,
    sliced,
)
from terma.service.piece import Piece

log = logging.getLogger(__name__)

MAX_QUEUED = 1 << 20
"""Bytes that are kept for a worker; what comes when it has fallen behind is read again."""

SIMPLE_BYTES = 8 << 20
"""Of a longer log the simple engine, which is slow, reads the end only."""

SIMPLE_TAIL = 4 << 20
WORTH_STORING = 64 << 10
"""Bytes of output since the last snapshot that are worth another one."""


class Source(Protocol):
    """Where output comes from, and where snapshots go."""

    def pieces(self, terminal: str, offset: int) -> AsyncIterator[Piece]:
        """Yield output from an offset, or the oldest kept, up to what is the end now."""

    def folder(self, terminal: str) -> Path | None:
        """Return where a terminal's snapshot may be stored; `None` for nowhere."""


class EngineFailed(Exception):
    """An engine raised, or does not keep up; the worker lives on."""


class Emulation:
    """A terminal's screen. It is warm while a worker holds it; whoever uses it holds `lock`."""

    def __init__(
        self, terminal: str, source: Source, scrollback: int, columns: int, rows: int
    ) -> None:
        self.terminal = terminal
        self.columns, self.rows = columns, rows
        self.end = 0
        self.lock = asyncio.Lock()
        self.watchers: dict[int, asyncio.Event] = {}
        self.looked_at = 0.0
        self.users = 0
        """How many have it for themselves, or wait for that."""
        self.engine = FAST
        self.warning: str | None = None
        self.fed = 0
        self.kills = 0
        self.output_at = 0.0
        self._asked: tuple[int, int] | None = None  # where questions begin and end
        self._answers = bytearray()
        self._source = source
        self._scrollback = scrollback
        self._worker: WorkerProcess | None = None
        self._generation = 0
        self._size = (columns, rows)  # as the worker has it
        self._queue: deque[Part] = deque()
        self._queued = 0
        self._begin = 0  # what came before is not read
        self._memory: Snapshot | None = None
        self._stored: int | None = None  # the offset of the last snapshot, once it is known
        self._considered = 0
        self._pace = Pace()
        self._restart: int | None = None  # where a program was run anew that nobody has read yet

    @property
    def worker(self) -> WorkerProcess | None:
        """The worker that holds it."""
        worker = self._worker
        is_held = worker is not None and worker.is_running and worker.generation == self._generation
        return worker if is_held else None

    @property
    def size(self) -> tuple[int, int]:
        """Its columns and rows, as the worker has it."""
        return self._size

    @property
    def is_recorded(self) -> bool:
        """Whether its output is in a log."""
        return self._source.folder(self.terminal) is not None

    # -- what the terminal does --------------------------------------------------------------

    def output(self, offset: int, data: bytes) -> None:
        """Take the next output."""
        self.end = max(self.end, offset + len(data))
        self.output_at = time.monotonic()
        if self._worker is not None:
            self._put(Part(offset, self.columns, self.rows, data))
        self.wake()

    def resized(self, offset: int, columns: int, rows: int) -> None:
        """Take another size."""
        self.columns, self.rows = columns, rows
        if self._worker is not None:
            self._put(Part(offset, columns, rows))
        self.wake()

    def continue_at(self, end: int) -> None:
        """Take that a program is run anew; where its output begins, what is known must end."""
        self._asked = None
        self._answers.clear()
        folder = self._source.folder(self.terminal)
        if folder is not None:
            snapshots.remove_later(folder, end)
        if end < max(self.end, self._stored or 0):
            self._restart = end
            self._memory, self._stored, self._considered = None, None, 0
        self.end = end

    def wake(self) -> None:
        """Let the watchers look."""
        for event in self.watchers.values():
            event.set()

    def _put(self, part: Part) -> None:
        self._queue.append(part)
        self._queued += len(part.data)
        if self._queued > MAX_QUEUED:
            self._clear()

    def _clear(self) -> None:
        self._queue.clear()
        self._queued = 0

    # -- what its program asks ---------------------------------------------------------------

    def asked(self, begin: int, end: int) -> None:
        """Note that there are questions between two offsets, which it should answer."""
        self._asked = (self._asked[0] if self._asked else begin, end)

    @property
    def is_asked(self) -> bool:
        """Whether there are questions whose answers nobody has taken."""
        return self._asked is not None

    def take_answers(self) -> bytes:
        """Return the answers to all that was asked until where the worker has read."""
        if self._asked is not None and self._asked[1] <= self.fed:
            self._asked = None
        answers = bytes(self._answers)
        self._answers.clear()
        return answers

    # -- the worker --------------------------------------------------------------------------

    async def ask(self, do: str, data: bytes = b"", **head: Any) -> tuple[dict[str, Any], bytes]:
        """Ask the worker that holds it.

        Raises:
            WorkerDied: It died.
            EngineFailed: The engine raised, and the worker has dropped it.
        """
        assert self._worker is not None  # nosec B101
        question = {"do": do, "id": self.terminal, **head}
        generation = 0 if do == "load" else self._generation
        answer, found = await self._worker.ask(question, data, generation)
        if "failed" in answer:
            self.let_go()
            raise EngineFailed(answer["failed"])
        return answer, found

    def let_go(self) -> None:
        """Note that no worker holds it any more."""
        self._worker = None
        self._clear()

    async def catch_up(self, worker: WorkerProcess) -> None:
        """Let a worker read all that has come until now; it gets it whole if none holds it."""
        if self._restart is not None:
            await self._forget_past(self._restart)
        if self.worker is None:
            await self._load(worker)
            await self._read_log()
        target = self.end
        while self._queue and (self.fed < target or not self._queue[0].data):
            parts = self._next_parts()
            if parts:
                await self._feed(parts)
            elif self._queue:  # what lies between was not kept for us
                self._clear()
        if self.fed < target:
            await self._read_log()
        if self._size != (self.columns, self.rows) and not self._queue:
            await self._feed([Part(self.fed, self.columns, self.rows)])
        self.kills = 0

    async def _forget_past(self, end: int) -> None:
        """Let go of what a worker, or a snapshot made meanwhile, has of output that is gone."""
        self._restart = None
        self._memory, self._stored, self._considered = None, None, 0
        try:
            if self.worker is not None:
                await self.ask("drop")
        except (WorkerDied, EngineFailed):
            pass  # that drops it as well
        self.let_go()
        self._begin = min(self._begin, end)
        folder = self._source.folder(self.terminal)
        if folder is not None:
            await asyncio.to_thread(snapshots.remove_later, folder, end)

    def _next_parts(self) -> list[Part]:
        """Take what comes next from the queue; nothing where something is missing before it."""
        parts: list[Part] = []
        end, size = self.fed, 0
        while self._queue and size < BATCH:
            part = self._queue[0]
            if part.data and part.offset > end:
                break
            self._queue.popleft()
            self._queued -= len(part.data)
            data = part.data[end - part.offset :] if part.data else b""
            if data or (not part.data and part.offset >= end):
                parts.append(Part(end, part.columns, part.rows, data))
                end += len(data)
                size += len(data)
        return parts

    async def _read_log(self) -> None:
        pieces = self._source.pieces(self.terminal, self.fed)
        async with aclosing(batches(pieces)) as found:
            async for parts in found:
                wanted = from_offset(parts, self.fed)
                if wanted and wanted[0].offset > self.fed > 0:
                    # What had begun when output was lost is over.
                    first = wanted[0]
                    wanted.insert(0, Part(first.offset, first.columns, first.rows, b"\x18"))
                if wanted:
                    await self._feed(wanted)
        if self._restart is None:
            self.end = max(self.end, self.fed)

    async def _feed(self, parts: list[Part]) -> None:
        while parts:
            some, parts = sliced(parts, self._pace.size)
            await self._feed_slice(some)

    async def _feed_slice(self, parts: list[Part]) -> None:
        first, data = parts[0], b"".join(part.data for part in parts)
        asked = max(self._asked[0] - first.offset, 0) if self._asked else len(data)
        answer, answers = await self.ask(
            "feed", data, columns=first.columns, rows=first.rows, asked=asked
        )
        self.fed = max(self.fed, parts[-1].offset + len(parts[-1].data))
        if self._asked is not None:  # else its program has ended meanwhile
            self._answers += answers
            self._asked = (max(self._asked[0], self.fed), self._asked[1])
        self._size = (first.columns, first.rows)
        if not self._pace.keeps_up(len(data), answer["took"]):
            await self.ask("drop")
            raise EngineFailed(TOO_SLOW)

    async def _load(self, worker: WorkerProcess) -> None:
        snapshot = await self.snapshot()
        if snapshot is not None and snapshot.offset < self._begin:
            snapshot = None
        if snapshot is None:
            self.fed, size, state = self._begin, (self.columns, self.rows), b""
        else:
            self.fed, state = snapshot.offset, snapshot.state
            size = (snapshot.columns, snapshot.rows)
        self._clear()
        self._worker = worker
        try:
            answer, _ = await self.ask(
                "load",
                state,
                engine=self.engine,
                columns=size[0],
                rows=size[1],
                scrollback=self._scrollback,
            )
        except (WorkerDied, EngineFailed):
            self._worker = None
            if snapshot is None:
                raise
            answer = {"broken": "a worker died of it"}
        self._generation = worker.generation
        self._size = size
        if "broken" in answer:
            log.info("a snapshot is not used: %s", answer["broken"])
            await self.forget_snapshot()
            await self._load(worker)
        else:
            self._pace.begin(answer["engine"])

    # -- snapshots ---------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot | None:
        """Return the last snapshot; a first look tells which engine its terminal needs."""
        folder = self._source.folder(self.terminal)
        found = self._memory
        if found is None and folder is not None:
            found = await asyncio.to_thread(snapshots.load, folder)
        if found is not None and found.is_simple and self.engine == FAST:
            self.simplify("an earlier run of the hub found that the fast one fails at its output")
        self._stored = found.offset if found is not None else 0
        return found

    @property
    def backlog(self) -> int | None:
        """How much output there is since a snapshot was thought of; `None` if it is not known."""
        if self._stored is None:
            return None
        return self.end - max(self._stored, self._considered)

    async def save(self, at_least: int = WORTH_STORING) -> None:
        """Store what the worker holds, if so many bytes have come since the last snapshot."""
        is_little = self.fed - (self._stored or 0) < at_least
        if is_little and self.is_recorded:
            return
        self._considered = self.end
        if self.worker is None:
            return
        answer, state = await self.ask("dump")
        if self._restart is not None:
            return
        snapshot = Snapshot(
            engine=answer["engine"],
            offset=self.fed,
            columns=answer["columns"],
            rows=answer["rows"],
            is_simple=self.engine == SIMPLE,
            state=state,
        )
        folder = self._source.folder(self.terminal)
        self._stored = snapshot.offset
        if folder is None:
            self._memory = snapshot
            return
        try:
            await asyncio.to_thread(snapshots.store, folder, snapshot)
        except OSError as error:
            log.warning("no snapshot of %s: %s", self.terminal, error)

    async def forget_snapshot(self) -> None:
        """Have none any more."""
        self._memory, self._stored = None, 0
        folder = self._source.folder(self.terminal)
        if folder is not None:
            await asyncio.to_thread(snapshots.remove, folder)

    async def freeze(self, at_least: int = WORTH_STORING) -> None:
        """Have it stored if so many bytes have come since the last time, and the worker drop it."""
        if self.worker is not None:
            if self._restart is None:
                await self.save(at_least)
            await self.ask("drop")
        self.let_go()

    # -- when an engine fails ----------------------------------------------------------------

    def simplify(self, reason: str) -> None:
        """Use the simple engine from now on."""
        self.engine = SIMPLE
        self.let_go()
        self.warning = f"its screen is worked out by a simpler engine: {reason}"
        if self.end - max(self._begin, self._stored or 0) > SIMPLE_BYTES:
            self._begin = self.end - SIMPLE_TAIL
            self.warning += f", and from the last {SIMPLE_TAIL >> 20} MB of its output only"

    def start_anew(self, reason: str) -> None:
        """Begin with an empty screen: what has come until now cannot be shown."""
        self.let_go()
        self._begin = self.end
        self._memory, self._stored = None, 0
        self.warning = f"its screen was lost and is built up anew: {reason}"
