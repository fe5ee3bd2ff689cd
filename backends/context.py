"""What the services of one process are given: the way to each other and to everybody else."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from backends.client.client import Client
from backends.client.discovery import target
from backends.client.tekton import Tekton
from backends.config import Config
from backends.errors import TektonError
from backends.paths import Paths
from backends.protocol.messages import Publish, Request
from backends.registry import Registry
from backends.service.base import CALLER, Caller, Service
from backends.service.dispatch import MAX_OPEN
from backends.service.runner import Runner
from backends.transport.memory import memory_pair

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_MAX_EVENTS = 10_000
_MAX_CALLS = MAX_OPEN // 2
"""Calls to one service that may be open; the next wait, where a connection would refuse them."""


class ProcessContext:
    """Reaches services of this process through memory, all others through their sockets.

    `runner` is set once it exists, before the first service starts.
    """

    runner: Runner
    on_ci: Callable[[str, bool], None] | None = None
    """Told the name of a CI that a service has started, and whether it runs or has ended."""

    def __init__(self, config: Config, paths: Paths) -> None:
        self.config = config
        self.paths = paths
        self.registry = Registry(paths.registry)
        self._outside = Tekton(paths=paths, is_local=True)
        self._inside: dict[tuple[str, bool], Client] = {}
        self._turnstile: dict[tuple[str, bool], asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(_MAX_CALLS)
        )
        self._events: deque[Publish] = deque(maxlen=_MAX_EVENTS)
        self._has_events = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sender = asyncio.ensure_future(self._send_events())

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def call(self, request: Request[ResultT]) -> ResultT:
        """Ask whoever answers the request, over a connection that is kept."""
        key = target(request)
        if self.runner.find(*key) is None:
            return await self._outside.call(request)
        async with self._turnstile[key]:
            client = self._inside.get(key)
            if client is None or not client.is_open:
                client = self._inside[key] = self._connect(*key)
            return await client.call(request)

    async def stream(self, request: Request[Any]) -> AsyncGenerator[Any, None]:
        """Ask over a connection of its own, so that a slow reader holds up nobody else.

        It is for whoever this is asked for: a gateway does not stand for the one behind it.
        """
        if self.runner.find(*target(request)) is None:
            door: Tekton | Client = Tekton(paths=self.paths, is_local=True)
        else:
            door = self._connect(*target(request), CALLER.get())
        async with door, aclosing(door.stream(request)) as items:
            async for item in items:
                yield item

    def publish(self, subject: str, **data: Any) -> None:
        """Put an event on the bus without waiting; events keep their order."""
        known = {key: value for key, value in data.items() if value is not None}
        self._events.append(Publish(subject=subject, data=known))
        self._has_events.set()

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that must end even if the one who asked is gone."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def start_service(self, service: Service) -> None:
        """Have another service run in this process."""
        await self.runner.start(service)
        if self.on_ci is not None and service.is_ci:
            self.on_ci(service.name, True)

    async def stop_service(self, service: Service) -> None:
        """End a service of this process, if it runs."""
        if self.runner.find(service.name, service.is_ci) is service:
            await self.runner.stop(service)
            if self.on_ci is not None and service.is_ci:
                self.on_ci(service.name, False)

    async def close(self, grace_s: float = 2.0) -> None:
        """Let background work end within the grace, then end it; close all connections."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in (self._sender, *self._tasks):
            task.cancel()
        for client in self._inside.values():
            await client.close()
        await self._outside.close()

    def _connect(self, name: str, is_ci: bool, caller: Caller | None = None) -> Client:
        service = self.runner.find(name, is_ci)
        assert service is not None  # nosec B101
        near, far = memory_pair()
        self.runner.serve(service, far, caller)
        return Client(near)

    async def _send_events(self) -> None:
        while True:
            await self._has_events.wait()
            self._has_events.clear()
            while self._events:
                event = self._events.popleft()
                try:
                    await self.call(event)
                except TektonError as error:
                    log.debug("event %s is lost: %s", event.subject, error.message)
                except Exception:
                    log.exception("event %s is lost", event.subject)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background work failed", exc_info=error)
