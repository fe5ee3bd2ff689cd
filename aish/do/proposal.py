"""A command that a CI proposes: what it is asked, and what is taken of its answer."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from aish.do.dangers import dangers_of
from aish.do.kinds import Danger
from aish.schema import Schema
from backends.cleaning import clean, clean_line
from backends.errors import ModelError
from backends.protocol.messages import Answer

MAX_COMMAND = 4096
"""Characters; nobody reads a longer one before it runs."""

SCHEMA = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "description": "the command, exactly as it is to be run"},
        "explanation": {"type": "string", "description": "what it does, in a few plain sentences"},
    },
    "required": ["command", "explanation"],
    "additionalProperties": False,
}
"""What an answer has to be."""

_SYSTEM = """\
You turn a wish into one shell command. It runs in {kind} on {system}, in a folder named \
{folder}; you cannot see what is in it. Prefer one line, programs that are there on most systems, \
and the way that changes least. Delete and overwrite only where that is asked for. Quote what \
needs it. Do not ask for anything while it runs. Explain in a few plain sentences what it does and \
what its parts mean. If the wish cannot be done with a command, leave the command empty and say \
why."""


@dataclass(frozen=True)
class Proposal:
    """A command that can be shown as it would run, what its CI says of it, and who that was."""

    command: str
    explanation: str
    answer: Answer

    def dangers(self, shell: str) -> tuple[Danger, ...]:
        """Return what our own reading of the command finds."""
        return dangers_of(self.command, shell, lambda name: shutil.which(name) is not None)

    def as_json(self, shell: str) -> str:
        """Return all of it as one JSON object."""
        dangers = [
            {"kind": one.kind.name.lower(), "part": one.part, "is_grave": one.is_grave}
            for one in self.dangers(shell)
        ]
        answer = self.answer
        value = {
            "command": self.command, "explanation": self.explanation, "dangers": dangers,
            "ci": answer.ci, "model": answer.model, "session": answer.session, "turn": answer.turn,
        }  # fmt: skip
        return json.dumps(value)


def system_prompt(shell: str) -> str:
    """Return what a CI is told: its task, and the facts that a command depends on."""
    system = os.uname()
    name = {"Darwin": "macOS"}.get(system.sysname, system.sysname)
    try:
        folder = Path.cwd().name or "/"
    except OSError:
        folder = "(one that is gone)"
    shown = json.dumps(clean_line(folder.encode("utf-8", "replace").decode("utf-8", "replace")))
    return _SYSTEM.format(kind=shell, system=f"{name} ({system.machine})", folder=shown)


def schema() -> Schema:
    """Return the schema of an answer."""
    return Schema(SCHEMA)


def read_proposal(text: str, answer: Answer) -> Proposal:
    """Take a proposal from an answer that fits the schema.

    Raises:
        ModelError: There is no command in it, or one that cannot be shown as it would run.
    """
    value = json.loads(text)
    command, explanation = value["command"].strip(), clean(value["explanation"]).strip()
    if not _does_anything(command):
        reason = clean_line(explanation) or "it does not say why"
        raise ModelError(f"{answer.ci} proposes no command: {reason}", "say it in other words")
    fault = fault_of(command)
    if fault:
        raise ModelError(
            f"{answer.ci} proposes a command that {fault}; it is not shown",
            "ask again, or another model: -m MODEL",
        )
    return Proposal(command, explanation, answer)


def fault_of(command: str) -> str | None:
    """Tell why a command cannot be shown exactly as it would run; `None` where it can."""
    if len(command) > MAX_COMMAND:
        return f"has {len(command)} characters (the limit is {MAX_COMMAND})"
    hidden = sorted({character for character in command if _is_hidden(character)})
    if hidden:
        names = [_name(character) for character in hidden]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return f"holds characters that cannot be seen: {', '.join(names[:5])}{more}"
    return None


def _does_anything(command: str) -> bool:
    lines = (line.strip() for line in command.splitlines())
    return any(line and not line.startswith("#") for line in lines)


def _is_hidden(character: str) -> bool:
    """Tell whether a character is invisible, moves others, or looks like a space and is none."""
    if character in "\n\t" or " " <= character <= "~":
        return False
    category = unicodedata.category(character)
    if category[0] == "C" or category in ("Zs", "Zl", "Zp"):
        return True
    return (
        character in "\u2800\u115f\u1160"
        or clean(f"a{character}") != f"a{character}"
        or (
            0xFE00 <= ord(character) < 0xFE10  # selectors, which are shown with what they follow
        )
    )


def _name(character: str) -> str:
    code = f"U+{ord(character):04X}"
    name = unicodedata.name(character, "")
    return f"{code} {name}".strip()
