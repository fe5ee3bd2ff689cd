"""A log on its way to lines, in a worker that may die of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from backends.errors import TektonError, UsageError
from backends.protocol.screens import LogGroup
from terma.screen.process import WorkerDied, WorkerProcess
from terma.service.emulation import SIMPLE, Part

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines of a log are wanted: where a pattern is found, and the last so many of them.

    `limit` 0 is all.
    """

    pattern: str | None = None
    ignores_case: bool = False
    limit: int = 0


class Rendering:
    """The lines of one log; where the engine fails, the simple one goes on from there."""

    def __init__(self, worker: WorkerProcess, engine: str, wanted: Wanted) -> None:
        self._worker = worker
        self._engine = engine
        self._wanted = wanted
        self._id = f"log {next(_NUMBERS)}"
        self._generation = 0

    async def feed(self, parts: list[Part], is_last: bool = False) -> tuple[list[LogGroup], int]:
        """Take the next output, and return those wanted of the lines that are complete with it.

        And how many more there were of them, over the limit.

        Raises:
            UsageError: The pattern takes too long.
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

    async def _feed(self, parts: list[Part], is_last: bool) -> tuple[list[LogGroup], int]:
        if not self._generation:
            if not parts and is_last:
                return [], 0
            await self._load(parts[0].columns, parts[0].rows)
        sizes = [(part.offset, part.at, part.columns, part.rows, len(part.data)) for part in parts]
        head = {"do": "lines", "id": self._id, "parts": sizes, "is_last": is_last}
        data = b"".join(part.data for part in parts)
        answer, _ = await self._worker.ask(head, data, self._generation)
        if "failed" in answer:
            raise _Failed(answer["failed"])
        if "too_slow" in answer:
            raise UsageError(
                f"the pattern takes too long: {self._wanted.pattern!r}",
                "write it without a repetition within a repetition, as in (a+)+",
            )
        found = [LogGroup(at=at, offset=end, text=text) for at, end, text in answer["lines"]]
        return found, answer["over"]

    async def _load(self, columns: int, rows: int) -> None:
        head = {"do": "load", "id": self._id, "engine": self._engine, "is_log": True}
        size = {"columns": columns, "rows": rows, "scrollback": 0}
        wanted = {
            "pattern": self._wanted.pattern,
            "ignores_case": self._wanted.ignores_case,
            "limit": self._wanted.limit,
        }
        answer, _ = await self._worker.ask(head | size | wanted)
        if "failed" in answer:
            raise _Failed(answer["failed"])
        self._generation = self._worker.generation


class _Failed(Exception):
    """An engine raised."""
