"""Two hundred shells at once: how fast they are there, what they cost, and how fast they drain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import psutil

from backends.protocol.screens import ShowScreen
from backends.protocol.terminals import CloseTerminal, ListTerminals, WriteTerminal
from tests.bench.figures import Count, Figure, Judged
from tests.bench.stage import Hub, Stage, rounds
from tests.bench.terminals_link import Link, opening, swept, typed
from tests.bench.timed import run

SIZE = 200
LINES = 3000
WIDTH = 92
"""Characters of a line, without its end; with it, 3,000 of them on 200 terminals are 56 MB."""

FILLED_EVERY = 4
_COLUMNS = 100
_SETTLE_S = 13.0
"""After this the hub has put away the screens that nobody looks at."""

_LOOK_EVERY_S = 0.01
_PATIENCE_S = 60.0

_CROWD = f"{SIZE} × {LINES:,} lines"
_PROMPT = b"\x1b]133;B"
_PROGRAM = """
import json, os
from terma.shell import program_of
print(json.dumps(program_of(["bash", "--norc"], os.environ)))
"""


def measure(stage: Stage, runs: int) -> tuple[list[Figure], list[Count]]:
    """Open them again and again; fill every fourth crowd, and the last."""
    with stage.hub() as hub, swept(hub.home, hub.pid), Link(hub.home) as link:
        found = _Crowd(stage, hub, link)
        for number in rounds(f"terminals: {SIZE} shells", runs):
            is_last = number == runs - 1
            found.open()
            if number % FILLED_EVERY == FILLED_EVERY - 1 or is_last:
                found.fill()
                found.show()
                found.weigh("shown")
            if is_last:
                found.idle(runs)
                found.weigh("rest")
            found.close()
    return found.figures(), found.counts()


@dataclass
class _Crowd:
    """The values of each round."""

    stage: Stage
    hub: Hub
    link: Link
    values: dict[str, list[float]] = field(default_factory=dict)
    filled: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        done = run([self.stage.python, "-c", _PROGRAM], self.hub.home.environment)
        command, environment, self._kind = json.loads(done.output)
        self._requests = [
            opening(self.hub.home, name, command, environment, self._kind, _COLUMNS)
            for name in _NAMES
        ]
        self._files = self.hub.home.folder / "lines"
        self._files.mkdir()
        for number, name in enumerate(_NAMES):
            text = "".join(_line(number, line) + "\n" for line in range(LINES))
            (self._files / name).write_text(text, encoding="ascii")
        self._logs: dict[str, Path] = {}

    def open(self) -> None:
        """Open all of them, until each shows its prompt, and the hub knows it."""
        began = time.perf_counter()
        opened = self.link.call_all(self._requests)
        terminals = self.hub.home.folder / "state" / "terminals"
        self._logs = {one["name"]: terminals / one["id"] / "log" for one in opened}
        _until_all(self._logs.values(), lambda log: _PROMPT in _content(log))
        self._until_listed({})
        self._note("open", time.perf_counter() - began)

    def fill(self) -> None:
        """Have all of them put out their lines at once, until each is at its prompt again."""
        before = {name: one["end"] for name, one in self.link.terminals().items()}
        wanted = {name: end + LINES * (WIDTH + 2) for name, end in before.items()}
        requests = [
            WriteTerminal(name=name, data=typed(f"cat {self._files / name}\n")) for name in _NAMES
        ]
        ends = {log: wanted[name] for name, log in self._logs.items()}
        began = time.perf_counter()
        self.link.call_all(requests)
        _until_all(ends, lambda log: _size(log) >= ends[log])
        self._until_listed(wanted)
        self._note("fill", time.perf_counter() - began)

    def show(self) -> None:
        """Have the screens of all shown, and look for the last line on each."""
        began = time.perf_counter()
        screens = self.link.call_all([ShowScreen(name=name) for name in _NAMES])
        self._note("show", time.perf_counter() - began)
        self.filled += SIZE
        self.right += sum(
            _line(number, LINES - 1) in map(_text, screen["lines"])
            for number, screen in enumerate(screens)
        )

    def weigh(self, when: str) -> None:
        """Note the memory of the hub, of ptyhost, and of the screen workers, in MB."""
        parts = self._processes()
        pss = {word: _memory(processes, "Pss") for word, processes in parts.items()}
        for word, size in pss.items():
            self._note(f"{word} {when}", size)
        self._note(when, sum(pss.values()))
        resident = sum(_memory(processes, "Rss") for processes in parts.values())
        self._note(f"resident {when}", resident)

    def idle(self, windows: int) -> None:
        """Note the processor time of all of them while nothing happens."""
        psutil.cpu_percent(interval=_SETTLE_S)  # sleeps
        everybody = [one for processes in self._processes().values() for one in processes]
        last = _cpu_s(everybody)
        for _ in rounds(f"terminals: {SIZE} idle shells", windows):
            psutil.cpu_percent(interval=1)
            used_s, last = (now := _cpu_s(everybody)) - last, now
            self._note("idle", used_s * 100)

    def close(self) -> None:
        """Close all of them."""
        began = time.perf_counter()
        closed = self.link.call_all([CloseTerminal(name=name, forgets=True) for name in _NAMES])
        self._note("close", time.perf_counter() - began)
        if left := [one["name"] for one in closed if one.get("left")]:
            raise RuntimeError(f"something is left of {', '.join(left)}")

    def figures(self) -> list[Figure]:
        """Return what was measured."""
        return [
            self._figure("open", f"{SIZE} shells, until all show their prompts", "s", 2),
            self._figure("close", f"{SIZE} shells closed", "s", None),
            self._figure("fill", f"56 MB from {SIZE} terminals at once", "s", 5),
            self._figure("show", f"the screens of {SIZE} terminals right afterwards", "s", None),
            self._figure("shown", f"memory with {_CROWD}, just shown", "MB", 300),
            self._figure("rest", f"memory with {_CROWD}, at rest", "MB", 300),
            self._figure("hub rest", "of that at rest: the hub", "MB", None),
            self._figure("ptyhost rest", "of that at rest: ptyhost", "MB", None),
            self._figure("workers rest", "of that at rest: the screen workers", "MB", None),
            self._figure("resident rest", "memory at rest, shared pages counted twice", "MB", None),
            self._figure(
                "idle", f"processor time with {SIZE} idle shells", "% of a core", 1, Judged.MEAN
            ),
        ]

    def counts(self) -> list[Count]:
        """Return what has to be so."""
        what = "screens that show the last line of their terminal"
        return [Count(what=what, found=self.right, wanted=self.filled)]

    def _figure(
        self, key: str, what: str, unit: str, limit: float | None, judged: Judged = Judged.MEDIAN
    ) -> Figure:
        values = tuple(self.values[key])
        return Figure(what=what, unit=unit, values=values, limit=limit, judged=judged)

    def _note(self, key: str, value: float) -> None:
        self.values.setdefault(key, []).append(value)

    def _until_listed(self, ends: dict[str, int]) -> None:
        """Wait until the hub knows every one of them at its prompt, with all that it put out."""

        def is_there(one: dict[str, Any]) -> bool:
            is_prompt = (one["state"], one["source"]) == ("idle", "prompt mark")
            return is_prompt and bool(one["end"] >= ends.get(one["name"], 0))

        deadline = time.monotonic() + _PATIENCE_S
        while not all(map(is_there, found := self.link.call(ListTerminals())["terminals"])):
            if time.monotonic() > deadline:
                late = next(one for one in found if not is_there(one))
                raise RuntimeError(f"not at its prompt: {late}")
            time.sleep(_LOOK_EVERY_S)
        if len(found) != SIZE:
            raise RuntimeError(f"there are {len(found)} terminals")

    def _processes(self) -> dict[str, list[psutil.Process]]:
        """Return the processes that hold terminals, but for what runs in these."""
        hub = psutil.Process(self.hub.pid)
        host = psutil.Process(self.link.call(ListTerminals())["host_pid"])
        workers = [one for one in hub.children() if one.pid != host.pid]
        return {"hub": [hub], "ptyhost": [host], "workers": workers}


_NAMES = [f"shell-{number:03d}" for number in range(SIZE)]


def _line(terminal: int, line: int) -> str:
    return f"{terminal:03d}:{line:04d} ".ljust(WIDTH, ascii_lowercase[line % 26])


def _text(row: dict[str, Any]) -> str:
    return "".join(one["text"] for one in row.get("runs", ()))


def _until_all(logs: Iterable[Path], is_so: Callable[[Path], bool]) -> None:
    """Wait for something of every log; the files are looked at, which costs the hub nothing."""
    deadline = time.monotonic() + _PATIENCE_S
    waiting = list(logs)
    while waiting := [log for log in waiting if not is_so(log)]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(waiting)} terminals are not ready")
        time.sleep(_LOOK_EVERY_S)


def _content(log: Path) -> bytes:
    return b"".join(file.read_bytes() for file in log.glob("*.log"))


def _size(log: Path) -> int:
    return sum(file.stat().st_size for file in log.glob("*.log"))


def _memory(processes: list[psutil.Process], kind: str) -> float:
    """Sum up what the system says of processes in smaps_rollup (proc(5)), in MB."""
    found = 0
    for process in processes:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        found += next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
    return found * 1024 / 1e6


def _cpu_s(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system for one in times))
