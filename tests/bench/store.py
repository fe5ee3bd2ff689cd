"""The store of conversations: what a turn costs, and searches among a hundred thousand."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from functools import partial

from sqlalchemy import Connection, insert

from backends.database import Database
from backends.engram.sessions import SessionStore
from backends.engram.tables import HEAD, MIGRATIONS, metadata, sessions, turns
from backends.engram.turns import TurnStore
from backends.protocol.conversations import ListSessions, ResumeSession, Turn, TurnStatus
from tests.bench.figures import Figure, Section
from tests.bench.stage import Stage, rounds

_TURNS = 100_000
_BATCH = 5000
_TURNS_EACH = 10
_WORDS = [f"{start}{number}" for start in ("ba", "ce", "di", "fo") for number in range(500)]

ABOUT = f"""\
The store behind `aish history` and `aish session`, in one process, in a file of {_TURNS:,} turns
with 60 words each, {_TURNS_EACH} turns a conversation. A turn is written when it begins, before its
prompt is sent, and again when it ends. The word that is searched for is in about 3,000 turns; the
20 newest are read, or listed with their conversations. A prompt that goes on with a conversation
reads its turns first."""


def measure(stage: Stage, runs: int) -> Section:
    """Fill a store, then write and search."""
    path = stage.home().folder / "engram.db"
    database = Database(path, metadata, MIGRATIONS, HEAD)
    written, found, listed, resumed = asyncio.run(_measure(database, runs))
    return Section(
        title="The store of conversations",
        about=ABOUT,
        figures=(
            Figure(what="a turn, begun and ended", unit="ms", values=written),
            Figure(what=f"a search among {_TURNS:,} turns", unit="ms", values=found, limit=50),
            Figure(
                what=f"a search among {_TURNS // _TURNS_EACH:,} conversations", unit="ms",
                values=listed, limit=50,
            ),
            Figure(what="where a conversation goes on", unit="ms", values=resumed),
        ),
    )  # fmt: skip


async def _measure(database: Database, runs: int) -> list[tuple[float, ...]]:
    store, sessions_store, chance = TurnStore(database), SessionStore(database), random.Random(1)
    await database.open()
    try:
        await database.write(_add_sessions)
        for batch in rounds(f"store: {_BATCH:,} turns", _TURNS // _BATCH):
            made = [_turn(batch * _BATCH + number, chance) for number in range(_BATCH)]
            await database.write(partial(_add, made))
        written = [
            await _write(store, _turn(_TURNS + number, chance))
            for number in rounds("store: a turn", runs)
        ]
        found = [await _search(store, chance) for _ in rounds("store: a search", runs)]
        listed = [await _list(sessions_store, chance) for _ in rounds("store: conversations", runs)]
        resumed = [await _resume(sessions_store, n) for n in rounds("store: going on", runs)]
    finally:
        await database.close()
    return [tuple(values) for values in (written, found, listed, resumed)]


def _add_sessions(connection: Connection) -> None:
    rows = [
        {
            "id": _session_of(first), "ci": "mirror", "head": f"{first + _TURNS_EACH - 1:032x}",
            "started_at": float(first), "updated_at": float(first),
        }
        for first in range(0, _TURNS, _TURNS_EACH)
    ]  # fmt: skip
    connection.execute(insert(sessions), rows)


def _session_of(number: int) -> str:
    return f"{number // _TURNS_EACH:032x}"


def _add(made: list[Turn], connection: Connection) -> None:
    rows = [{**dataclasses.asdict(turn), "status": turn.status.value} for turn in made]
    connection.execute(insert(turns), rows)


def _turn(number: int, chance: random.Random) -> Turn:
    words = chance.choices(_WORDS, k=60)
    return Turn(
        id=f"{number:032x}", session=_session_of(number), ci="mirror", status=TurnStatus.COMPLETE,
        parent=f"{number - 1:032x}" if number % _TURNS_EACH else None,
        prompt=" ".join(words[:20]), answer=" ".join(words[20:]), started_at=float(number),
    )  # fmt: skip


async def _write(store: TurnStore, turn: Turn) -> float:
    running = dataclasses.replace(turn, status=TurnStatus.RUNNING, answer="")
    began = time.perf_counter()
    await store.begin(running)
    await store.update(turn)
    return (time.perf_counter() - began) * 1000


async def _search(store: TurnStore, chance: random.Random) -> float:
    began = time.perf_counter()
    found = await store.history(chance.choice(_WORDS))
    took_ms = (time.perf_counter() - began) * 1000
    if len(found) != 20:
        raise RuntimeError(f"the search found {len(found)} turns")
    return took_ms


async def _list(store: SessionStore, chance: random.Random) -> float:
    request = ListSessions(search=chance.choice(_WORDS), limit=20)
    began = time.perf_counter()
    found = await store.list(request)
    took_ms = (time.perf_counter() - began) * 1000
    if len(found.sessions) != 20:
        raise RuntimeError(f"the search found {len(found.sessions)} conversations")
    return took_ms


async def _resume(store: SessionStore, number: int) -> float:
    request = ResumeSession(ci="mirror", session=_session_of(number * 100))
    began = time.perf_counter()
    found = await store.resume(request, 0.0)
    took_ms = (time.perf_counter() - began) * 1000
    if len(found.turns) != _TURNS_EACH:
        raise RuntimeError(f"the conversation has {len(found.turns)} turns")
    return took_ms
