"""`terma log`: what a terminal has ever shown."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from backends.cleaning import clean_line
from backends.console import DIM, RED, has_color, paint, say
from backends.errors import UsageError
from terma.options import Debug, Json, Name
from terma.overview import tell_closed
from terma.times import read_span, show_time

if TYPE_CHECKING:
    from backends.protocol.screens import LogGroup, ReadLines
    from terma.recording.recorded import Frame

_SETTLED_S = 0.05
"""What was put out so long ago has its place and time in the log."""

_RUN_UP = 4096
"""Bytes that are read again, so that a line that has begun already is whole."""

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="From then on: 1h, 10m, '2026-11-20 14:00'."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Up to then, in the same form.")
]


def log(
    name: Name,
    since: Since = None,
    until: Until = None,
    grep: Annotated[
        str | None,
        typer.Option("--grep", metavar="PATTERN", help="Only lines with this regular expression."),
    ] = None,
    ignore_case: Annotated[
        bool, typer.Option("-i", "--ignore-case", help="Capitals are as good in PATTERN.")
    ] = False,
    tail: Annotated[
        int, typer.Option("-n", "--tail", metavar="N", min=0, help="The last N; 0 is all of them.")
    ] = 0,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as more comes.")] = False,
    timestamps: Annotated[
        bool, typer.Option("-t", "--timestamps", help="When each line was complete.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="The bytes, as programs put them out.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="--raw onto a terminal, too.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """terma log alice --grep error --since 1h: what alice has shown, line by line.

    A closed terminal has a log, too, for as long as the configuration says. Where --grep finds
    nothing, the exit status is 1.
    """
    from backends.protocol.screens import ReadLines

    begin, end = read_span(since, until, time.time())
    if raw:
        if grep is not None or tail or timestamps or as_json:
            raise UsageError(
                "--raw has bytes, not lines", "leave out --grep, --tail, --timestamps and --json"
            )
        _pour(name, begin, end, follow, force)
        return
    pattern = None if grep is None else _compile(grep, ignore_case)
    lines = _Lines(pattern, timestamps, as_json)
    request = ReadLines(
        name=name, since=begin, until=end, pattern=grep, ignores_case=ignore_case, limit=tail
    )
    tell_closed(name)
    if follow:
        _follow(request, pattern, lines)
        return
    found = False
    for group in _read(request):
        lines.show(group)
        found = True
    if grep is not None and not found:
        raise typer.Exit(1)  # as grep(1) does


def _compile(pattern: str, ignores_case: bool) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE if ignores_case else 0)
    except (re.error, OverflowError, RecursionError) as error:
        place = getattr(error, "pos", None)
        at = "" if place is None else f" at character {place + 1}"
        raise UsageError(
            f"--grep {pattern!r} is no regular expression: {getattr(error, 'msg', error)}{at}",
            "a backslash before a character means the character itself",
        ) from error


class _Lines:
    """Prints lines, with what was looked for marked on a terminal."""

    def __init__(self, pattern: re.Pattern[str] | None, has_times: bool, is_json: bool) -> None:
        self._pattern = pattern if has_color(sys.stdout) else None
        self._has_times = has_times
        self._is_json = is_json

    def show(self, group: LogGroup) -> None:
        """Print those of a group."""
        lines = group.text.split("\n")
        if self._is_json:
            for text in lines:
                print(json.dumps({"at": group.at, "offset": group.offset, "text": text}))
            return
        if not _is_clean(group.text):
            lines = list(map(clean_line, lines))
        if self._pattern is not None:
            lines = [mark(text, self._pattern) for text in lines]
        before = f"{paint(show_time(group.at), DIM)}  " if self._has_times else ""
        print(before + f"\n{before}".join(lines))


def _is_clean(text: str) -> bool:
    """Tell whether cleaning would change nothing but line feeds; it is slow."""
    return text.isascii() and text.replace("\n", "").isprintable()


def mark(text: str, pattern: re.Pattern[str]) -> str:
    """Return a text, which has no sequences yet, with every match in colour."""
    return pattern.sub(lambda found: f"\x1b[1;{RED}m{found[0]}\x1b[0m" if found[0] else "", text)


def _read(request: ReadLines) -> Iterator[LogGroup]:
    from backends.client.blocking import BlockingTekton
    from backends.protocol.screens import LogLines

    with BlockingTekton(is_local=True) as tekton:
        for item in tekton.stream(request):
            if isinstance(item, LogLines):
                yield from item.groups


def _follow(request: ReadLines, pattern: re.Pattern[str] | None, shown: _Lines) -> None:
    """Show the lines there are, then each as it is complete, until the terminal ends."""
    from terma.recording.recorded import read_frames

    parting = time.time() - _SETTLED_S
    offset = max(_end_of(request.name) - _RUN_UP, 0)
    before = parting if request.until is None else min(parting, request.until)
    for group in _read(replace(request, until=before)):
        shown.show(group)
    sys.stdout.flush()
    news = read_frames(request.name, request.since, request.until, offset, follows=True)
    for line in _lines_of(news):
        if line.at > parting and (pattern is None or pattern.search(line.text)):
            shown.show(line)
            sys.stdout.flush()


def _end_of(name: str) -> int:
    """Return how far a terminal's output reaches."""
    from backends.client.blocking import BlockingTekton
    from backends.protocol.terminals import ListTerminals

    with BlockingTekton(is_local=True) as tekton:
        return tekton.call(ListTerminals(name=name)).terminals[0].end


def _lines_of(frames: Iterator[Frame]) -> Iterator[LogGroup]:
    """Yield the lines of an output, each by itself, as they become complete."""
    from backends.protocol.screens import LogGroup
    from terma.recording.lines import Lines

    lines = Lines()
    at, end = 0.0, 0
    for frame in frames:
        at, end = frame.at, frame.end
        for text in lines.feed(frame.data, frame.columns):
            yield LogGroup(at=at, offset=end, text=text)
    for text in lines.finish():
        yield LogGroup(at=at, offset=end, text=text)


def _pour(name: str, since: float | None, until: float | None, follows: bool, force: bool) -> None:
    from terma.recording.recorded import read_frames, telling_gaps

    if sys.stdout.isatty() and not force:
        raise UsageError(
            "the bytes could do anything to this terminal",
            f"`terma replay {name}` plays them safely; --force writes them all the same",
        )
    tell_closed(name)
    for frame in telling_gaps(read_frames(name, since, until, follows=follows), say):
        sys.stdout.buffer.write(frame.data)
        if follows:
            sys.stdout.buffer.flush()
    sys.stdout.buffer.flush()
