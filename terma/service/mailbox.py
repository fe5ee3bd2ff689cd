"""Mailboxes: what is sent is on the disk before it counts as sent, and has an end anyone can see.

All that changes them goes through `_change`: one transaction, then the counts in memory, then
whoever waits is woken. Those who follow something read the database again when they are woken, so
nothing piles up for a slow one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection

from backends.database import Database
from backends.errors import Busy, MessageTooLarge, NotFound, StorageError, UsageError
from backends.protocol.mailboxes import (
    Deliveries,
    Message,
    Messages,
    MessageState,
    SendMessage,
    Sent,
)
from backends.protocol.terminals import PERSON
from terma.service import deliveries
from terma.service.deliveries import Change, Letter, MailboxFull, Posted, SenderGone

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

MAX_TEXT = 1024 * 1024
"""Bytes of a message's text, as UTF-8."""

MAX_LIMIT = 10_000
"""Most messages that one call of `read` returns."""

_LOOK_AGAIN_S = 60.0
"""How late a message may expire after the clock was set or the disk was full."""

_ENDED = (MessageState.ANSWERED, MessageState.EXPIRED)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Mailboxes:
    """The mailboxes of terminals, by id, and of the person, in a database that is opened elsewhere.

    Whether a terminal is open is read from the same database: a terminal is stored before its
    mailbox is used, and stored as closed before `close` is called. Every method that waits raises
    `StorageError` where the database cannot be used. What has begun to change is changed to its
    end, also where the caller is cancelled.

    Args:
        database: With the tables of `terma.service.tables`, and durable.
        now: Seconds since the epoch.
        name_of: Returns the name of an open terminal as it is now; any text for another one.
    """

    def __init__(
        self, database: Database, now: Callable[[], float], name_of: Callable[[str], str]
    ) -> None:
        self._database = database
        self._now = now
        self._name_of = name_of
        self._counts: defaultdict[str, Counter[MessageState]] = defaultdict(Counter)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._former: dict[str, str] = {}
        """The names of closed terminals, for what they have sent."""
        self._has_news: set[str] = set()
        """Mailboxes that something has come into since a notice told of them."""
        self._changing: set[asyncio.Task[Any]] = set()
        self._next_expiry: float | None = None
        self._has_earlier = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self.can_answer: Callable[[str], bool] = lambda mailbox: True
        """Asked whether anything runs that could answer from a mailbox."""
        self.on_change: Callable[[str, Message], None] = _ignore
        """Called with a mailbox and a message that is new there or in another state.

        Of its text and its answer it has the first 200 characters. It must not raise.
        """

    async def start(self) -> None:
        """Count what is open, and end what has expired meanwhile; the database is open."""
        for mailbox, state, count in await self._database.read(deliveries.count_open):
            self._counts[mailbox][state] = count
            if state is MessageState.QUEUED:
                self._has_news.add(mailbox)
        self._former = await self._database.read(deliveries.names_of_closed)
        await self._expire()
        for mailbox in self._former.keys() & self._counts.keys():
            await self.close(mailbox)  # which its end may have come before
        self._timer = asyncio.create_task(self._expire_in_time())

    async def stop(self) -> None:
        """Finish what is being changed; the database may be closed then."""
        if self._timer:
            self._timer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._timer
        if self._changing:
            await asyncio.wait(self._changing)

    def unread(self, mailbox: str) -> int:
        """Return how many messages are open: queued or shown."""
        return self._counts[mailbox].total() if mailbox in self._counts else 0

    def unseen(self, mailbox: str) -> int:
        """Return how many messages are queued: no prompt and no inbox has shown them."""
        return self._counts[mailbox][MessageState.QUEUED] if mailbox in self._counts else 0

    def has_news(self, mailbox: str) -> bool:
        """Tell whether a notice has something to tell: what nobody was shown or told of."""
        return mailbox in self._has_news and self.unseen(mailbox) > 0

    def name_of_closed(self, word: str) -> str | None:
        """Return the name of the closed terminal of an id, or a name that a closed one has."""
        return self._former.get(word) or (word if word in self._former.values() else None)

    # -- sending ---------------------------------------------------------------------------

    async def send(self, sender: str, mailboxes: Sequence[str], request: SendMessage) -> Sent:
        """Put a message into mailboxes, all or none; it is on the disk when this returns.

        The same id, sent again by the same sender with the same text to the same addresses, is
        not sent again.

        Raises:
            UsageError: It cannot be sent as it is, or another message has its id.
            MessageTooLarge: The text is longer than `MAX_TEXT`.
            Busy: One of the mailboxes takes no more.
        """
        _check_text(request.text)
        _check(request)
        if not mailboxes:
            raise UsageError("there is nobody to send it to", "`terma list` shows who is there")
        letter = self._letter(sender, request)
        return self._sent(await self._post(partial(deliveries.post, letter, mailboxes)))

    async def sent_before(self, sender: str, request: SendMessage) -> Sent | None:
        """Return a message that was sent already, though its addresses may mean nobody now.

        Raises:
            UsageError: Another message has its id.
        """
        letter = self._letter(sender, request)
        posted = await self._database.read(partial(deliveries.sent_before, letter, ()))
        return self._sent(posted) if posted else None

    def _letter(self, sender: str, request: SendMessage) -> Letter:
        now = self._now()
        return Letter(
            id=request.id, sender=sender, text=request.text, addressed=request.to, sent_at=now,
            expires_at=None if request.expires_s is None else now + request.expires_s,
        )  # fmt: skip

    async def reply(self, mailbox: str, id: str, text: str) -> Sent:  # noqa: A002
        """Answer a message of a mailbox, in one transaction: the reply is sent, it is answered.

        Args:
            mailbox: Whose message it is.
            id: Its id, or the beginning of it.
            text: As for `send`.

        Raises:
            NotFound: There is no such message; or its sender is gone, and the text is kept beside
                the message.
            UsageError: The id could be several, or the text is empty.
            MessageTooLarge, Busy: As `send` does.
        """
        _check_text(text)
        await self._expire_due()
        try:
            return self._sent(
                await self._post(partial(deliveries.reply, mailbox, id, text, self._now()))
            )
        except SenderGone as gone:
            keep = partial(deliveries.keep_answer, mailbox, gone.id, text)
            await self._database.write(keep)
            raise NotFound(
                f"{self._name(gone.sender)}, who sent {gone.id}, is closed: nothing was sent",
                "your text is kept with the message: `terma inbox --all` shows it, "
                "`terma message NAME TEXT` sends it to somebody else",
            ) from gone

    async def find(self, mailbox: str, id: str) -> str:  # noqa: A002
        """Return the id of a message of a mailbox by what it begins with.

        Raises:
            NotFound: There is no such message.
            UsageError: The id could be several.
        """
        return await self._database.read(partial(deliveries.find, mailbox, id))

    async def _post(self, work: Callable[[Connection], Posted]) -> Posted:
        try:
            return await self._change(work, lambda posted: posted.changes)
        except MailboxFull as full:
            name = self._name(full.mailbox)
            own = "terma inbox" if full.mailbox == PERSON else f"terma inbox {name}"
            raise Busy(
                f"{name} has {deliveries.MAX_OPEN} open messages and takes no more: "
                "nothing was sent",
                f"`{own}` shows them; `terma ack --all`, there, takes them all",
            ) from full

    def _sent(self, posted: Posted) -> Sent:
        names = tuple(map(self._name, posted.mailboxes))
        return Sent(id=posted.id, recipients=names, is_repeated=posted.is_repeated)

    # -- reading ---------------------------------------------------------------------------

    async def read(self, mailbox: str, is_own: bool, is_whole: bool, limit: int) -> Messages:
        """Return messages of a mailbox, each in the state in which it was found.

        Where there are more than `limit`, or than a message of the protocol can carry, those that
        were never shown go first, then the newest.

        Args:
            mailbox: Whose.
            is_own: Its owner reads it: queued ones are shown now.
            is_whole: Also those that are no longer open.
            limit: At most so many, and at most `MAX_LIMIT`.
        """
        await self._expire_due()
        limit = max(0, min(limit, MAX_LIMIT))
        look = partial(deliveries.read, mailbox, is_whole, limit)
        if is_own and self.unseen(mailbox):
            found, left_out, _ = await self._change(
                partial(_show, look, mailbox, self._now()), _third
            )
        else:
            found, left_out = await self._database.read(look)
        named = tuple(map(self._named, found))
        return Messages(mailbox=self._name(mailbox), messages=named, left_out=left_out)

    async def notice(self, mailbox: str, is_own: bool) -> Messages:
        """Return the last message that was never shown; the others of those are `left_out`.

        A mailbox of which that was told has no news any more, until something comes. One alone is
        shown by this; of several nobody has seen more than that they are there.
        """
        await self._expire_due()
        name = self._name(mailbox)
        if not self.has_news(mailbox):
            return Messages(mailbox=name, messages=())
        self._has_news.discard(mailbox)  # before they are read: what comes meanwhile is news
        try:
            found, others = await self._database.read(partial(deliveries.newest_queued, mailbox))
            if is_own and found and not others:
                await self._mark_shown(mailbox, [found[0].number])
        except BaseException:
            self._has_news.add(mailbox)
            raise
        if not is_own:
            self._has_news.add(mailbox)
        return Messages(mailbox=name, messages=tuple(map(self._named, found)), left_out=others)

    async def watch(self, mailbox: str, is_own: bool) -> AsyncGenerator[Message, None]:
        """Yield the open messages of a mailbox, and those that come, in order, as they are found.

        It ends when the mailbox is closed. With `is_own` a message is shown once the next one is
        asked for, or the generator is closed after it.
        """
        last = 0
        await self._expire_due()
        with self._waking(mailbox) as bell:
            while True:
                bell.clear()
                found, is_open = await self._database.read(partial(_look, mailbox, last))
                taken: list[int] = []
                try:
                    for message in found:
                        last = message.number
                        taken.append(last)
                        yield self._named(message)
                finally:
                    if is_own and taken:
                        await self._mark_shown(mailbox, taken)
                if not found and not is_open:
                    return
                if not found:
                    await bell.wait()

    async def follow(
        self,
        id: str,  # noqa: A002
        waits: bool,
    ) -> AsyncGenerator[Message | Deliveries, None]:
        """Yield how a message stands; first, with `waits`, what becomes of it until it has ended.

        Each recipient's message comes when its state is another one than queued, or than it was.
        It has ended with those who have answered, or closed, or in whom nothing runs that could
        answer, and where it has expired. The texts
        are left out of `Deliveries` as far as a message of the protocol cannot carry them.

        Raises:
            NotFound: There is no such message.
        """
        told: dict[str, MessageState] = {}
        with self._waking(f"message {id}") as bell:
            while True:
                bell.clear()
                await self._expire_due()
                found, open_in = await self._database.read(partial(_stand, id))
                has_ended = not any(map(self.can_answer, open_in))
                if not found and not told:
                    raise NotFound(f"there is no message {id!r}", "`terma inbox --all` shows yours")
                for message in found if waits else ():
                    before = told.get(message.recipient, MessageState.QUEUED)
                    told[message.recipient] = message.state
                    if message.state is not before:
                        yield self._named(message)
                if has_ended or not waits:
                    yield Deliveries(id=id, messages=tuple(map(self._named, found)))
                    return
                await bell.wait()

    async def acknowledge(self, mailbox: str, ids: Sequence[str]) -> None:
        """Take messages out of a mailbox, all or none; those that have ended stay as they are.

        Raises:
            NotFound: One is not there.
            UsageError: One could be several.
        """
        await self._expire_due()
        work = partial(deliveries.acknowledge, mailbox, tuple(ids), self._now())
        await self._change(work, _itself)

    async def take_answers(
        self,
        mailbox: str,
        id: str,  # noqa: A002
        senders: Sequence[str],
    ) -> None:
        """Take replies to a message out of a mailbox: whoever waited for them has them."""
        work = partial(deliveries.take_answers, mailbox, id, tuple(senders), self._now())
        await self._change(work, _itself)

    async def _mark_shown(self, mailbox: str, numbers: Sequence[int]) -> None:
        await self._change(partial(deliveries.show, mailbox, numbers, self._now()), _itself)

    # -- the end ---------------------------------------------------------------------------

    async def close(self, mailbox: str) -> None:
        """End what is open in a mailbox that nobody will read: it expires, and followers see it.

        It can still be read; what was acknowledged is no longer waited for.
        """
        self._former = await self._database.read(deliveries.names_of_closed)
        while await self._change(partial(deliveries.expire_all, mailbox, self._now()), _itself):
            pass
        self._wake_all()

    def look_again(self) -> None:
        """Have those look again who wait for an answer: what could give it may have ended."""
        self._wake_all()

    async def clean(self, before: float) -> None:
        """Delete messages that have ended before a time (seconds since the epoch)."""
        await self._database.write(partial(deliveries.clean, before))
        self._former = await self._database.read(deliveries.names_of_closed)

    async def forget(self, mailbox: str) -> None:
        """Delete a mailbox, and what is in no other; `Database.scrub` has to follow."""
        await self._database.write(partial(deliveries.forget, mailbox))
        self._counts.pop(mailbox, None)
        self._former.pop(mailbox, None)
        self._has_news.discard(mailbox)
        self._wake_all()

    async def _expire_due(self) -> None:
        if self._next_expiry is not None and self._next_expiry <= self._now():
            await self._expire()

    async def _expire(self) -> None:
        is_over = False
        while not is_over:
            now = self._now()
            work = partial(deliveries.expire, now)
            _, following = await self._change(work, self._note_expiry)
            is_over = following is None or following > now

    def _note_expiry(self, result: tuple[list[Change], float | None]) -> list[Change]:
        changes, self._next_expiry = result
        return changes

    def _expect(self, expiry: float | None) -> None:
        if expiry is not None and (self._next_expiry is None or expiry < self._next_expiry):
            self._next_expiry = expiry
            self._has_earlier.set()

    async def _expire_in_time(self) -> None:
        while True:
            self._has_earlier.clear()
            wait_s = _LOOK_AGAIN_S
            try:
                await self._expire_due()
                if self._next_expiry is not None:
                    wait_s = min(max(self._next_expiry - self._now(), 0), wait_s)
            except StorageError as error:
                log.warning("messages cannot expire now: %s", error.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._has_earlier.wait()

    # -- changes ---------------------------------------------------------------------------

    async def _change(
        self,
        work: Callable[[Connection], ResultT],
        changes_of: Callable[[ResultT], Sequence[Change]],
    ) -> ResultT:
        """Run a transaction, and take in its changes in the order of the transactions."""

        async def change() -> ResultT:
            result = await self._database.write(work)
            self._take_in(changes_of(result))
            return result

        return await asyncio.shield(self._begin(change()))

    def _begin(self, work: Coroutine[Any, Any, ResultT]) -> asyncio.Task[ResultT]:
        task = asyncio.create_task(work)
        self._changing.add(task)
        task.add_done_callback(self._changing.discard)
        return task

    def _take_in(self, changes: Sequence[Change]) -> None:
        for change in changes:
            message, counts = change.message, self._counts[change.message.recipient]
            for state, step in ((change.before, -1), (message.state, 1)):
                if state in (MessageState.QUEUED, MessageState.SHOWN):
                    counts[state] += step
            if change.before is None:
                self._has_news.add(message.recipient)
                self._expect(message.expires_at)
            self._wake(message.recipient)
            self._wake(f"message {message.id}")
        for change in changes:
            self.on_change(change.message.recipient, self._named(change.message))

    @contextlib.contextmanager
    def _waking(self, what: str) -> Iterator[asyncio.Event]:
        """Give an event that is set when a mailbox, or `message ID`, changes."""
        bell = asyncio.Event()
        self._waiting[what].add(bell)
        try:
            yield bell
        finally:
            self._waiting[what].discard(bell)
            if not self._waiting[what]:
                del self._waiting[what]

    def _wake(self, what: str) -> None:
        for bell in self._waiting.get(what, ()):
            bell.set()

    def _wake_all(self) -> None:
        for what in self._waiting:
            self._wake(what)

    def _name(self, mailbox: str) -> str:
        if mailbox == PERSON:
            return PERSON
        return self._former.get(mailbox) or self._name_of(mailbox)

    def _named(self, message: Message) -> Message:
        sender, recipient = self._name(message.sender), self._name(message.recipient)
        return replace(message, sender=sender, recipient=recipient)


def _show(
    look: Callable[[Connection], tuple[list[Message], int]],
    mailbox: str,
    now: float,
    connection: Connection,
) -> tuple[list[Message], int, list[Change]]:
    found, left_out = look(connection)
    numbers = [message.number for message in found]
    return found, left_out, deliveries.show(mailbox, numbers, now, connection)


def _look(mailbox: str, last: int, connection: Connection) -> tuple[list[Message], bool]:
    found = deliveries.read_on(mailbox, last, connection)
    return found, deliveries.is_open(mailbox, connection)


def _stand(id_: str, connection: Connection) -> tuple[list[Message], list[str]]:
    """Return how a message stands, and in which mailboxes more may become of it."""
    found = deliveries.standing(id_, connection)
    waiting = [message.recipient for message in found if message.state not in _ENDED]
    return found, [mailbox for mailbox in waiting if deliveries.is_open(mailbox, connection)]


def _check_text(text: str) -> None:
    if not text.strip():
        raise UsageError("the message is empty", 'give it a text: `terma message NAME "hello"`')
    if (size := len(text.encode())) > MAX_TEXT:
        raise MessageTooLarge(
            f"the message is {size / MAX_TEXT:.1f} MiB; the limit is 1 MiB",
            "put it in a file, and send the path of that",
        )


def _check(request: SendMessage) -> None:
    if request.id is not None and not _ID.fullmatch(request.id):
        raise UsageError(
            f"{request.id[:80]!r} cannot be the id of a message",
            "an id has 1 to 64 of the characters A-Z a-z 0-9 _ -",
        )
    if request.expires_s is not None and not (0 < request.expires_s < math.inf):
        raise UsageError(
            f"a message cannot expire after {request.expires_s:g} s",
            "give more than 0: --expires 1h",
        )


def _third(result: tuple[Any, Any, list[Change]]) -> list[Change]:
    return result[2]


def _itself(changes: list[Change]) -> list[Change]:
    return changes


def _ignore(mailbox: str, message: Message) -> None:
    """Nobody listens."""
