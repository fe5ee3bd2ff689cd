"""A terminal as a CI: while something in it reads its mailbox, a prompt is a message to it."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from backends.errors import ModelError
from backends.protocol.conversations import Turn
from backends.protocol.mailboxes import Deliveries, MessageState, SendMessage
from backends.protocol.messages import Chat, Piece, ServiceInfo
from backends.service.base import Context
from backends.service.ci import CIService, Finished, user_text
from terma.service.mailbox import Mailboxes
from terma.service.terminal import Terminal

KIND = "terminal"
"""What `aish list` calls such a CI."""


class TerminalCI(CIService):
    """What runs in a terminal and reads its messages."""

    def __init__(
        self,
        context: Context,
        terminal: Terminal,
        mailboxes: Mailboxes,
        sender: Callable[[], Awaitable[str]],
    ) -> None:
        self.name = terminal.name
        super().__init__(context)
        self._terminal = terminal
        self._mailboxes = mailboxes
        self._sender = sender

    async def describe(self) -> ServiceInfo:
        """Describe it: its model is whoever answers in the terminal."""
        return dataclasses.replace(
            await super().describe(),
            kind=KIND,
            role=", ".join(self._terminal.stored.roles),
            model=self._model,
            note="answers from its terminal",
        )

    async def model_for(self, chat: Chat) -> str:
        """Return the terminal as the model."""
        return self._model

    async def answer(
        self, chat: Chat, model: str, turns: Sequence[Turn]
    ) -> AsyncGenerator[str | Piece | Finished, None]:
        """Send the prompt as a message and yield the reply to it."""
        sender = await self._sender()
        request = SendMessage(to=(self.name,), text=user_text(chat))
        sent = await self._mailboxes.send(sender, [self._terminal.id], request)
        async with aclosing(self._mailboxes.follow(sent.id, waits=True)) as changes:
            async for change in changes:
                if isinstance(change, Deliveries):
                    break
                if change.state is MessageState.SHOWN:
                    yield Piece(notice=f"{self.name} has read it (message {sent.id})")
        found = change.messages[0] if isinstance(change, Deliveries) else change
        if found.answer is None:
            raise ModelError(
                f"{self.name} has not answered: the message is {found.state.value}",
                f"`terma attach {self.name}` shows what runs there",
            )
        yield found.answer
        await self._mailboxes.take_answers(sender, sent.id, [self._terminal.id])
        yield Finished(model=model)

    @property
    def _model(self) -> str:
        return f"terminal/{self.name}"
