"""Room for screens to be warm: there is little of it, and who wants one may have to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from terma.service.emulation import Emulation


class Places:
    """Places for warm screens. Those that are watched keep theirs, however many they are."""

    def __init__(
        self,
        most: int,
        at_once: int,
        warm: Callable[[], list[Emulation]],
        put_away: Callable[[Emulation], Awaitable[None]],
    ) -> None:
        self.coming: set[Emulation] = set()
        """Those that have a place, and were not warm when they got it."""
        self._most = most
        self._turns = asyncio.Semaphore(at_once)
        self._warm = warm
        self._put_away = put_away
        self._released = asyncio.Event()

    @asynccontextmanager
    async def taken(self, emulation: Emulation) -> AsyncIterator[None]:
        """Have a terminal's screen for oneself, and a place for it to be warm."""
        with self.using(emulation):
            async with emulation.lock:
                if emulation.worker is not None:
                    yield
                    return
                async with self._turns:
                    self.coming.add(emulation)
                    try:
                        await self._make_room()
                        yield
                    finally:
                        self.coming.discard(emulation)

    @contextmanager
    def using(self, emulation: Emulation) -> Iterator[None]:
        """Note that a terminal's screen cannot be put away now."""
        emulation.users += 1
        try:
            yield
        finally:
            emulation.users -= 1
            self._released.set()

    async def _make_room(self) -> None:
        """Put away what was looked at least recently, until there is a place for all that come."""
        while len(self.coming.union(warm := self._warm())) > self._most:
            unwatched = [one for one in warm if not one.watchers and one not in self.coming]
            if not unwatched:
                return
            idle = [one for one in unwatched if not one.users]
            if idle:
                await self._put_away(min(idle, key=lambda one: one.looked_at))
            else:
                self._released.clear()
                await self._released.wait()
