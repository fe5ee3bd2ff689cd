"""A proposal at a terminal: shown, asked about, edited."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import sys
import termios
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from aish.do.kinds import Danger
from aish.do.proposal import Proposal, fault_of
from backends.cleaning import clean_line
from backends.console import BOLD, RED, YELLOW, has_color, paint, say

if TYPE_CHECKING:
    from prompt_toolkit.data_structures import Size


def open_terminal() -> TextIO | None:
    """Return where a person can be asked, though standard input may be a pipe.

    `None` where there is no terminal: where stdout is none, nobody sees a question.
    """
    if not sys.stdout.isatty():
        return None
    if sys.stdin.isatty():
        return sys.stdin
    if stat.S_ISCHR(os.fstat(0).st_mode):
        return None  # /dev/null says that nobody is to be asked
    try:
        return open("/dev/tty", encoding="utf-8")
    except OSError:
        return None


def confirmed(proposal: Proposal, shell: str, terminal: TextIO) -> str | None:
    """Show a proposal and ask until a person says yes or no; returns what to run."""
    rows = show(proposal, sys.stdout)
    while True:
        dangers = proposal.dangers(shell)
        rows += show_dangers(dangers, sys.stdout)
        has_scrolled = _warn_of_height(rows)
        is_grave = has_scrolled or any(danger.is_grave for danger in dangers)
        answer = _ask(is_grave, terminal)
        if answer == "yes":
            return proposal.command
        if answer == "no":
            return None
        command = _edit(proposal.command, terminal)
        if not command:
            return None
        fault = fault_of(command)
        if fault:
            say(f"what you wrote {fault}")
            continue
        proposal = dataclasses.replace(proposal, command=command)
        print(paint(command, BOLD))
        rows = _height(command.split("\n"))


def show(proposal: Proposal, stream: TextIO) -> int:
    """Show a command exactly as it would run, and what its CI says of it; returns the rows."""
    print(f"{paint(proposal.command, BOLD, stream)}\n", file=stream)
    rows = _height(proposal.command.split("\n")) + 1
    if proposal.explanation:
        rows += show_explanation(proposal.explanation, stream) + 1
        print(file=stream)
    return rows


def show_explanation(text: str, stream: TextIO) -> int:
    """Show Markdown on a terminal; returns the rows that it takes."""
    from aish.render import MarkdownRows, terminal_width

    markdown = MarkdownRows(has_color(stream), has_tail=False)
    width = max(terminal_width() - 1, 1)
    rows = [*markdown.feed(text, width), *markdown.finish(width)]
    print(*rows, sep="\n", file=stream)
    return len(rows)


def show_dangers(dangers: tuple[Danger, ...], stream: TextIO) -> int:
    """Mark each danger with its kind and its part of the command; returns the rows."""
    lines = [f"! {danger.kind.value}: {clean_line(danger.part)}" for danger in dangers]
    for danger in dangers:
        color = RED if danger.is_grave else YELLOW
        kind = paint(f"! {danger.kind.value}:", color, stream)
        print(f"{kind} {clean_line(danger.part)}", file=stream)
    stream.flush()
    return _height(lines)


def _height(lines: Sequence[str]) -> int:
    """Return the rows that lines take on the terminal, rather too many than too few."""
    from aish.layout import cells
    from aish.render import terminal_width

    room = max(terminal_width() - 1, 1)  # a wide character may not fit into the last column
    return sum(max(-(-cells(line.expandtabs()) // room), 1) for line in lines)


def _warn_of_height(rows: int) -> bool:
    """Tell whether the first rows have left the screen that the question is on, and say so."""
    from aish.render import terminal_height

    if rows < terminal_height():
        return False
    print(paint(f"! {rows} lines, more than this screen shows: scroll up to the first", YELLOW))
    return True


def _discard_typed(terminal: TextIO) -> None:
    """Forget what was typed before there was anything to see: it is no answer."""
    if terminal.isatty():
        termios.tcflush(terminal, termios.TCIFLUSH)


def _ask(is_grave: bool, terminal: TextIO) -> str:
    """Return `yes`, `no` or `edit`; what is no clear answer is asked again."""
    choices = '"yes" in full, [e]dit or [n]o' if is_grave else "[y]es, [e]dit or [n]o"
    while True:
        sys.stdout.flush()
        _discard_typed(terminal)
        print(f"run it? {choices}: ", end="", flush=True)
        line = terminal.readline()
        said = line.strip().lower()
        if not line:
            print()
        if said in ("", "n", "no"):
            return "no"
        if said in ("e", "edit"):
            return "edit"
        if said == "yes" or (said == "y" and not is_grave):
            return "yes"


def _size() -> Size:
    from prompt_toolkit.data_structures import Size

    found = shutil.get_terminal_size()
    return Size(rows=found.lines, columns=found.columns)


def _edit(command: str, terminal: TextIO) -> str:
    """Let a person change a command in place; returns it, empty where they gave it up."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.input import create_input
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output.vt100 import Vt100_Output

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(
        multiline=True, key_bindings=keys, prompt_continuation="",
        input=create_input(terminal),
        output=Vt100_Output(sys.stdout, _size, os.environ.get("TERM"), enable_cpr=False),
    )  # fmt: skip
    try:
        return session.prompt("", default=command).strip()
    except EOFError:
        return ""
