"""Screens answer what programs ask their terminal, where no window is there to do it."""

from __future__ import annotations

import asyncio
import logging
import time

from backends.errors import TektonError
from terma.service.host import Host
from terma.service.questions import allowed
from terma.service.screens import Screens
from terma.service.terminal import Terminal

log = logging.getLogger(__name__)

_LATE_S = 2.0
"""Seconds after which nobody waits for an answer any more: it would be taken for typing."""


class Answering:
    """Has the screens answer programs."""

    def __init__(self, screens: Screens, host: Host) -> None:
        self._screens = screens
        self._host = host
        self._answering: dict[str, asyncio.Task[None]] = {}
        self._asked_at: dict[str, float] = {}

    def asked(self, terminal: Terminal, begin: int, end: int) -> None:
        """Have a terminal answer what stands between two offsets of its output."""
        self._screens.asked(terminal.id, begin, end)
        self._asked_at[terminal.id] = time.monotonic()
        if terminal.id not in self._answering:
            self._answering[terminal.id] = asyncio.ensure_future(self._answer(terminal))

    async def close(self) -> None:
        """Answer nothing more."""
        tasks = list(self._answering.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _answer(self, terminal: Terminal) -> None:
        try:
            while terminal.is_running and self._screens.is_asked(terminal.id):
                answers = allowed(await self._screens.answers(terminal.id))
                is_late = time.monotonic() - self._asked_at[terminal.id] > _LATE_S
                if answers and not terminal.last_typist and not is_late:
                    await self._host.write(terminal.id, answers)
        except TektonError as error:
            log.info("%s gets no answer from its screen: %s", terminal.name, error.message)
        finally:
            del self._answering[terminal.id], self._asked_at[terminal.id]
