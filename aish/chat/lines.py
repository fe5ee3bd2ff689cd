"""A chat without a terminal's arts: each line is a prompt, and answers are plain text."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from aish.chat.conversation import Conversation
from aish.chat.front import Front
from aish.output import write_bytes
from aish.render import terminal_width
from backends import console
from backends.cleaning import Cleaner, clean_line
from backends.errors import TektonError
from backends.protocol.conversations import Turn
from backends.protocol.framing import MAX_MESSAGE


class LineChat(Front):
    """Reads lines from standard input; answers go to stdout, and all else to stderr."""

    output_of_commands = 2

    def __init__(
        self, conversation: Conversation, url: str | None, token_file: Path | None
    ) -> None:
        super().__init__(conversation, url, token_file, gather_s=0.0)
        self._is_typed = sys.stdin.isatty()
        self._is_seen = sys.stdout.isatty()
        self._has_left = False
        self._last = "\n"
        self._cleaner = Cleaner()

    def run(self, target: str, session: str | None, is_new: bool) -> int:
        """Chat until the input ends; returns the status of the last answer.

        Raises:
            TektonError: There is nobody to talk to.
        """
        if self._is_typed:  # then Ctrl-C stops an answer, and not the chat
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with asyncio.Runner() as runner:
            runner.run(self._join(target, session, is_new))
            while not self._has_left and (line := self._read()):
                try:
                    runner.run(self._do(line.decode("utf-8", "replace")))
                except KeyboardInterrupt:
                    continue
        return self.talk.status

    async def _join(self, target: str, session: str | None, is_new: bool) -> None:
        async with self.talk:
            await self.talk.join(target, session, is_new)

    async def _do(self, line: str) -> None:
        """Do what a line says; nothing stays connected, since nobody looks while one is read."""
        async with self.talk:
            await self.handle(line.rstrip("\r\n"))

    def _read(self) -> bytes:
        if self._is_typed:
            mark = f"{clean_line(self.conversation.target)}> "
            print(mark, end="", file=sys.stderr, flush=True)
        return sys.stdin.buffer.readline(MAX_MESSAGE)

    # -- the view ------------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """Begin an answer."""
        if len(self.conversation.threads) > 1:
            self._write(f"== {name} ==\n")

    def take(self, text: str) -> None:
        """Show the next piece of it, as it is where no person sees it."""
        self._write(self._cleaner.feed(text) if self._is_seen else text)

    def end(self, note: str | None) -> None:
        """End it."""
        self._cleaner.finish()
        if self._last != "\n":
            self._write("\n")
        if note:
            self.say(f"({note})")

    def say(self, line: str) -> None:
        """Show a line beside the answers."""
        console.say(line)

    def complain(self, error: TektonError, prefix: str = "") -> None:
        """Show an error and its hint; the next answer decides how the chat ends."""
        self.talk.status = error.exit_status
        console.complain(error, prefix)

    def recall(self, name: str, turn: Turn) -> None:
        """Show the last exchange of a conversation to a person."""
        if self._is_typed:
            super().recall(name, turn)

    @property
    def width(self) -> int:
        """Columns that rows may take."""
        return terminal_width() - 1

    @property
    def has_color(self) -> bool:
        """No terminal that is known to understand styles."""
        return False

    def show(self, rows: list[str]) -> None:
        """Show rows as they are."""
        for row in rows:
            print(row, file=sys.stderr, flush=True)

    def put_back(self, text: str) -> bool:
        """Show a text to a person, who has to type it again."""
        if self._is_typed:
            self.say(text)
        return True

    def refresh(self) -> None:
        """Nothing is shown of the state."""

    def clear(self) -> None:
        """Nothing can be cleared here."""

    def leave(self) -> None:
        """End the chat."""
        self._has_left = True

    def send_sequence(self, sequence: str) -> bool:
        """Say that there is no terminal that would understand it."""
        del sequence
        return False

    def _write(self, text: str) -> None:
        if text:
            self._last = text[-1]
            write_bytes(text.encode("utf-8", "replace"))
