"""A key, until its echo is back: in a terminal of ours, and in tmux both ways."""

from __future__ import annotations

import base64
import os
import select
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from string import ascii_lowercase

import psutil

from backends.protocol.terminals import AttachTerminal, WriteTerminal
from tests.bench.figures import Figure
from tests.bench.stage import Home, Hub, Stage, take_turns
from tests.bench.terminals_link import Link, end, opening, swept

_FEWEST_KEYS = 500
_KEYS_A_RUN = 25
_PATIENCE_S = 10.0

# The terminal itself echoes; lines would be cut where they are too long, so there are none.
_ECHOING = ("sh", "-c", "stty -icanon; echo ready; exec cat >/dev/null")

_OURS = "Terma"


def measure(stage: Stage, runs: int) -> list[Figure]:
    """Type into three terminals by turns."""
    keys = max(_FEWEST_KEYS, runs * _KEYS_A_RUN)
    with stage.hub() as hub, swept(hub.home, hub.pid), ExitStack() as stack:
        contestants = [
            stack.enter_context(_ours(hub)),
            *stack.enter_context(_tmux(hub.home)),
        ]
        ours, control, polled = take_turns("terminals: a key", keys, contestants)
    return [
        Figure(what="a key, until its echo is back", unit="ms", values=ours, limit=1),
        Figure(what="a key, 99th percentile", unit="ms", values=(_p99(ours),)),
        Figure(
            what="a key in tmux: control mode", unit="ms", values=control,
            rival=_OURS, rival_values=ours,
        ),
        Figure(what="a key in tmux: control mode, 99th percentile", unit="ms",
            values=(_p99(control),)),
        Figure(
            what="a key in tmux: `send-keys`, then `capture-pane`", unit="ms", values=polled,
            rival=_OURS, rival_values=ours,
        ),
    ]  # fmt: skip


def _p99(values: tuple[float, ...]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]


@contextmanager
def _ours(hub: Hub) -> Iterator[Callable[[], float]]:
    """Attach as `terma attach` does: one connection for the output, one for the keys."""
    with Link(hub.home) as output, Link(hub.home) as typing:
        typing.call(opening(hub.home, "echo", _ECHOING))
        output.ask(AttachTerminal(name="echo"))
        painted = output.chunk()
        shown = base64.b64decode(painted["data"])
        while b"ready" not in shown:
            shown += base64.b64decode(output.chunk()["data"])
        letters = cycle(ascii_lowercase)

        def echo_ms() -> float:
            key = next(letters).encode()
            began = time.perf_counter()
            data = base64.b64encode(key).decode("ascii")
            typing.ask(WriteTerminal(name="echo", data=data, attachment=painted["attachment"]))
            while key not in base64.b64decode(output.chunk().get("data", "")):
                pass
            took_ms = (time.perf_counter() - began) * 1000
            typing.result()
            return took_ms

        yield echo_ms


@contextmanager
def _tmux(home: Home) -> Iterator[tuple[Callable[[], float], Callable[[], float]]]:
    """Run a tmux server of our own; yields a key in control mode, and one that is looked for.

    Raises:
        RuntimeError: There is no tmux.
    """
    program = shutil.which("tmux")
    if program is None:
        raise RuntimeError("tmux is not installed, and terminals are measured beside it")
    tmux = _Tmux(program, home)
    try:
        tmux.start("polled")
        tmux.start("control")
        with tmux.control() as control_ms:
            yield control_ms, tmux.polled_ms
    finally:
        tmux.end()


class _Tmux:
    """A tmux server with a socket of its own and no configuration."""

    def __init__(self, program: str, home: Home) -> None:
        self._command = [program, "-S", os.fspath(home.folder / "tmux"), "-f", os.devnull]
        self._environment = {
            key: value for key, value in home.environment.items() if not key.startswith("TMUX")
        }
        self._folder = Path(home.folder)
        self._letters = cycle(ascii_lowercase)
        self._server: psutil.Process | None = None

    def start(self, session: str) -> None:
        """Open a session with a program that swallows what is typed."""
        self._run("new-session", "-d", "-s", session, "-x", "80", "-y", "24", *_ECHOING)
        self._server = psutil.Process(int(self._run("display-message", "-p", "#{pid}")))
        self._wait_for(session, b"ready")

    def end(self) -> None:
        """End the server, and with it what runs in its sessions."""
        if self._server is not None:
            end([self._server, *self._server.children(recursive=True)])

    def polled_ms(self) -> float:
        """Type a key with one process, and look with others until it is there."""
        key = next(self._letters)
        began = time.perf_counter()
        self._run("send-keys", "-t", "polled", "-l", key)
        self._wait_for("polled", key.encode())
        return (time.perf_counter() - began) * 1000

    @contextmanager
    def control(self) -> Iterator[Callable[[], float]]:
        """Attach a client in control mode; yields what types a key through it."""
        process = subprocess.Popen(
            [*self._command, "-C", "attach-session", "-t", "control"], env=self._environment,
            cwd=self._folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        letters = cycle(ascii_lowercase)
        to_tmux, from_tmux = process.stdin, process.stdout

        def read_until(is_so: Callable[[bytes], bool]) -> None:
            said = b""
            while not is_so(said):
                is_there = select.select([from_tmux], [], [], _PATIENCE_S)[0]
                if not (part := from_tmux.read(65536) if is_there else b""):
                    raise RuntimeError(f"tmux says no more than {said!r}")
                said += part

        def type_ms() -> float:
            key = next(letters).encode()
            began = time.perf_counter()
            to_tmux.write(b"send-keys -t control -l %s\n" % key)
            read_until(lambda said: _has_echo(said, key))
            return (time.perf_counter() - began) * 1000

        with process:
            try:
                read_until(lambda said: b"%session-changed " in said)  # output before that is lost
                yield type_ms
            finally:
                process.kill()

    def _wait_for(self, session: str, text: bytes) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not self._run("capture-pane", "-p", "-t", session).rstrip().endswith(text):
            if time.monotonic() > deadline:
                raise RuntimeError(f"tmux does not show {text!r}")

    def _run(self, *words: str) -> bytes:
        done = subprocess.run(
            [*self._command, *words], env=self._environment, cwd=self._folder, check=False,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"tmux {words[0]} failed: {done.stderr.decode().strip()}")
        return done.stdout


def _has_echo(said: bytes, key: bytes) -> bool:
    return any(
        line.startswith(b"%output ") and line.endswith(b" " + key)
        for line in said.split(b"\n")[:-1]
    )
