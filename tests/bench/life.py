"""The hub itself: how fast it is there, what it takes to exist, and what it leaves."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.bench.figures import Count, Figure, Judged, Section
from tests.bench.stage import Home, Hub, Stage, rounds, wait_until
from tests.bench.timed import run

_CYCLES_A_RUN = 5
_WINDOWS = 20
_VENDORS = ("ollama", "anthropic")
_GRACE_S = 1.0

ABOUT = f"""\
`tekton up` and `tekton down` again and again on one home: the whole processes, with the list of
services and CIs that `up` shows. After `up` a CI has to answer. In every fifth cycle the first
prompt goes to a model through the `ollama` package, in another fifth through `anthropic`; the hub
imports the package then, and its memory (RSS) is read before and after. Within a second after
`down` the process has to be gone, and with it every socket, every record of something that runs,
and every temporary file; the home must hold the same files as after the first cycle. The processor
time of an idle hub is taken over {_WINDOWS} windows of one second; what counts is all of it."""


def measure(stage: Stage, runs: int) -> Section:
    """Measure idle hubs, then go through the cycles."""
    idle = _idle(stage)
    cycles = runs * _CYCLES_A_RUN
    with stage.server("ollama") as ollama, stage.server("anthropic") as anthropic:
        home = stage.home()
        home.configure({"ollama": ollama.url, "anthropic": anthropic.url})
        found = _Cycles(stage, home)
        for number in rounds("hub: up and down", cycles):
            found.go_through(number)
    figures = [
        _figure("`tekton up`, until it is ready", "ms", found.up_ms, 1000),
        _figure("`tekton down`", "ms", found.down_ms, None),
        _figure("memory before a vendor's package", "MB", found.idle_mb, 80),
        *(
            _figure(f"more after the first prompt, {vendor}", "MB", more, 65)
            for vendor, more in found.more_mb.items()
        ),
        *idle,
    ]
    counts = (
        Count(
            what="cycles in which a CI answered after `up`", found=found.ready, wanted=cycles,
            details=" ".join(found.failures[:1]),
        ),
        Count(
            what="things left behind", found=len(found.left), wanted=0,
            details=", ".join(sorted(found.left)[:5]),
        ),
    )  # fmt: skip
    return Section(title="The hub", about=ABOUT, figures=tuple(figures), counts=counts)


def _figure(what: str, unit: str, values: list[float], limit: float | None) -> Figure:
    return Figure(what=what, unit=unit, values=tuple(values), limit=limit)


def _idle(stage: Stage) -> list[Figure]:
    with stage.hub() as alone, stage.hub() as followed, _subscriber(stage, followed):
        hubs = [psutil.Process(hub.pid) for hub in (alone, followed)]
        windows: list[list[float]] = [[], []]
        last = [_cpu_s(hub) for hub in hubs]
        for _ in rounds("hub: idle", _WINDOWS):
            psutil.cpu_percent(interval=1)  # sleeps
            for number, hub in enumerate(hubs):
                used_s, last[number] = _cpu_s(hub) - last[number], _cpu_s(hub)
                windows[number].append(used_s * 100)
    names = ("nobody connected", "one `tekton events`")
    return [
        Figure(
            what=f"processor time when idle, {name}", unit="% of a core", values=tuple(values),
            limit=0.5, judged=Judged.MEAN,
        )
        for name, values in zip(names, windows, strict=True)
    ]  # fmt: skip


@contextmanager
def _subscriber(stage: Stage, hub: Hub) -> Iterator[None]:
    """Follow a hub's events; what is heard shows that it is followed."""
    process = subprocess.Popen(
        [stage.tekton, "events"], env=hub.home.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        with process:
            hears = psutil.Process(process.pid)
            wait_until(lambda: bool(hears.net_connections("unix")), "a subscriber")
            hub.ask("mirror")
            if b"mirror" not in process.stdout.readline():
                raise RuntimeError("the subscriber heard nothing")
            yield
            process.terminate()
    finally:
        process.kill()


@dataclass
class _Cycles:
    stage: Stage
    home: Home
    up_ms: list[float] = field(default_factory=list)
    down_ms: list[float] = field(default_factory=list)
    idle_mb: list[float] = field(default_factory=list)
    more_mb: dict[str, list[float]] = field(default_factory=lambda: {v: [] for v in _VENDORS})
    failures: list[str] = field(default_factory=list)
    ready: int = 0
    left: set[str] = field(default_factory=set)
    files: set[str] | None = None

    def go_through(self, number: int) -> None:
        """Start a hub, ask it, end it, and look at what is left."""
        try:
            up = run([self.stage.tekton, "up", "--json"], self.home.environment)
        except RuntimeError as error:
            self.failures.append(str(error))
            return
        hub = Hub(self.stage, self.home, json.loads(up.output)["pid"])
        process = psutil.Process(hub.pid)
        try:
            self.up_ms.append(up.wall_s * 1000)
            self.idle_mb.append(_memory_mb(process))
            self.ready += hub.ask("mirror").output == b"hi\n"
            if number % _CYCLES_A_RUN < len(_VENDORS):
                self._first_prompt(hub, process, _VENDORS[number % _CYCLES_A_RUN])
            down = run([self.stage.tekton, "down"], self.home.environment)
            self.down_ms.append(down.wall_s * 1000)
            self._look()
        finally:
            if process.is_running():
                process.kill()

    def _first_prompt(self, hub: Hub, process: psutil.Process, vendor: str) -> None:
        before = _memory_mb(process)
        hub.ask(vendor)
        self.more_mb[vendor].append(_memory_mb(process) - before)

    def _look(self) -> None:
        deadline = time.monotonic() + _GRACE_S
        while _processes_of(self.home) and time.monotonic() < deadline:
            time.sleep(0.005)
        left = {f"process {process.pid}" for process in _processes_of(self.home)}
        folder = self.home.folder
        every = {path for path in folder.rglob("*") if not path.is_dir()}
        left |= {path.name for path in every if path.is_socket() or path.suffix == ".tmp"}
        left |= {path.name for path in every if _is_alive(path)}
        left |= {path.name for path in self.home.temporary.iterdir() if path.name != "stderr"}
        names = {str(path.relative_to(folder)) for path in every}
        self.files = self.files or names
        self.left |= left | (names - self.files)


def _is_alive(path: Path) -> bool:
    """Tell whether a file is the record of something that claims to run."""
    if path.parent.name != "ai_registry":
        return False
    return bool(json.loads(path.read_bytes()).get("health", "alive") == "alive")


def _processes_of(home: Home) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TEKTON_HOME") == str(home.folder):
                found.append(process)
        except psutil.Error:
            continue  # another user's, or gone meanwhile
    return found


def _memory_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
