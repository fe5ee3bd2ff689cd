"""Lines of the user's shell, run in the foreground of the terminal that the chat is in."""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from backends.cleaning import Cleaner

_RESET = [signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN,
          signal.SIGTTOU, signal.SIGTERM, signal.SIGHUP]  # fmt: skip
_LINGERS_S = 0.2


@dataclass(frozen=True)
class Ended:
    """How a command ended: a shell's status, and its process group if it is only stopped."""

    status: int
    stopped: int | None = None


async def run(line: str, take: Callable[[str], None] | None = None) -> Ended:
    """Run a line in the user's shell, in the foreground, in a process group of its own.

    Args:
        line: For `$SHELL -c`.
        take: Receives the output, cleaned, as it comes; without it the terminal does.
    """
    shell = os.environ.get("SHELL") or "/bin/sh"
    reading, writing = os.pipe() if take else (-1, -1)
    try:
        try:
            pid = _spawn(shell, line, writing)
        finally:
            if take:
                os.close(writing)
        if not take:
            return await _follow(pid)
        pump = asyncio.create_task(_pump(reading, take))
        ended = await _follow(pid)
        # What runs on in the background may hold the pipe open for as long as it likes.
        await asyncio.wait([pump], timeout=_LINGERS_S)
        pump.cancel()
        return ended
    except OSError as error:
        print(f"{shell}: {error.strerror}", file=sys.stderr)
        return Ended(127)
    finally:
        if take:
            os.close(reading)


def _spawn(shell: str, line: str, output: int) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, output, number) for number in (1, 2) if output >= 0]
    return os.posix_spawn(
        shell, [shell, "-c", line], os.environ, file_actions=actions, setpgroup=0,
        setsigdef=_RESET,
    )  # fmt: skip


async def go_on(group: int) -> Ended:
    """Continue a stopped command in the foreground."""
    return await _follow(group, continues=True)


async def _follow(pid: int, continues: bool = False) -> Ended:
    """Wait until a process group's leader ends or is stopped; it has the terminal meanwhile."""
    with _foreground(pid):
        if continues:
            os.killpg(pid, signal.SIGCONT)
        while True:
            _, status = await asyncio.to_thread(os.waitpid, pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                code = os.waitstatus_to_exitcode(status)
                return Ended(code if code >= 0 else 128 - code)
            if os.WSTOPSIG(status) not in (signal.SIGTTIN, signal.SIGTTOU):
                return Ended(128 + os.WSTOPSIG(status), stopped=pid)
            _give_terminal(pid)  # it asked for it before it had it
            os.killpg(pid, signal.SIGCONT)


@contextmanager
def _foreground(group: int) -> Iterator[None]:
    """Lend the terminal, and take it back as it was."""
    try:
        modes = termios.tcgetattr(0)
    except termios.error:  # there is none
        yield
        return
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        _give_terminal(group)
        yield
    finally:
        _give_terminal(os.getpgrp())
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSADRAIN, modes)
        signal.signal(signal.SIGTTOU, before)


def _give_terminal(group: int) -> None:
    with suppress(OSError):  # it may have ended already, or have no terminal
        os.tcsetpgrp(0, group)


async def _pump(reading: int, take: Callable[[str], None]) -> None:
    """Pass on what comes through a pipe until its end."""
    cleaner = Cleaner()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    reader = asyncio.StreamReader()
    pipe = os.fdopen(os.dup(reading), "rb", 0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        while True:
            data = await reader.read(65536)
            text = cleaner.feed(decoder.decode(data, final=not data))
            if text:
                take(text)
            if not data:
                return
    finally:
        transport.close()
