"""A running Engram for tests, asked through a client as everybody asks it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from backends.client.client import Client
from backends.config import Config
from backends.config import Engram as Settings
from backends.engram.service import Engram
from backends.paths import private_folder
from backends.protocol.conversations import BeginTurn, Turn, TurnStatus
from tests.backends.services import StageContext, client_of

T = TypeVar("T")

A, B = "a" * 32, "b" * 32
"""Ids of sessions."""


@contextlib.asynccontextmanager
async def memory(
    context: StageContext | None = None,
    clean_up_every_s: float = 86400.0,
    try_again_s: float = 30.0,
) -> AsyncIterator[tuple[Client, StageContext]]:
    """Start an Engram, give a client of it, and stop it."""
    context = context or StageContext()
    private_folder(context.paths.state)
    service = Engram(context, clean_up_every_s, try_again_s)
    await service.start()
    try:
        async with client_of(service) as client:
            yield client, context
    finally:
        await service.stop()


def ask(work: Callable[[Client], Awaitable[T]], context: StageContext | None = None) -> T:
    """Run `work` with a client of an Engram."""

    async def main() -> T:
        async with memory(context) as (client, _):
            return await work(client)

    return asyncio.run(main())


def keeping(days: int) -> StageContext:
    """Return a context where conversations are kept so many days."""
    return StageContext(Config(engram=Settings(keep_days=days)))


def turn(name: str, parent: str | None = None, **fields: Any) -> Turn:
    """Return a turn of conversation `A` with apollo, unless told otherwise."""
    given: dict[str, Any] = {
        "session": A, "ci": "apollo", "status": TurnStatus.COMPLETE, "prompt": f"prompt {name}",
        "answer": f"answer {name}", "started_at": 1.0,
    }  # fmt: skip
    return Turn(id=name, parent=parent, **{**given, **fields})


async def store(client: Client, *turns: Turn, terminal: str | None = None) -> None:
    """Begin turns, one after another."""
    for one in turns:
        await client.call(BeginTurn(turn=one, terminal=terminal))


def line(*names: str, **fields: Any) -> list[Turn]:
    """Return turns that follow each other, a second apart."""
    start = fields.pop("started_at", 1.0)
    return [
        turn(name, parent, started_at=start + number, **fields)
        for number, (name, parent) in enumerate(zip(names, (None, *names), strict=False))
    ]


def rows(path: Path, statement: str) -> list[Any]:
    """Ask the file itself."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()
