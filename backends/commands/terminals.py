"""Terminals, as `tekton` sees them: they live on without a hub, and end only where that is asked.

The service `terma` is asked where it answers. Where it does not, the processes themselves are
looked for: the one that holds the terminals by its socket, those in them by the variables that
every terminal has.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from backends.console import complain, say
from backends.errors import TektonError, TimedOut
from backends.paths import Paths
from backends.protocol.terminals import Closed, CloseTerminal, ListTerminals, Terminals

if TYPE_CHECKING:
    import psutil

VARIABLES = ("TERMA_TERMINAL", "TERMA_INSTANCE", "TERMA_TOKEN_FILE", "TERMA_MAIL")
"""What a terminal adds to the environment of all that runs in it."""

_HOST = "ptyhost/__main__.py"
_ASK_S = 3.0
_AT_ONCE = 64
_GRACE_S = 2.0
_KILLED_S = 5.0


def ask(paths: Paths) -> Terminals | None:
    """Ask the hub for the terminals; `None` where it does not tell."""
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(paths=paths, is_local=True, patience_s=_ASK_S) as tekton:
        try:
            return tekton.call(ListTerminals())
        except TektonError:
            return None  # whoever needs the reason asks for more than this


def host_pid(paths: Paths) -> int | None:
    """Return the pid of the process that holds the terminals, also of one that hangs.

    It is known by its arguments, also where its socket is gone for a moment.
    """
    socket = os.fspath(paths.socket("ptyhost", is_ci=False))
    if not any(map(os.path.lexists, (socket, f"{socket}.lock"))):
        return None
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            program, path = ("", "", *process.cmdline())[-2:]
            if path == socket and program.endswith(_HOST) and _is_alive(process):
                return process.pid
    return None


def _is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that has ended may wait for a parent that hangs."""
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def living(paths: Paths, found: Terminals | None) -> str:
    """Say what lives on without a hub, by what it told before; "" where nothing does."""
    end = "`tekton down --all` ends"
    if found is None:
        pid = host_pid(paths)
        return f"terminals live on, held by ptyhost (pid {pid}); {end} them too" if pid else ""
    number = sum(one.pid is not None for one in found.terminals)
    if number > 1:
        return f"{number} terminals live on; {end} them too"
    return f"1 terminal lives on; {end} it too" if number else ""


def is_within(paths: Paths) -> bool:
    """Tell whether this process runs in a terminal of this Tekton."""
    return _belongs(os.environ, paths)


def leave_and_end() -> int:
    """End everything from a process that no terminal holds, as this one ends with its own."""
    say("this terminal ends too")
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", "from backends.cli import main; main()", "down", "--all"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        start_new_session=True, env=environment, check=False,
    ).returncode  # fmt: skip


def close_all(paths: Paths) -> None:
    """Let the service close every terminal; says what has ended, and what has not."""
    found = ask(paths)
    if found is None:
        say("the service terma does not answer: its terminals are ended without it")
        return
    import asyncio

    names = [one.name for one in found.terminals]
    answers = asyncio.run(_close(paths, [one.id for one in found.terminals]))
    closed = [one for one in answers if isinstance(one, Closed)]
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, TektonError):
            complain(answer, f"{name}: ")
    if closed:
        terminals = "1 terminal" if len(closed) == 1 else f"{len(closed)} terminals"
        ended = sum(one.ended for one in closed)
        say(f"closed {terminals} ({ended} {'process' if ended == 1 else 'processes'} ended)")
    for one in found.terminals:
        if one.worktree and os.path.lexists(one.worktree.path):
            tree = one.worktree
            command = ["git", "-C", tree.repository, "worktree", "remove", tree.path]
            say(
                f"the worktree of {one.name} is still there: {tree.path}; "
                f"`{shlex.join(command)}` removes it"
            )


async def _close(paths: Paths, ids: Sequence[str]) -> list[Closed | TektonError]:
    import asyncio

    from backends.client.tekton import Tekton

    turnstile = asyncio.Semaphore(_AT_ONCE)
    async with Tekton(paths=paths, is_local=True) as tekton:

        async def one(terminal: str) -> Closed | TektonError:
            async with turnstile:
                try:
                    async with asyncio.timeout(_GRACE_S + _KILLED_S):
                        return await tekton.call(CloseTerminal(name=terminal))
                except TektonError as error:
                    return error
                except TimeoutError:
                    return TimedOut(f"it was not closed within {_GRACE_S + _KILLED_S:g} s")

        return await asyncio.gather(*map(one, ids))


def end_rest(paths: Paths) -> None:
    """End what is left once there is no hub: what runs in terminals, and who holds them.

    Raises:
        TimedOut: Something survives even SIGKILL.
    """
    pid = host_pid(paths)
    left = _processes(paths)
    if left:
        say(f"still there of terminals: {_listed(left)}; they are ended")
        _end(left, (signal.SIGHUP, signal.SIGCONT))
    if pid is None or _wait(lambda: host_pid(paths) is None, _GRACE_S):
        return
    say(f"ptyhost (pid {pid}) does not end by itself: it is killed")
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if not _wait(lambda: host_pid(paths) is None, _KILLED_S):
        raise TimedOut(f"ptyhost (pid {pid}) does not end", f"`ps -fp {pid}` tells what it does")
    paths.socket("ptyhost", is_ci=False).unlink(missing_ok=True)


def _processes(paths: Paths) -> list[psutil.Process]:
    """Find every process that carries the variables of a terminal of this Tekton."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            is_other = process.pid != os.getpid()
            if is_other and _belongs(process.environ(), paths) and _is_alive(process):
                found.append(process)
    return found


def _belongs(environment: Mapping[str, str], paths: Paths) -> bool:
    token = environment.get("TERMA_TOKEN_FILE", "")
    return "TERMA_INSTANCE" in environment and token.startswith(f"{paths.terminals}{os.sep}")


def _end(processes: Sequence[psutil.Process], signals: Iterable[signal.Signals]) -> None:
    """Signal processes, and kill those that are there after the grace.

    Raises:
        TimedOut: Some survive that.
    """
    for number in signals:
        _signal(processes, number)
    _wait(lambda: not any(map(_is_alive, processes)), _GRACE_S)
    _signal(processes, signal.SIGKILL)
    if not _wait(lambda: not any(map(_is_alive, processes)), _KILLED_S):
        pids = ",".join(str(one.pid) for one in processes if _is_alive(one))
        raise TimedOut(f"these processes do not end: {pids}", f"`ps -fp {pids}` tells what they do")


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    import psutil

    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def _listed(processes: Sequence[psutil.Process]) -> str:
    import psutil

    names = []
    for process in processes:
        with suppress(psutil.Error):
            names.append(f"{process.name()} (pid {process.pid})")
    return ", ".join(names)


def _wait(is_done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
