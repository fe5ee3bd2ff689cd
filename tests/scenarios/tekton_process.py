r"""A whole Tekton for a test: a home and a hub of its own, and the programs that talk to it.

    with TektonProcess(config) as tekton:
        ran = tekton.aish("mirror", "hi")
        assert (ran.out, ran.status) == (b"hi\n", 0)

Every process is ended by its pid when the block is left, however it is left; one that should have
ended by then, a socket or a record that is left behind fails the test.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from tests.scenarios.terminal import Terminal

BIN = Path(sys.executable).parent
"""Where the scripts are that were installed beside this Python."""

PATIENCE_S = 20.0
"""How long anything may take before a test gives up: far more than it needs on a busy machine."""

_THE_USERS = ("TEKTON_", "ANTHROPIC_", "OPENAI_", "OLLAMA_", "XDG_", "NO_COLOR", "FORCE_COLOR")
_NOISE = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONWARNINGS", "TERM", "LC_ALL", "LANG")

# In the child, between fork and exec, where a thread of the test's own would make that unsafe.
_LIMITED = """
import os, resource, sys
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@dataclass(frozen=True)
class Ran:
    """A program that has ended: a negative status is the signal that it died of."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """What it printed."""
        return self.out.decode()

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class TektonProcess:
    """A Tekton under a folder of its own; a hub runs there from `start` to `stop`.

    Args:
        config: The text of `config.toml`.
        personas: Texts of `ci/NAME.toml` by name.
        variables: Added to the environment of every process.
    """

    def __init__(
        self,
        config: str = "",
        personas: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="tks-", dir="/tmp"))  # a socket's path is short
        self.environment = clean_environment(self.home) | dict(variables or {})
        self.hub: subprocess.Popen[bytes] | None = None
        self._begun: list[subprocess.Popen[bytes]] = []
        self._terminals: list[Terminal] = []
        (self.home / "config" / "ci").mkdir(parents=True)
        self.configure(config)
        for name, text in (personas or {}).items():
            self.add_persona(name, text)

    def configure(self, config: str) -> None:
        """Write the configuration."""
        (self.home / "config" / "config.toml").write_text(config, encoding="utf-8")

    def add_persona(self, name: str, text: str) -> None:
        """Write a CI's file whole, as an editor does."""
        file = self.home / "config" / "ci" / f"{name}.toml"
        file.with_suffix(".new").write_text(text, encoding="utf-8")
        file.with_suffix(".new").replace(file)

    # -- the hub ---------------------------------------------------------------------------

    def start(self, *flags: str, file_limit: int | None = None) -> int:
        """Start a hub and wait until it is ready; returns its pid.

        Args:
            flags: For `python -m backends.hub`.
            file_limit: Bytes that no file of the hub may pass, as on a disk that is full.
        """
        self.hub, report = self.try_start(*flags, file_limit=file_limit)
        assert report.get("ready"), report
        assert report["pid"] == self.hub.pid
        return self.hub.pid

    def try_start(
        self, *flags: str, file_limit: int | None = None
    ) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
        """Start a hub; returns its process and what it reports of its start."""
        reading, writing = os.pipe()
        command = ["-m", "backends.hub", "--ready", str(writing), *flags]
        if file_limit is not None:
            command = ["-c", _LIMITED, str(file_limit), *command]
        with (self.home / "hub.out").open("ab") as output:
            hub = subprocess.Popen(
                [sys.executable, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                cwd="/", env=self.environment, pass_fds=(writing,), start_new_session=True,
            )  # fmt: skip
        os.close(writing)
        self._begun.append(hub)
        with open(reading, "rb") as stream:
            line = stream.readline()
        assert line, f"the hub died: {(self.home / 'hub.out').read_text()}"
        report: dict[str, Any] = json.loads(line)
        return hub, report

    def stop(self) -> None:
        """End the hub as `tekton down` does, and check that nothing of it is left."""
        assert self.hub is not None
        self.hub.terminate()
        assert self.hub.wait(PATIENCE_S) == 0, self.log()
        self.hub = None
        assert self.leftovers() == []

    def leftovers(self) -> list[str]:
        """Sockets and records in the home."""
        found = {*self.home.glob("run/**/*.sock"), *self.home.glob("state/ai_registry/*")}
        found.discard(self.socket("ptyhost", is_ci=False))  # its own, which outlives the hub
        return sorted(str(file.relative_to(self.home)) for file in found)

    def log(self) -> str:
        """What the hub has logged."""
        file = self.home / "state" / "logs" / "hub.log"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def socket(self, name: str, is_ci: bool = True) -> Path:
        """Where a CI or a service listens."""
        return self.home / "run" / ("ci" if is_ci else "") / f"{name}.sock"

    # -- programs --------------------------------------------------------------------------

    def aish(self, *arguments: str, **options: Any) -> Ran:
        """Run `aish` to its end; options as for `run`."""
        return self.run([str(BIN / "aish"), *arguments], **options)

    def tekton(self, *arguments: str, **options: Any) -> Ran:
        """Run `tekton` to its end; options as for `run`."""
        return self.run([str(BIN / "tekton"), *arguments], **options)

    def terma(self, *arguments: str, **options: Any) -> Ran:
        """Run `terma` to its end; options as for `run`."""
        return self.run([str(BIN / "terma"), *arguments], **options)

    def shell(self, script: str, **options: Any) -> Ran:
        """Run a line of bash, which finds `aish` and `tekton`."""
        return self.run(["bash", "-c", script], **options)

    def run(
        self,
        command: list[str],
        input: bytes | None = None,  # noqa: A002 - as `subprocess` calls it
        stdin: int | None = None,
        variables: Mapping[str, str] | None = None,
        timeout_s: float = PATIENCE_S,
    ) -> Ran:
        """Run a program to its end; without input its standard input is /dev/null."""
        if input is None and stdin is None:
            stdin = subprocess.DEVNULL
        ran = subprocess.run(
            command, input=input, stdin=stdin, capture_output=True, timeout=timeout_s,
            cwd=self.home, env=self.environment | dict(variables or {}), check=False,
        )  # fmt: skip
        return Ran(ran.returncode, ran.stdout, ran.stderr.decode())

    def begin(
        self,
        *arguments: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        program: str = "aish",
    ) -> subprocess.Popen[bytes]:
        """Start a program and return while it runs."""
        process = subprocess.Popen(
            [str(BIN / program), *arguments], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
            env=self.environment, cwd=self.home, bufsize=0,
        )  # fmt: skip
        self._begun.append(process)
        return process

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """End a process with this Tekton."""
        self._begun.append(process)

    def terminal(self, *arguments: str, program: str = "aish", rows: int = 24) -> Terminal:
        """Start a program on a terminal of its own."""
        terminal = Terminal([str(BIN / program), *arguments], self.environment, self.home, rows)
        self._terminals.append(terminal)
        return terminal

    def history(self, *arguments: str) -> list[dict[str, Any]]:
        """The turns that are stored, newest first."""
        ran = self.aish("history", "--json", *arguments)
        assert ran.status == 0, ran.err
        found: list[dict[str, Any]] = ran.json
        return found

    def wait_turn(self, prompt: str, status: str) -> dict[str, Any]:
        """Wait until the turn of a prompt is stored with that status, and return it."""

        def found() -> dict[str, Any] | None:
            turns = [turn for turn in self.history("-n", "200") if turn["prompt"] == prompt]
            return next((turn for turn in turns if turn["status"] == status), None)

        turn: dict[str, Any] = wait_for(found, f"a turn {prompt!r} that is {status}")
        return turn

    # -- the end ---------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._end(is_failing=kind is not None)
        finally:
            for process in self._begun:
                _end(process)
                for stream in (process.stdin, process.stdout, process.stderr):
                    if stream:
                        stream.close()
            for pid in list(self.processes()):
                psutil.Process(pid).kill()
            shutil.rmtree(self.home, ignore_errors=True)

    def ptyhost(self) -> int | None:
        """The pid of the process that holds the terminals, if there is one."""
        where = str(self.socket("ptyhost", is_ci=False))
        for process in psutil.process_iter(["cmdline", "status"]):
            is_over = process.info["status"] == psutil.STATUS_ZOMBIE
            if not is_over and where in (process.info["cmdline"] or ()):
                return int(process.pid)
        return None

    def end_terminals(self) -> None:
        """End whatever holds terminals, and what runs in them."""
        pid = self.ptyhost()
        if pid is not None:
            psutil.Process(pid).terminate()
            wait_for(lambda: self.ptyhost() is None, "ptyhost ends")

    def processes(self) -> Iterator[int]:
        """The pids of all processes that belong to this home."""
        if pid := self.ptyhost():
            yield pid
        for process in psutil.process_iter():
            try:
                home = process.environ().get("TEKTON_HOME")
                is_over = process.status() == psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if home == str(self.home) and not is_over and process.pid != os.getpid():
                yield process.pid

    def _end(self, is_failing: bool) -> None:
        for terminal in self._terminals:
            terminal.close()
        for process in self._begun:
            if process is not self.hub:
                _end(process)
        self.end_terminals()
        if self.hub is not None and self.hub.poll() is None:
            if is_failing:
                _end(self.hub)
            else:
                self.stop()
        if not is_failing:
            wait_for(lambda: not list(self.processes()), "no process is left", 2)


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment that knows nothing of the user's, and a home."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_THE_USERS)
        and not name.lower().endswith("_proxy")
        and name not in _NOISE
    }
    return kept | {
        "TEKTON_HOME": str(home),
        "HOME": str(home),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "OLLAMA_HOST": "127.0.0.1:1",  # nobody listens there
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color",
    }


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Wait until a condition holds; returns what it returned."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come: {what}"
        time.sleep(0.01)
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
