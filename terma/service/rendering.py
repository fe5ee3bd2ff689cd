"""A log on its way to lines, in a worker that may die of it."""

from __future__ import annotations

import itertools

from backends.errors import TektonError
from backends.protocol.screens import LogLine
from terma.screen.process import WorkerDied, WorkerProcess
from terma.service.emulation import SIMPLE, Part

_NUMBERS = itertools.count(1)


class Rendering:
    """The lines of one log; where the engine fails, the simple one goes on from there."""

    def __init__(self, worker: WorkerProcess, engine: str) -> None:
        self._worker = worker
        self._engine = engine
        self._id = f"log {next(_NUMBERS)}"
        self._generation = 0

    async def feed(self, parts: list[Part], is_last: bool = False) -> list[LogLine]:
        """Take the next output, and return the lines that are complete with it.

        Raises:
            TektonError: The simple engine fails at it as well.
        """
        reason = ""
        for _ in range(3):
            try:
                return await self._feed(parts, is_last)
            except WorkerDied as error:
                reason = str(error)
                # One that was killed, or died of something else, is not the log's fault.
                if not error.is_killed and not error.is_over:
                    self._engine = SIMPLE
            except _Failed as error:
                reason = str(error)
                self._engine = SIMPLE
            self._generation = 0
        raise TektonError(
            f"the log cannot be shown as lines: {reason}", "`terma export` has its bytes"
        )

    async def close(self) -> None:
        """Let the worker forget it."""
        if self._generation:
            try:
                await self._worker.ask({"do": "drop", "id": self._id}, b"", self._generation)
            except WorkerDied:
                pass  # that forgets it as well

    async def _feed(self, parts: list[Part], is_last: bool) -> list[LogLine]:
        if not self._generation:
            if not parts and is_last:
                return []
            await self._load(parts[0].columns, parts[0].rows)
        sizes = [(part.offset, part.at, part.columns, part.rows, len(part.data)) for part in parts]
        head = {"do": "lines", "id": self._id, "parts": sizes, "is_last": is_last}
        data = b"".join(part.data for part in parts)
        answer, _ = await self._worker.ask(head, data, self._generation)
        if "failed" in answer:
            raise _Failed(answer["failed"])
        return [LogLine(at=at, offset=offset, text=text) for at, offset, text in answer["lines"]]

    async def _load(self, columns: int, rows: int) -> None:
        head = {"do": "load", "id": self._id, "engine": self._engine, "is_log": True}
        size = {"columns": columns, "rows": rows, "scrollback": 0}
        answer, _ = await self._worker.ask(head | size)
        if "failed" in answer:
            raise _Failed(answer["failed"])
        self._generation = self._worker.generation


class _Failed(Exception):
    """An engine raised."""
