"""Chunks on their way: joined for a slow reader, bounded, and never lost in silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.errors import ConnectionLost
from backends.protocol.messages import Event, Piece
from backends.service.outlet import Outlet
from tests.backends.stage import is_stuck, run


class Reader:
    """Takes chunks only while it is awake."""

    def __init__(self) -> None:
        self.read: list[Any] = []
        self.is_awake = asyncio.Event()

    async def send(self, chunk: Any) -> None:
        await self.is_awake.wait()
        self.read.append(chunk)

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.read)


def test_a_quick_reader_gets_each_piece_as_it_comes() -> None:
    async def work() -> None:
        reader = Reader()
        reader.is_awake.set()
        outlet = Outlet(reader.send)
        for text in ("a", "b", "c"):
            await outlet.put(Piece(text=text))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await outlet.close()
        assert reader.read == [Piece(text="a"), Piece(text="b"), Piece(text="c")]
        assert outlet.failure is None

    run(work())


def test_a_slow_reader_gets_in_one_piece_what_has_waited() -> None:
    async def work() -> None:
        reader = Reader()
        outlet = Outlet(reader.send)
        for number in range(1000):
            await outlet.put(Piece(text=f"{number} "))
        reader.is_awake.set()
        await outlet.close()
        assert len(reader.read) <= 2
        assert reader.text == "".join(f"{number} " for number in range(1000))

    run(work())


def test_a_notice_keeps_its_place_and_is_joined_with_nothing() -> None:
    async def work() -> None:
        reader = Reader()
        outlet = Outlet(reader.send)
        pieces = [Piece(text="a"), Piece(text="b"), Piece(notice="n"), Piece(text="c")]
        for piece in [*pieces, Piece(text="d")]:
            await outlet.put(piece)
        reader.is_awake.set()
        await outlet.close()
        assert reader.read == [Piece(text="ab"), Piece(notice="n"), Piece(text="cd")]

    run(work())


@settings(max_examples=50)
@given(st.lists(st.text(max_size=5) | st.integers() | st.none(), max_size=30))
def test_whatever_comes_arrives_in_its_order(steps: list[str | int | None]) -> None:
    """Text, other chunks, and a reader that falls asleep and wakes up."""

    async def work() -> None:
        reader = Reader()
        outlet = Outlet(reader.send)
        sent: list[Any] = []
        for step in steps:
            if step is None:
                (reader.is_awake.clear if reader.is_awake.is_set() else reader.is_awake.set)()
                await asyncio.sleep(0)
            else:
                chunk = (
                    Piece(text=step) if isinstance(step, str) else Event(subject=str(step), at=0)
                )
                sent.append(chunk)
                await outlet.put(chunk)
        reader.is_awake.set()
        await outlet.close()
        assert flat(reader.read) == flat(sent)

    asyncio.run(work())


def flat(chunks: list[Any]) -> list[str]:
    """Each event, and all text between two of them as one."""
    found = [""]
    for chunk in chunks:
        if isinstance(chunk, Piece):
            found[-1] += chunk.text
        else:
            found += [chunk.subject, ""]
    return found


@pytest.mark.parametrize(
    ("chunk", "most"), [(Piece(text="x" * 1000), 600), (Event(subject="a", at=0), 600)]
)
def test_only_so_much_waits(chunk: Any, most: int) -> None:
    async def work() -> None:
        reader, put = Reader(), 0
        outlet = Outlet(reader.send)

        async def fill() -> None:
            nonlocal put
            for _ in range(2000):
                await outlet.put(chunk)
                put += 1

        filling = asyncio.create_task(fill())
        assert await is_stuck(asyncio.shield(filling))
        assert 256 <= put <= most
        reader.is_awake.set()
        await filling
        await outlet.close()
        count = len(reader.text) // 1000 if isinstance(chunk, Piece) else len(reader.read)
        assert count == 2000

    run(work())


def test_a_reader_that_is_gone_stops_who_writes() -> None:
    async def gone(chunk: Any) -> None:
        raise ConnectionLost("gone")

    async def work() -> None:
        outlet = Outlet(gone)
        with pytest.raises(ConnectionLost):
            for _ in range(10):
                await outlet.put(Piece(text="x" * 1_000_000))
        await outlet.close()
        assert isinstance(outlet.failure, ConnectionLost)

    run(work())


def test_a_last_chunk_that_cannot_be_sent_is_not_lost_in_silence() -> None:
    async def fail(chunk: Any) -> None:
        raise ZeroDivisionError

    async def work() -> None:
        outlet = Outlet(fail)
        await outlet.put(Piece(text="x"))
        await outlet.close()
        assert isinstance(outlet.failure, ZeroDivisionError)

    run(work())


def test_closing_can_be_given_up() -> None:
    async def work() -> None:
        outlet = Outlet(Reader().send)
        await outlet.put(Piece(text="x"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await outlet.close()
        assert outlet.failure is None

    run(work())
