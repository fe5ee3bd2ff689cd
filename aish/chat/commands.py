"""The commands of a chat: one table for help, for completion and for who runs them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import Enum

from backends.errors import UsageError


class Takes(Enum):
    """What a command's argument is, for completion."""

    NOTHING = "nothing"
    TEXT = "text"
    SESSION = "session"
    MODEL = "model"
    CI = "ci"
    FILE = "file"


@dataclass(frozen=True)
class Command:
    """A command: name, what follows it, and its line of help.

    Those that are `calm` may run while an answer streams.
    """

    name: str
    usage: str
    help: str
    takes: Takes = Takes.NOTHING
    words: tuple[str, ...] = ()
    is_calm: bool = True


SESSION_WORDS = ("new", "list", "fork", "name", "title", "rm")

COMMANDS: tuple[Command, ...] = (
    Command("help", "", "show this"),
    Command(
        "session",
        "[WORD | new | list | fork | name NAME | title TEXT | rm WORD]",
        "tell which conversation this is, or go to another",
        Takes.SESSION,
        SESSION_WORDS,
        is_calm=False,
    ),
    Command(
        "model", "[NAME | default]", "answer with this model from now on", Takes.MODEL, ("default",)
    ),
    Command("ci", "TARGET", "talk with another CI, or several", Takes.CI, is_calm=False),
    Command(
        "retry", "[MODEL]", "ask the last prompt again; both answers are kept", Takes.MODEL,
        is_calm=False,
    ),
    Command(
        "edit", "", "put the last prompt back to change it; both are kept", is_calm=False
    ),
    Command("copy", "[N]", "copy the last answer, or the Nth before it, as Markdown", Takes.TEXT),
    Command(
        "attach", "[FILE… | drop]", "send files with the next prompt; alone it lists them",
        Takes.FILE, ("drop",),
    ),
    Command(
        "system", "[TEXT | default]", "set the system prompt from now on", Takes.TEXT, ("default",)
    ),
    Command("save", "FILE", "write the conversation to a file as Markdown", Takes.FILE),
    Command("cost", "", "tell the tokens and the cost of the conversation"),
    Command("clear", "", "clear the screen"),
    Command("quit", "", "leave; the conversation can be continued"),
)  # fmt: skip

KEYS: tuple[tuple[str, str], ...] = (
    ("Enter", "send; while an answer streams it waits its turn"),
    ("Alt-Enter, Ctrl-J, \\ Enter", "a new line"),
    ("Tab, Ctrl-R, Up", "complete; search what was typed before; go back to it"),
    ("@FILE", "send a file with the prompt"),
    ("!COMMAND", "run a line of your shell; `!fg` goes on with one stopped by Ctrl-Z"),
    ("!!COMMAND", "run it, and send its output with the next prompt"),
    ("//…", "a prompt that begins with /"),
    ("Ctrl-C", "stop the answer; clear the line; twice, leave"),
)


def parse(line: str) -> tuple[Command, str]:
    """Return the command of a line that begins with `/`, and what follows its name.

    Raises:
        UsageError: There is none of that name, or of that beginning.
    """
    name, _, rest = line[1:].partition(" ")
    name = name.strip().lower()
    found = [command for command in COMMANDS if command.name == name]
    found = found or [command for command in COMMANDS if name and command.name.startswith(name)]
    if len(found) == 1:
        return found[0], rest.strip()
    names = [command.name for command in found or COMMANDS]
    close = [command.name for command in found] or difflib.get_close_matches(name, names, 3, 0.5)
    hint = f"did you mean {' or '.join(f'/{word}' for word in close)}? " if close else ""
    what = f"there is no command /{name}" if not found else f"/{name} is not clear"
    raise UsageError(what, hint + "/help shows all; a prompt may begin with //")


def help_rows() -> list[tuple[str, str]]:
    """Return what can be typed, and what it does."""
    commands = [(f"/{command.name} {command.usage}".rstrip(), command.help) for command in COMMANDS]
    return [*commands, *KEYS]
