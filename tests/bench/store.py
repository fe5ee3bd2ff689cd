"""The store of turns: what a turn costs, and a search among a hundred thousand."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from functools import partial

from sqlalchemy import Connection, insert

from backends.database import Database
from backends.engram.tables import HEAD, MIGRATIONS, metadata, sessions, turns
from backends.engram.turns import TurnStore
from backends.protocol.messages import Turn, TurnStatus
from tests.bench.figures import Figure, Section
from tests.bench.stage import Stage, rounds

_TURNS = 100_000
_BATCH = 5000
_SESSION = "s"
_WORDS = [f"{start}{number}" for start in ("ba", "ce", "di", "fo") for number in range(500)]

ABOUT = f"""\
The store behind `aish history`, in one process, in a file of {_TURNS:,} turns with 60 words each. A
turn is written when it begins, before its prompt is sent, and again when it ends. The word that
is searched for is in about 3,000 turns, and the 20 newest are read."""


def measure(stage: Stage, runs: int) -> Section:
    """Fill a store, then write and search."""
    path = stage.home().folder / "engram.db"
    written, found = asyncio.run(_measure(Database(path, metadata, MIGRATIONS, HEAD), runs))
    return Section(
        title="The store of turns",
        about=ABOUT,
        figures=(
            Figure(what="a turn, begun and ended", unit="ms", values=written),
            Figure(what=f"a search among {_TURNS:,} turns", unit="ms", values=found, limit=50),
        ),
    )


async def _measure(database: Database, runs: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    store, chance = TurnStore(database), random.Random(1)
    await database.open()
    try:
        await database.write(_add_session)
        for batch in rounds(f"store: {_BATCH:,} turns", _TURNS // _BATCH):
            made = [_turn(batch * _BATCH + number, chance) for number in range(_BATCH)]
            await database.write(partial(_add, made))
        written = [
            await _write(store, _turn(_TURNS + number, chance))
            for number in rounds("store: a turn", runs)
        ]
        found = [await _search(store, chance) for _ in rounds("store: a search", runs)]
    finally:
        await database.close()
    return tuple(written), tuple(found)


def _add_session(connection: Connection) -> None:
    connection.execute(
        insert(sessions), {"id": _SESSION, "ci": "mirror", "started_at": 0.0, "updated_at": 0.0}
    )


def _add(made: list[Turn], connection: Connection) -> None:
    rows = [{**dataclasses.asdict(turn), "status": turn.status.value} for turn in made]
    connection.execute(insert(turns), rows)


def _turn(number: int, chance: random.Random) -> Turn:
    words = chance.choices(_WORDS, k=60)
    return Turn(
        id=f"{number:032x}", session=_SESSION, ci="mirror", status=TurnStatus.COMPLETE,
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
