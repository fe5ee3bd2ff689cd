"""`terma export` and `terma replay`: what was recorded, as a file and as a film."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from backends.console import say
from backends.errors import UsageError
from terma.commands.log import Since, Until
from terma.options import Debug, Name
from terma.recording.recorded import Frame, read_frames, telling_gaps
from terma.times import read_span, show_time

if TYPE_CHECKING:
    from backends.protocol.terminals import TerminalInfo

    Parts = Iterator[tuple[bytes, int]]
    """What is to be written, each part with the offset that it reaches."""

_MAX_SPEED = 1024
_TELL_S = 0.2
_NOTHING = "nothing was put out in that time"


def export(
    name: Name,
    cast: Annotated[
        Path | None, typer.Option("--cast", metavar="FILE", help="An asciicast, for asciinema.")
    ] = None,
    raw: Annotated[
        Path | None, typer.Option("--raw", metavar="FILE", help="The bytes as they were.")
    ] = None,
    text: Annotated[
        Path | None, typer.Option("--text", metavar="FILE", help="Lines of text, as shown.")
    ] = None,
    since: Since = None,
    until: Until = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace a file.")] = False,
    debug: Debug = False,
) -> None:
    """terma export alice --cast alice.cast: what alice has put out, as a file.

    It takes one of --cast, --raw and --text. Where FILE is - it goes to stdout. Whatever was on
    the screen is in it, secrets too.
    """
    chosen = [file for file in (cast, raw, text) if file is not None]
    if len(chosen) != 1:
        raise UsageError(
            "name one file, with --cast, --raw or --text", f"`terma export {name} --cast FILE`"
        )
    [file] = chosen
    if raw == Path("-") and sys.stdout.isatty() and not force:
        raise UsageError(
            "the bytes could do anything to this terminal",
            f"`terma replay {name}` plays them safely; --force writes them all the same",
        )
    span = read_span(since, until, time.time())
    kind = _cast if cast else _raw if raw else _text
    with _opened(file, force) as stream:
        for part in _told(name, kind(name, *span)):
            stream.write(part)


def _cast(name: str, since: float | None, until: float | None) -> Parts:
    from terma.recording.asciicast import Cast

    info = _find(name)
    environment = {"TERM": "xterm-256color"}
    if info.kind == "shell" and info.command:
        environment["SHELL"] = info.command[0]
    cast = Cast(info.name, environment)
    end = None
    for frame in telling_gaps(read_frames(name, since, until), say):
        end = frame.end
        for line in cast.take(frame.offset, frame.at, (frame.columns, frame.rows), frame.data):
            yield line.encode(), frame.end
    for line in cast.finish():
        yield line.encode(), end or 0
    if end is None:
        say(_NOTHING)
    if cast.invalid:
        say(f"{cast.invalid} bytes are no UTF-8, U+FFFD stands for each; --raw keeps them")
    if cast.missing:
        say(f"{cast.missing} bytes are missing in all")


def _raw(name: str, since: float | None, until: float | None) -> Parts:
    end = None
    for frame in telling_gaps(read_frames(name, since, until), say):
        end = frame.end
        yield frame.data, end
    if end is None:
        say(_NOTHING)


def _text(name: str, since: float | None, until: float | None) -> Parts:
    from backends.cleaning import clean_line
    from backends.client.blocking import BlockingTekton
    from backends.protocol.screens import LogLines, ReadLines

    with BlockingTekton(is_local=True) as tekton:
        for item in tekton.stream(ReadLines(name=name, since=since, until=until)):
            if isinstance(item, LogLines) and item.groups:
                lines = [line for group in item.groups for line in group.text.split("\n")]
                shown = "".join(f"{clean_line(line)}\n" for line in lines)
                yield shown.encode("utf-8", "replace"), item.groups[-1].offset


@contextmanager
def _opened(file: Path, force: bool) -> Iterator[IO[bytes]]:
    if file == Path("-"):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    from terma.recording.newfile import new_file

    with new_file(file, force) as stream:
        yield stream


def _find(name: str) -> TerminalInfo:
    from backends.client.blocking import BlockingTekton
    from backends.protocol.terminals import ListTerminals

    with BlockingTekton(is_local=True) as tekton:
        return tekton.call(ListTerminals(name=name)).terminals[0]


def _told(name: str, parts: Parts) -> Iterator[bytes]:
    """Pass everything on; a person sees how far it is, where it takes longer than a moment."""
    if not sys.stderr.isatty():
        yield from (part for part, _ in parts)
        return
    told_at, began = time.monotonic(), -1
    info: TerminalInfo | None = None
    for part, reached in parts:
        began = reached if began < 0 else began
        if time.monotonic() - told_at > _TELL_S:
            info = info or _find(name)
            share = (reached - began) / max(info.end - began, 1)
            print(f"{min(share, 1):4.0%}\r", end="", file=sys.stderr, flush=True)
            told_at = time.monotonic()
        yield part
    if info is not None:
        print("\x1b[K", end="", file=sys.stderr, flush=True)


def replay(
    name: Name,
    speed: Annotated[
        float, typer.Option("--speed", metavar="X", help="4: four times as fast. 0: all at once.")
    ] = 1.0,
    idle_limit: Annotated[
        float, typer.Option("--idle-limit", metavar="S", help="Pauses are no longer than that.")
    ] = 2.0,
    since: Since = None,
    until: Until = None,
    debug: Debug = False,
) -> None:
    """terma replay alice --speed 4: play what alice has put out.

    Space pauses, . shows the next output, + and - change the speed, the right arrow passes over
    5 s, q ends it. The arrow, and the clock in the title, count a long pause as --idle-limit;
    the date beside it is that of the recording.
    """
    if not 0 <= speed <= _MAX_SPEED:
        raise UsageError(f"--speed {speed:g} is not between 0 and {_MAX_SPEED}")
    if math.isnan(idle_limit) or idle_limit < 0:
        raise UsageError(f"--idle-limit {idle_limit:g} is no number of seconds")
    if speed and not sys.stdout.isatty():
        raise UsageError(
            "there is no terminal to play on",
            f"`terma export {name} --raw -` writes the bytes, --speed 0 what is safe to show",
        )
    frames = read_frames(name, *read_span(since, until, time.time()))
    first = next(frames, None)
    if first is None:
        say(_NOTHING)
        return
    frames = chain([first], frames)
    if sys.stdout.isatty():
        _play(_find(name).name, first, frames, speed, idle_limit)
    else:
        _pour(frames)


def _play(
    name: str, first: Frame, frames: Iterator[Frame], speed: float, idle_limit: float
) -> None:
    from terma.recording.replay import Pace, Player

    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    if first.columns > columns or first.rows > rows:
        say(
            f"{name} had {first.columns} x {first.rows}, this terminal has {columns} x {rows}: "
            "it will not fit"
        )
        if sys.stdin.isatty() and not _is_wanted():
            return
    gaps: list[str] = []
    frames = telling_gaps(frames, gaps.append)
    player = Player(name, frames, Pace(speed, idle_limit), time.monotonic)
    player.play()
    for gap in gaps:
        say(gap)
    if player.shown is not None:
        say(f"{name}: shown up to {show_time(player.shown.at)}, offset {player.shown.end}")


def _is_wanted() -> bool:
    """Ask the person for a key."""
    from terma.stage import Stage

    with Stage(b"", b"") as stage:
        print("Enter plays it, any other key leaves ", end="", file=sys.stderr, flush=True)
        while not (keys := stage.wait()[0]):
            pass
    print(file=sys.stderr)
    return keys[0] in (b"\r", b"\n")


def _pour(frames: Iterator[Frame]) -> None:
    from terma.recording.harmless import Harmless

    harmless = Harmless()
    for frame in telling_gaps(frames, say):
        sys.stdout.buffer.write(harmless.feed(frame.data))
    sys.stdout.buffer.flush()
