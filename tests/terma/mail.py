"""A service `terma` that has mailboxes and nothing else: alice, bob and the person."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager

from backends.database import Database
from backends.errors import NotFound
from backends.protocol.mailboxes import (
    AcknowledgeMessages,
    Deliveries,
    FollowMessage,
    Message,
    Messages,
    ReadInbox,
    ReplyMessage,
    SendMessage,
    Sent,
    TakeAnswers,
    WatchInbox,
)
from backends.protocol.messages import Ack
from backends.protocol.terminals import PERSON, Identity, WhoAmI
from backends.service.base import CALLER, Service, handles
from terma.service.mailbox import Mailboxes
from terma.service.store import TerminalStore
from terma.service.tables import HEAD, MIGRATIONS, metadata
from tests.backends.services import StageContext, elsewhere, running
from tests.scenarios.tekton_process import BIN, Ran
from tests.terma.service.test_store import ALICE, BOB, closed

IDS = {"alice": ALICE.id, "bob": BOB.id, PERSON: PERSON}
FULL = [sys.executable, "-c", "from terma.cli import main; main()"]
FAST = [str(BIN / "terma")]


class Clock(StageContext):
    """A context whose clock is the real one."""

    def now(self) -> float:
        """Seconds since the epoch."""
        import time

        return time.time()


class MailService(Service):
    """Mailboxes; who shows the token `NAME's token` is NAME."""

    name = "terma"

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        context.paths.mailboxes.parent.mkdir(parents=True, exist_ok=True)
        self.database = Database(context.paths.mailboxes, metadata, MIGRATIONS, HEAD)
        self.store = TerminalStore(self.database)
        self.names = {id_: name for name, id_ in IDS.items()}
        self.boxes = Mailboxes(self.database, context.now, self.names.__getitem__)
        self.tokens: list[str | None] = []
        self.trials = 0
        """How often it was asked whether something could be sent."""
        self.loop: asyncio.AbstractEventLoop
        self.changes: list[Message] = []
        self.boxes.on_change = lambda _, message: self.changes.append(message)

    async def start(self) -> None:
        """Open the database."""
        self.loop = asyncio.get_running_loop()
        await self.database.open()
        for terminal in (ALICE, BOB):
            await self.store.save(terminal)
        await self.boxes.start()

    async def stop(self) -> None:
        """Close it."""
        await self.boxes.stop()
        await self.database.close()

    async def close_terminal(self, name: str) -> None:
        """Close a terminal."""
        stored = {"alice": ALICE, "bob": BOB}[name]
        await self.store.save(closed(stored, self.context.now()))
        await self.boxes.close(stored.id)

    def own(self) -> str:
        """Return the mailbox of who asks."""
        caller = CALLER.get()
        assert caller is not None
        self.tokens.append(caller.token)
        return IDS[(caller.token or PERSON).removesuffix("'s token")]

    @handles(SendMessage)
    async def send(self, request: SendMessage) -> Sent:
        """Send to alice, bob or both."""
        own, mailboxes = self.own(), []
        for name in request.to:
            if name not in (*IDS, "@all"):
                raise NotFound(f"no terminal named {name!r}", "did you mean 'alice'?")
            mailboxes += [IDS["alice"], IDS["bob"]] if name == "@all" else [IDS[name]]
        self.trials += request.is_trial
        if request.is_trial:
            return Sent(id="", recipients=request.to)
        return await self.boxes.send(own, mailboxes, request)

    @handles(ReadInbox)
    async def read(self, request: ReadInbox) -> Messages:
        """Read."""
        own = self.own()
        mailbox = IDS[request.name] if request.name else own
        if request.is_notice:
            return await self.boxes.notice(mailbox, mailbox == own)
        return await self.boxes.read(mailbox, mailbox == own, request.is_whole, request.limit)

    @handles(WatchInbox)
    async def watch(self, request: WatchInbox) -> AsyncGenerator[Message | Ack, None]:
        """Watch."""
        own = self.own()
        mailbox = IDS[request.name] if request.name else own
        async with aclosing(self.boxes.watch(mailbox, mailbox == own)) as messages:
            async for message in messages:
                yield message
        yield Ack()

    @handles(AcknowledgeMessages)
    async def acknowledge(self, request: AcknowledgeMessages) -> Ack:
        """Acknowledge."""
        await self.boxes.acknowledge(self.own(), request.ids)
        return Ack()

    @handles(ReplyMessage)
    async def reply(self, request: ReplyMessage) -> Sent:
        """Reply."""
        own = self.own()
        self.trials += request.is_trial
        if request.is_trial:
            return Sent(id=await self.boxes.find(own, request.id), recipients=())
        return await self.boxes.reply(own, request.id, request.text)

    @handles(FollowMessage)
    async def follow(self, request: FollowMessage) -> AsyncGenerator[Message | Deliveries, None]:
        """Follow."""
        async with aclosing(self.boxes.follow(request.id, request.waits)) as items:
            async for item in items:
                yield item

    @handles(TakeAnswers)
    async def take(self, request: TakeAnswers) -> Ack:
        """Take."""
        await self.boxes.take_answers(self.own(), request.id, [IDS[name] for name in request.of])
        return Ack()

    @handles(WhoAmI)
    async def whoami(self, request: WhoAmI) -> Identity:
        """Tell who asks."""
        own = self.own()
        return Identity(name=self.names[own], id=own, unread=self.boxes.unread(own))


@contextmanager
def mail() -> Iterator[MailService]:
    """Serve mailboxes on the socket of this test's home."""

    @contextlib.asynccontextmanager
    async def work() -> AsyncIterator[MailService]:
        context = Clock()
        service = MailService(context)
        async with running(context, service):
            yield service

    with elsewhere(work) as service:
        yield service


def environment(variables: Mapping[str, str] | None = None, token: str = "") -> dict[str, str]:
    """Return the environment of a program; with a token it is one in that terminal."""
    found = os.environ | dict(variables or {})
    if token:
        file = os.path.join(os.environ["TEKTON_HOME"], token)
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(f"{token}'s token\n")
        found["TERMA_TOKEN_FILE"] = file
    return found


def terma(
    *arguments: str,
    who: str = "",
    program: list[str] = FULL,
    input: bytes | None = None,  # noqa: A002 - as `subprocess` calls it
    variables: Mapping[str, str] | None = None,
) -> Ran:
    """Run `terma` to its end as the person or from within a terminal."""
    stdin = subprocess.DEVNULL if input is None else None
    ran = subprocess.run(
        [*program, *arguments], env=environment(variables, who), capture_output=True, check=False,
        timeout=20, stdin=stdin, input=input,
    )  # fmt: skip
    return Ran(ran.returncode, ran.stdout, ran.stderr.decode())
