"""Hermes: the directory of what is up, and the bus that tells what happens."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator

from backends.errors import TektonError
from backends.hermes.bus import Bus
from backends.protocol.messages import (
    Ack,
    Directory,
    Event,
    Health,
    Info,
    ListAll,
    Publish,
    ServiceInfo,
    Subscribe,
)
from backends.registry import checked
from backends.service.base import Context, Service, handles

log = logging.getLogger(__name__)

_ASK_S = 1.0
_WATCH_EVERY_S = 1.0


class Hermes(Service):
    """Directory of services and CIs, and the event bus."""

    name = "hermes"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._bus = Bus()
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch for deaths."""
        self._watch = asyncio.create_task(self._watch_records())

    async def stop(self) -> None:
        """End the watch."""
        if self._watch:
            self._watch.cancel()

    @handles(ListAll)
    async def list_all(self, _: ListAll) -> Directory:
        """Ask everybody on record for their state, all at once; who is silent for 1 s is dead."""
        records = list(self.context.registry.records())
        entries = await asyncio.gather(*(self._ask(record) for record in records))
        return Directory(entries=tuple(entries))

    @handles(Publish)
    async def publish(self, request: Publish) -> Ack:
        """Hand an event to its subscribers."""
        keys = ", ".join(request.data)
        log.debug("event %s (%s)", request.subject, keys, extra={"subject": request.subject})
        self._bus.publish(Event(subject=request.subject, at=self.context.now(), data=request.data))
        return Ack()

    @handles(Subscribe)
    async def subscribe(self, request: Subscribe) -> AsyncIterator[Event | Ack]:
        """Stream the events that match until the subscriber leaves."""
        async for event in self._bus.subscribe(request.subject):
            yield event
        yield Ack()

    async def _ask(self, record: ServiceInfo) -> ServiceInfo:
        record = checked(record)
        if record.health is not Health.ALIVE:
            return record
        if (record.name, record.is_ci) == (self.name, self.is_ci):
            return await self.describe()
        try:
            async with asyncio.timeout(_ASK_S):
                return await self.context.call(_info_of(record))
        except TimeoutError:
            reason = f"no answer within {_ASK_S:g} s"
        except TektonError as error:
            reason = error.message
        return dataclasses.replace(record, health=Health.DEAD, reason=reason)

    async def _watch_records(self) -> None:
        """Tell the bus of each death that no owner announces: a killed process, a lost socket."""
        dead: set[tuple[str, bool]] = set()
        while True:
            for record in self.context.registry.records():
                key, found = (record.name, record.is_ci), checked(record)
                if found.health is not Health.DEAD:
                    dead.discard(key)
                elif key not in dead:
                    dead.add(key)
                    kind = "ci" if record.is_ci else "service"
                    self.context.publish(
                        f"{kind}.{record.name}.died", reason=found.reason, pid=record.pid
                    )
            await asyncio.sleep(_WATCH_EVERY_S)


def _info_of(record: ServiceInfo) -> Info:
    return Info(ci=record.name) if record.is_ci else Info(service=record.name)
