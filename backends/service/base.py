"""The one pattern of a service: typed requests in; a result, or chunks and a result, out."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from backends.config import Config
from backends.paths import Paths
from backends.protocol.messages import Info, Request, ServiceInfo
from backends.registry import Registry
from backends.transport.base import Peer

ResultT = TypeVar("ResultT")
MethodT = TypeVar("MethodT", bound=Callable[..., Any])


@dataclass(frozen=True)
class Caller:
    """Who asks: the peer as the socket tells it, and the token that came with its hello."""

    peer: Peer
    token: str | None = None


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Who asks, within the handler of a request that came through a connection."""


class Context(Protocol):
    """What a service is given: where things are, and the way to everybody else."""

    config: Config
    paths: Paths
    registry: Registry

    def now(self) -> float:
        """Seconds since the epoch."""

    async def call(self, request: Request[ResultT]) -> ResultT:
        """Ask whichever service answers the request, in this process or another.

        Raises:
            TektonError: What it answered, or that it cannot be reached.
        """

    def stream(self, request: Request[Any]) -> AsyncGenerator[Any, None]:
        """Ask; yield each chunk as it comes and the result last; closing it cancels."""

    def publish(self, subject: str, **data: Any) -> None:
        """Put an event on the bus, without waiting; lost, with a log line, where no bus is up."""

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that must end even if the one who asked is gone."""

    async def start_service(self, service: Service) -> None:
        """Have another service run in this process, beside the one that asks.

        Raises:
            TektonError: It cannot start.
        """

    async def stop_service(self, service: Service) -> None:
        """End a service that was started here; one that has ended already is left alone."""


def handles(request: type[Request[Any]]) -> Callable[[MethodT], MethodT]:
    """Mark the method that answers a kind of request.

    It takes the request and either is a coroutine that returns the result, or an asynchronous
    generator that yields chunks and then the result.
    """

    def mark(method: MethodT) -> MethodT:
        method.handled_request = request  # type: ignore[attr-defined]
        return method

    return mark


Handler = Callable[[Any], "Awaitable[Any] | AsyncIterator[Any]"]


class Service:
    """A named thing that answers requests on its own socket.

    Subclasses set `name`, mark handlers with `handles`, and may override `start` and `stop`.
    """

    name: str = ""
    is_ci: bool = False
    is_service: bool = True
    _handlers: ClassVar[Mapping[type[Request[Any]], str]] = {}

    def __init__(self, context: Context) -> None:
        self.context = context
        self.last_error: str | None = None
        self.record = ServiceInfo(
            name=self.name,
            is_ci=self.is_ci,
            is_service=self.is_service,
            description=(inspect.getdoc(type(self)) or "").partition("\n")[0],
        )

    def __init_subclass__(cls) -> None:
        found = dict(cls._handlers)
        for attribute, value in vars(cls).items():
            if request := getattr(value, "handled_request", None):
                found[request] = attribute
        cls._handlers = found

    async def start(self) -> None:
        """Get ready, before the first connection is taken."""

    async def stop(self) -> None:
        """Let go of everything, after the last connection has ended."""

    def handler(self, request: Request[Any]) -> Handler | None:
        """Return what answers a request, or `None`."""
        name = self._handlers.get(type(request))
        return getattr(self, name) if name else None

    async def legacy(self, line: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Answer a line of the original protocol; `None` where this service never spoke it."""
        return None

    async def describe(self) -> ServiceInfo:
        """Describe this service as it is now; `record` has what its runner knows of it."""
        return dataclasses.replace(self.record, last_error=self.last_error)

    async def answer_info(self, _: Info) -> ServiceInfo:
        """Answer who this is."""
        return await self.describe()


Service._handlers = {Info: "answer_info"}


@dataclass(frozen=True)
class Gate:
    """Who may come in from off the Unix socket.

    `is_valid` checks a token (and slows down whoever guesses); `allows_legacy` lets the original
    lines in without one.
    """

    is_valid: Callable[[str, str], Awaitable[bool]]
    allows_legacy: bool = False
