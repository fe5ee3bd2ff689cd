"""Starting and ending the process of the hub."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from backends.commands.terminals import VARIABLES
from backends.console import say
from backends.errors import TektonError, TimedOut
from backends.paths import Paths

_READY_S = 30.0
_STOP_S = 10.0


def end_hub(paths: Paths, kills: bool = False) -> int | None:
    """End the hub; returns its pid, or `None` where none runs.

    Args:
        paths: Whose hub.
        kills: Kill one that does not end.

    Raises:
        TimedOut: It does not end.
    """
    from backends.hub_record import is_locked, read_hub_record
    from backends.registry import is_running

    if not is_locked(paths):
        return None
    pid = int(read_hub_record(paths)["pid"])
    with suppress(ProcessLookupError):  # it may be on its way out already
        os.kill(pid, signal.SIGTERM)

    def wait() -> None:
        _wait(
            lambda: not is_locked(paths) and not is_running(pid),
            _STOP_S,
            f"the hub (pid {pid}) does not end",
            f"`kill -9 {pid}` ends it",
        )

    try:
        wait()
    except TimedOut as error:
        if not kills:
            raise
        say(f"{error.message}: it is killed")
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait()
    return pid


def spawn(paths: Paths, flags: list[str]) -> int:
    """Start a hub that outlives this process; returns its pid once it is ready.

    Raises:
        TektonError: It cannot start; the message is its own.
    """
    from backends.paths import private_folder

    private_folder(paths.logs)
    reading, writing = os.pipe()
    with (paths.logs / "hub.out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "backends.hub", "--ready", str(writing), *flags],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
            start_new_session=True, pass_fds=(writing,), env=_outside_terminals(_environment()),
        )  # fmt: skip
    os.close(writing)
    report = _read_report(reading, process, paths.logs / "hub.out")
    for failure in report.get("failed", ()):
        say(f"warning: {failure}")
    if report.get("ready"):
        return int(report["pid"])
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    raise TektonError.of_kind(report.get("kind", "failed"), report["message"], report.get("hint"))


def _environment() -> dict[str, str]:
    """The environment of this process, with its relative folder made absolute."""
    home = os.environ.get("TEKTON_HOME")
    return {**os.environ, "TEKTON_HOME": os.path.abspath(home)} if home else dict(os.environ)


def _outside_terminals(environment: Mapping[str, str]) -> dict[str, str]:
    """Take out what a terminal adds: what carries that is ended when the terminal is closed."""
    return {name: value for name, value in environment.items() if name not in VARIABLES}


def _read_report(reading: int, process: subprocess.Popen[bytes], output: Path) -> dict[str, Any]:
    deadline, data = time.monotonic() + _READY_S, b""
    while not data.endswith(b"\n"):
        ready, _, _ = select.select([reading], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            process.kill()
            raise TimedOut(
                f"the hub was not ready within {_READY_S:g} s", "`tekton logs` tells more"
            )
        part = os.read(reading, 65536)
        if not part:
            said = output.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise TektonError(
                f"the hub died while starting (exit status {process.wait()}): {said[0]}",
                f"all it said is in {output}",
            )
        data += part
    os.close(reading)
    found: dict[str, Any] = json.loads(data)
    return found


def become(flags: list[str]) -> NoReturn:
    """Become a hub, or the service that the flags name, in the foreground."""
    os.execve(sys.executable, [sys.executable, "-m", "backends.hub", *flags], _environment())  # nosec B606


def _wait(is_done: Callable[[], bool], seconds: float, message: str, hint: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            raise TimedOut(f"{message} within {seconds:g} s", hint)
        time.sleep(0.01)
