"""A real ptyhost for a test, and a plain client of it.

    with Ptyhost(folder) as ptyhost:
        client = ptyhost.client()
        client.open("a", "cat")

Whatever carries the id of one of its terminals is killed when the block is left, by its pid.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil

from terma.ptyhost import frames
from terma.ptyhost.processes import survivors

PATIENCE_S = 20.0

_SUFFIX = f"-{os.getpid()}"


def id_of(terminal: str) -> str:
    """The id of a terminal that a test calls `a`: closing it must not end another test's."""
    return terminal + _SUFFIX


class Refused(Exception):
    """An error that ptyhost answered with."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(f"{fields['kind']}: {fields['message']}")
        self.kind, self.message, self.fields = fields["kind"], fields["message"], fields


def pack(environment: dict[str, str]) -> str:
    """An environment as `open` takes it."""
    text = "".join(f"{name}={value}\0" for name, value in environment.items())
    return base64.b64encode(os.fsencode(text)).decode()


def is_running(pid: int) -> bool:
    """Whether a process is there and does not only wait to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def use_all_descriptors(pid: int) -> None:
    """Leave a process no descriptor that it could still open."""
    process = psutil.Process(pid)
    hard = process.rlimit(psutil.RLIMIT_NOFILE)[1]
    highest = max(map(int, os.listdir(f"/proc/{pid}/fd")))
    process.rlimit(psutil.RLIMIT_NOFILE, (highest + 1, hard))


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition; returns what it returned."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.005)
    return found


