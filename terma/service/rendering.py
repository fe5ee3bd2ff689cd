"""A log on its way to lines, in a worker that may die of it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

from backends.errors import TektonError, UsageError
from backends.protocol.screens import LogGroup
from terma.screen.process import WorkerDied, WorkerProcess
from terma.service.parts import SIMPLE, TOO_SLOW, Pace, Part, sliced

_NUMBERS = itertools.count(1)
_ATTEMPTS = 3


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
        self._pace = Pace()

    async def feed(self, parts: list[Part]) -> AsyncIterator[tuple[list[LogGroup], int]]:
        """Take the next output; yield those wanted of the lines that are complete with it.

        And how many more there were of them, over the limit, which is one for each time.

        Raises:
            UsageError: The pattern takes too long.
            TektonError: The simple engine fails at it as well.
        """
        failures = 0
        while parts:
            some, rest = sliced(parts, self._pace.size)
            try:
                found = await self._feed(some)
            except (WorkerDied, _Failed) as error:
                failures += 1
                self._blame(error, failures)
                continue
            yield found
            parts, failures = rest, 0

    async def finish(self) -> tuple[list[LogGroup], int]:
        """Return what `feed` has not yielded, as it does.

        Raises:
            UsageError: The pattern takes too long.
        """
        try:
            return await self._feed([])
        except (WorkerDied, _Failed):
            return [], 0  # what was on the screen is gone with it

    def _blame(self, error: WorkerDied | _Failed, failures: int) -> None:
        """Draw the conclusion from what an engine has died of."""
        # One that was killed, or died of something else, is not the log's fault.
        is_guilty = isinstance(error, _Failed) or not (error.is_killed or error.is_unrelated)
        if failures == _ATTEMPTS or (is_guilty and self._engine == SIMPLE):
            raise TektonError(
                f"the log cannot be shown as lines: {error}", "`terma export` has its bytes"
            ) from error
        if is_guilty:
            self._engine = SIMPLE
        self._pace.begin(self._engine)
        self._generation = 0

    async def close(self) -> None:
        """Let the worker forget it."""
        if self._generation:
            try:
                await self._worker.ask({"do": "drop", "id": self._id}, b"", self._generation)
            except WorkerDied:
                pass  # that forgets it as well

    async def _feed(self, parts: list[Part]) -> tuple[list[LogGroup], int]:
        if not self._generation:
            if not parts:
                return [], 0
            await self._load(parts[0].columns, parts[0].rows)
        head = {"do": "lines", "id": self._id, "is_last": not parts}
        if parts:
            times = [(part.offset, part.at) for part in parts]
            head |= {"columns": parts[0].columns, "rows": parts[0].rows, "parts": times}
        data = b"".join(part.data for part in parts)
        answer, _ = await self._worker.ask(head, data, self._generation)
        if "failed" in answer:
            raise _Failed(answer["failed"])
        if "too_slow" in answer:
            raise UsageError(
                f"the pattern takes too long: {self._wanted.pattern!r}",
                "write it without a repetition within a repetition, as in (a+)+",
            )
        if not self._pace.keeps_up(len(data), answer["took"]):
            raise _Failed(TOO_SLOW)
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
        self._pace.begin(answer["engine"])


class _Failed(Exception):
    """An engine raised, or does not keep up."""
