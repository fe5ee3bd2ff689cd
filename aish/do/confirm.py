"""A proposal at a terminal: shown, asked about, edited."""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING, TextIO

from aish.do.kinds import Danger
from aish.do.proposal import Proposal, fault_of
from backends.cleaning import clean_line
from backends.console import BOLD, RED, YELLOW, paint, say

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
    show(proposal, sys.stdout)
    while True:
        dangers = proposal.dangers(shell)
        show_dangers(dangers, sys.stdout)
        answer = _ask(any(danger.is_grave for danger in dangers), terminal)
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
        print(paint(command, BOLD), flush=True)


def show(proposal: Proposal, stream: TextIO) -> None:
    """Show a command exactly as it would run, and what its CI says of it."""
    print(f"{paint(proposal.command, BOLD, stream)}\n", file=stream)
    if proposal.explanation:
        print(f"{proposal.explanation}\n", file=stream)


def show_dangers(dangers: tuple[Danger, ...], stream: TextIO) -> None:
    """Mark each danger with its kind and its part of the command."""
    for danger in dangers:
        color = RED if danger.is_grave else YELLOW
        kind = paint(f"! {danger.kind.value}:", color, stream)
        print(f"{kind} {clean_line(danger.part)}", file=stream)
    stream.flush()


def _ask(is_grave: bool, terminal: TextIO) -> str:
    """Return `yes`, `no` or `edit`; what is no clear answer is asked again."""
    choices = '"yes" in full, [e]dit or [n]o' if is_grave else "[y]es, [e]dit or [n]o"
    while True:
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
