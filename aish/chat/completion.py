"""Completion in a chat: commands and their arguments, files after `@`, CIs, conversations."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from aish.chat.commands import COMMANDS, Takes
from aish.chat.conversation import Conversation
from backends.cleaning import clean_line

_MOST_FILES = 1000
_AT = re.compile(r"(?:^|(?<=\s))@((?:\\.|[^\s\\\"])*)$")


@dataclass
class Known:
    """What can be completed besides commands and files; filled while the chat runs."""

    cis: list[str] = field(default_factory=list)
    sessions: list[tuple[str, str]] = field(default_factory=list)
    """Word and title."""


class ChatCompleter(Completer):
    """Complete what is typed."""

    def __init__(self, conversation: Conversation, known: Known) -> None:
        self._conversation = conversation
        self._known = known

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield what may stand at the cursor."""
        del complete_event
        before = document.text_before_cursor
        found = _AT.search(before)
        if found:
            yield from _files(found[1])
        elif before.startswith("/") and not before.startswith("//"):
            yield from self._command(before)

    def _command(self, before: str) -> Iterator[Completion]:
        name, space, rest = before[1:].partition(" ")
        if not space:
            for found in COMMANDS:
                if found.name.startswith(name):
                    shown = f"/{found.name}"
                    yield Completion(found.name, -len(name), shown, display_meta=found.help)
            return
        command = next((it for it in COMMANDS if it.name == name), None)
        if command is None:
            return
        if command.takes is Takes.FILE:
            yield from _files(rest.rpartition(" ")[2])
        word = rest.rpartition(",")[2] if command.takes is Takes.CI else rest
        for choice, meta in self._choices(command.takes, command.words):
            if choice.startswith(word):
                yield Completion(choice, -len(word), display_meta=meta)

    def _choices(self, takes: Takes, words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        yield from ((word, "") for word in words)
        if takes is Takes.CI:
            yield from ((name, "") for name in [*self._known.cis, "@all"])
        elif takes is Takes.SESSION:
            yield from self._known.sessions
        elif takes is Takes.MODEL:
            yield from ((clean_line(model), "") for model in self._conversation.models)


def _files(start: str) -> Iterator[Completion]:
    """Yield the files that begin so, folders with a slash."""
    plain = re.sub(r"\\(.)", r"\1", start)
    folder, _, name = plain.rpartition("/")
    where = os.path.expanduser(folder + "/") if "/" in plain else "."
    try:
        with os.scandir(where) as entries:
            found = sorted(
                (entry.name, _is_folder(entry)) for entry in islice(entries, _MOST_FILES)
            )
    except OSError:
        return
    for file, is_folder in found:
        if file.startswith(name) and (name.startswith(".") or not file.startswith(".")):
            if clean_line(file) != file:
                continue  # such a name could not be typed, and must not be shown
            path = f"{folder}/{file}" if "/" in plain else file
            text = re.sub(r"([\s\\\"])", r"\\\1", path) + ("/" if is_folder else "")
            yield Completion(text, -len(start), display=file + ("/" if is_folder else ""))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
