"""Running services: sockets, records, start and stop, each told to the bus."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from backends.config import PORTS, SERVICES
from backends.errors import TektonError
from backends.paths import private_folder
from backends.protocol.messages import Health
from backends.service.base import Caller, Context, Gate, Service
from backends.service.dispatch import Session
from backends.transport.base import Channel
from backends.transport.listener import Listener, listen_tcp, listen_unix

if TYPE_CHECKING:
    from backends.transport.websocket import Guard

log = logging.getLogger(__name__)


class Runner:
    """Runs the services of one process."""

    def __init__(self, context: Context, gate: Gate, guard: Guard) -> None:
        self._context = context
        self._gate = gate
        self._guard = guard
        self._running: dict[tuple[str, bool], _Running] = {}

    @property
    def services(self) -> list[Service]:
        """Every service that runs here, in the order of their starts."""
        return [running.service for running in self._running.values()]

    def find(self, name: str, is_ci: bool) -> Service | None:
        """Return the service or CI of that name, if it runs here."""
        running = self._running.get((name, is_ci))
        return running.service if running else None

    async def start(self, service: Service) -> None:
        """Start a service, listen, and write its record.

        Raises:
            TektonError: It cannot; nothing of it is left.
        """
        running = _Running(service)
        try:
            await service.start()
            await self._listen(running)
            service.record = dataclasses.replace(
                await service.describe(),
                pid=os.getpid(),
                socket=os.fspath(self._context.paths.socket(service.name, service.is_ci)),
                urls=tuple(listener.where for listener in running.listeners[1:]),
                started_at=self._context.now(),
            )
            self._context.registry.write(service.record)
        except BaseException:
            await running.close()
            raise
        self._running[service.name, service.is_ci] = running
        self._context.publish(f"{_subject(service)}.started", pid=os.getpid())
        _tell(service, "started")

    async def stop(self, service: Service, leaves_record: bool = False) -> None:
        """Stop a service: no more connections, open ones end.

        Its record goes, or stays to say when the service ended.
        """
        running = self._running.pop((service.name, service.is_ci))
        self._context.publish(f"{_subject(service)}.stopped")
        try:
            self._sign_off(service, leaves_record)  # first, or it would look like a death
        finally:
            await running.close()
        _tell(service, "stopped")

    def _sign_off(self, service: Service, leaves_record: bool) -> None:
        found = self._context.registry.find(service.name, service.is_ci)
        if found is not None and found.pid != os.getpid():
            pass  # another process has taken over meanwhile; the record is its own
        elif leaves_record:
            ended = dataclasses.replace(
                service.record,
                health=Health.ENDED,
                reason="it was stopped",
                ended_at=self._context.now(),
            )
            self._context.registry.write(ended)
        else:
            self._context.registry.remove(service.name, service.is_ci)

    async def stop_all(self, leaves_records: bool = False) -> None:
        """Stop everything, the last started first; one that fails does not keep the others."""
        for service in reversed(self.services):
            try:
                await self.stop(service, leaves_records)
            except Exception:
                log.exception("%s did not stop well", service.name)

    def serve(
        self, service: Service, channel: Channel, caller: Caller | None = None
    ) -> asyncio.Task[None]:
        """Serve a channel of this process, for `caller`; the task ends with the channel."""
        running = self._running[service.name, service.is_ci]

        async def session() -> None:
            try:
                await Session(service, channel, self._gate, caller).run()
            finally:
                await channel.close()  # or its client would wait for a service that has ended

        return running.spawn(session())

    async def _listen(self, running: _Running) -> None:
        service = running.service

        async def on_channel(channel: Channel) -> None:
            if channel.peer.is_local and not channel.peer.is_trusted:
                log.warning("refused a process of another user (%s)", channel.peer.where)
                return
            session = running.spawn(Session(service, channel, self._gate).run())
            await asyncio.wait([session])
            if not session.cancelled():
                session.result()  # raises what went wrong

        path = self._context.paths.socket(service.name, service.is_ci)
        private_folder(path.parent)
        running.listeners.append(await listen_unix(path, on_channel))
        tcp = self._context.config.tcp
        name = _port_name(service)
        port = tcp.ports.get(name, PORTS.get(name))
        if tcp.enabled and port is not None:
            try:
                listener = await listen_tcp(tcp.host, port, on_channel, self._guard)
            except TektonError as error:
                error.message = f"{name} {error.message}"
                error.hint = f"`tekton config set tcp.ports.{name} PORT` gives it another"
                raise
            running.listeners.append(listener)


class _Running:
    """A service with all that has to end when it ends."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.listeners: list[Listener] = []
        self._sessions: set[asyncio.Task[None]] = set()

    def spawn(self, session: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(session)
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)
        return task

    async def close(self) -> None:
        for listener in self.listeners:
            await listener.close()
        for task in self._sessions:
            task.cancel()
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=3)
        await self.service.stop()


def _port_name(service: Service) -> str:
    """Return a service's key in the table of ports: the CI `rhetor` is not the gateway `rhetor`."""
    is_shadowed = service.is_ci and not service.is_service and service.name in SERVICES
    return f"{service.name}-ci" if is_shadowed else service.name


def _tell(service: Service, what: str) -> None:
    kind = "CI" if service.is_ci else "service"
    own = logging.getLogger(f"backends.{service.name}")
    own.info("%s %s %s", kind, service.name, what, extra={"service": service.name})


def _subject(service: Service) -> str:
    return f"ci.{service.name}" if service.is_ci else f"service.{service.name}"
