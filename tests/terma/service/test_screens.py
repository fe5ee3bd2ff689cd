"""The screens of the hub, on real workers that die."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from backends.errors import TektonError, UsageError
from backends.protocol.screens import LogGroup, Row, Screen, ScreenChange
from terma.screen import snapshot as snapshots
from terma.screen.bittty import BitttyEngine
from terma.screen.ghostty import GhosttyEngine
from terma.screen.process import WorkerProcess
from terma.service.emulation import Emulation
from terma.service.piece import Piece
from terma.service.reading import read_lines
from terma.service.rendering import Wanted
from terma.service.screens import Repaint, Screens
from tests.terma.screen.recorded import PROGRAMS, mutated, recording

TIMEOUT_S = 30.0


class Logs:
    """What terminals have put out, as a hub has it; a terminal without a folder keeps its end."""

    RING = 256 * 1024

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data: dict[str, bytearray] = {}
        self._sizes: dict[str, list[tuple[int, int, int]]] = {}
        self.unrecorded: set[str] = set()
        self.read = 0
        """Bytes that were asked for again."""

    def folder(self, terminal: str) -> Path | None:
        if terminal in self.unrecorded:
            return None
        folder = self._folder / terminal
        folder.mkdir(exist_ok=True)
        return folder

    async def pieces(self, terminal: str, offset: int) -> AsyncIterator[Piece]:
        data = bytes(self._data.get(terminal, b""))
        if terminal in self.unrecorded:
            offset = max(offset, len(data) - self.RING)
        sizes = self._sizes[terminal]
        for number, (start, columns, rows) in enumerate(sizes):
            end = sizes[number + 1][0] if number + 1 < len(sizes) else len(data)
            for at in range(max(start, offset), end, 50_000):
                part = data[at : min(at + 50_000, end)]
                self.read += len(part)
                yield Piece(at, 1000.0 + at, columns, rows, part)

    def add(self, terminal: str, data: bytes) -> int:
        kept = self._data.setdefault(terminal, bytearray())
        kept += data
        return len(kept) - len(data)

    def lose(self, terminal: str) -> None:
        """Have nothing of a terminal: its log is gone, or was never kept."""
        self._data[terminal].clear()
        self._sizes[terminal].clear()

    def resize(self, terminal: str, columns: int, rows: int) -> int:
        end = len(self._data.setdefault(terminal, bytearray()))
        self._sizes.setdefault(terminal, []).append((end, columns, rows))
        return end


class Stage:
    """Screens with terminals that put out what the test says."""

    def __init__(self, folder: Path, workers: int, idle_s: float, scrollback: int) -> None:
        self.logs = Logs(folder)
        self.screens = Screens(self.logs, workers, scrollback, idle_s)
        self.warnings: list[tuple[str, str]] = []
        self.screens.on_warning = lambda terminal, text: self.warnings.append((terminal, text))

    def open(self, *terminals: str, columns: int = 80, rows: int = 24) -> None:
        for terminal in terminals:
            self.logs.resize(terminal, columns, rows)
            self.screens.opened(terminal, columns, rows)

    def restore(self, terminal: str, columns: int = 80, rows: int = 24) -> None:
        """Run something anew in a terminal whose output is lost."""
        self.logs.lose(terminal)
        end = self.logs.resize(terminal, columns, rows)
        self.screens.opened(terminal, columns, rows, end=end)

    def put(self, terminal: str, data: bytes) -> None:
        self.screens.output(terminal, self.logs.add(terminal, data), data)

    def resize(self, terminal: str, columns: int, rows: int) -> None:
        self.screens.resized(terminal, self.logs.resize(terminal, columns, rows), columns, rows)

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self.screens._workers if worker.pid]

    def is_warm(self, terminal: str) -> bool:
        return self.screens._all[terminal].worker is not None

    def snapshot_offset(self, terminal: str) -> int:
        folder = self.logs.folder(terminal)
        assert folder is not None
        found = snapshots.load(folder)
        return found.offset if found is not None else -1


def on_stage(
    tmp_path: Path,
    play: Callable[[Stage], Awaitable[None]],
    workers: int = 1,
    idle_s: float = 60.0,
    scrollback: int = 500,
) -> None:
    async def whole() -> None:
        stage = Stage(tmp_path, workers, idle_s, scrollback)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await play(stage)
        finally:
            pids = stage.pids
            await stage.screens.close()
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    asyncio.run(whole())


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.01)


def text(screen: Screen) -> list[str]:
    return [words(row) for row in screen.lines]


def words(row: Row) -> str:
    return "".join(run.text for run in row.runs)


def expected(data: bytes, columns: int = 80, rows: int = 24) -> tuple[Row, ...]:
    engine = GhosttyEngine(columns, rows, 500)
    engine.feed(data)
    lines = engine.show().lines
    engine.close()
    return lines


def test_nothing_is_emulated_until_somebody_looks(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"hello\r\n\x1b[31mred")
        assert not stage.is_warm("one")
        screen = await stage.screens.show("one")
        assert (screen.offset, screen.engine, screen.warning) == (15, "ghostty", None)
        assert text(screen)[:2] == ["hello", "red"]
        assert screen.lines[1].runs[0].foreground == "1"
        stage.put("one", b" more")
        assert text(await stage.screens.show("one"))[1] == "red more"

    on_stage(tmp_path, play)


def test_what_was_asked_before_is_not_answered_again(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"old \x1b[6n question\r\n")
        assert not stage.screens.is_asked("one")
        stage.put("one", b"new \x1b[6n one\r\n")
        stage.screens.asked("one", 20, 24)
        stage.put("one", b"then \x1b[6n another\r\n")
        stage.screens.asked("one", 35, 39)
        assert stage.screens.is_asked("one")
        assert await stage.screens.answers("one") == b"\x1b[2;5R\x1b[3;6R"
        assert not stage.screens.is_asked("one")
        assert await stage.screens.answers("one") == b""
        stage.put("one", b"\x1b[6n")  # which nobody is told of: a window has answered
        await stage.screens.show("one")
        stage.put("one", b"\x1b[5n")
        stage.screens.asked("one", 51, 55)
        await stage.screens.show("one")
        assert await stage.screens.answers("one") == b"\x1b[0n"

    on_stage(tmp_path, play)


def test_a_worker_that_dies_answers_once(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"\x1b[6n")
        stage.screens.asked("one", 0, 4)
        assert await stage.screens.answers("one") == b"\x1b[1;1R"
        os.kill(stage.pids[0], signal.SIGKILL)
        stage.put("one", b"\r\n\x1b[6n")
        stage.screens.asked("one", 6, 10)
        assert await stage.screens.answers("one") == b"\x1b[2;1R"

    on_stage(tmp_path, play)


def test_workers_are_there_with_the_first_terminal_and_before_anybody_looks(
    tmp_path: Path,
) -> None:
    async def play(stage: Stage) -> None:
        workers = stage.screens._workers
        await asyncio.sleep(0)
        assert stage.pids == []
        stage.open("one", "two")
        await until(lambda: all(worker.is_ready for worker in workers), "they are not ready")
        pids = stage.pids
        await stage.screens.show("one")
        await stage.screens.show("two")
        assert stage.pids == pids
        assert [worker.generation for worker in workers] == [1, 1]

    on_stage(tmp_path, play, workers=2)


def test_a_hub_that_stops_at_once_leaves_no_worker(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await stage.screens.close()
        assert stage.pids == []
        with pytest.raises(TektonError, match="stopped"):
            await stage.screens.show("one")

    on_stage(tmp_path, play)


def test_rows_above_come_as_far_as_they_are_asked_for(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"\r\n".join(b"%d" % number for number in range(100)))
        screen = await stage.screens.show("one", scrollback=3)
        assert [words(row) for row in screen.scrollback] == ["73", "74", "75"]
        assert screen.scrollback_rows == 76

    on_stage(tmp_path, play)


def test_a_repaint_shows_what_the_terminal_shows(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        data = recording("tmux")
        stage.open("one", columns=80, rows=24)
        stage.put("one", data)
        painted: Repaint = await stage.screens.repaint("one")
        assert (painted.offset, painted.columns, painted.rows) == (len(data), 80, 24)
        assert expected(painted.data) == expected(data)

    on_stage(tmp_path, play)


def test_a_size_counts_from_where_it_was_given(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("warm", "cold")
        await stage.screens.show("warm")
        for terminal in ("warm", "cold"):
            stage.put(terminal, b"x" * 100 + b"\r\n")
            stage.resize(terminal, 40, 10)
            stage.put(terminal, b"\x1b[2J\x1b[H" + b"y" * 60)
            stage.resize(terminal, 50, 12)
        warm, cold = [await stage.screens.show(terminal) for terminal in ("warm", "cold")]
        assert (warm.columns, warm.rows) == (50, 12)
        assert warm == cold
        assert text(warm)[:2] == ["y" * 50, "y" * 10]

    on_stage(tmp_path, play)


def test_a_watcher_gets_the_whole_and_then_what_changes(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"first\r\n")
        changes = stage.screens.watch("one")
        whole = await anext(changes)
        assert whole.screen is not None
        assert text(whole.screen)[0] == "first"
        coming = asyncio.ensure_future(anext(changes))
        stage.put("one", b"second")
        change = await coming
        assert (change.screen, change.offset) == (None, 13)
        assert [(row.index, words(row.row)) for row in change.rows] == [(1, "second")]
        assert (change.cursor_row, change.cursor_column) == (1, 6)
        # What a slow reader has missed comes as one.
        for number in range(200):
            stage.put("one", b"\r\x1b[K%d" % number)
        last = await anext(changes)
        while last.offset < len(b"first\r\nsecond") + sum(
            len(b"\r\x1b[K%d" % n) for n in range(200)
        ):
            last = await anext(changes)
        assert [words(row.row) for row in last.rows] == ["199"]
        await changes.aclose()

    on_stage(tmp_path, play)


def test_a_watcher_gets_a_whole_screen_with_another_size_or_kind(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        changes = stage.screens.watch("one")
        await anext(changes)
        stage.put("one", b"\x1b[?1049halternate")
        change = await anext(changes)
        assert change.screen is not None
        assert change.screen.is_alternate
        stage.resize("one", 60, 20)
        change = await anext(changes)
        assert change.screen is not None
        assert (change.screen.columns, change.screen.rows) == (60, 20)
        await changes.aclose()

    on_stage(tmp_path, play)


async def seen_through(changes: AsyncGenerator[ScreenChange, None], offset: int) -> dict[int, str]:
    """Return the rows that a watcher has, once it has seen output up to an offset."""
    rows: dict[int, str] = {}
    async for change in changes:
        if change.screen is not None:
            rows = dict(enumerate(text(change.screen)))
        rows |= {row.index: words(row.row) for row in change.rows}
        if change.offset >= offset:
            return rows
    raise AssertionError("a watch ended")


def test_watching_goes_on_when_the_worker_is_killed(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one", "two")
        stage.put("one", b"before")
        stage.put("two", b"other")
        await stage.screens.show("two")
        changes = stage.screens.watch("one")
        await anext(changes)
        for number in range(4):
            (pid,) = stage.pids
            os.kill(pid, signal.SIGKILL)
            change = await anext(changes)
            assert change.screen is not None  # a whole one, without a word of ours
            assert stage.pids != [pid]
            stage.put("one", b"\r\nafter %d" % number)
            await seen_through(changes, len(b"before") + (number + 1) * len(b"\r\nafter 0"))
        assert text(await stage.screens.show("one"))[:5] == [
            "before",
            *(f"after {n}" for n in range(4)),
        ]
        assert text(await stage.screens.show("two"))[0] == "other"
        assert stage.warnings == []
        assert stage.screens.warning("one") is None
        await changes.aclose()

    on_stage(tmp_path, play)


def test_killing_workers_under_live_output_marks_nobody(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        changes = stage.screens.watch("one")
        await anext(changes)
        size = 0
        for number in range(300):
            line = b"\r\nline %d" % number
            stage.put("one", line)
            size += len(line)
            if number % 100 == 50:
                for pid in stage.pids:
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0)
        rows = await seen_through(changes, size)
        assert rows[23] == "line 299"
        assert stage.warnings == []
        await changes.aclose()

    on_stage(tmp_path, play)


SLOW = b"a\x1b[65535b"
"""A character, and once more 65,535 times: on a small screen only the fast engine takes long."""


def test_a_worker_that_hangs_is_killed_and_its_terminal_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terma.screen.process.READ_S", 0.05)
    monkeypatch.setattr("terma.service.parts.FIRST", 1 << 20)  # all of it at once

    async def play(stage: Stage) -> None:
        stage.open("good", "hostile", columns=10, rows=5)
        stage.put("good", b"good")
        stage.put("hostile", SLOW * 20_000)
        await stage.screens.show("good")
        (pid,) = stage.pids
        await stage.screens.show("hostile")
        assert stage.pids != [pid]
        assert stage.screens._all["hostile"].engine == "bittty"
        assert {terminal for terminal, _ in stage.warnings} == {"hostile"}
        assert "simpler engine" in stage.warnings[0][1]
        assert "no answer within" in stage.warnings[0][1]
        assert text(await stage.screens.show("good"))[0] == "good"

    on_stage(tmp_path, play)


def test_output_that_takes_long_is_for_the_simpler_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terma.service.parts.LATE_S", 0.01)

    async def play(stage: Stage) -> None:
        stage.open("good", "hostile", columns=10, rows=5)
        stage.put("good", b"good")
        await stage.screens.show("good")
        pids = stage.pids
        stage.put("hostile", SLOW * 1000 + b"\x1b[2J\x1b[Hend")
        screen = await stage.screens.show("hostile")
        assert (text(screen)[0], screen.engine) == ("end", "bittty")
        assert "takes too long" in (screen.warning or "")
        assert stage.warnings == [("hostile", screen.warning)]
        assert stage.is_warm("good")
        assert stage.pids == pids

    on_stage(tmp_path, play)


def test_output_that_takes_both_engines_long_is_not_shown_but_what_follows_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terma.service.parts.LATE_S", 0.01)

    async def play(stage: Stage) -> None:
        stage.open("hostile", columns=120, rows=40)
        stage.put("hostile", SLOW * 200)
        screen = await stage.screens.show("hostile")
        assert set(text(screen)) == {""}
        assert "built up anew" in (screen.warning or "")
        assert len(stage.warnings) == 2
        stage.put("hostile", b"next")
        assert text(await stage.screens.show("hostile"))[0] == "next"
        with pytest.raises(TektonError, match="cannot be shown as lines"):
            await lines_of(stage, "hostile")

    on_stage(tmp_path, play, scrollback=5000)


def test_who_is_to_blame_is_found_out_though_nobody_waits_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terma.service.parts.LATE_S", 0.01)

    async def play(stage: Stage) -> None:
        stage.open("hostile", columns=10, rows=5)
        stage.put("hostile", SLOW * 1000)
        looking = asyncio.ensure_future(stage.screens.show("hostile"))
        await until(lambda: stage.is_warm("hostile"), "it is not read")
        looking.cancel()
        await until(lambda: stage.warnings, "nobody is blamed")

    on_stage(tmp_path, play)


def test_what_was_read_for_somebody_who_has_gone_is_not_read_again(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        await stage.screens.show("one")
        (pid,) = stage.pids
        os.kill(pid, signal.SIGSTOP)
        stage.put("one", b"once \x1b[6n")
        stage.screens.asked("one", 5, 9)
        looking = asyncio.ensure_future(stage.screens.show("one"))
        await until(lambda: stage.screens._workers[0]._lock.locked(), "it is not asked")
        looking.cancel()
        os.kill(pid, signal.SIGCONT)
        assert await stage.screens.answers("one") == b"\x1b[1;6R"
        assert text(await stage.screens.show("one"))[0] == "once"
        assert stage.pids == [pid]

    on_stage(tmp_path, play)


def test_workers_that_are_stopped_are_replaced_and_nobody_is_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terma.screen.process.STUCK_S", 0.75)

    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"hello ")
        await until(lambda: all(it.is_ready for it in stage.screens._workers), "not ready")
        await stage.screens.show("one")
        pids = stage.pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        stage.put("one", b"\x1b[6nworld")
        stage.screens.asked("one", 6, 10)
        assert await stage.screens.answers("one") == b"\x1b[1;7R"
        screen = await stage.screens.show("one")
        assert (text(screen)[0], screen.engine) == ("hello world", "ghostty")
        assert not set(pids) & set(stage.pids)
        assert stage.warnings == []

    on_stage(tmp_path, play, workers=2)


def test_a_worker_ends_with_its_hub(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        await stage.screens.show("one")
        writer = stage.screens._workers[0]._writer
        (pid,) = stage.pids
        assert writer is not None
        writer.close()  # as when the hub is killed
        await until(lambda: not Path(f"/proc/{pid}").exists(), "the worker is still there")

    on_stage(tmp_path, play)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_snapshot_and_its_tail_are_the_same_as_all_of_it(tmp_path: Path, program: str) -> None:
    async def play(stage: Stage) -> None:
        lines = b"".join(b"line %d \x1b[3%dmcolour\x1b[m\r\n" % (n, n % 8) for n in range(6000))
        data = lines + recording(program)
        half = len(lines) + (len(data) - len(lines)) // 2
        stage.open("whole", "parts")
        stage.put("whole", data)
        stage.put("parts", data[:half])
        await stage.screens.show("parts")
        await stage.screens._freeze(stage.screens._all["parts"])
        assert not stage.is_warm("parts")
        assert stage.snapshot_offset("parts") == half
        stage.put("parts", data[half:])
        stage.logs.read = 0
        parts = await stage.screens.show("parts", scrollback=100)
        assert stage.logs.read == len(data) - half
        whole = await stage.screens.show("whole", scrollback=100)
        assert (parts.lines, parts.scrollback) == (whole.lines, whole.scrollback)
        assert parts.cursor_row == whole.cursor_row
        # Frozen and thawed once more, nothing has changed.
        before = await stage.screens.repaint("parts")
        await stage.screens._freeze(stage.screens._all["parts"])
        assert await stage.screens.repaint("parts") == before

    on_stage(tmp_path, play)


@pytest.mark.parametrize("broken", [b"", b"{}\n", b"\xff\xfe", b'{"format": 2}\nx', None])
def test_a_snapshot_that_cannot_be_used_is_as_good_as_none(
    tmp_path: Path, broken: bytes | None
) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"x" * 70_000 + b"\x1b[2J\x1b[Hfine")
        await stage.screens.show("one")
        await stage.screens._freeze(stage.screens._all["one"])
        file = tmp_path / "one" / snapshots.NAME
        whole = file.read_bytes()
        file.write_bytes(whole[:-9] + b"123456789" if broken is None else broken)
        assert text(await stage.screens.show("one"))[0] == "fine"

    on_stage(tmp_path, play)


@pytest.mark.parametrize("is_warm", [True, False])
@pytest.mark.parametrize("is_recorded", [True, False])
def test_what_is_run_anew_without_its_log_shows_what_it_puts_out(
    tmp_path: Path, is_recorded: bool, is_warm: bool
) -> None:
    async def play(stage: Stage) -> None:
        if not is_recorded:
            stage.logs.unrecorded.add("one")
        stage.open("one")
        stage.put("one", b"old\r\n" * 20_000 + b"\x1b[6n")
        stage.screens.asked("one", 100_000, 100_004)
        await stage.screens.show("one")
        if not is_warm:
            await stage.screens._freeze(stage.screens._all["one"])
        stage.restore("one")
        assert not stage.screens.is_asked("one")
        stage.put("one", b"new \x1b[6n")
        stage.screens.asked("one", 4, 8)
        assert await stage.screens.answers("one") == b"\x1b[1;5R"
        screen = await stage.screens.show("one", scrollback=100)
        assert (screen.offset, text(screen)[0], screen.scrollback) == (8, "new", ())
        # Nor is what was known before used once there is as much output again.
        stage.put("one", b"\r\nmore" * 30_000)
        await stage.screens._freeze(stage.screens._all["one"])
        assert text(await stage.screens.show("one"))[0] == "more"

    on_stage(tmp_path, play)


def test_who_watches_sees_what_is_run_anew(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"old output")
        changes = stage.screens.watch("one")
        await anext(changes)
        stage.restore("one")
        stage.put("one", b"new")
        rows = {0: "old output"}
        while rows[0] != "new":
            change = await anext(changes)
            assert change.screen is not None
            rows = dict(enumerate(text(change.screen)))
        await changes.aclose()

    on_stage(tmp_path, play)


def test_a_later_hub_does_not_use_a_snapshot_of_a_log_that_is_gone(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"old\r\n" * 20_000)
        await stage.screens.show("one")
        await stage.screens._freeze(stage.screens._all["one"])
        assert stage.snapshot_offset("one") == 100_000
        stage.logs.lose("one")
        stage.logs.resize("one", 80, 24)
        later = Screens(stage.logs, 1, 500)
        later.opened("one", 80, 24, end=0)
        assert stage.snapshot_offset("one") == -1
        data = b"\r\nnew" * 30_000
        later.output("one", stage.logs.add("one", data), data)
        screen = await later.show("one", scrollback=500)
        assert {words(row) for row in screen.scrollback} == {"new"}
        await later.close()

    on_stage(tmp_path, play)


def test_what_is_run_anew_goes_on_from_its_log(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"old\r\n" * 20_000)
        await stage.screens.show("one")
        await stage.screens._freeze(stage.screens._all["one"])
        stage.screens.opened("one", 80, 24, end=stage.logs.resize("one", 80, 24))
        assert stage.snapshot_offset("one") == 100_000
        stage.put("one", b"new")
        stage.logs.read = 0
        assert text(await stage.screens.show("one"))[-2:] == ["old", "new"]
        assert stage.logs.read == 3

    on_stage(tmp_path, play)


def test_what_nobody_looks_at_is_put_away(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one", "watched")
        stage.put("one", b"hello")
        changes = stage.screens.watch("watched")
        await anext(changes)
        await stage.screens.show("one")
        assert stage.is_warm("one")
        await until(lambda: not stage.is_warm("one"), "it is still warm")
        assert stage.is_warm("watched")
        assert text(await stage.screens.show("one"))[0] == "hello"
        await changes.aclose()
        await until(lambda: stage.screens._tending is None, "it goes on for nothing")

    on_stage(tmp_path, play, idle_s=0.05)


def test_what_takes_long_to_become_warm_is_put_away_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(stage: Stage) -> None:
        ticks: list[bool] = []
        needs_tending = stage.screens._needs_tending

        def noted() -> bool:
            ticks.append(needs_tending())
            return ticks[-1]

        monkeypatch.setattr(stage.screens, "_needs_tending", noted)
        stage.open("before", "one")
        await stage.screens.show("before")
        (pid,) = stage.pids
        os.kill(pid, signal.SIGSTOP)
        looking = asyncio.ensure_future(stage.screens.show("one"))
        await until(lambda: stage.screens._workers[0]._lock.locked(), "it is not asked")
        # Whoever tends has nothing to do meanwhile, for all that is warm is gone.
        stage.screens._all["before"].let_go()
        ticks.clear()
        await until(lambda: len(ticks) > 2, "nobody tends")
        os.kill(pid, signal.SIGCONT)
        await looking
        await until(lambda: not stage.is_warm("one"), "it is still warm")

    on_stage(tmp_path, play, idle_s=0.02)


def test_few_are_warm_though_many_look_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    catch_up = Emulation.catch_up

    async def play(stage: Stage) -> None:
        async def counted(emulation: Emulation, worker: WorkerProcess) -> None:
            await catch_up(emulation, worker)
            held.append(len(stage.screens._warm()))

        monkeypatch.setattr(Emulation, "catch_up", counted)
        names = [f"t{number}" for number in range(100)]
        stage.open(*names)
        for name in names:
            stage.put(name, b"x" * 5000 + b"\r\n" + name.encode())
        for _ in range(2):
            screens = await asyncio.gather(*map(stage.screens.show, names))
            assert [[row for row in text(screen) if row][-1] for screen in screens] == names
        assert max(held) == 32

    on_stage(tmp_path, play, workers=2)


def test_those_that_are_watched_stay_warm(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        names = [f"t{number}" for number in range(18)]
        stage.open("other", *names)
        watching = [stage.screens.watch(name) for name in names]
        await asyncio.gather(*map(anext, watching))
        await stage.screens.show("other")
        assert all(map(stage.is_warm, names))
        for changes in watching:
            await changes.aclose()

    on_stage(tmp_path, play)


def test_few_are_warm_at_once(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        names = [f"t{number}" for number in range(40)]
        stage.open(*names)
        for name in names:
            stage.put(name, name.encode())
            assert text(await stage.screens.show(name))[0] == name
        warm = [name for name in names if stage.is_warm(name)]
        assert warm == names[-16:]

    on_stage(tmp_path, play)


def test_a_snapshot_is_made_of_much_output_though_nobody_looks(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("much", "little")
        stage.put("little", b"x" * 900_000)
        for _ in range(30):
            stage.put("much", b"some line of output\r\n" * 2_000)
        await until(lambda: stage.snapshot_offset("much") == 30 * 42_000, "there is none")
        await until(lambda: not stage.is_warm("much"), "it is kept warm")
        assert stage.snapshot_offset("little") == -1

    on_stage(tmp_path, play, idle_s=0.1)


def test_of_what_is_not_recorded_nothing_is_written(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.logs.unrecorded.add("secret")
        stage.open("secret")
        stage.put("secret", b"at the top\r\n" + b"more\r\n" * 30_000)
        emulation = stage.screens._all["secret"]
        await until(lambda: emulation._memory is not None, "no snapshot in memory")
        await until(lambda: not stage.is_warm("secret"), "it is kept warm")
        stage.put("secret", b"end")
        assert text(await stage.screens.show("secret"))[-1] == "end"
        assert list(tmp_path.iterdir()) == []

    on_stage(tmp_path, play, idle_s=0.1)


def test_forgetting_a_terminal_leaves_no_snapshot(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"x" * 200_000)
        await stage.screens.show("one")
        await stage.screens._freeze(stage.screens._all["one"])
        assert (tmp_path / "one" / snapshots.NAME).exists()
        await stage.screens.show("one")
        await stage.screens.forget("one")
        assert not (tmp_path / "one" / snapshots.NAME).exists()
        assert stage.screens.warning("one") is None

    on_stage(tmp_path, play)


def test_mutated_recordings_do_no_harm_to_others(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        chance = random.Random(7)
        stage.open("hostile", *PROGRAMS)
        for program in PROGRAMS:
            stage.put(program, recording(program))
            await stage.screens.show(program)
        size = 0
        while size < 3_000_000:
            data = mutated(recording(chance.choice(PROGRAMS)), chance)
            stage.put("hostile", data)
            size += len(data)
            if chance.random() < 0.02:
                stage.resize("hostile", chance.randrange(2, 200), chance.randrange(2, 60))
                assert (await stage.screens.show("hostile", 10)).offset == size
                await stage.screens.repaint("hostile")
        for program in PROGRAMS:
            assert (await stage.screens.show(program)).lines == expected(recording(program))
            assert stage.screens.warning(program) is None

    on_stage(tmp_path, play, workers=2)


async def abort_while_it_reads(stage: Stage, terminal: str, data: bytes) -> Screen:
    """Have the worker die, as of a fault of its engine, while it reads output."""
    await stage.screens.show(terminal)
    worker = stage.screens._all[terminal].worker
    assert worker is not None
    pid = worker.pid
    os.kill(pid, signal.SIGSTOP)
    stage.put(terminal, data)
    looking = asyncio.ensure_future(stage.screens.show(terminal))
    await until(lambda: worker._lock.locked(), "it is not asked")
    os.kill(pid, signal.SIGABRT)
    os.kill(pid, signal.SIGCONT)
    return await looking


def test_output_that_aborts_a_worker_is_shown_by_the_simpler_engine(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("hostile", "good")
        stage.put("hostile", b"at first\r\n")
        stage.put("good", b"good")
        await stage.screens.show("good")
        changes = stage.screens.watch("hostile")
        await anext(changes)
        screen = await abort_while_it_reads(stage, "hostile", b"hostile")
        assert text(screen)[:2] == ["at first", "hostile"]
        assert screen.engine == "bittty"
        assert screen.warning == stage.screens.warning("hostile")
        assert "simpler engine" in (screen.warning or "")
        assert "SIGABRT" in (screen.warning or "")
        assert stage.warnings == [("hostile", screen.warning)]
        change = await anext(changes)
        assert change.screen is not None
        assert change.warning == screen.warning
        await changes.aclose()
        assert (await stage.screens.show("good")).engine == "ghostty"
        assert stage.screens.warning("good") is None
        # It stays so, in the next hub too.
        stage.put("hostile", b"x" * 100_000)
        await stage.screens.show("hostile")
        await stage.screens._freeze(stage.screens._all["hostile"])
        again = Screens(stage.logs, 1, 500)
        again.opened("hostile", 80, 24)
        assert (await again.show("hostile")).engine == "bittty"
        assert "simpler engine" in (again.warning("hostile") or "")
        await again.close()

    on_stage(tmp_path, play)


def test_what_kills_the_fast_engine_is_shown_all_the_same(tmp_path: Path) -> None:
    """Play output and sizes at which the engine of this release crashes, found by mutation."""
    file = Path(__file__).with_name("aborting.json")
    steps: list[str | list[int]] = json.loads(file.read_text())

    async def play(stage: Stage) -> None:
        simple = BitttyEngine(80, 24, 500)
        stage.open("hostile", "good")
        stage.put("good", b"good")
        await stage.screens.show("good")
        for step in [*steps, [60, 20], "\x1bc\x1b[2J\x1b[Hand then"]:
            if isinstance(step, str):
                stage.put("hostile", step.encode("latin-1"))
                simple.feed(step.encode("latin-1"))
            else:
                stage.resize("hostile", *step)
                simple.resize(*step)
        screen = await stage.screens.show("hostile")
        assert screen.lines == simple.show().lines
        assert (screen.engine == "bittty") == bool(stage.warnings) == bool(screen.warning)
        assert text(await stage.screens.show("good"))[0] == "good"
        assert stage.screens.warning("good") is None

    on_stage(tmp_path, play)


def test_of_a_long_log_the_simpler_engine_reads_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("terma.service.emulation.SIMPLE_BYTES", 2 << 20)
    monkeypatch.setattr("terma.service.emulation.SIMPLE_TAIL", 1 << 20)

    async def play(stage: Stage) -> None:
        stage.open("hostile")
        stage.put("hostile", b"a line of a long log\r\n" * 110_000)
        screen = await abort_while_it_reads(stage, "hostile", b"end")
        assert text(screen)[-1] == "end"
        assert "last 1 MB" in (screen.warning or "")

    on_stage(tmp_path, play)


def test_an_engine_that_raises_begins_anew_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        emulation = stage.screens._all["one"]
        emulation.simplify("for this test")
        stage.put("one", b"what it raised at")
        await stage.screens.show("one")
        worker = emulation.worker
        assert worker is not None
        # As if the worker's engine had raised: it answers what it has no terminal for like that.
        await worker.ask({"do": "drop", "id": "one"})
        screen = await stage.screens.show("one")
        assert text(screen)[0] == ""
        assert "built up anew" in (screen.warning or "")
        stage.put("one", b"\r\nnext")
        assert text(await stage.screens.show("one"))[1] == "next"
        assert [terminal for terminal, _ in stage.warnings] == ["one"]

    on_stage(tmp_path, play)


def test_without_ghostty_all_is_bittty_and_nobody_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "missing"
    (missing / "pyghostty").mkdir(parents=True)
    (missing / "pyghostty" / "__init__.py").write_text("raise ImportError('no wheel')\n")
    monkeypatch.setenv("PYTHONPATH", str(missing))

    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"x" * 80_000 + b"\x1b[2J\x1b[Hhello")
        screen = await stage.screens.show("one")
        assert (screen.engine, screen.warning) == ("bittty", None)
        await stage.screens._freeze(stage.screens._all["one"])
        screen = await stage.screens.show("one")
        assert (text(screen)[0], screen.warning) == ("hello", None)
        assert stage.warnings == []

    on_stage(tmp_path, play)


async def lines_of(stage: Stage, terminal: str) -> list[LogGroup]:
    """Return the lines of a log, each by itself."""
    pieces = stage.logs.pieces(terminal, 0)
    return [
        LogGroup(at=group.at, offset=group.offset, text=text)
        async for groups, _ in stage.screens.lines(pieces, terminal)
        for group in groups
        for text in group.text.split("\n")
    ]


async def wanted_of(stage: Stage, terminal: str, wanted: Wanted) -> tuple[list[str], int]:
    """Return the lines of a log that are wanted, and how many more there were of them."""
    texts: list[str] = []
    async for item in read_lines(stage.screens, stage.logs.pieces(terminal, 0), terminal, wanted):
        if isinstance(item, int):
            return texts, item
        texts += [text for group in item.groups for text in group.text.split("\n")]
    raise AssertionError("it did not tell how many")


def test_a_log_is_read_as_the_lines_that_were_seen(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one", columns=20, rows=5)
        stage.put("one", b"\x1b[31mred\x1b[m line\r\n" + b"w" * 50 + b"\r\nprog 10%\rprog 99%\r\n")
        stage.put("one", b"wiped\x1b[H\x1b[2J\x1b[?1049hin a program\x1b[?1049l")
        stage.put("one", b"".join(b"%d\r\n" % number for number in range(30)) + b"$ ")
        lines = await lines_of(stage, "one")
        assert [line.text for line in lines] == [
            "red line", "w" * 50, "prog 99%", "wiped", *map(str, range(30)), "$",
        ]  # fmt: skip
        offsets = [line.offset for line in lines]
        assert offsets == sorted(offsets)
        assert offsets[-1] == stage.logs.add("one", b"")
        assert all(line.at >= 1000.0 for line in lines)

    on_stage(tmp_path, play)


def test_a_long_log_is_read_whole_whatever_is_kept(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        for start in range(0, 30_000, 1000):
            stage.put("one", b"".join(b"line %d\r\n" % n for n in range(start, start + 1000)))
        lines = await lines_of(stage, "one")
        assert [line.text for line in lines] == [f"line {number}" for number in range(30_000)]

    on_stage(tmp_path, play, scrollback=10)


def test_a_log_is_read_on_when_its_worker_is_killed(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        stage.put("one", b"".join(b"line %d\r\n" % number for number in range(60_000)))
        found: list[str] = []
        async for groups, _ in stage.screens.lines(stage.logs.pieces("one", 0)):
            if not found:
                for pid in stage.pids:
                    os.kill(pid, signal.SIGKILL)
            found += [text for group in groups for text in group.text.split("\n")]
        # Of what was on the screen then, at most a screenful is missing.
        assert found[-1] == "line 59999"
        assert len(found) > 60_000 - 30

    on_stage(tmp_path, play)


def test_lines_are_looked_for_and_the_last_are_kept(tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one")
        for start in range(0, 60_000, 1000):
            stage.put("one", b"".join(b"Line %d\r\n" % n for n in range(start, start + 1000)))
        found = await wanted_of(stage, "one", Wanted(pattern=r"9{4}$"))
        assert found == ([f"Line {n}9999" for n in ("", 1, 2, 3, 4, 5)], 0)
        assert await wanted_of(stage, "one", Wanted("^line 5$")) == ([], 0)
        assert await wanted_of(stage, "one", Wanted("^line 5$", True)) == (["Line 5"], 0)
        found = await wanted_of(stage, "one", Wanted(limit=2))
        assert found == (["Line 59998", "Line 59999"], 59_998)
        texts, left_out = await wanted_of(stage, "one", Wanted("00$", limit=590))
        assert (texts[0], texts[-1], len(texts), left_out) == ("Line 1000", "Line 59900", 590, 9)

    on_stage(tmp_path, play)


def test_a_pattern_that_never_ends_is_given_up_and_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(stage: Stage) -> None:
        stage.open("one", "other")
        stage.put("one", b"a" * 60 + b"!\r\n")
        stage.put("other", b"other")
        await stage.screens.show("other")
        pids = stage.pids
        with pytest.raises(UsageError, match="the pattern takes too long"):
            await wanted_of(stage, "one", Wanted("(a+)+$"))
        assert stage.pids == pids
        assert stage.is_warm("other")
        assert stage.screens.warning("one") is None
        assert await wanted_of(stage, "one", Wanted("a+!$")) == (["a" * 60 + "!"], 0)

    on_stage(tmp_path, play)


def test_lines_on_the_screen_have_the_time_at_which_the_cursor_left_them(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[Piece]:
        offset = 0
        for number, data in enumerate((b"one\r\ntw", b"o\r\n", b"three\r\n$ ")):
            yield Piece(offset, 1000.0 + number, 80, 24, data)
            offset += len(data)

    async def play(stage: Stage) -> None:
        found = [group async for groups, _ in stage.screens.lines(pieces()) for group in groups]
        assert [(group.at, group.offset, group.text) for group in found] == [
            (1000.0, 7, "one"), (1001.0, 10, "two"), (1002.0, 19, "three"), (1002.0, 19, "$"),
        ]  # fmt: skip

    on_stage(tmp_path, play)
