"""Numa: the resource monitor, a CI that answers from live facts and needs no model."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from backends.errors import TektonError
from backends.numa.report import report
from backends.protocol.conversations import Turn
from backends.protocol.messages import Chat, Directory, Facts, ListAll, Measure, Piece, ServiceInfo
from backends.service.base import Context, handles
from backends.service.ci import CIService, Finished, user_text

MODEL = "numa/live-facts"


class Numa(CIService):
    """Watches services, CIs, load, memory, disk and recent errors."""

    name = "numa"
    is_service = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._began = time.monotonic()

    async def describe(self) -> ServiceInfo:
        """Describe Numa."""
        return dataclasses.replace(
            await super().describe(),
            kind="monitor",
            role="resource monitor",
            capabilities=("status", "resources", "errors"),
            model=MODEL,
            note="answers from live facts; needs no model",
        )

    async def model_for(self, chat: Chat) -> str:
        """Numa has one way to answer."""
        return MODEL

    async def answer(
        self, chat: Chat, model: str, turns: Sequence[Turn]
    ) -> AsyncGenerator[str | Piece | Finished, None]:
        """Answer with the facts that the question names, or with all."""
        facts = await self.measure(Measure())
        try:
            directory = await self.context.call(ListAll())
        except TektonError as error:
            directory = Directory(entries=())
            yield f"The directory does not answer: {error.message}\n\n"
        yield report(user_text(chat), facts, directory)
        yield Finished(model=MODEL)

    @handles(Measure)
    async def measure(self, _: Measure) -> Facts:
        """Measure the machine and this process."""
        return await asyncio.to_thread(
            _measure, self.context.paths.state, time.monotonic() - self._began
        )


def _measure(folder: Path, uptime_s: float) -> Facts:
    import psutil

    process = psutil.Process()
    memory = psutil.virtual_memory()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    disk = psutil.disk_usage(str(existing))
    times = process.cpu_times()
    age_s = max(time.time() - process.create_time(), 0.001)
    return Facts(
        cpus=psutil.cpu_count() or 1,
        load=tuple(round(value, 2) for value in psutil.getloadavg()),
        memory_total=memory.total,
        memory_available=memory.available,
        disk_total=disk.total,
        disk_free=disk.free,
        hub_memory=process.memory_info().rss,
        hub_cpu_share=round((times.user + times.system) / age_s, 4),
        uptime_s=uptime_s,
    )
