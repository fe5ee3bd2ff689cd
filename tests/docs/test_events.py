"""The table of events: what it says happens, and all that happens is in it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from typing import Any, Self

import pytest

from tests.docs.pages import DOCS
from tests.model_servers import Fault, FaultKind, OllamaServer, Script
from tests.scenarios.tekton_process import BIN, PATIENCE_S, TektonProcess, wait_for

PAGE = DOCS / "reference" / "events.md"
ROWS = {
    subject: set(re.findall(r"`(\w+)`", data))
    for subject, data in re.findall(
        r"^\| `([a-z]+\.NAME\.[a-z.]+)` \| [^|]+ \|([^|]*)\|$", PAGE.read_text(), re.MULTILINE
    )
}


TERMINALS = {subject for subject in ROWS if subject.startswith("terminal.")}


class Watch:
    """Collects every event."""

    def __init__(self, tekton: TektonProcess) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(tekton.socket("hermes", is_ci=False)))
        self._connection.sendall(b'{"jsonrpc":"2.0","id":1,"method":"subscribe"}\n')
        self._connection.sendall(
            b'{"jsonrpc":"2.0","id":2,"method":"publish","params":{"subject":"watch.begins"}}\n'
        )
        self._connection.settimeout(0.05)
        self._rest = b""
        self.events: list[dict[str, Any]] = []
        self.wait("watch.begins")

    def wait(self, subject: str) -> dict[str, Any]:
        """Wait for an event."""

        def found() -> dict[str, Any] | None:
            self._read()
            return next((one for one in self.events if one["subject"] == subject), None)

        event: dict[str, Any] = wait_for(found, subject)
        return event

    def _read(self) -> None:
        try:
            data = self._connection.recv(1 << 16)
        except TimeoutError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for message in map(json.loads, lines):
            if message.get("method") == "$/chunk":
                self.events.append(message["params"]["value"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with OllamaServer(Script(tokens=["a ", "word"])) as server:
        yield server


def serve_alone(tekton: TektonProcess, name: str) -> subprocess.Popen[bytes]:
    process, report = tekton.try_start("--only", name)
    assert report.get("ready"), report
    return process


def cause_all(tekton: TektonProcess, server: OllamaServer, watch: Watch) -> None:
    """Do all that the table tells of, but what concerns a service that runs alone."""
    tekton.aish("apollo", "--session", "plan", "hello")
    assert tekton.aish("session", "rm", "plan").status == 0
    watch.wait("service.engram.removed")
    server.script = Script(tokens=["a ", "b"], fault=Fault(FaultKind.CUT, after=1))
    tekton.aish("athena", "hello")
    server.script = Script(tokens=["a ", "b"], fault=Fault(FaultKind.HANG, after=1))
    asking = tekton.begin("sophia", "hello")
    assert asking.stdout
    asking.stdout.read(1)
    asking.send_signal(signal.SIGINT)
    tekton.add_persona("zeus", 'role = "judge"')
    watch.wait("ci.zeus.started")
    (tekton.home / "config" / "ci" / "zeus.toml").unlink()
    tekton.socket("ergon").unlink()
    for subject in ("ci.sophia.answer.interrupted", "ci.zeus.stopped", "ci.ergon.died"):
        watch.wait(subject)


def seen_by(watch: Watch) -> dict[str, set[str]]:
    """Return what happened as the table has it: subjects, each with the names of its data."""
    seen: dict[str, set[str]] = {}
    for event in watch.events:
        if event["subject"] != "watch.begins":
            kind, _, rest = event["subject"].split(".", 2)
            seen.setdefault(f"{kind}.NAME.{rest}", set()).update(event.get("data", {}))
    return seen


def test_all_that_is_in_the_table_happens_and_nothing_else(server: OllamaServer) -> None:
    with TektonProcess(variables={"OLLAMA_HOST": server.url}) as tekton:
        alone = serve_alone(tekton, "engram")
        tekton.start()
        with Watch(tekton) as watch:
            cause_all(tekton, server, watch)
            os.kill(alone.pid, signal.SIGKILL)
            alone.wait(PATIENCE_S)
            watch.wait("service.engram.died")
            again = serve_alone(tekton, "engram")
            watch.wait("service.engram.started")
            again.terminate()
            again.wait(PATIENCE_S)
            watch.wait("service.engram.stopped")
        assert tekton.hub
        tekton.hub.terminate()
        assert tekton.hub.wait(PATIENCE_S) == 0
        tekton.hub = None  # two records of what died are left, on purpose
    assert seen_by(watch) == {name: data for name, data in ROWS.items() if name not in TERMINALS}


def test_an_answer_starts_and_ends_once(server: OllamaServer) -> None:
    with TektonProcess(variables={"OLLAMA_HOST": server.url}) as tekton:
        tekton.start()
        with Watch(tekton) as watch:
            for name in ("apollo", "mirror"):
                tekton.aish(name, "hello")
                watch.wait(f"ci.{name}.answer.finished")
            tekton.aish("apollo", "-m", "nothing-like-it", "hello")
            failed = watch.wait("ci.apollo.answer.failed")
        tekton.stop()
    subjects = [event["subject"] for event in watch.events]
    assert [subject for subject in subjects if ".answer." in subject] == [
        "ci.apollo.answer.started", "ci.apollo.answer.finished",
        "ci.mirror.answer.started", "ci.mirror.answer.finished",
        "ci.apollo.answer.failed",
    ]  # fmt: skip
    assert failed["data"].keys() == {"turn", "elapsed_s", "error"}


_TOO_MUCH = 3_000_000
"""Bytes that a log cannot have where files are limited."""


def cause_all_of_terminals(tekton: TektonProcess, watch: Watch) -> None:
    """Do all that the table tells of terminals."""

    def terma(*arguments: str) -> None:
        ran = tekton.run([str(BIN / "terma"), *arguments])
        assert ran.status == 0, ran.err

    terma("new", "alice", "--shell", "bash")
    terma("send", "alice", "--keys", r"printf '\\a\\033]9;look\\a'\n")
    watch.wait("terminal.alice.bell")
    watch.wait("terminal.alice.notice")
    attached = tekton.terminal("attach", "alice", program="terma")
    watch.wait("terminal.alice.attached")
    attached.type("\x1d")
    watch.wait("terminal.alice.detached")
    terma("message", "alice", "hello")
    watch.wait("terminal.alice.message")
    terma("role", "alice", "review")
    watch.wait("terminal.alice.role")
    terma("rename", "alice", "eve")
    watch.wait("terminal.alice.renamed")
    terma("new", "bob", "--", "sh", "-c", "exit 3")
    assert watch.wait("terminal.bob.exited")["data"] == {"status": 3}
    terma("new", "carl", "--", "sh", "-c", "kill -9 $$")
    assert watch.wait("terminal.carl.exited")["data"] == {"signal": "KILL"}
    terma("new", "dora", "--", "sh", "-c", f"head -c {_TOO_MUCH} /dev/zero; exec sleep 600")
    watch.wait("terminal.dora.warning")
    host = tekton.tekton("status", "--json").json["ptyhost"]["pid"]
    os.kill(host, signal.SIGKILL)
    watch.wait("terminal.eve.lost")
    terma("restore", "eve")
    watch.wait("terminal.eve.restored")
    terma("close", "--all", "--yes")
    watch.wait("terminal.dora.closed")


def test_all_that_the_table_tells_of_terminals_happens_and_nothing_else() -> None:
    with TektonProcess() as tekton:
        tekton.start(file_limit=_TOO_MUCH - 1_000_000)
        with Watch(tekton) as watch:
            cause_all_of_terminals(tekton, watch)
        tekton.stop()
    seen = {name: data for name, data in seen_by(watch).items() if name.startswith("terminal.")}
    assert seen == {name: ROWS[name] for name in TERMINALS}
