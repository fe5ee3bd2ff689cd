"""A terminal of the hub that a test plays, and the window of the person who attaches to it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import select
import sys
import termios
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from backends.errors import NotFound, TektonError
from backends.protocol.messages import Ack, Event, Subscribe
from backends.protocol.screens import Screen, ScreenChange, ShowScreen, WatchScreen
from backends.protocol.terminals import (
    AttachTerminal,
    ListTerminals,
    Output,
    ResizeTerminal,
    SignalTerminal,
    TerminalEnd,
    TerminalInfo,
    Terminals,
    Typed,
    WriteTerminal,
)
from backends.service.base import Service, handles
from terma.screen.ghostty import GhosttyEngine
from tests.backends.services import StageContext, elsewhere, running
from tests.scenarios.terminal import Terminal

PATIENCE_S = 20.0
ID = "0123456789abcdef0123456789abcdef"
COMMAND = [sys.executable, "-c", "from terma.cli import main; main()"]


class StagedTerma(Service):
    """Has one terminal, `alice`; what it puts out is what the test says."""

    name = "terma"

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        self.engine = GhosttyEngine(80, 24, 100)
        self.size = (80, 24)
        self.output = b""
        self.asked: list[Any] = []
        self.typed = b""
        self.info = TerminalInfo(name="alice", id=ID)
        self.others: tuple[TerminalInfo, ...] = ()
        self.end: TerminalEnd | None = None
        self.holds_writes = False
        self.holds_screen = False
        self.before_screen = b""
        """What is put out before a screen is shown."""
        self.write_error: TektonError | None = None
        self.attach_error: TektonError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sizes: dict[str, tuple[int, int]] = {}
        self._queues: set[asyncio.Queue[Any]] = set()
        self._released: asyncio.Event = asyncio.Event()

    async def start(self) -> None:
        """Remember the loop, in which the test's calls are done."""
        self._loop = asyncio.get_running_loop()

    # -- what the test does --------------------------------------------------------------------

    def put(self, data: bytes) -> None:
        """Put out something."""
        self._do(lambda: self._put(data))

    def resize(self, columns: int, rows: int) -> None:
        """Take another size, as if somebody else had typed."""
        self._do(lambda: self._resize((columns, rows)))

    def tell(self, item: Output | TerminalEnd | TektonError) -> None:
        """Send something to those who are attached."""
        if isinstance(item, TerminalEnd):
            self.end = item
        self._do(lambda: self._send(item))

    def release(self) -> None:
        """Answer the writes that are held."""
        self.holds_writes = False
        self._do(self._released.set)

    def put_before(self, data: bytes) -> None:
        """Have something on the screen already when the service starts."""
        self.engine.feed(data)

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds, while nobody reads what the window gets."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"it did not come: {what}"
            time.sleep(0.01)

    @property
    def attached(self) -> int:
        """How many get the output."""
        return len(self._queues)

    def count(self, kind: type[Any]) -> int:
        """How many requests of a kind have come."""
        return sum(isinstance(request, kind) for request in self.asked)

    def _do(self, work: Callable[[], None]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(work)

    def _send(self, item: Any) -> None:
        for queue in self._queues:
            queue.put_nowait(item)

    def _put(self, data: bytes) -> None:
        self.engine.feed(data)
        offset = len(self.output)
        self.output += data
        self._send(Output(offset=offset, data=b64encode(data).decode()))

    def _resize(self, size: tuple[int, int]) -> None:
        if size != self.size:
            self.size = size
            self.engine.resize(*size)
            self._send(Output(offset=len(self.output), columns=size[0], rows=size[1]))

    # -- what is asked of it -------------------------------------------------------------------

    @handles(ListTerminals)
    async def list(self, request: ListTerminals) -> Terminals:
        """List the terminal, or all."""
        self.asked.append(request)
        if request.name is None:
            return Terminals(terminals=(self.info, *self.others))
        if request.name not in (self.info.name, ID):
            raise NotFound(f"no terminal named {request.name!r}", "`terma list` shows all")
        return Terminals(terminals=(self.info,))

    @handles(AttachTerminal)
    async def attach(self, request: AttachTerminal) -> AsyncGenerator[Output | TerminalEnd, None]:
        """Stream a repaint and what follows."""
        if self.attach_error is not None:
            raise self.attach_error
        self.asked.append(request)
        attachment = f"a{len(self.asked)}"
        if not request.is_read_only:
            self._resize((request.columns, request.rows))
        self._sizes[attachment] = (request.columns, request.rows)
        data = b64encode(self.engine.repaint()).decode()
        yield Output(
            offset=len(self.output), data=data, is_repaint=True, attachment=attachment,
            columns=self.size[0], rows=self.size[1],
        )  # fmt: skip
        async for item in self._follow():
            yield item

    async def _follow(self) -> AsyncGenerator[Any, None]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._queues.add(queue)
        try:
            while self.end is None or not queue.empty():
                item = await queue.get()
                if isinstance(item, TektonError):
                    raise item
                yield item
                if isinstance(item, TerminalEnd):
                    return
            yield self.end
        finally:
            self._queues.discard(queue)

    @handles(ShowScreen)
    async def show(self, request: ShowScreen) -> Screen:
        """Show the screen, with what is above it."""
        self.asked.append(request)
        if self.holds_screen:
            await self._released.wait()
        if self.before_screen:
            self._put(self.before_screen)
            self.before_screen = b""
        screen = self.engine.show(scrollback=request.scrollback)
        return dataclasses.replace(screen, offset=len(self.output))

    @handles(WatchScreen)
    async def watch(self, request: WatchScreen) -> AsyncGenerator[ScreenChange | TerminalEnd, None]:
        """Stream the whole screen, at each output."""
        self.asked.append(request)
        yield self._change()
        async with contextlib.aclosing(self._follow()) as items:
            async for item in items:
                if isinstance(item, TerminalEnd):
                    yield item
                    return
                yield self._change()

    def _change(self) -> ScreenChange:
        screen = self.engine.show()
        return ScreenChange(
            offset=len(self.output), screen=screen, cursor_column=screen.cursor_column,
            cursor_row=screen.cursor_row, cursor_is_visible=screen.cursor_is_visible,
        )  # fmt: skip

    @handles(WriteTerminal)
    async def write(self, request: WriteTerminal) -> Typed:
        """Note what is typed."""
        self.asked.append(request)
        if self.write_error is not None:
            raise self.write_error
        if self.holds_writes:
            await self._released.wait()
        data = b64decode(request.data)
        self.typed += data
        if request.attachment is not None:
            self._resize(self._sizes[request.attachment])
        return Typed(written=len(data))

    @handles(ResizeTerminal)
    async def take_size(self, request: ResizeTerminal) -> Ack:
        """Take the size of a person's window."""
        self.asked.append(request)
        if request.attachment is not None:
            self._sizes[request.attachment] = (request.columns, request.rows)
        self._resize((request.columns, request.rows))
        return Ack()

    @handles(SignalTerminal)
    async def signal(self, request: SignalTerminal) -> Ack:
        """Note it."""
        self.asked.append(request)
        return Ack()


class StagedHermes(Service):
    """A bus whose events are the test's."""

    name = "hermes"

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        self._queues: list[tuple[str, asyncio.Queue[Event]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Remember the loop."""
        self._loop = asyncio.get_running_loop()

    @property
    def subscribers(self) -> int:
        """How many listen."""
        return len(self._queues)

    def publish(self, subject: str, **data: Any) -> None:
        """Send an event."""
        assert self._loop is not None
        event = Event(subject=subject, at=0.0, data=data)
        for wanted, queue in self._queues:
            if fnmatchcase(subject, wanted):
                self._loop.call_soon_threadsafe(queue.put_nowait, event)

    @handles(Subscribe)
    async def subscribe(self, request: Subscribe) -> AsyncGenerator[Event | Ack, None]:
        """Stream the test's events."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._queues.append((request.subject, queue))
        while True:
            yield await queue.get()


@contextlib.contextmanager
def serving(*services: Service) -> Iterator[None]:
    """Let services listen where the clients of this test look for them."""
    context = services[0].context
    assert isinstance(context, StageContext)
    with elsewhere(lambda: running(context, *services)):
        yield


class Window(Terminal):
    """A person's terminal in which a program runs, with the screen that they see."""

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str] | None = None,
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self.engine = GhosttyEngine(columns, rows, 1000)
        self._fed = 0
        super().__init__(command, environment or dict(os.environ), Path.cwd(), rows)
        super().resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        self._feed()
        self.engine.resize(columns, rows)
        super().resize(columns, rows)

    def _feed(self) -> None:
        self.engine.feed(self.shown[self._fed :])
        self._fed = len(self.shown)

    @property
    def text(self) -> str:
        """What the window shows, a line for each row."""
        self._feed()
        return "\n".join(
            "".join(run.text for run in row.runs).rstrip() for row in self.engine.show().lines
        )

    def paste(self, data: bytes) -> None:
        """Type a lot, as fast as it is taken."""
        os.set_blocking(self._master, False)
        while data:
            try:
                data = data[os.write(self._master, data[:4096]) :]
            except BlockingIOError:
                self.read_for(0.005)
        os.set_blocking(self._master, True)

    def take(self, end: bytes) -> bytes:
        """Read until something comes, and return that with what came before it."""
        taken = bytearray()
        while end not in taken[-8192:]:
            ready, _, _ = select.select([self._master], [], [], PATIENCE_S)
            assert ready, f"{end!r} did not come"
            taken += os.read(self._master, 65536)
        return bytes(taken)

    def mode(self, number: int) -> bool:
        """Tell whether a private mode of the terminal is set."""
        self._feed()
        return bool(self.engine._mode(number))

    def wait_text(self, text: str) -> None:
        """Wait until the window shows a text."""
        self.wait_until(lambda: text in self.text, f"{text!r} on the screen:\n{self.text}")

    @property
    def attributes(self) -> list[Any]:
        """What termios says of the terminal."""
        return termios.tcgetattr(self._master)
