"""A service `terma` that says what a test wants, so that every state can be shown.

With it runs a bus, whose events are a test's too.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from backends.errors import NotFound, TektonError
from backends.protocol.messages import Ack, Event, Request, Subscribe
from backends.protocol.terminals import (
    ChangeRoles,
    Closed,
    CloseTerminal,
    ListTerminals,
    RenameTerminal,
    Restored,
    RestoreTerminals,
    TerminalInfo,
    Terminals,
)
from backends.service.base import Service, handles
from tests.backends.services import StageContext, elsewhere, running
from tests.scenarios.tekton_process import Ran

TERMA = [sys.executable, "-c", "from terma.cli import main; main()"]


class ScriptedTerma(Service):
    """Knows the terminals of a test, and notes what it is asked."""

    name = "terma"

    def __init__(self, context: StageContext, *terminals: TerminalInfo) -> None:
        super().__init__(context)
        self.terminals = list(terminals)
        self.closed: list[TerminalInfo] = []
        self.asked: list[Request[Any]] = []
        self.answers: dict[str, Closed | TektonError] = {}
        """How closing ends, by name; otherwise it ends well."""
        self.restored = Restored()
        self.together = 0
        """Requests to close that have to be there before any is answered."""
        self._closing = 0
        self._is_time = asyncio.Event()

    @handles(ListTerminals)
    async def list(self, request: ListTerminals) -> Terminals:
        """List all, or one, or what is closed."""
        if request.is_closed:
            closed = [one for one in self.closed if request.name in (None, one.name)]
            return Terminals(terminals=tuple(closed))
        found = [one for one in self.terminals if request.name in (None, one.name, one.id)]
        if request.name and not found:
            raise NotFound(f"no terminal named {request.name!r}", "`terma list` shows all")
        return Terminals(terminals=tuple(found), host_pid=4321)

    @handles(RenameTerminal)
    async def rename(self, request: RenameTerminal) -> TerminalInfo:
        """Note it."""
        self.asked.append(request)
        return self.terminals[0]

    @handles(ChangeRoles)
    async def role(self, request: ChangeRoles) -> TerminalInfo:
        """Note it."""
        self.asked.append(request)
        return self.terminals[0]

    @handles(CloseTerminal)
    async def close(self, request: CloseTerminal) -> Closed:
        """Note it, and answer as the test has it."""
        self.asked.append(request)
        self._closing += 1
        if self._closing >= self.together:
            self._is_time.set()
        await self._is_time.wait()
        [name] = [one.name for one in self.terminals if one.id == request.name]
        answer = self.answers.get(name, Closed(name=name, ended=2))
        if isinstance(answer, TektonError):
            raise answer
        self.terminals = [one for one in self.terminals if one.name != name]
        return answer

    @handles(RestoreTerminals)
    async def restore(self, request: RestoreTerminals) -> Restored:
        """Note it, and answer as the test has it."""
        self.asked.append(request)
        return self.restored


class ScriptedBus(Service):
    """Tells every subscriber of an event when the test says so."""

    name = "hermes"

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        self.subjects: list[str] = []
        self._queues: list[asyncio.Queue[Event]] = []

    @handles(Subscribe)
    async def subscribe(self, request: Subscribe) -> AsyncGenerator[Event | Ack, None]:
        """Stream what `tell` is given."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._queues.append(queue)
        self.subjects.append(request.subject)
        while True:
            yield await queue.get()

    def tell(self, subject: str) -> None:
        """Put an event on the bus, from the bus's own thread."""
        for queue in self._queues:
            queue.put_nowait(Event(subject=subject, at=0.0))


class Stage:
    """A scripted service with its bus, on the sockets of this test's home."""

    def __init__(self, terma: ScriptedTerma, bus: ScriptedBus) -> None:
        self.terma, self.bus = terma, bus
        self.loop = asyncio.get_running_loop()

    def tell(self, subject: str) -> None:
        """Put an event on the bus."""
        self.loop.call_soon_threadsafe(self.bus.tell, subject)


@contextmanager
def scripted(*terminals: TerminalInfo) -> Iterator[Stage]:
    """Serve terminals on the sockets of this test's home."""

    @contextlib.asynccontextmanager
    async def work() -> AsyncIterator[Stage]:
        context = StageContext()
        terma, bus = ScriptedTerma(context, *terminals), ScriptedBus(context)
        async with running(context, bus, terma):
            yield Stage(terma, bus)

    with elsewhere(work) as stage:
        yield stage


def run(*arguments: str, variables: Mapping[str, str] | None = None) -> Ran:
    """Run `terma` to its end in this test's home; its standard input is /dev/null."""
    ran = subprocess.run(
        [*TERMA, *arguments], env=os.environ | dict(variables or {}), stdin=subprocess.DEVNULL,
        capture_output=True, check=False, timeout=20,
    )  # fmt: skip
    return Ran(ran.returncode, ran.stdout, ran.stderr.decode())


def decoded(environment: str) -> dict[str, str]:
    """Return an environment as the protocol has it by its names."""
    strings = base64.b64decode(environment).decode().split("\0")[:-1]
    return dict(one.split("=", 1) for one in strings)