class Client:
    """A client that waits for each answer, and keeps what else it gets meanwhile."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        try:
            self.socket.connect(os.fspath(path))
        except OSError:
            self.socket.close()
            raise
        self.events: list[dict[str, Any]] = []
        self.output: dict[int, bytearray] = {}
        self.ends: dict[int, int] = {}
        self.answers: dict[int, Any] = {}
        self.seen: list[Any] = []
        self._splitter = frames.Splitter(1 << 30)
        self._ids = 0

    def send(self, op: str, **arguments: Any) -> int:
        """Ask, and do not wait; returns the id of the request."""
        self._ids += 1
        if arguments.get("terminal") and isinstance(arguments["terminal"], str):
            arguments["terminal"] = id_of(arguments["terminal"])
        self.socket.sendall(frames.message({"id": self._ids, "op": op, **arguments}))
        return self._ids

    def ask(self, op: str, **arguments: Any) -> Any:
        """Ask, and return the answer; of a `read`, offset, bytes, oldest and end."""
        return self.answer(self.send(op, **arguments))

    def answer(self, number: int) -> Any:
        """Wait for the answer to a request."""
        self.wait(lambda: number in self.answers, f"the answer to {number}")
        found = self.answers.pop(number)
        if isinstance(found, dict) and "error" in found:
            raise Refused(found["error"])
        return found["ok"] if isinstance(found, dict) else found

    def open(self, terminal: str, *command: str, **arguments: Any) -> int:
        """Open a terminal; returns the program's pid."""
        return int(self.answer(self.send_open(terminal, *command, **arguments))["pid"])

    def send_open(self, terminal: str, *command: str, **arguments: Any) -> int:
        """Ask for a terminal, and do not wait."""
        environment = arguments.pop("environment", {"PATH": os.environ["PATH"]})
        usual: dict[str, Any] = {"folder": "/", "columns": 80, "rows": 24, "log": None}
        return self.send(
            "open", terminal=terminal, command=command, environment=pack(environment),
            **{**usual, **arguments},
        )  # fmt: skip

    def write(self, terminal: str, data: bytes, **arguments: Any) -> Any:
        """Type something."""
        packed = base64.b64encode(data).decode()
        return self.ask("write", terminal=terminal, data=packed, **arguments)

    def send_input(self, terminal: str, data: bytes) -> int:
        """Type something with a frame of its own kind, and do not wait."""
        self._ids += 1
        name = id_of(terminal).encode()
        head = frames.INPUT_HEAD.pack(self._ids, len(name))
        self.socket.sendall(frames.frame(frames.INPUT, head, name, data))
        return self._ids

    def follow(self, terminal: str, offset: int = 0, channel: int = 1) -> Any:
        """Subscribe."""
        self.output[channel], self.ends[channel] = bytearray(), offset
        return self.ask("subscribe", terminal=terminal, channel=channel, offset=offset)

    def state(self, terminal: str) -> dict[str, Any]:
        """What `list` tells of a terminal."""
        [found] = [
            one for one in self.ask("list")["terminals"] if one["terminal"] == id_of(terminal)
        ]  # fmt: skip
        return dict(found)

    def wait_for(self, text: bytes, channel: int = 1) -> bytes:
        """Wait until a text was put out; returns all that was."""
        self.wait(lambda: text in self.output[channel], repr(text))
        return bytes(self.output[channel])

    def wait_event(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for an event with such fields, and return it."""

        def find() -> list[dict[str, Any]]:
            wanted = {"event": event, **fields}.items()
            return [one for one in self.events if wanted <= one.items()]

        self.wait(lambda: bool(find()), f"{event} {fields}")
        return find()[0]

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Take what comes until a condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come; {self.events}"
            self.take()

    def take(self) -> None:
        """Take what comes next."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionResetError("ptyhost hung up")
        for kind, payload in self._splitter.split(data):
            if kind == frames.OUTPUT:
                channel, offset = frames.OUTPUT_HEAD.unpack_from(payload)
                piece = payload[frames.OUTPUT_HEAD.size :]
                assert offset == self.ends[channel], "output has a gap"
                self.ends[channel] += len(piece)
                self.output[channel] += piece
                self.seen.append((channel, offset, piece))
            elif kind == frames.READ:
                number, offset, oldest, end = frames.READ_HEAD.unpack_from(payload)
                self.answers[number] = (offset, payload[frames.READ_HEAD.size :], oldest, end)
            else:
                fields: dict[str, Any] = frames.fields_of(payload)
                if "event" in fields:
                    self._take_event(fields)
                else:
                    self.answers[fields["id"]] = fields

    def _take_event(self, fields: dict[str, Any]) -> None:
        if "terminal" in fields:
            fields["terminal"] = fields["terminal"].removesuffix(_SUFFIX)
        self.events.append(fields)
        self.seen.append(fields)
        if fields["event"] == "trimmed":
            self.ends[fields["channel"]] = fields["oldest"]

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class Ptyhost:
    """A ptyhost in a private folder; without isolation, so that its coverage is measured."""

    def __init__(self, folder: Path, command: tuple[str, ...] = ("-m", "terma.ptyhost")) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / "ptyhost.sock"
        self._command = [sys.executable, *command, os.fspath(self.path)]
        self._clients: list[Client] = []
        self._terminals: set[str] = set()
        self.pid = 0

    def start(self) -> subprocess.CompletedProcess[str]:
        """Start it; returns how the starting process ended, once it has."""
        said = self.path.with_name("ptyhost.out")
        with said.open("w") as output:
            status = subprocess.run(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                timeout=PATIENCE_S, check=False, cwd=Path(__file__).parents[3],
            ).returncode  # fmt: skip
        return subprocess.CompletedProcess(self._command, status, "", said.read_text())

    def client(self) -> Client:
        """Connect another client."""
        client = Client(self.path)
        self._clients.append(client)
        if not self.pid:
            self.pid = client.ask("hello", version=1)["pid"]
        return client

    def kill(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(self.pid), "its death")
        self.pid = 0

    def __enter__(self) -> Self:
        ran = self.start()
        assert ran.returncode == 0, ran.stderr
        return self

    def __exit__(self, *_: object) -> None:
        try:
            names = {one["terminal"] for one in self.client().ask("list")["terminals"]}
        except (OSError, AssertionError):
            names = set()
        for client in self._clients:
            client.close()
        if self.pid and is_running(self.pid):
            os.kill(self.pid, signal.SIGTERM)
            wait_until(lambda: not is_running(self.pid), "the end of ptyhost")
        for pids in survivors(names | self._terminals).values():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

    def clean_up(self, *terminals: str) -> None:
        """Have what carries these ids killed in the end, also where ptyhost is gone by then."""
        self._terminals.update(map(id_of, terminals))
