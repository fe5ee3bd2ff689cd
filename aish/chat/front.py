"""What every way to chat shares: a typed line becomes a prompt, a command or a line of shell."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path

from aish.attachments import read_attachment
from aish.chat import shell
from aish.chat.actions import Actions, Desk, goes_along, output_goes_along
from aish.chat.commands import parse
from aish.chat.conversation import Conversation, Prompt, bounded
from aish.chat.input import Kind, Pastes, expanded, files_in, missing_in, read_typed
from aish.chat.talk import Talk
from aish.layout import cells
from aish.render import MarkdownRows
from backends.console import DIM
from backends.errors import TektonError, UsageError
from backends.protocol.conversations import Turn

_LONGEST_NAME = 60
_RECALLED = 8000
_RECALLED_ROWS = 8


class Front(Desk):
    """Reads what is typed and does it; subclasses show what comes."""

    output_of_commands = 1
    """The file that a command's output is shown on while it is kept."""

    def __init__(
        self, conversation: Conversation, url: str | None, token_file: Path | None, gather_s: float
    ) -> None:
        self.talk = Talk(conversation, self, url, token_file, gather_s)
        self.conversation = conversation
        self.pastes = Pastes()
        self._actions = Actions(self.talk, self, time.time)
        self._stopped: list[tuple[int, str]] = []

    async def handle(self, line: str) -> None:
        """Do what a typed line says; what fails is told."""
        typed = read_typed(line)
        try:
            if typed.kind is not Kind.PROMPT:
                self.conversation.is_editing = False
            if typed.kind is Kind.COMMAND:
                await self._actions.run(*parse(self.pastes.expand(typed.text)))
            elif typed.kind in (Kind.SHELL, Kind.KEPT_SHELL):
                await self._run_shell(typed.text, typed.kind is Kind.KEPT_SHELL)
            elif typed.kind is Kind.PROMPT:
                prompt = self._compose(typed.text, line)
                if prompt:
                    await self.send(prompt)
        except TektonError as error:
            self.complain(error)

    async def send(self, prompt: Prompt) -> None:
        """Ask, and wait for the answers."""
        await self.talk.ask(prompt)

    def _compose(self, text: str, line: str) -> Prompt | None:
        try:
            # Only a person's own `@` sends a file, never one in what was pasted.
            files = [read_attachment(path) for path in files_in(text)]
        except TektonError as error:
            self.complain(error)
            self.put_back(line)
            return None
        for file in files:
            self.say(goes_along(file).replace("your next", "this"))
        cis = {thread.ci for thread in self.conversation.threads}
        for name in missing_in(text):
            if name not in cis:
                self.say(f"no file {shortened(name, _LONGEST_NAME)!r}: nothing of it is sent")
        return self.conversation.compose(self.pastes.expand(text), line, files)

    # -- the shell -----------------------------------------------------------------------------

    async def _run_shell(self, line: str, is_kept: bool) -> None:
        if not line:
            raise UsageError("there is no command to run", "!ls, or !!git diff to send its output")
        if line == "cd" or (line.startswith("cd ") and not set(line) & set(";&|")):
            self._change_folder(line[2:].strip())
            return
        texts: list[str] = []
        take = self._taking(texts) if is_kept else None
        if line == "fg" and self._stopped:
            group, line = self._stopped.pop()
            ended = await self.lend_terminal(lambda: shell.go_on(group))
        else:
            ended = await self.lend_terminal(lambda: shell.run(line, take))
        if ended.stopped:
            self._stopped.append((ended.stopped, line))
            self.say(f"stopped: {line}; !fg goes on with it")
        elif ended.status:
            self.say(f"status {ended.status}: {line}")
        if is_kept and not ended.stopped:
            self.conversation.outputs.append((line, bounded("".join(texts))))
            self.say(output_goes_along(*self.conversation.outputs[-1]))

    def _taking(self, texts: list[str]) -> Callable[[str], None]:
        def take(text: str) -> None:
            texts.append(text)
            os.write(self.output_of_commands, text.encode("utf-8", "replace"))

        return take

    def _change_folder(self, name: str) -> None:
        path = expanded(name or "~")
        try:
            os.chdir(path)
        except OSError as error:
            raise TektonError(f"cannot go to {path}: {error.strerror}") from error
        self.say(f"in {path}")

    @property
    @abstractmethod
    def width(self) -> int:
        """Columns that rows may take."""

    @property
    @abstractmethod
    def has_color(self) -> bool:
        """Whether rows may have styles."""

    @abstractmethod
    def show(self, rows: list[str]) -> None:
        """Show rows as they are."""

    async def lend_terminal(self, command: Callable[[], Awaitable[shell.Ended]]) -> shell.Ended:
        """Run a command that has the terminal meanwhile."""
        return await command()

    # -- what a conversation ended with ----------------------------------------------------------

    def recall(self, name: str, turn: Turn) -> None:
        """Show the last exchange of a conversation: the prompt on a line, the answer begun."""
        self.say(f"{name}> {shortened(turn.prompt)}")
        self.show(beginning(turn.answer, self.width, self.has_color))


def beginning(answer: str, width: int, color: bool) -> list[str]:
    """Return the first rows of an answer, and a mark where there are more of them."""
    rows = MarkdownRows(color, has_tail=False)
    first = rows.feed(answer[:_RECALLED], width) + rows.finish(width)
    if len(first) <= _RECALLED_ROWS and len(answer) <= _RECALLED:
        return first
    mark = f"\x1b[{DIM}m…\x1b[0m" if color else "…"
    return [*first[:_RECALLED_ROWS], mark]


def shortened(text: str, width: int = 160) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text[: width * 4].split())
    if cells(line) <= width and len(text) <= width * 4:
        return line
    while cells(line) > width - 1:
        line = line[: -max((cells(line) - width) // 2, 1)]
    return line + "…"
