"""A chat under way: it asks the CIs, follows their answers, and notices when the hub is gone."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Protocol

from aish.ask import members
from aish.chat.conversation import Conversation, Prompt, Thread, count_of
from aish.chat.floor import Floor, Stage
from aish.export import short
from backends.client.discovery import PATIENCE_S, silent
from backends.client.tekton import Tekton
from backends.console import ago
from backends.errors import CannotConnect, NotFound, TektonError
from backends.protocol.conversations import ListSessions, ShowSession, Turn
from backends.protocol.messages import Answer, Info, ListAll, Piece, Subscribe
from backends.runtime import terminal_key

GATHER_S = 1 / 8
"""Answers are read in gathers of so many seconds, since each waking costs more than a token."""

_LOOK_AGAIN_S = 1.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BRANCHES = "branches off"
_NOTHING = "chat.nothing"
_MOST_BEGUN = 5


class View(Stage, Protocol):
    """What shows a chat to a person."""

    def say(self, line: str) -> None:
        """Tell something beside the answers, on a line of its own."""

    def complain(self, error: TektonError, prefix: str = "") -> None:
        """Tell an error and its hint."""

    def put_back(self, text: str) -> bool:
        """Put a text into the input if that is empty; tells whether it was."""

    def refresh(self) -> None:
        """Show the state of the conversation as it is now."""

    def recall(self, name: str, turn: Turn) -> None:
        """Show the last exchange of a conversation that goes on."""


class Talk:
    """Asks and answers; close it, or use it with `async with`."""

    def __init__(
        self,
        conversation: Conversation,
        view: View,
        url: str | None = None,
        token_file: Path | None = None,
        gather_s: float = GATHER_S,
    ) -> None:
        self.conversation = conversation
        self.view = view
        self.tekton = Tekton(url, token_file, gather_s=gather_s)
        self.terminal = terminal_key()
        self.status = 0
        """The exit status of the last prompt."""
        self.began_at: float | None = None
        """When the prompt that is being answered was sent, by the clock that never goes back."""

    async def __aenter__(self) -> Talk:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tekton.close()

    # -- whom, and where it goes on ----------------------------------------------------------

    async def join(self, target: str, session: str | None = None, is_new: bool = False) -> None:
        """Begin to talk with whom the target names, where it went on last in this terminal.

        Raises:
            TektonError: Nobody of them is there.
        """
        names = await members(self.tekton, target)
        threads = [Thread(name) for name in names]
        await self._look_for(threads)
        if self.conversation.threads:
            self.view.say(f"now with {', '.join(names)}")
        self.conversation.target = target
        self.conversation.threads = threads
        self.conversation.leave()
        self.view.refresh()
        for thread in threads:  # one after another, for so they are told
            if not is_new:
                await self._resume(thread, session)
            elif session:
                thread.begin(session)
        self.view.refresh()

    async def _look_for(self, threads: list[Thread]) -> None:
        """Learn the models; a CI that is missing is told, and if all are, that is an error."""

        async def look(thread: Thread) -> None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    thread.model = (await self.tekton.call(Info(ci=thread.ci))).model
            except TimeoutError as error:
                raise silent(thread.ci, True, PATIENCE_S) from error

        found = await asyncio.gather(*map(look, threads), return_exceptions=True)
        failures = [error for error in found if isinstance(error, BaseException)]
        for error in failures:
            if not isinstance(error, TektonError) or len(failures) == len(threads):
                raise error
            self.view.complain(error)

    async def _resume(self, thread: Thread, session: str | None) -> None:
        if session is not None:
            await self.go_to(thread, session)
            return
        if self.terminal is None:
            return
        try:
            found = await self.tekton.call(
                ListSessions(ci=thread.ci, terminal=self.terminal, limit=1)
            )
            if found.sessions:
                await self.go_to(thread, found.sessions[0].id)
        except TektonError as error:
            self.view.say(f"{thread.ci}: what was said before is not known: {error.message}")

    async def go_to(self, thread: Thread, session: str, begins: bool = True) -> None:
        """Go on with a conversation, by id or name; one of that name begins if there is none.

        Raises:
            TektonError: It is not there, and does not begin.
        """
        try:
            found = await self.tekton.call(ShowSession(session=session, ci=thread.ci))
        except NotFound:
            if not begins or not _NAME.fullmatch(session):
                raise
            thread.begin(session)
            self.conversation.leave()
            self.view.say(f"{thread.ci}: a new conversation, {session!r}")
            return
        turns = list(found.turns)
        left_out = found.left_out
        while left_out and turns:
            more = await self.tekton.call(
                ShowSession(session=found.session.id, ci=thread.ci, after=turns[-1].id)
            )
            turns += more.turns
            left_out = more.left_out if more.turns else 0
        thread.resume(dataclasses.replace(found, turns=tuple(turns)))
        self.conversation.leave()
        self._tell_where(thread)

    def _tell_where(self, thread: Thread) -> None:
        info = thread.info
        if info is None:
            return
        age = ago(max(time.time() - info.updated_at, 0)) if info.updated_at else "?"
        name = info.name or short(info.id)
        where = f"{name} · {count_of(info.turns)} · {age} ago"
        self.view.say(f'{thread.ci} goes on with "{thread.title}" · {where}')
        if thread.last:
            self.view.recall(thread.ci, thread.last)

    # -- prompts -----------------------------------------------------------------------------

    async def ask(self, prompt: Prompt) -> None:
        """Send a prompt and show what comes; cancelling it stops the answers."""
        threads = self.conversation.threads
        floor = Floor(self.view)
        self.began_at = time.monotonic()
        self.view.refresh()
        asked = [asyncio.create_task(self._ask_one(it, prompt, floor)) for it in threads]
        try:
            results = await asyncio.gather(*asked)
        except asyncio.CancelledError:
            await asyncio.wait(asked)
            raise
        finally:
            self.began_at = None
            self.view.refresh()
        self.status = next((status for status, _ in results if status), 0)
        if not any(has_text for _, has_text in results) and self.status:
            self._give_back(prompt)

    def _give_back(self, prompt: Prompt) -> None:
        """Let nothing be typed twice because an answer failed."""
        kept = self.conversation
        kept.attachments = [*prompt.attachments, *kept.attachments]
        is_back = self.view.put_back(prompt.typed)
        kept.is_editing = prompt.branches and is_back
        if not is_back:
            self.view.say("/retry asks it again, /edit brings it back")

    async def _ask_one(self, thread: Thread, prompt: Prompt, floor: Floor) -> tuple[int, bool]:
        """Follow one answer; returns the exit status, and whether anything came."""
        await self._catch_up(thread, PATIENCE_S)
        chat = thread.request(prompt, self.conversation.system, self.terminal)
        texts: list[str] = []
        sent_at = time.time()
        try:
            async with aclosing(self.tekton.stream(chat)) as items:
                async for item in items:
                    if isinstance(item, Piece):
                        self._take(thread.ci, item, prompt, floor, texts)
                    elif isinstance(item, Answer):
                        thread.answered(chat, "".join(texts), item, time.time())
        except TektonError as error:
            floor.end(thread.ci, "broken off" if texts else None)
            self.view.complain(error, self._prefix(thread.ci))
            thread.lose(chat, sent_at, "".join(texts))
            await self._catch_up(thread)
            return error.exit_status, bool(texts)
        except asyncio.CancelledError:
            floor.end(thread.ci, "stopped")
            thread.lose(chat, sent_at, "".join(texts))
            await self._catch_up(thread)
            raise
        floor.end(thread.ci, None if texts else "an empty answer")
        return 0, True

    def _take(self, ci: str, piece: Piece, prompt: Prompt, floor: Floor, texts: list[str]) -> None:
        if piece.text:
            texts.append(piece.text)
            floor.take(ci, piece.text)
        if piece.notice and not (prompt.branches and _BRANCHES in piece.notice):
            self.view.say(f"notice: {self._prefix(ci)}{piece.notice}")

    def _prefix(self, ci: str) -> str:
        return f"{ci}: " if len(self.conversation.threads) > 1 else ""

    async def _catch_up(self, thread: Thread, timeout_s: float = 1.0) -> None:
        """Learn as which turn an answer was stored that has no end, for the next follows it.

        What cannot be learnt now is asked for again before the next prompt.
        """
        lost = list(thread.lost)
        if not lost:
            return
        with suppress(TektonError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                with suppress(NotFound):  # it has not begun, or was deleted
                    for session in await self._may_have(thread, lost[0].sent_at):
                        stored = await self.tekton.call(
                            ShowSession(session=session, ci=thread.ci, after=thread.head)
                        )
                        if thread.catch_up(stored):
                            break
                thread.lost = [it for it in thread.lost if it not in lost]

    async def _may_have(self, thread: Thread, sent_at: float) -> list[str]:
        """Return the conversations in which a lost prompt may be stored, the likeliest first."""
        if thread.session is not None:
            return [thread.session]
        found = await self.tekton.call(
            ListSessions(ci=thread.ci, terminal=self.terminal, limit=_MOST_BEGUN)
        )
        return [it.id for it in found.sessions if it.updated_at >= sent_at - 1]

    # -- the hub -----------------------------------------------------------------------------

    async def watch(self) -> None:
        """Tell when the hub goes, and when it is back; never returns while there is one."""
        is_up = True
        while True:
            try:
                await self.tekton.call(Info(service="hermes"))
                if not is_up:
                    is_up = True
                    self.view.say("the hub is back")
                    if self.began_at is None:  # else a prompt under way does it
                        for thread in self.conversation.threads:
                            await self._catch_up(thread)
                    self.view.refresh()
                await self.tekton.call(Subscribe(subject=_NOTHING))
            except CannotConnect:
                if is_up:
                    is_up = False
                    self.view.say(
                        "the hub is gone; `tekton up` brings it back, and this chat goes on then"
                    )
            except TektonError:
                return  # what the address leads to is no hub
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def names(self) -> list[str]:
        """Return the names of the CIs there are, for completion."""
        directory = await self.tekton.call(ListAll())
        return [entry.name for entry in directory.entries if entry.is_ci]
