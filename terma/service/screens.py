"""The screens of all terminals, worked out by worker processes that may die at any time.

A terminal is cold at first: nothing is emulated, its output is only counted. Whoever looks makes
it warm: a worker gets its last snapshot and the output since, and from then on what comes. What
nobody has looked at for a while becomes cold again. So a worker holds nothing that is not in a
snapshot and the log, and when it dies, its screens are worked out again by another. The terminal
whose output was being read when that happened is suspected: it gets the simpler engine.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from backends.errors import TektonError
from backends.protocol.screens import LogGroup, Screen, ScreenChange
from terma.screen import wire
from terma.screen.process import WorkerDied, WorkerProcess
from terma.service.emulation import WORTH_STORING, Emulation, EngineFailed, Source
from terma.service.parts import FAST, batches
from terma.service.piece import Piece
from terma.service.places import Places
from terma.service.rendering import Rendering, Wanted

log = logging.getLogger(__name__)

SNAPSHOT_EVERY = 1 << 20
"""Bytes of output after which a snapshot is made, though nobody looks."""

UNRECORDED_EVERY = 128 << 10
"""The same for a terminal without a log, of which only its newest output can be read again."""

WARM_PER_WORKER = 16
"""So many screens are warm at once, unless more are watched."""

COMING_PER_WORKER = 4
"""So many become warm at once: a worker does one thing at a time, the rest is the disk."""

IDLE_S = 10.0
"""Seconds after the last look until a screen is put away."""

CHANGES_PER_S = 30
_END_S = 1.0
_TEND_S = 1.0
_QUIET_S = 0.5
_URGENT = 16
"""So many times what should be in a snapshot, and it is made though output still comes."""

_ATTEMPTS = 5
_KILLS = 2
"""So many kills in a row, each while it was read, and a terminal is suspected."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Repaint:
    """Bytes that bring a terminal of a size, whatever it shows, to the state at an offset."""

    offset: int
    columns: int
    rows: int
    data: bytes


