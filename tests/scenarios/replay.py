"""A CI whose side of the conversation is written down: it replays exchanges to any client.

An exchange is a list of steps, as they would be recorded on the CI's Unix socket: bytes to send,
cut where the CI cut them, or `HANG_UP`. The prompt names the exchange.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

HANG_UP = None
"""A step that resets nothing and says nothing: the CI closes the connection."""

Step = bytes | None


def chunk(text: str = "", notice: str | None = None) -> bytes:
    """A line with the next piece of the answer."""
    value = {"text": text} if notice is None else {"notice": notice}
    return line({"method": "$/chunk", "params": {"id": 1, "value": value}})


def result(**more: Any) -> bytes:
    """The line that completes the answer."""
    return line({"id": 1, "result": {"ci": "echo", "model": "test/model", **more}})


def error(kind: str, message: str, hint: str | None = None) -> bytes:
    """A line that says that the prompt has failed."""
    data = {"kind": kind} | ({"hint": hint} if hint else {})
    return line({"id": 1, "error": {"code": -32000, "message": message, "data": data}})


def line(body: dict[str, Any]) -> bytes:
    """A JSON-RPC message as it stands on the socket."""
    return json.dumps({"jsonrpc": "2.0", **body}, separators=(",", ":")).encode() + b"\n"


class ReplayedCI:
    """Listens as the CI `name` of a Tekton home, with a record, and replays to each client.

    A prompt that names no exchange gets the one named "". What came is kept in `received`.
    """

    def __init__(
        self, home: Path, exchanges: Mapping[str, Sequence[Step]], name: str = "echo"
    ) -> None:
        self.received: list[dict[str, Any]] = []
        self._exchanges = exchanges
        self._path = home / "run" / "ci" / f"{name}.sock"
        self._record = home / "state" / "ai_registry" / f"{name}-ci.json"
        self._name = name
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        for folder in (self._path.parent.parent, self._path.parent, self._record.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._server.bind(os.fspath(self._path))
        self._server.listen()
        record = {
            "name": self._name, "is_ci": True, "pid": os.getpid(), "socket": str(self._path),
        }  # fmt: skip
        self._record.write_text(json.dumps(record))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()
        self._path.unlink()
        self._record.unlink()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return  # the test is over
            threading.Thread(target=self._replay, args=[client], daemon=True).start()

    def _replay(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            asked = stream.readline()
            if not asked:
                return
            message = json.loads(asked)
            self.received.append(message)
            prompt = message["params"].get("prompt", "")
            try:
                for step in self._exchanges.get(prompt, self._exchanges[""]):
                    if step is HANG_UP:
                        return
                    client.sendall(step)
                stream.read()  # until the client has gone: it was told all
            except OSError:
                pass  # it went before
