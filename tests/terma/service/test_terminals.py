"""The terminals of a hub, with a real ptyhost that is slow, silent or holds what nobody stored."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import ClassVar

import psutil
import pytest

from backends.database import Database
from backends.errors import StorageError, UsageError
from backends.paths import find_paths, private_folder
from backends.protocol.terminals import OpenTerminal, TerminalState
from terma.ptyhost.processes import survivors
from terma.service.opening import meta_of
from terma.service.store import StoredTerminal, TerminalStore
from terma.service.tables import HEAD, MIGRATIONS, metadata
from terma.service.terminal import Terminal
from terma.service.terminals import Terminals
from tests.backends.services import StageContext
from tests.backends.stage import eventually
from tests.terma.service.test_host import opening


def wanted(name: str, *command: str) -> OpenTerminal:
    return OpenTerminal(
        name=name, command=command or ("sleep", "61"), folder="/", environment="", kind="program"
    )


class Hub:
    """Terminals without anything above them."""

    latest: ClassVar[Hub]

    def __init__(self) -> None:
        Hub.latest = self
        paths = find_paths()
        self.context = StageContext(paths=paths)
        self._database = Database(paths.mailboxes, metadata, MIGRATIONS, HEAD, is_durable=True)
        self.store = TerminalStore(self._database)
        self.terminals = Terminals(self.context, self.store)

    @property
    def states(self) -> dict[str, str]:
        return {one.name: one.activity.base.state.value for one in self.terminals.table}

    async def start(self) -> None:
        private_folder(self.context.paths.state)
        await self._database.open()
        await self.terminals.start()

    async def stop(self) -> None:
        await self.terminals.stop()
        if self.context.tasks:
            await asyncio.wait(self.context.tasks)
        await self._database.close()

    async def again(self) -> Hub:
        """Stop, and return the next one, started."""
        await self.stop()
        hub = Hub()
        await hub.start()
        return hub


@contextlib.asynccontextmanager
async def silent(pid: int) -> AsyncIterator[None]:
    """Have a process stand still for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def play(test: Callable[[Hub], Awaitable[None]]) -> None:
    """Run a test with a hub; what it leaves open is closed."""

    async def main() -> None:
        hub = Hub()
        await hub.start()
        try:
            async with asyncio.timeout(30):
                await test(hub)
        finally:
            hub = Hub.latest
            for one in list(hub.terminals.table):
                await hub.terminals.close(one)
            for hosted in await hub.terminals.host.list() if hub.terminals.host.pid else ():
                await hub.terminals.host.close(hosted.terminal, 0)
            await hub.stop()

    asyncio.run(main())


def test_who_gives_up_waiting_leaves_no_program_that_is_in_no_list() -> None:
    async def test(hub: Hub) -> None:
        first = await hub.terminals.open(wanted("first"))
        async with silent(hub.terminals.host.pid):
            waiting = asyncio.ensure_future(hub.terminals.open(wanted("late")))
            await eventually(lambda: "late" in hub.states)
            waiting.cancel()
            await asyncio.wait([waiting])
            with pytest.raises(UsageError, match="there is a terminal named 'late'"):
                await hub.terminals.open(wanted("late"))
        late = hub.terminals.table.find("late")
        await eventually(lambda: late.is_running)
        await asyncio.gather(*hub.context.tasks)
        assert {one.name for one in await hub.store.open_ones()} == {"first", "late"}
        for one in (first, late):
            await hub.terminals.close(one)
            assert not survivors([one.id])

    play(test)


def test_who_gives_up_waiting_for_the_end_has_it_all_the_same() -> None:
    async def test(hub: Hub) -> None:
        one = await hub.terminals.open(wanted("one"))
        async with silent(hub.terminals.host.pid):
            waiting = asyncio.ensure_future(hub.terminals.close(one))
            await eventually(lambda: one.is_closing)
            waiting.cancel()
            await asyncio.wait([waiting])
        await asyncio.gather(*hub.context.tasks)
        assert hub.states == {}
        assert await hub.store.find_closed("one") is not None

    play(test)


def test_what_was_never_stored_gets_another_name_and_harms_nobody() -> None:
    async def test(hub: Hub) -> None:
        for name in ("alice", "bob"):
            await hub.terminals.open(wanted(name))
        stored = hub.terminals.table.find("bob").stored
        stranger = dataclasses.replace(stored, id=f"{os.getpid():032x}")
        await hub.terminals.host.open(opening(stranger.id, "sleep", "61", meta=meta_of(stranger)))
        hub = await hub.again()
        assert hub.states == {"alice": "idle", "bob": "idle", "bob-2": "idle"}
        assert hub.terminals.table.find("bob-2").id == stranger.id
        assert hub.terminals.table.find("bob").id == stored.id

    play(test)


def test_silence_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terma.service.terminals._PATIENCE_S", 0.2)
    monkeypatch.setattr("terma.service.terminals._TRY_AGAIN_S", 0.05)

    async def test(hub: Hub) -> None:
        one = await hub.terminals.open(wanted("one"))
        pid = hub.terminals.host.pid
        await hub.stop()
        hub = Hub()
        ask = hub.terminals.host.list

        async def stopped_before_it_answers() -> object:
            os.kill(pid, signal.SIGSTOP)
            return await ask()

        monkeypatch.setattr(hub.terminals.host, "list", stopped_before_it_answers)
        await hub.start()
        assert hub.states == {"one": "lost"}
        assert "does not answer" in (hub.terminals.trouble or "")
        assert (await hub.store.open_ones())[0].ended_at is None
        monkeypatch.setattr(hub.terminals.host, "list", ask)
        os.kill(pid, signal.SIGCONT)
        await eventually(lambda: hub.states == {"one": "idle"})
        assert hub.terminals.table.find("one").pid == one.pid
        await eventually(lambda: hub.terminals.trouble is None)

    play(test)


def failing(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> pytest.MonkeyPatch:
    async def refuse(stored: StoredTerminal) -> None:
        raise StorageError("another process keeps it locked")

    monkeypatch.setattr(hub.store, "save", refuse)
    return monkeypatch


def test_a_terminal_that_cannot_be_stored_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(hub: Hub) -> None:
        found: list[Terminal] = []
        monkeypatch.setattr(hub.terminals.table, "add", keep_first(hub, found))
        with failing(monkeypatch, hub).context(), pytest.raises(StorageError, match="locked"):
            await hub.terminals.open(wanted("one"))
        monkeypatch.undo()
        assert hub.states == {}
        assert not survivors([found[0].id])
        assert not (hub.context.paths.terminals / found[0].id).exists()
        await hub.terminals.open(wanted("one"))

    play(test)


def keep_first(hub: Hub, found: list[Terminal]) -> Callable[[Terminal], Terminal]:
    add = hub.terminals.table.add

    def keep(terminal: Terminal) -> Terminal:
        found.append(terminal)
        return add(terminal)

    return keep


def test_an_end_that_cannot_be_stored_is_shown_and_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(hub: Hub) -> None:
        one = await hub.terminals.open(wanted("one"))
        failing(monkeypatch, hub)
        with pytest.raises(StorageError, match="locked"):
            await hub.terminals.close(one)
        monkeypatch.undo()
        assert not survivors([one.id])
        assert not one.is_running
        assert hub.states == {"one": TerminalState.EXITED.value}
        closed = await hub.terminals.close(one)
        assert (closed.ended, closed.left) == (0, ())
        assert hub.states == {}

    play(test)
