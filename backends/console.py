"""What every command line shares: tables, colours, and how a program ends.

Answers go to stdout and everything else to stderr; piped output is plain. Ends as the shell
expects: an error's own exit status, death by SIGINT or SIGPIPE where that is what happened.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn, TextIO

from backends.cleaning import clean_line
from backends.errors import TektonError

_GAP = "  "
_LEAST = 6
_UNKNOWN = "\ufffd".encode()
GREEN, RED, YELLOW, DIM, BOLD = "32", "31", "33", "2", "1"


def has_color(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that wants colours (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, color: str, stream: TextIO | None = None) -> str:
    """Colour a text for a stream, stdout by default; as it is where that has no colours."""
    return f"\x1b[{color}m{text}\x1b[0m" if has_color(stream or sys.stdout) else text


def table(
    rows: Sequence[Sequence[str]],
    colors: Sequence[str | None] | None = None,
    cut_first: Sequence[int] = (),
    width: int | None = None,
) -> str:
    """Align rows in columns; the first row is the heading.

    Args:
        rows: Cells; escape sequences and line ends in them are removed.
        colors: A colour for each row.
        cut_first: Columns that are cut, in this order, before any other is; counted from 0.
        width: Columns of the terminal, to which long cells are cut; `None` asks stdout, and cuts
            nothing where that is no terminal.
    """
    cleaned = [[clean_line(cell) for cell in row] for row in rows]
    widths = [max(cells(row[n]) for row in cleaned) for n in range(len(cleaned[0]))]
    width = width or terminal_width()
    if width:
        widths = _fitting(widths, width - len(_GAP) * (len(widths) - 1), cut_first)
    lines = []
    for number, row in enumerate(cleaned):
        fitted = (_fit(cell, room) for cell, room in zip(row, widths, strict=True))
        line = _GAP.join(fitted).rstrip()
        color = BOLD if number == 0 else colors[number] if colors else None
        lines.append(paint(line, color) if color else line)
    return "\n".join(lines)


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes, where wide characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def terminal_width() -> int | None:
    """Return the columns of the terminal behind stdout, `None` where there is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None


def _fitting(widths: Sequence[int], room: int, cut_first: Sequence[int]) -> list[int]:
    """Return widths of columns that fit: of those not named, the widest, rightmost is cut first."""
    fitting = [min(width, max(room, _LEAST)) for width in widths]
    for column in cut_first:
        excess = max(sum(fitting) - room, 0)
        fitting[column] = max(fitting[column] - excess, min(fitting[column], _LEAST))
    while sum(fitting) > room:
        widest = max(reversed(range(len(fitting))), key=fitting.__getitem__)
        if fitting[widest] <= _LEAST:
            break  # the terminal has to wrap it
        fitting[widest] -= 1
    return fitting


def _fit(cell: str, room: int) -> str:
    """Cut or pad a cell to so many columns."""
    width = cells(cell)
    if width > room:
        cell = cell[:room]  # none takes less than a column, but for those that combine
        while cells(cell) >= room:
            cell = cell[:-1]
        cell += "…"
        width = cells(cell)
    return cell + " " * (room - width)


def say(line: str) -> None:
    """Tell the user something beside the answer: one line on stderr, cleaned."""
    _flush_answer()
    print(clean_line(line), file=sys.stderr, flush=True)


def _flush_answer() -> None:
    """Let what was printed before come before, where both streams go to the same place."""
    with suppress(OSError, ValueError):  # whether it could be written is told at the end
        sys.stdout.flush()


def complain(error: TektonError, prefix: str = "") -> None:
    """Show an error, and its hint, on stderr; with `--debug` also where it came from."""
    if "--debug" in sys.argv:
        import traceback

        traceback.print_exception(error)
    _flush_answer()
    word = paint("error:", RED, sys.stderr)
    print(f"{word} {clean_line(prefix + error.message)}", file=sys.stderr, flush=True)
    if error.hint:
        say(f"hint: {error.hint}")


def run_program(main: Callable[[], object]) -> NoReturn:
    """Run a program to its end and exit with the status that it earned."""
    is_closed = _replace_closed_streams()
    _forgive_errors()
    status = 0
    try:
        main()
    except SystemExit as end:
        _die_as(end)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except TektonError as error:
        complain(error)
        status = error.exit_status
    except (KeyboardInterrupt, BrokenPipeError) as error:
        _die_as(error)
    except OSError as error:
        if error.errno != (errno.EBADF if is_closed else errno.ENOSPC):
            raise
        status = _tell_unwritten(error)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        die_of(signal.SIGPIPE)
    except OSError as error:
        status = status or _tell_unwritten(error)
    os._exit(status)


def _tell_unwritten(error: OSError) -> int:
    reason = "standard output is closed" if error.errno == errno.EBADF else error.strerror
    complain(TektonError(f"cannot write the answer: {reason}"))
    return 1


class _Forgiving(io.FileIO):
    """A standard error that nobody may be able to take; what is lost is no failure."""

    def write(self, data: Any) -> int:
        """Write what can be written."""
        try:
            return super().write(data) or 0
        except OSError:
            return len(data)


def _forgive_errors() -> None:
    """Show what cannot be encoded as U+FFFD on stderr, and end alike where nobody takes that."""
    codecs.register_error("tekton.shown", lambda error: (_UNKNOWN, getattr(error, "end", 0)))
    raw = io.BufferedWriter(_Forgiving(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(raw, "utf-8", "tekton.shown", line_buffering=True)


def _replace_closed_streams() -> bool:
    """Put /dev/null where a standard stream is closed, before a socket takes its number.

    Standard output cannot be written then; returns whether it was closed.
    """
    is_closed = False
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            flags = os.O_RDONLY if name == "stdout" else os.O_RDWR
            is_closed |= name == "stdout"
            os.open(os.devnull, flags)  # the lowest number that is free, which is this one
            stream = os.fdopen(number, "w" if number else "r", encoding="utf-8")
            setattr(sys, name, stream)
    return is_closed


def _die_as(error: BaseException) -> None:
    """Die of the signal that is behind an error, if there is one; Typer makes statuses of them."""
    reason: BaseException | None = error
    while reason is not None:
        if isinstance(reason, KeyboardInterrupt):
            die_of(signal.SIGINT)
        if isinstance(reason, BrokenPipeError):
            die_of(signal.SIGPIPE)
        reason = reason.__context__


def die_of(number: signal.Signals) -> NoReturn:
    """End this process by a signal, so that a shell and its loops see it."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def ago(seconds: float) -> str:
    """Say a length of time in at most two units: `3 min 20 s`."""
    whole = int(seconds)
    for size, unit, smaller, name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {name}" if rest else f"{whole // size} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
