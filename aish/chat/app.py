"""A chat at a terminal: prompt_toolkit has the input, and what streams is drawn above it."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from prompt_toolkit.application.run_in_terminal import in_terminal
from prompt_toolkit.output.vt100 import Vt100_Output

from aish.chat import shell
from aish.chat.above import ChatApplication
from aish.chat.area import InputArea, editing_mode
from aish.chat.burst import BurstInput
from aish.chat.commands import parse
from aish.chat.completion import ChatCompleter, Known
from aish.chat.conversation import Conversation, Prompt
from aish.chat.front import Front, shortened
from aish.chat.history import ChatHistory
from aish.chat.input import Kind, read_typed
from aish.chat.keys import bindings
from aish.chat.screen import Screen
from aish.chat.status import status_line
from aish.chat.talk import GATHER_S
from aish.export import short
from aish.layout import warm_up
from backends.cleaning import clean_line
from backends.console import has_color
from backends.errors import TektonError
from backends.protocol.conversations import ListSessions, Turn

_LEAVE_S = 2.0
_AHEAD_S = 0.1
"""What was typed while a command had the terminal is read within this time after it."""

_SECONDS = 10
"""After so many seconds they are counted by fives."""

_LEAST_ROWS = 10


class TerminalChat(Front):
    """Keys, queue and toolbar of a chat."""

    def __init__(
        self, conversation: Conversation, url: str | None, token_file: Path | None, state: Path
    ) -> None:
        super().__init__(conversation, url, token_file, GATHER_S)
        self._known = Known()
        self._output = Vt100_Output.from_pty(sys.stdout)
        self._output.enable_cpr = False  # the area is as high as it needs, wherever it stands
        self._area = InputArea(
            self,
            ChatCompleter(conversation, self._known),
            ChatHistory(state / "chat_history"),
            has_color(sys.stdout),
        )
        self._app = ChatApplication(
            layout=self._area.layout,
            style=self._area.style,
            include_default_pygments_style=False,
            key_bindings=bindings(self),
            editing_mode=editing_mode(),
            erase_when_done=True,
            terminal_size_polling_interval=None,  # a signal tells it
            input=BurstInput(sys.stdin),
            output=self._output,
        )
        self._screen = Screen(
            self._app.above, lambda: self._size[0], lambda: self._size[1], has_color(sys.stdout)
        )
        self._app.after_render += lambda _: self._screen.draw_due()
        self._queue: deque[str] = deque()
        self._wake = asyncio.Event()
        self._beside: asyncio.Queue[str] = asyncio.Queue()
        self._is_busy = False
        self._answering: asyncio.Task[None] | None = None
        self._held = ""
        self._leaves_until = 0.0
        self._lent_until = 0.0
        self._failure: TektonError | None = None

    async def run(self, target: str, session: str | None, is_new: bool) -> int:
        """Chat until the person leaves; returns the exit status.

        Raises:
            TektonError: There is nobody to talk to.
        """

        def begin() -> None:
            self._app.create_background_task(self._guard(self._work(target, session, is_new)))

        async with self.talk:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                loop.add_signal_handler(number, self._end, 128 + number)
            status = await self._app.run_async(pre_run=begin)
            await self._stop_answer()
        if self._failure:
            raise self._failure
        return status

    # -- what happens one after another ----------------------------------------------------------

    async def _work(self, target: str, session: str | None, is_new: bool) -> None:
        """Join, then do what is typed, line by line."""
        try:
            await self.talk.join(target, session, is_new)
        except TektonError as error:
            self._failure = error
            self._end(error.exit_status)
            return
        self._app.create_background_task(self._guard(self.talk.watch()))
        self._app.create_background_task(self._guard(self._work_beside()))
        warm_up()
        gc.freeze()  # what was imported stays: looking through it again and again takes time
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            line = self._queue.popleft()
            self._is_busy = True
            self._echo(line)
            try:
                await self.handle(line)
                await self._beside.join()
            finally:
                self._is_busy = False
            self.refresh()

    async def _work_beside(self) -> None:
        """Do what may be done while an answer streams, line by line."""
        while True:
            line = await self._beside.get()
            self._echo(line)
            try:
                await self.handle(line)
            finally:
                self._beside.task_done()

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Let a bug end the chat, where it would else go on without a part of itself."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - it is raised where the chat was begun
            if self._app.future and not self._app.future.done():
                self._screen.hide()
                self._app.exit(exception=error)

    def typed(self, line: str) -> None:
        """Take a line that was sent: nothing overtakes what was sent before it, but an answer."""
        self._leaves_until = 0.0
        kind = read_typed(line).kind
        if kind is Kind.EMPTY:
            return
        if self._answering and not self._queue and self._is_calm(line, kind):
            self._beside.put_nowait(line)
            return
        self._queue.append(line)
        self._wake.set()
        self.refresh()

    @staticmethod
    def _is_calm(line: str, kind: Kind) -> bool:
        """Tell whether a line can be done while an answer streams."""
        if kind is Kind.COMMAND:
            try:
                return parse(line.strip())[0].is_calm
            except TektonError:
                return True  # what is wrong with it is told at once
        return kind is not Kind.PROMPT

    async def send(self, prompt: Prompt) -> None:
        """Ask, and wait for the answers, or until they are stopped."""
        self._screen.shows_names = len(self.conversation.threads) > 1
        self._answering = asyncio.create_task(self.talk.ask(prompt))
        ticking = asyncio.create_task(self._tick())
        try:
            await asyncio.wait([self._answering])
            if not self._answering.cancelled():
                self._answering.result()
            if self._held:
                self.say(self._held)
        finally:
            ticking.cancel()
            self._answering = None
            self._held = ""

    async def _tick(self) -> None:
        """Keep the seconds in the status line going: a drawing costs more than a token."""
        seconds = 0
        while True:
            step = 1 if seconds < _SECONDS else 5
            await asyncio.sleep(step)
            seconds += step
            self._app.invalidate()

    async def _stop_answer(self) -> None:
        if self._answering:
            self._answering.cancel()
            await asyncio.wait([self._answering])

    def _echo(self, line: str) -> None:
        self._screen.echo(self.mark, line)

    # -- keys ------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Ctrl-C: stop the answer, or clear the line, or leave at the second time."""
        if self._answering:
            self._answering.cancel()
            self._held = self._hold() or self._held
        elif self._area.buffer.text or self.conversation.is_editing:
            self._area.buffer.reset()
            self.conversation.is_editing = False
        elif time.monotonic() < self._leaves_until:
            self.leave()
        else:
            self._leaves_until = time.monotonic() + _LEAVE_S
            self.say("Ctrl-C again leaves")

    def _hold(self) -> str:
        """Send nothing of what waits: the first comes back into the line if that is empty.

        Returns what is to be said of the others.
        """
        queued = list(self._queue)
        self._queue.clear()
        is_back = bool(queued) and self.put_back(queued[0])
        left = len(queued) - is_back
        if not left:
            return ""
        more = f"{left} {'more ' if is_back else ''}{'was' if left == 1 else 'were'} queued"
        return f"{more}; Up brings {'it' if left == 1 else 'them'} back"

    @property
    def is_typed_ahead(self) -> bool:
        """Whether a key was typed while a command had the terminal, which made its Enter Ctrl-J."""
        return time.monotonic() < self._lent_until

    def paste(self, text: str) -> None:
        """Insert what was pasted, or what stands for it."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        self._area.buffer.insert_text(self.pastes.take(text))

    def clear(self) -> None:
        """Clear the screen."""
        self._app.above.forget()
        self._app.renderer.clear()
        self._app.invalidate()

    def open_editor(self) -> None:
        """Open what is typed in the user's editor."""
        self._screen.hide()
        self._area.buffer.open_in_editor()

    def suspend(self) -> None:
        """Ctrl-Z: give the terminal back to the shell."""
        self._screen.hide()
        self._app.suspend_to_background()

    # -- the view --------------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """Begin an answer."""
        self._screen.begin(name)

    def take(self, text: str) -> None:
        """Show the next piece of it."""
        self._screen.take(text)

    def end(self, note: str | None) -> None:
        """End it."""
        self._screen.end(note)

    def say(self, line: str) -> None:
        """Show a line beside the answers."""
        self._screen.say(line)

    def complain(self, error: TektonError, prefix: str = "") -> None:
        """Show an error and its hint."""
        self._screen.complain(error, prefix)

    def recall(self, name: str, turn: Turn) -> None:
        """Show the last exchange of a conversation, shortened, apart from what follows."""
        super().recall(name, turn)
        self.say("")

    @property
    def width(self) -> int:
        """Columns that rows may take."""
        return self._screen.width

    @property
    def has_color(self) -> bool:
        """Whether rows may have styles."""
        return has_color(sys.stdout)

    def show(self, rows: list[str]) -> None:
        """Show rows as they are."""
        self._screen.show(rows)

    def put_back(self, text: str) -> bool:
        """Put a text into the input if that is empty."""
        if self._area.buffer.text:
            return False
        self._area.buffer.insert_text(text)
        return True

    def refresh(self) -> None:
        """Show the state as it is now."""
        self._app.invalidate()

    def leave(self) -> None:
        """End the chat."""
        self._end(self.talk.status)

    def send_sequence(self, sequence: str) -> bool:
        """Write a sequence of ours to the terminal."""
        self._output.write_raw(sequence)
        self._output.flush()
        return True

    async def lend_terminal(self, command: Callable[[], Awaitable[shell.Ended]]) -> shell.Ended:
        """Run a command that has the terminal; what streams meanwhile is drawn afterwards."""
        self._screen.hide()
        async with in_terminal():
            try:
                return await command()
            finally:
                self._lent_until = time.monotonic() + _AHEAD_S
                # Wherever that left the cursor, this ends at the start of an empty row: a row
                # of spaces wraps only if it does not begin at the left edge.
                self._output.write_raw("\x1b[0m" + " " * self._size[0] + "\r\x1b[K")
                self._output.flush()

    def _end(self, status: int) -> None:
        if self._app.is_running and not (self._app.future and self._app.future.done()):
            with suppress(OSError):  # the terminal may be gone
                self._screen.hide()
            self._app.exit(result=status)

    # -- what the input area shows --------------------------------------------------------------

    @property
    def mark(self) -> str:
        """What stands before the input."""
        return f"{shortened(clean_line(self.conversation.target), 24)}> "

    @property
    def queued(self) -> list[str]:
        """What waits to be asked, each on a line."""
        if not self._is_busy:
            return []  # they are about to be asked
        width = max(self._size[0] - 12, 8)
        lines = (clean_line(line[: 4 * width]) for line in self._queue)
        return [f"  queued: {shortened(line, width)}" for line in lines]

    @property
    def status_line(self) -> str:
        """Whom one talks to, and how it stands."""
        began_at = self.talk.began_at
        seconds = None if began_at is None else int(time.monotonic() - began_at)
        return status_line(self.conversation, seconds, max(self._size[0] - 1, 8))

    @property
    def shows_status(self) -> bool:
        """Whether there is room for the status line."""
        return self._size[1] >= _LEAST_ROWS

    @property
    def rows(self) -> int:
        """Rows of the terminal."""
        return self._size[1]

    @property
    def _size(self) -> tuple[int, int]:
        size = self._output.get_size()
        return size.columns, size.rows

    def changed(self, text: str) -> None:
        """Look up what may complete what is typed; what was begun before ends with the text."""
        self._leaves_until = 0.0
        if not text:
            self.conversation.is_editing = False
        if text in ("/session ", "/ci "):
            self._app.create_background_task(self._look_up(text))

    async def _look_up(self, text: str) -> None:
        """Learn the names of CIs and conversations, for completion."""
        with suppress(TektonError):  # then there is nothing to offer
            self._known.cis = await self.talk.names()
            found = await self.talk.tekton.call(
                ListSessions(ci=self.conversation.threads[0].ci, limit=30)
            )
            self._known.sessions = [
                (it.name or short(it.id), clean_line(it.title)) for it in found.sessions
            ]
        if self._area.buffer.text == text:
            self._area.buffer.complete_state = None  # what was found before stands in the way
            self._area.buffer.start_completion()
