"""Deleting conversations so that nothing of them is left."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import sqlite3
from pathlib import Path

import pytest

from backends.client.client import Client
from backends.config import load_config
from backends.engram.service import Engram
from backends.errors import ConfigError, NotFound, StorageError, UsageError
from backends.paths import find_paths
from backends.protocol.conversations import (
    BeginTurn,
    ChangeSession,
    ForkSession,
    History,
    ListSessions,
    Removed,
    RemoveSessions,
    ResumeSession,
    ShowSession,
    TurnStatus,
    UpdateTurn,
)
from tests.backends.engram.memory import A, B, ask, keeping, line, memory, rows, store, turn
from tests.backends.services import StageContext

DAY_S = 86400.0


def raw() -> bytes:
    """Return every byte of every file in the state folder."""
    files = [path for path in find_paths().state.rglob("*") if path.is_file()]
    assert find_paths().turns in files
    return b"".join(path.read_bytes() for path in files)


def secret(number: int, count: int = 1) -> str:
    """Return words that no other number has."""
    return " ".join(f"secret{number}x{place}" for place in range(count))


async def fill(client: Client) -> dict[int, str]:
    """Store conversations of all sizes, told in pieces, their turns mixed; return their ids."""
    chance = random.Random(7)
    ids = {number: f"{number:032x}" for number in range(20)}
    for at in range(100):
        number = at % 20
        size = chance.choice([1, 30, 3000])  # up to many pages of the file
        one = turn(
            f"t{at}", None, session=ids[number], status=TurnStatus.RUNNING, answer="",
            prompt=secret(number, size), system=secret(number, size),
        )  # fmt: skip
        await client.call(BeginTurn(turn=one, terminal=secret(number)))
        for grown in (size // 2, size):
            one = dataclasses.replace(one, answer=secret(number, grown))
            await client.call(UpdateTurn(turn=one))
        await client.call(UpdateTurn(turn=dataclasses.replace(one, status=TurnStatus.COMPLETE)))
    for number, session in ids.items():
        change = ChangeSession(session=session, name=f"secret{number}x", title=secret(number))
        await client.call(change)
    return ids


def test_nothing_of_what_is_deleted_is_left_in_any_file() -> None:
    async def work(client: Client) -> None:
        ids = await fill(client)
        assert all(f"secret{number}x".encode() in raw() for number in ids)
        for gone in ((3,), (11, 0), (19,), (4, 5, 6)):
            request = RemoveSessions(sessions=tuple(ids.pop(number) for number in gone))
            counts = Removed(sessions=len(gone), turns=5 * len(gone))
            assert await client.call(request) == counts
            left = raw()
            for number in range(20):
                # The index shares beginnings of words, so a part has to be missing as well.
                for text in (f"secret{number}x", f"ecret{number}x"):
                    assert (text.encode() in left) is (number in ids), (number, gone)
        found = await client.call(ListSessions(search="secret3x0"))
        assert found.sessions == ()
        assert len((await client.call(ListSessions(search="secret7x0"))).sessions) == 1

    ask(work)
    check = "INSERT INTO turns_search (turns_search, rank) VALUES ('integrity-check', 1)"
    rows(find_paths().turns, check)


def test_the_copies_that_migrations_left_go_too() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1", prompt=secret(1)), turn("t2", session=B))
        path = find_paths().turns
        for name in ("0001.backup", "0001.backup.new"):
            path.with_name(f"{path.name}.{name}").write_text(secret(1))
        other = path.with_name("another.db.0001.backup")
        other.write_text("of another program")
        with pytest.raises(NotFound):
            await client.call(RemoveSessions(sessions=(A, "nobody")))
        assert raw().count(secret(1).encode()) >= 3
        await client.call(RemoveSessions(sessions=(A,)))
        assert b"secret1x" not in raw()
        assert other.exists()

    ask(work)


def test_a_file_that_was_written_without_care_is_cleaned() -> None:
    """As an older version did, where SQLite was built so that it leaves deleted text behind."""
    ask(lambda client: store(client, turn("t1")))
    path = find_paths().turns
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("PRAGMA user_version=0")
        connection.execute("UPDATE turns SET answer = ?", [secret(5, 5000)])
        connection.execute("UPDATE turns SET answer = ''")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"secret5x" in raw()

    async def work(client: Client) -> None:
        await client.call(RemoveSessions(sessions=(A,)))
        assert b"secret5x" not in raw()

    ask(work)


def test_another_process_that_still_reads_is_told_and_the_rest_follows_later() -> None:
    async def main() -> None:
        context = StageContext()
        async with memory(context, try_again_s=0.01) as (client, _):
            await store(client, turn("t1", prompt=secret(1)))
            path = context.paths.turns
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN")
                other.execute("SELECT count(*) FROM turns").fetchone()
                with pytest.raises(StorageError, match="another process reads it") as raised:
                    await client.call(RemoveSessions(sessions=(A,)))
                assert "lsof" in str(raised.value.hint)
                assert (await client.call(ListSessions())).sessions == ()
                assert b"secret1x" in raw()
            async with asyncio.timeout(10):
                while b"secret1x" in raw():
                    await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize("restart", [False, True])
def test_a_turn_that_ends_after_its_conversation_was_deleted_does_not_bring_it_back(
    restart: bool,
) -> None:
    running = turn("t1", status=TurnStatus.RUNNING)

    async def late(client: Client) -> None:
        ended = dataclasses.replace(running, status=TurnStatus.COMPLETE, answer=secret(1))
        with pytest.raises(NotFound, match="was deleted"):
            await client.call(UpdateTurn(turn=ended))
        for request in (BeginTurn(turn=turn("t2", "t1")), BeginTurn(turn=turn("t3"))):
            with pytest.raises(NotFound, match="was deleted"):
                await client.call(request)
        assert (await client.call(History())).turns == ()
        with pytest.raises(NotFound):
            await client.call(ShowSession(session=A))
        assert b"secret1x" not in raw()

    async def work(client: Client) -> None:
        await store(client, running)
        await client.call(RemoveSessions(sessions=(A,)))
        if not restart:
            await late(client)

    ask(work)
    if restart:
        ask(late)


def test_what_was_deleted_long_ago_is_forgotten_itself() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"))
        await client.call(RemoveSessions(sessions=(A,)))

    context = StageContext()
    ask(work, context)
    path = context.paths.turns
    assert len(rows(path, "SELECT session FROM removed")) == 1
    context.time += 31 * DAY_S

    async def forgotten() -> None:
        async with memory(context):
            async with asyncio.timeout(10):
                while rows(path, "SELECT session FROM removed"):
                    await asyncio.sleep(0.01)

    asyncio.run(forgotten())


def test_a_fork_outlives_what_it_was_copied_from() -> None:
    async def work(client: Client) -> None:
        await store(client, *line("t1", "t2"))
        copy = await client.call(ForkSession(session=A))
        await client.call(RemoveSessions(sessions=(A,)))
        shown = await client.call(ShowSession(session=copy.id))
        assert shown.session.forked_from is None
        assert [it.answer for it in shown.turns] == ["answer t1", "answer t2"]

    ask(work)


def test_all_that_is_named_is_deleted_or_nothing() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"), turn("t2", session=B, ci="athena"))
        for sessions, error in ((("aaaa", "nobody"), NotFound), ((A, B), UsageError)):
            with pytest.raises(error):
                await client.call(RemoveSessions(sessions=sessions, ci="apollo"))
        assert len((await client.call(ListSessions())).sessions) == 2
        gone = await client.call(RemoveSessions(sessions=(A, "aaaa", "bbbb")))
        assert gone == Removed(sessions=2, turns=2)

    ask(work)


def test_what_was_last_used_before_a_time_is_deleted() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1", started_at=10.0), turn("t2", session=B, started_at=20.0))
        await store(client, turn("t3", session="c" * 32, ci="athena", started_at=10.0))
        assert await client.call(RemoveSessions(before=10.0)) == Removed(sessions=0, turns=0)
        gone = await client.call(RemoveSessions(before=20.0, ci="apollo-ci"))
        assert gone == Removed(sessions=1, turns=1)
        left = (await client.call(ListSessions())).sessions
        assert [it.id for it in left] == [B, "c" * 32]

    ask(work)


def test_not_everything_is_deleted_because_nothing_was_said() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"))
        for request in (RemoveSessions(), RemoveSessions(ci="apollo")):
            with pytest.raises(UsageError, match="nothing says what to delete"):
                await client.call(request)
        assert len((await client.call(ListSessions())).sessions) == 1

    ask(work)


def test_a_name_is_free_again() -> None:
    async def work(client: Client) -> None:
        named = ResumeSession(ci="apollo", session="plan")
        first = await client.call(named)
        assert (await client.call(RemoveSessions(sessions=("plan",)))).sessions == 1
        second = await client.call(named)
        assert second.is_new
        assert second.session != first.session

    ask(work)


def test_a_deletion_goes_to_its_end_though_its_asker_has_gone() -> None:
    ask(lambda client: store(client, turn("t1", prompt=secret(1))))

    async def main() -> None:
        service = Engram(StageContext())
        await service.start()
        asking = asyncio.create_task(service.remove_sessions(RemoveSessions(sessions=(A,))))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(10):
            while b"secret1x" in raw():
                await asyncio.sleep(0.01)
        await service.stop()

    asyncio.run(main())


# -- retention -------------------------------------------------------------------------------


def test_conversations_that_are_not_used_are_deleted_and_that_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "backends.engram")
    context = keeping(days=30)
    context.time = 100 * DAY_S

    async def main() -> None:
        async with memory(context, clean_up_every_s=0.01) as (client, _):
            old = turn("t1", started_at=60 * DAY_S, prompt=secret(1))
            await store(client, turn("t2", session=B, started_at=71 * DAY_S), old)
            async with asyncio.timeout(10):
                while b"secret1x" in raw():
                    await asyncio.sleep(0.01)
            assert [it.id for it in (await client.call(ListSessions())).sessions] == [B]

    asyncio.run(main())
    assert ("service.engram.removed", {"sessions": 1, "turns": 1}) in context.events
    assert "deleted 1 conversations with 1 turns" in caplog.text


def test_without_a_limit_everything_is_kept(tmp_path: Path) -> None:
    assert load_config(tmp_path / "none", {}).engram.keep_days == 0
    context = keeping(days=0)
    ask(lambda client: store(client, turn("t1", started_at=0.0)), context)
    context.time = 1e9

    async def main() -> None:
        async with memory(context, clean_up_every_s=0.001) as (client, _):
            looks = context.time
            async with asyncio.timeout(10):
                while context.time < looks + 5:  # the clock moves with each look
                    await asyncio.sleep(0.001)
            assert len((await client.call(ListSessions())).sessions) == 1

    asyncio.run(main())


@pytest.mark.parametrize("days", ["36501", "99999999999999999999999999"])
def test_days_beyond_measure_are_refused(tmp_path: Path, days: str) -> None:
    with pytest.raises(ConfigError, match=r"engram\.keep_days must be from 0 to 36500"):
        load_config(tmp_path / "none", {"TEKTON_ENGRAM_KEEP_DAYS": days})
    file = tmp_path / "config.toml"
    file.write_text("[engram]\nkeep_days = -1\n")
    with pytest.raises(ConfigError, match=r"line 2: engram\.keep_days must be"):
        load_config(file, {})