class Screens:
    """The screens of the terminals of a source; every method is for the hub's loop."""

    def __init__(
        self, source: Source, workers: int, scrollback: int, idle_s: float = IDLE_S
    ) -> None:
        self.on_warning: Callable[[str, str], None] = lambda terminal, text: None
        self.on_worker_end: Callable[[str], None] = lambda reason: None
        """Told of a worker that has died; its screens are drawn anew by another."""
        self._source = source
        self._scrollback = scrollback
        self._idle_s = idle_s
        self._all: dict[str, Emulation] = {}
        self._workers = [WorkerProcess() for _ in range(max(workers, 1))]
        for worker in self._workers:
            worker.on_death = self._worker_died
        self._numbers = itertools.count(1)
        self._tending: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        count = len(self._workers)
        self._places = Places(
            WARM_PER_WORKER * count, COMING_PER_WORKER * count, self._warm, self._make_room
        )
        self._unwatching: set[asyncio.Task[None]] = set()
        self._looking: set[asyncio.Task[Any]] = set()
        self._is_closing = False

    async def close(self) -> None:
        """End the workers; the terminals go on."""
        self._is_closing = True
        for task in (self._tending, self._preparing):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        await asyncio.gather(*(worker.close() for worker in self._workers))
        if self._looking:
            _, late = await asyncio.wait(self._looking, timeout=_END_S)
            for task in late:
                task.cancel()

    # -- what terminals do -------------------------------------------------------------------

    def opened(self, terminal: str, columns: int, rows: int, *, end: int | None = None) -> None:
        """Take up a terminal, new or known; with the first, the workers are started.

        Where a program is run in it, its output begins at `end`: whatever is known of more is
        forgotten.
        """
        if self._preparing is None:
            self._preparing = asyncio.ensure_future(self._prepare())
        known = self._all.get(terminal)
        if known is None:
            known = Emulation(terminal, self._source, self._scrollback, columns, rows)
            self._all[terminal] = known
        if end is not None:
            known.continue_at(end)
        known.resized(known.end, columns, rows)

    async def _prepare(self) -> None:
        """Have the workers ready before somebody looks, one after another."""
        for worker in self._workers:
            try:
                await worker.prepare()
            except WorkerDied:
                pass  # it has been told of; who looks has another started

    def output(self, terminal: str, offset: int, data: bytes) -> None:
        """Take the next output of a terminal; where nobody looks, this only counts."""
        emulation = self._known(terminal)
        emulation.output(offset, data)
        if self._tending is None and _needs_snapshot(emulation):
            self._tend()

    def resized(self, terminal: str, offset: int, columns: int, rows: int) -> None:
        """Take another size of a terminal."""
        self._known(terminal).resized(offset, columns, rows)

    def asked(self, terminal: str, begin: int, end: int) -> None:
        """Note that a program asks its terminal something between two offsets."""
        self._known(terminal).asked(begin, end)

    def is_asked(self, terminal: str) -> bool:
        """Tell whether there are questions that `answers` has not returned the answers to."""
        emulation = self._all.get(terminal)
        return emulation is not None and emulation.is_asked

    async def forget(self, terminal: str) -> None:
        """Let go of a terminal that is closed, and of its snapshot."""
        emulation = self._all.pop(terminal, None)
        if emulation is None:
            return
        async with emulation.lock:
            try:
                if emulation.worker is not None:
                    await emulation.ask("drop")
            except (WorkerDied, EngineFailed):
                pass  # that drops it as well
            emulation.let_go()
            await emulation.forget_snapshot()

    def warning(self, terminal: str) -> str | None:
        """Return what a person should know of how a screen is worked out."""
        emulation = self._all.get(terminal)
        return emulation.warning if emulation is not None else None

    # -- looking -----------------------------------------------------------------------------

    async def show(self, terminal: str, scrollback: int = 0) -> Screen:
        """Return what a terminal shows now, with so many rows of what has scrolled away.

        Raises:
            TektonError: Workers die of it again and again.
        """

        async def look(emulation: Emulation) -> Screen:
            answer, _ = await emulation.ask("show", scrollback=scrollback)
            return wire.unpack_screen(answer["screen"], emulation.fed, emulation.warning)

        return await self._look(self._known(terminal), look)

    async def repaint(self, terminal: str) -> Repaint:
        """Return what brings a real terminal to what a terminal shows now.

        Raises:
            TektonError: Workers die of it again and again.
        """

        async def look(emulation: Emulation) -> Repaint:
            _, data = await emulation.ask("repaint")
            columns, rows = emulation.size
            return Repaint(emulation.fed, columns, rows, data)

        return await self._look(self._known(terminal), look)

    async def answers(self, terminal: str) -> bytes:
        """Return what a terminal answers to what its program has asked.

        Raises:
            TektonError: Workers die of it again and again.
        """

        async def look(emulation: Emulation) -> bytes:
            return emulation.take_answers()

        return await self._look(self._known(terminal), look)

    async def watch(self, terminal: str) -> AsyncGenerator[ScreenChange, None]:
        """Yield a screen whole, then what changes, joined for who reads slowly; it never ends.

        Raises:
            TektonError: Workers die of it again and again.
        """
        emulation = self._known(terminal)
        number = next(self._numbers)
        news = emulation.watchers[number] = asyncio.Event()
        try:
            while True:
                news.clear()
                change = await self._look(emulation, lambda it: _change(it, number))
                if change is not None:
                    yield change
                    # Whoever reads slowly has waited long enough, and gets what has come since.
                    await asyncio.sleep(1 / CHANGES_PER_S)
                await news.wait()
        finally:
            del emulation.watchers[number]
            if not self._is_closing:
                task = asyncio.ensure_future(self._unwatch(emulation, number))
                self._unwatching.add(task)
                task.add_done_callback(self._unwatching.discard)

    async def _unwatch(self, emulation: Emulation, number: int) -> None:
        try:
            async with emulation.lock:
                if emulation.worker is not None:
                    await emulation.ask("forget", watcher=number)
        except (WorkerDied, EngineFailed):
            pass  # then nobody remembers

    async def _look(self, emulation: Emulation, look: Callable[[Emulation], Awaitable[T]]) -> T:
        """Have a worker read all there is, and ask it; whatever dies of it is replaced.

        That goes on when nobody waits any more: what was read is read, and who is to blame is
        found out.
        """
        looking = asyncio.ensure_future(self._look_on(emulation, look))
        self._looking.add(looking)
        looking.add_done_callback(self._looked)
        return await asyncio.shield(looking)

    def _looked(self, looking: asyncio.Task[Any]) -> None:
        self._looking.discard(looking)
        if not looking.cancelled():
            looking.exception()  # told to who waits, if somebody does

    async def _look_on(self, emulation: Emulation, look: Callable[[Emulation], Awaitable[T]]) -> T:
        reason = ""
        for _ in range(_ATTEMPTS):
            async with self._places.taken(emulation):
                emulation.looked_at = time.monotonic()
                try:
                    await emulation.catch_up(emulation.worker or self._emptiest())
                    return await look(emulation)
                except (WorkerDied, EngineFailed) as error:
                    reason = str(error)
                    self._blame(emulation, error)
                finally:
                    self._tend()
        raise TektonError(
            f"the screen of a terminal cannot be worked out: {reason}",
            "`terma log NAME` shows its output",
        )

    def _blame(self, emulation: Emulation, error: WorkerDied | EngineFailed) -> None:
        """Draw the conclusion from what an engine has died of."""
        emulation.let_go()
        if self._is_closing:
            raise TektonError("the hub is stopped", "`tekton up` starts it") from error
        if isinstance(error, WorkerDied):
            if error.is_unrelated:
                return
            # Most likely somebody else's doing; but a system out of memory kills like this.
            emulation.kills += error.is_killed
            if error.is_killed and emulation.kills < _KILLS:
                return
        emulation.kills = 0
        if emulation.engine == FAST:
            emulation.simplify(f"the fast one failed at its output ({error})")
        else:
            emulation.start_anew(str(error))
        log.warning("terminal %s: %s", emulation.terminal, emulation.warning)
        self.on_warning(emulation.terminal, emulation.warning or "")
        emulation.wake()

    def _worker_died(self, reason: str) -> None:
        self.on_worker_end(reason)
        for emulation in self._all.values():
            if emulation.watchers:
                emulation.wake()

    # -- warm and cold -----------------------------------------------------------------------

    def _known(self, terminal: str) -> Emulation:
        if terminal not in self._all:
            self.opened(terminal, 80, 24)
        return self._all[terminal]

    def _warm(self) -> list[Emulation]:
        return [emulation for emulation in self._all.values() if emulation.worker is not None]

    def _emptiest(self) -> WorkerProcess:
        ready = [worker for worker in self._workers if worker.is_ready]
        held = [emulation.worker for emulation in self._warm()]
        return min(ready or self._workers, key=held.count)

    async def _freeze(self, emulation: Emulation, at_least: int = WORTH_STORING) -> None:
        try:
            with self._places.using(emulation):
                async with emulation.lock:
                    await emulation.freeze(at_least)
        except (WorkerDied, EngineFailed) as error:
            self._blame(emulation, error)

    async def _make_room(self, emulation: Emulation) -> None:
        # Of what is little, its log is read again: that is faster than a snapshot.
        await self._freeze(emulation, SNAPSHOT_EVERY)

    def _tend(self) -> None:
        """See to it that what is warm, or needs a snapshot, is looked after."""
        if self._tending is None and not self._is_closing and self._needs_tending():
            self._tending = asyncio.ensure_future(self._tend_all())

    def _needs_tending(self) -> bool:
        return bool(self._places.coming or self._warm()) or any(
            map(_needs_snapshot, self._all.values())
        )

    async def _tend_all(self) -> None:
        """Put away what nobody looks at, and make snapshots, for as long as there is any of it."""
        try:
            while True:
                await asyncio.sleep(min(_TEND_S, self._idle_s))
                now = time.monotonic()
                for emulation in self._warm():
                    if not emulation.watchers and now - emulation.looked_at > self._idle_s:
                        await self._freeze(emulation)
                for emulation in [one for one in self._all.values() if _needs_snapshot(one)]:
                    await self._save(emulation)
                if not self._needs_tending():
                    return
        finally:
            self._tending = None

    async def _save(self, emulation: Emulation) -> None:
        """Make a snapshot of a terminal that nobody need look at, once it is quiet."""
        if emulation.backlog is None:
            await emulation.snapshot()
        is_busy = time.monotonic() - emulation.output_at < _QUIET_S
        backlog = emulation.backlog or 0
        if not _needs_snapshot(emulation) or (is_busy and backlog < _URGENT * SNAPSHOT_EVERY):
            return
        was_warm = emulation.worker is not None
        async with self._places.taken(emulation):
            try:
                await emulation.catch_up(emulation.worker or self._emptiest())
                await (emulation.save() if was_warm else emulation.freeze())
            except (WorkerDied, EngineFailed) as error:
                self._blame(emulation, error)

    # -- logs as lines -----------------------------------------------------------------------

    async def lines(
        self,
        pieces: AsyncIterator[Piece],
        terminal: str | None = None,
        wanted: Wanted = Wanted(),
    ) -> AsyncGenerator[tuple[list[LogGroup], int], None]:
        """Yield a log as the lines that a person has seen, and how many are over the limit.

        What its `terminal` is known to need is used from the start. The limit is one for what is
        yielded together, not for all of it.

        Raises:
            UsageError: The pattern takes too long.
            TektonError: It cannot be worked out.
        """
        known = self._all.get(terminal) if terminal is not None else None
        engine = known.engine if known is not None else FAST
        rendering = Rendering(self._emptiest(), engine, wanted)
        try:
            async with aclosing(batches(pieces)) as found:
                async for batch in found:
                    async for lines in rendering.feed(batch):
                        yield lines
            yield await rendering.finish()
        finally:
            await rendering.close()


async def _change(emulation: Emulation, watcher: int) -> ScreenChange | None:
    """Return what a watcher has not seen yet."""
    answer, _ = await emulation.ask("changes", watcher=watcher)
    if not answer:
        return None
    screen = None
    if "screen" in answer:
        screen = wire.unpack_screen(answer["screen"], emulation.fed, emulation.warning)
        answer = wire.pack_cursor(screen)
    rows = wire.unpack_rows(answer.pop("rows", []))
    return ScreenChange(
        offset=emulation.fed, screen=screen, rows=rows, warning=emulation.warning, **answer
    )


def _needs_snapshot(emulation: Emulation) -> bool:
    """Tell whether enough has come since the last one, or nobody knows."""
    backlog = emulation.backlog
    if backlog is None or backlog > SNAPSHOT_EVERY:
        return emulation.end > UNRECORDED_EVERY
    return backlog > UNRECORDED_EVERY and not emulation.is_recorded
