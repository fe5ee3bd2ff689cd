"""What the commands of a chat do."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable
from typing import Protocol

from aish.attachments import read_attachment
from aish.chat import clipboard
from aish.chat.commands import Command, help_rows
from aish.chat.conversation import Conversation, Prompt, Thread, count_of, size_of
from aish.chat.input import expanded
from aish.chat.talk import Talk, View
from aish.export import short, title_of, to_markdown
from aish.layout import cells
from backends.cleaning import clean
from backends.console import ago
from backends.errors import NotFound, TektonError, UsageError
from backends.protocol.conversations import (
    ChangeSession,
    ForkSession,
    ListSessions,
    RemoveSessions,
    SessionInfo,
)
from backends.protocol.messages import Attachment

_LONGEST = 30


class Desk(View, Protocol):
    """A view, and what else commands need of the one who shows the chat."""

    def clear(self) -> None:
        """Clear the screen."""

    def leave(self) -> None:
        """End the chat."""

    def send_sequence(self, sequence: str) -> bool:
        """Write a sequence of ours to the terminal; False where there is none."""

    async def send(self, prompt: Prompt) -> None:
        """Ask, and wait for the answers."""


class Actions:
    """Run commands by name."""

    def __init__(self, talk: Talk, desk: Desk, clock: Callable[[], float]) -> None:
        self._talk = talk
        self._desk = desk
        self._clock = clock

    @property
    def _kept(self) -> Conversation:
        return self._talk.conversation

    async def run(self, command: Command, rest: str) -> None:
        """Run a command with what follows its name.

        Raises:
            TektonError: It could not be done.
        """
        act: Callable[[str], Awaitable[None]] = getattr(self, f"_{command.name}")
        await act(rest)
        self._desk.refresh()

    async def _help(self, rest: str) -> None:
        del rest
        rows = help_rows()
        width = max(cells(usage) for usage, _ in rows if len(usage) < 40)
        for usage, text in rows:
            if len(usage) > width:
                self._desk.say(usage)
                usage = ""
            self._desk.say(f"{usage.ljust(width)}  {text}")

    async def _quit(self, rest: str) -> None:
        del rest
        self._desk.leave()

    async def _clear(self, rest: str) -> None:
        del rest
        self._desk.clear()

    # -- whom, and how -------------------------------------------------------------------------

    async def _ci(self, rest: str) -> None:
        if not rest:
            raise UsageError("/ci needs a name", "/ci apollo; @role, @all or apollo,athena")
        await self._talk.join("".join(rest.split()))

    async def _model(self, rest: str) -> None:
        if rest:
            self._kept.model = None if rest == "default" else rest
        if self._kept.model:
            self._desk.say(f"the next answers come from {self._kept.model}")
            return
        for thread in self._kept.threads:
            self._desk.say(f"{thread.ci} answers with {thread.model or 'no model'}")

    async def _system(self, rest: str) -> None:
        if rest:
            self._kept.system = None if rest == "default" else rest
        shown = self._kept.system
        self._desk.say(f"system prompt: {shown}" if shown else "the CI's own system prompt")

    # -- conversations -------------------------------------------------------------------------

    async def _session(self, rest: str) -> None:
        word, _, more = rest.partition(" ")
        acts = {
            "": self._tell_session, "new": self._new, "list": self._list, "fork": self._fork,
            "name": self._name, "title": self._title, "rm": self._remove,
        }  # fmt: skip
        if word in acts:
            await acts[word](more.strip())
            return
        for thread in self._kept.threads:
            await self._talk.go_to(thread, rest, begins=True)

    async def _tell_session(self, more: str) -> None:
        del more
        for thread in self._kept.threads:
            if thread.info is None:
                self._desk.say(f"{thread.ci}: a new conversation {thread.session or ''}".rstrip())
                continue
            name = f" · {thread.info.name}" if thread.info.name else ""
            self._desk.say(
                f'{thread.ci}: "{thread.title}"{name} · {short(thread.info.id)} · {place(thread)}'
            )

    async def _new(self, more: str) -> None:
        for thread in self._kept.threads:
            thread.begin(more or None)
        self._kept.leave()
        self._desk.say(f"a new conversation{f', {more!r}' if more else ''}")

    async def _list(self, more: str) -> None:
        for thread in self._kept.threads:
            found = await self._talk.tekton.call(
                ListSessions(ci=thread.ci, search=more or None, limit=20)
            )
            for session in found.sessions:
                self._desk.say(self._line_of(session, thread))
            if found.left_out:
                whose = f" of {thread.ci}" if len(self._kept.threads) > 1 else ""
                self._desk.say(f"and {found.left_out} more{whose}; `aish session list` shows all")
            if not found.sessions:
                self._desk.say(f"{thread.ci} has no conversations yet")

    def _line_of(self, session: SessionInfo, thread: Thread) -> str:
        mark = "*" if session.id == thread.session else " "
        age = ago(max(self._clock() - session.updated_at, 0))
        word = session.name or short(session.id)
        width = max(cells(it.ci) for it in self._kept.threads)
        ci = f"{thread.ci:<{width}}  " if len(self._kept.threads) > 1 else ""
        line = f"{mark} {ci}{word:<12}  {title_of(session)}"
        return f"{line} · {count_of(session.turns)} · {age} ago"

    async def _fork(self, more: str) -> None:
        thread = self._single()
        forked = await self._talk.tekton.call(
            ForkSession(
                session=self._stored(thread).id, ci=thread.ci, turn=thread.head, name=more or None
            )
        )
        await self._talk.go_to(thread, forked.id, begins=False)

    async def _name(self, more: str) -> None:
        if not more:
            raise UsageError("/session name needs a name", "/session name plan")
        await self._change(name=more)

    async def _title(self, more: str) -> None:
        if not more:
            raise UsageError("/session title needs a text", "/session title Where this leads")
        await self._change(title=more)

    async def _change(self, name: str | None = None, title: str | None = None) -> None:
        thread = self._single()
        thread.info = await self._talk.tekton.call(
            ChangeSession(session=self._stored(thread).id, ci=thread.ci, name=name, title=title)
        )
        await self._tell_session("")

    async def _remove(self, more: str) -> None:
        thread = self._single()
        if not more:
            word = short(self._stored(thread).id)
            raise UsageError(
                "/session rm deletes a conversation for good, so it needs to be named",
                f"/session rm {word} deletes this one",
            )
        found = await self._talk.tekton.call(RemoveSessions(sessions=(more,), ci=thread.ci))
        self._desk.say(f"deleted: {count_of(found.turns)}")
        if thread.info and (thread.info.name == more or thread.info.id.startswith(more)):
            thread.begin()
            self._kept.leave()
            self._desk.say("a new conversation")

    def _single(self) -> Thread:
        if len(self._kept.threads) != 1:
            raise UsageError(
                "with several CIs there are several conversations", "/ci NAME goes to one of them"
            )
        return self._kept.threads[0]

    @staticmethod
    def _stored(thread: Thread) -> SessionInfo:
        if thread.info is None:
            raise NotFound("this conversation has not begun yet", "ask something first")
        return thread.info

    # -- prompts and answers -------------------------------------------------------------------

    async def _retry(self, rest: str) -> None:
        prompt = self._kept.again(rest or None)
        if prompt is None:
            raise NotFound("there is no prompt to ask again yet", "ask something first")
        await self._desk.send(prompt)

    async def _edit(self, rest: str) -> None:
        del rest
        text = self._kept.edit()
        if text is None:
            raise NotFound("there is no prompt to change yet", "ask something first")
        if not self._desk.put_back(text):
            self._kept.is_editing = False
            raise TektonError("something is typed already", "send it or clear it, then /edit")
        if self._kept.is_editing:
            self._desk.say("what you send now takes the place of the last prompt; Ctrl-C: do not")

    async def _copy(self, rest: str) -> None:
        number = int(rest) if rest.isdecimal() and rest.isascii() else 1
        if rest and (str(number) != rest or not number):
            raise UsageError(f"/copy takes a number from 1, not {rest!r}", "/copy 2")
        answers = self._kept.answer(number)
        if not answers:
            raise NotFound("there is no such answer to copy")
        text = clean("\n\n".join(answers))  # it may be pasted into a shell
        command = clipboard.program()
        if command:
            clipboard.fill(command, text)
        elif not self._desk.send_sequence(clipboard.sequence(text)):
            raise TektonError("there is no clipboard here", "`/save FILE` writes a file")
        self._desk.say(f"copied {size_of(len(text.encode()))}")

    async def _attach(self, rest: str) -> None:
        if rest == "drop":
            self._kept.attachments, self._kept.outputs = [], []
            self._desk.say("nothing goes with your next prompt")
            return
        try:
            names = shlex.split(rest)
        except ValueError as error:
            raise UsageError(f"/attach {rest}: {error}", "quote a name that has spaces") from error
        self._kept.attachments += [read_attachment(expanded(name)) for name in names]
        for attachment in self._kept.attachments:
            self._desk.say(goes_along(attachment))
        for command, output in self._kept.outputs:
            self._desk.say(output_goes_along(command, output))
        if not self._kept.attachments and not self._kept.outputs:
            self._desk.say("nothing goes with your next prompt; /attach FILE…")

    async def _save(self, rest: str) -> None:
        if not rest:
            raise UsageError("/save needs a file", "/save talk.md")
        parts = [
            to_markdown(thread.info, list(thread.turns.values()), thread.path)
            for thread in self._kept.threads
            if thread.info and thread.path
        ]
        if not parts:
            raise NotFound("there is nothing to save yet")
        path = expanded(rest)
        text = "\n".join(parts)
        try:
            with path.open("x", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except FileExistsError:
            raise TektonError(
                f"{path} exists already, and nothing is overwritten", "give another name"
            ) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise TektonError(f"cannot write {path}: {reason}") from error
        self._desk.say(f"saved {size_of(len(text.encode()))} to {path}")

    async def _cost(self, rest: str) -> None:
        del rest
        spent = self._kept.spent
        if not spent.turns:
            self._desk.say("nothing has been asked yet")
            return
        self._desk.say(
            f"{count_of(spent.turns)} · tokens {spent.input_tokens} → {spent.output_tokens} · "
            f"{spent.cost}"
        )


def place(thread: Thread) -> str:
    """Say where a conversation stands among its turns."""
    here, all_of_them = len(thread.path), len(thread.turns)
    if here == all_of_them:
        return count_of(here)
    return f"turn {here} of this branch, {all_of_them} in all"


def goes_along(attachment: Attachment) -> str:
    """Say that a file goes with the next prompt."""
    text = attachment.text
    size = len(text.encode()) if text is not None else len(attachment.data or "") * 3 // 4
    return f"+ {attachment.name} ({size_of(size)}) goes with your next prompt"


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def output_goes_along(command: str, output: str) -> str:
    """Say that a command's output goes with the next prompt."""
    size = size_of(len(output.encode()))
    return f"+ output of {_short(command)} ({size}) goes with your next prompt"
