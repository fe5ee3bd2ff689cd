"""A plain connection to the service of terminals, so that no client of ours is measured with it."""

from __future__ import annotations

import base64
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from backends.protocol import schema
from backends.protocol.messages import Request
from backends.protocol.terminals import ListTerminals, OpenTerminal
from tests.bench.stage import Home

_PATIENCE_S = 60.0


class Link:
    """Asks the hub of a home; lines out, lines in."""

    def __init__(self, home: Home) -> None:
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._channel.settimeout(_PATIENCE_S)
        self._channel.connect(os.fspath(home.folder / "run" / "terma.sock"))
        self._lines = self._channel.makefile("rb")
        self._number = 0

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._channel.close()

    def ask(self, *requests: Request[Any]) -> None:
        """Ask, all at once."""
        self._channel.sendall(b"".join(map(self._line, requests)))

    def call(self, request: Request[Any]) -> Any:
        """Ask and return the result."""
        return self.call_all([request])[0]

    def call_all(self, requests: Sequence[Request[Any]]) -> list[Any]:
        """Ask all at once; return the results in the order of the requests."""
        first = self._number + 1
        self.ask(*requests)
        found: dict[int, Any] = {}
        while len(found) < len(requests):
            number, result = self.result()
            found[number] = result
        return [found[first + count] for count in range(len(requests))]

    def result(self) -> tuple[int, Any]:
        """Return the next result, and the number of its request; chunks are passed over."""
        while "method" in (message := self._receive()):
            pass
        return message["id"], message["result"]

    def chunk(self) -> Any:
        """Return the next chunk, or `None` where the result has come instead."""
        message = self._receive()
        return message["params"]["value"] if "method" in message else None

    def terminals(self) -> dict[str, dict[str, Any]]:
        """Return what is known of every terminal, by name."""
        return {one["name"]: one for one in self.call(ListTerminals())["terminals"]}

    def _line(self, request: Request[Any]) -> bytes:
        self._number += 1
        message = {
            "jsonrpc": "2.0", "id": self._number, "method": request.METHOD,
            "params": schema.encode(request),
        }  # fmt: skip
        return json.dumps(message).encode() + b"\n"

    def _receive(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise RuntimeError("the hub has hung up")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            raise RuntimeError(f"the hub says: {message['error']['message']}")
        return message


def opening(
    home: Home, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None,
    kind: str = "program", columns: int = 80,
) -> OpenTerminal:  # fmt: skip
    """Ask for a terminal, with the environment of the home where no other is given."""
    variables = environment or home.environment
    joined = "".join(f"{key}={value}\0" for key, value in variables.items())
    return OpenTerminal(
        name=name, command=tuple(command), folder=os.fspath(home.folder), kind=kind,
        environment=base64.b64encode(os.fsencode(joined)).decode("ascii"), columns=columns,
    )  # fmt: skip


def typed(text: str) -> str:
    """Return a text as it is typed into a terminal."""
    return base64.b64encode(text.encode()).decode("ascii")


@contextmanager
def swept(home: Home, hub: int | None = None) -> Iterator[None]:
    """Kill what a block leaves of a home: whoever holds the terminals outlives the hub.

    Args:
        home: Whose processes.
        hub: The process that is left alone.
    """
    try:
        yield
    finally:
        while found := [one for one in _processes_of(home) if one.pid not in (hub, os.getpid())]:
            end(found)


def end(processes: Sequence[psutil.Process]) -> None:
    """Kill processes, and wait until they are gone, or for a second."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=1)


def _processes_of(home: Home) -> list[psutil.Process]:
    folder, found = os.fspath(home.folder), []
    for process in psutil.process_iter():
        try:
            is_of_it = process.environ().get("TEKTON_HOME") == folder or any(
                f"{folder}/" in word for word in process.cmdline()
            )
            if is_of_it and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue  # another user's, or gone meanwhile
    return found
