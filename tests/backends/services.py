"""Services for tests: a context that notes what it is asked, a service that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
)
from concurrent.futures import Future
from typing import Any, TypeVar

from backends.client.client import Client
from backends.config import Config
from backends.errors import TektonError
from backends.paths import Paths, find_paths, private_folder
from backends.protocol.messages import Ack, Answer, Chat, Piece, Publish, Request
from backends.registry import Registry
from backends.service.base import Context, Gate, Service, handles
from backends.service.dispatch import Session
from backends.service.runner import Runner
from backends.transport.base import Channel
from backends.transport.memory import memory_pair
from tests.backends.stage import allow

ResultT = TypeVar("ResultT")
T = TypeVar("T")

Script = Callable[[Chat], AsyncGenerator[Piece | Answer, None]]

DONE = Answer(ci="parrot", model="echo/echo")


class StageContext:
    """A context whose other services are functions of a test, and whose bus is a list."""

    def __init__(self, config: Config | None = None, paths: Paths | None = None) -> None:
        self.config = config or Config()
        self.paths = paths or find_paths()
        self.registry = Registry(self.paths.registry)
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.asked: list[Request[Any]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.time = 1000.0
        self.answer: Callable[[Request[Any]], Awaitable[Any]] = self.acknowledge
        self.stream_of: Callable[[Request[Any]], AsyncIterator[Any]] | None = None

    async def acknowledge(self, request: Request[Any]) -> Any:
        """Answer every request with `Ack`."""
        del request
        return Ack()

    def now(self) -> float:
        """Seconds of a clock that moves with each look."""
        self.time += 1
        return self.time

    async def call(self, request: Request[ResultT]) -> ResultT:
        """Note the request and answer it in the test's way."""
        self.asked.append(request)
        found: ResultT = await self.answer(request)
        return found

    async def stream(self, request: Request[Any]) -> AsyncGenerator[Any, None]:
        """Note the request and stream in the test's way."""
        self.asked.append(request)
        assert self.stream_of is not None
        async with contextlib.aclosing(self.stream_of(request)) as items:  # type: ignore[type-var]
            async for item in items:
                yield item

    def publish(self, subject: str, **data: Any) -> None:
        """Note an event."""
        self.events.append((subject, {key: item for key, item in data.items() if item is not None}))

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def start_service(self, service: Service) -> None:
        """Refuse: nothing listens here."""
        raise TektonError(f"no {service.name} can be started on this stage")

    async def stop_service(self, service: Service) -> None:
        """Nothing was started."""


class Parrot(Service):
    """Answers chats by a script, and notes which were closed before their end."""

    def __init__(
        self, context: Context, script: Script, name: str = "parrot", is_ci: bool = False
    ) -> None:
        self.name = name
        self.is_ci = is_ci
        super().__init__(context)
        self.script = script
        self.begun: list[str] = []
        self.ended: list[str] = []

    @handles(Chat)
    async def chat(self, chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        """Follow the script."""
        self.begun.append(chat.prompt)
        try:
            async with contextlib.aclosing(self.script(chat)) as items:
                async for item in items:
                    yield item
        finally:
            self.ended.append(chat.prompt)

    @handles(Publish)
    async def publish(self, request: Publish) -> Ack:
        """Take an event."""
        del request
        return Ack()


async def repeat(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
    """Answer with the prompt, in two pieces."""
    yield Piece(text=chat.prompt[:1])
    yield Piece(text=chat.prompt[1:])
    yield DONE


async def hold(chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
    """Begin an answer that never ends."""
    yield Piece(text=chat.prompt)
    await asyncio.Event().wait()
    yield DONE


async def nobody(token: str, who: str) -> bool:
    """Let no token in."""
    del token, who
    return False


OPEN = Gate(nobody)
"""The gate where only this user's own processes come in."""


def serving(service: Service, gate: Gate = OPEN) -> Callable[[Channel], Awaitable[None]]:
    """Return what serves a connection with a service."""

    async def on_channel(channel: Channel) -> None:
        await Session(service, channel, gate).run()

    return on_channel


@contextlib.asynccontextmanager
async def client_of(service: Service) -> AsyncIterator[Client]:
    """Give a client that is connected to a service through memory."""
    near, far = memory_pair()
    session = asyncio.create_task(Session(service, far, OPEN).run())
    async with Client(near) as client:
        yield client
    await session


@contextlib.asynccontextmanager
async def running(context: StageContext, *services: Service) -> AsyncIterator[Runner]:
    """Run services as a hub does: on their own sockets, with their records."""
    private_folder(context.paths.runtime)
    runner = Runner(context, OPEN, allow)
    for service in services:
        await runner.start(service)
    try:
        yield runner
    finally:
        await runner.stop_all()


@contextlib.contextmanager
def elsewhere(work: Callable[[], contextlib.AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """Hold something asynchronous open in a loop of its own, in a thread."""
    entered: Future[T] = Future()
    ending: Future[Callable[[], object]] = Future()

    async def main() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        ending.set_result(lambda: loop.is_closed() or loop.call_soon_threadsafe(over.set))
        try:
            async with work() as found:
                entered.set_result(found)
                await over.wait()
        except Exception as error:
            if entered.done():
                raise
            entered.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        yield entered.result(timeout=10)
    finally:
        ending.result(timeout=10)()
        thread.join(10)
        assert not thread.is_alive()
