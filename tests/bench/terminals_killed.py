"""A hub that is killed again and again, while terminals write and a person looks on."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from backends.protocol.screens import ReadLog
from tests.bench import terminals_writer
from tests.bench.figures import Count, Figure, Judged
from tests.bench.stage import Home, Stage, rounds, wait_until
from tests.bench.terminals_link import Link, opening, swept
from tests.bench.timed import run
from tests.scenarios.terminal import Terminal

KILLS = 6
BURST = 8_000_000
EVERY_S = 0.002

_UNDER_WAY = 1_000_000
_LINE = re.compile(rb"\d{8} (\d+\.\d{6}) ")


def measure(stage: Stage) -> tuple[list[Figure], list[Count]]:
    """Kill the hub; look when the attached client is back, and what the logs hold at the end."""
    home = stage.home()
    home.configure({})
    with swept(home):
        hub = _Hub(stage, home)
        with _writer(stage, home, "steady", EVERY_S) as steady, \
             _writer(stage, home, "burst", 0) as burst:  # fmt: skip
            person = Terminal([stage.terma, "attach", "steady"], home.environment, home.folder)
            try:
                person.wait_until(lambda: _LINE.search(person.shown), "what an attached one sees")
                back_s = tuple(
                    _kill(hub, burst, person, number) for number in rounds("hub: killed", KILLS)
                )
            finally:
                person.close()
            steady.finish()
            burst.finish()
            wrong = [steady.difference(), burst.difference()]
        run([stage.tekton, "down"], home.environment)
    figures = [
        Figure(
            what="an attached client is back after a new hub's start", unit="s", values=back_s,
            limit=2, judged=Judged.MAX,
        )
    ]  # fmt: skip
    found = sum(lost for lost, _ in wrong)
    details = ", ".join(text for lost, text in wrong if lost)
    return figures, [
        Count(what="bytes lost or doubled in logs", found=found, wanted=0, details=details),
    ]


class _Hub:
    """A hub as `tekton up` starts it."""

    def __init__(self, stage: Stage, home: Home) -> None:
        self._command = [stage.tekton, "up", "--json"]
        self._home = home
        self.pid = json.loads(run(self._command, home.environment).output)["pid"]

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        process = psutil.Process(self.pid)
        os.kill(self.pid, signal.SIGKILL)
        process.wait(10)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Start it anew, beside the block."""
        with subprocess.Popen(
            self._command, env=self._home.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                yield
                self.pid = json.loads(process.communicate(timeout=30)[0])["pid"]
            finally:
                process.kill()


def _kill(hub: _Hub, burst: _Writer, person: Terminal, number: int) -> float:
    """Kill the hub in the middle of a burst; return when the person sees new lines again."""
    burst.order(BURST)
    hub.kill()
    person.read_for(0.1 + number * 0.2)  # so that one who tries again does so at another moment
    seen = len(person.shown)
    began = time.monotonic()

    def is_back() -> bool:
        return any(float(one[1]) >= began for one in _LINE.finditer(person.shown, seen))

    with hub.starting():
        person.wait_until(is_back, "new lines after the start of the hub")
        return time.monotonic() - began


class _Writer:
    """A terminal with numbered lines."""

    def __init__(self, home: Home, name: str) -> None:
        self._home = home
        self._name = name
        self._copy = home.folder / f"{name}.copy"
        self.fifo = home.folder / f"{name}.fifo"
        self._log = Path()
        self._orders = -1

    def open(self, python: str, every_s: float) -> None:
        """Run the program in a terminal."""
        os.mkfifo(self.fifo)
        script = os.fspath(Path(terminals_writer.__file__))
        command = [python, "-P", script, str(self.fifo), str(self._copy), str(every_s)]
        with Link(self._home) as link:
            id_ = link.call(opening(self._home, self._name, command))["id"]
        self._log = self._home.folder / "state" / "terminals" / id_ / "log"
        self._orders = os.open(self.fifo, os.O_RDWR)  # does not wait for the program

    def order(self, size: int) -> None:
        """Have so many bytes written at full speed; returns when that is under way."""
        wanted = self._recorded() + _UNDER_WAY
        os.write(self._orders, b"%d" % size)
        wait_until(lambda: self._recorded() >= wanted, f"the output of {self._name}")

    def _recorded(self) -> int:
        return sum(file.stat().st_size for file in self._log.glob("*.log"))

    def finish(self) -> None:
        """End the program, and wait until the hub knows its end."""
        self.close()
        with Link(self._home) as link:
            wait_until(
                lambda: link.terminals()[self._name]["state"] == "exited", f"{self._name}'s end"
            )

    def close(self) -> None:
        """Let the program end."""
        if self._orders >= 0:
            os.close(self._orders)
            self._orders = -1

    def difference(self) -> tuple[int, str]:
        """Compare the log with what was written; return by how many bytes they differ."""
        wanted = self._copy.read_bytes().replace(b"\n", b"\r\n")
        parts = []
        with Link(self._home) as link:
            link.ask(ReadLog(name=self._name))
            while (piece := link.chunk()) is not None:
                parts.append(base64.b64decode(piece.get("data", "")))
        found = b"".join(parts)
        if found == wanted:
            return 0, ""
        pairs = enumerate(zip(found, wanted, strict=False))
        at = next((number for number, (one, other) in pairs if one != other), "their ends")
        text = f"{self._name}: {len(found):,} bytes for {len(wanted):,}, not the same from {at}"
        return abs(len(found) - len(wanted)) or 1, text


@contextmanager
def _writer(stage: Stage, home: Home, name: str, every_s: float) -> Iterator[_Writer]:
    writer = _Writer(home, name)
    try:
        writer.open(stage.python, every_s)
        yield writer
    finally:
        writer.close()
