"""`terma list --watch`: the terminals, shown anew when something changes.

Events tell that something has changed and nothing else, so that one which is lost does no harm:
what is shown is always asked for anew, at least once a second.
"""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from backends.cleaning import clean_line
from backends.console import DIM, paint
from backends.errors import CannotConnect, TektonError, TimedOut
from terma.overview import as_page, as_text, fetch, warnings_of

if TYPE_CHECKING:
    from types import FrameType

    from backends.protocol.terminals import TerminalInfo

_TICK_MS = 1000
_CALM_S = 0.1
"""Least time between two looks, however many events come."""


def watch_terminals(name: str | None, as_json: bool) -> None:
    """Show all terminals, or one, with each change: in place where a person looks.

    Raises:
        CannotConnect: There is no hub; a person who has the table already waits for the next.
    """
    news = _follow_events()
    if as_json or not sys.stdout.isatty():
        _print_changes(name, as_json, news)
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    foot = [paint("q quits", DIM)] if keys is not None else []
    page = _page(fetch(name), name)
    with _screen():
        while True:
            _draw(page, foot)
            if _wait(news, keys):
                return
            try:
                page = _page(fetch(name), name)
            except (CannotConnect, TimedOut) as error:
                page = error.lines().split("\n")


def _follow_events() -> int:
    """Return a descriptor that can be read when something has happened to a terminal."""
    import threading

    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    threading.Thread(target=_forward_events, args=(writing,), daemon=True).start()
    return reading


def _forward_events(writing: int) -> None:
    """Write a byte for each event; where nobody tells of events any more, try to find out anew."""
    from backends.client.blocking import BlockingTekton
    from backends.protocol.messages import Subscribe

    while True:
        with suppress(TektonError), BlockingTekton(is_local=True) as tekton:
            for _ in tekton.stream(Subscribe(subject="terminal.>")):
                with suppress(BlockingIOError):  # there is enough to read
                    os.write(writing, b".")
        time.sleep(_TICK_MS / 1000)


def _wait(news: int, keys: int | None = None) -> bool:
    """Wait for news, or a second; tells whether a person wants to quit."""
    poll = select.poll()
    for descriptor in (news, *([keys] if keys is not None else [])):
        poll.register(descriptor, select.POLLIN)
    ready = {descriptor for descriptor, _ in poll.poll(_TICK_MS)}
    if keys is not None and keys in ready:
        typed = os.read(keys, 64)
        return not typed or typed in (b"q", b"Q")
    if news in ready:
        time.sleep(_CALM_S)
        os.read(news, 1 << 16)
    return False


def _print_changes(name: str | None, as_json: bool, news: int) -> NoReturn:
    """Print the terminals, and again whenever more has changed than a time."""
    known: Sequence[TerminalInfo] | None = None
    while True:
        terminals = fetch(name)
        lasting = [dataclasses.replace(one, active_at=0, end=0, oldest=0) for one in terminals]
        if lasting != known:
            gap = [""] if known is not None else []  # between two tables
            known = lasting
            text = as_text(terminals) if as_json else "\n".join([*gap, *_page(terminals, name)])
            print(text, flush=True)
        _wait(news)


def _page(terminals: Sequence[TerminalInfo], name: str | None) -> list[str]:
    text = as_page(terminals, name)
    return [*text.split("\n"), *map(clean_line, warnings_of(terminals))]


def _draw(page: Sequence[str], foot: Sequence[str]) -> None:
    """Replace what is on the screen, as far as the page fits; the foot goes before the rest."""
    rows = os.get_terminal_size(sys.stdout.fileno()).lines or len(page) + len(foot)
    rows = max(rows - len(foot), 1)
    if len(page) > rows:
        page = [*page[: rows - 1], f"… {len(page) - rows + 1} more"]
    *lines, last = [*page, *foot]
    # erased before it is written: after a full line the cursor is still on its last character
    drawn = "".join(f"\x1b[K{line}\n" for line in lines)
    sys.stdout.write(f"\x1b[H{drawn}\x1b[J{last}")
    sys.stdout.flush()


@contextmanager
def _screen() -> Iterator[None]:
    """Borrow the terminal: its other screen, keys as they are typed; give it back at the end."""
    import termios

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys) if sys.stdin.isatty() else None
    if before is not None:
        mode = [*before[:6], list(before[6])]
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VSUSP] = b"\0"  # stopped, it would leave its screen behind
        termios.tcsetattr(keys, termios.TCSADRAIN, mode)
    try:
        sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[?7l")
        yield
    finally:
        sys.stdout.write("\x1b[?7h\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
        if before is not None:
            termios.tcsetattr(keys, termios.TCSADRAIN, before)
