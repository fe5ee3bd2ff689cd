"""The service `terma`: what is asked of terminals, their screens, logs and mailboxes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
import logging
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing

from backends.database import Database
from backends.errors import InvalidMessage, NotFound, TektonError, UsageError
from backends.paths import private_folder
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
from backends.protocol.messages import Ack, Health, ServiceInfo
from backends.protocol.screens import (
    LogEnd,
    LogLines,
    LogPiece,
    ReadLines,
    ReadLog,
    Screen,
    ScreenChange,
    ShowScreen,
    WatchScreen,
)
from backends.protocol.terminals import (
    PERSON,
    AttachTerminal,
    ChangeRoles,
    Closed,
    CloseTerminal,
    Identity,
    ListTerminals,
    OpenTerminal,
    Output,
    RenameTerminal,
    ResizeTerminal,
    Restored,
    RestoreTerminals,
    SignalTerminal,
    TerminalEnd,
    TerminalInfo,
    TerminalState,
    Typed,
    WhoAmI,
    WriteTerminal,
)
from backends.protocol.terminals import Terminals as TerminalList
from backends.runtime import canonical
from backends.service.base import CALLER, Context, Service, handles
from terma.service import retention
from terma.service.attaching import attach, attachment_of, end_of, type_into
from terma.service.ci import KIND, TerminalCI
from terma.service.directory import resolve
from terma.service.identity import owner_of, terminal_of
from terma.service.log import Log
from terma.service.mailbox import Mailboxes
from terma.service.opening import mail_file, person_mail_file, set_mail, set_name
from terma.service.reading import (
    check_pattern,
    follow_log,
    log_end,
    pieces_between,
    read_lines,
)
from terma.service.rendering import Wanted
from terma.service.store import StoredTerminal, TerminalStore
from terma.service.tables import HEAD, MIGRATIONS, metadata
from terma.service.terminal import Terminal
from terma.service.terminals import Terminals

log = logging.getLogger(__name__)

_DAY_S = 86400.0
_MAX_CLOSED = 1000
"""Closed terminals that are listed at once."""


class Terma(Service):
    """Terminals that outlive everything, and their mailboxes."""

    name = "terma"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        database = Database(context.paths.mailboxes, metadata, MIGRATIONS, HEAD, is_durable=True)
        self._database = database
        self._store = TerminalStore(database)
        self._terminals = Terminals(context, self._store)
        self._table = self._terminals.table
        self._mailboxes = Mailboxes(database, context.now, self._name_of)
        self._mailboxes.on_change = self._message_changed
        self._mailboxes.can_answer = self._runs
        self._terminals.screens.on_worker_end = self._worker_ended
        self._table.name_of_closed = self._mailboxes.name_of_closed
        self._terminals.on_end = lambda _: self._mailboxes.look_again()
        self._cis: dict[str, TerminalCI] = {}
        self._cleaner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the store and find the terminals that are there."""
        private_folder(self.context.paths.terminals)
        self._clear_records()
        await self._database.open()
        await self._mailboxes.start()
        await self._terminals.start()
        for mailbox in (PERSON, *(terminal.id for terminal in self._table)):
            self._set_mail(mailbox)
        self._cleaner = asyncio.create_task(self._keep_clean())

    async def stop(self) -> None:
        """Let go of the terminals, which go on."""
        if self._cleaner:
            self._cleaner.cancel()
        await self._terminals.stop()
        await self._mailboxes.stop()
        await self._database.close()

    async def describe(self) -> ServiceInfo:
        """Describe it: how many terminals there are, and who holds them."""
        states = [terminal.activity.base.state for terminal in self._table]
        pid = self._terminals.host.pid
        held = f", held by ptyhost (pid {pid})" if pid else ""
        note = f"{len(states)} terminal{'s' if len(states) != 1 else ''}{held}"
        if lost := states.count(TerminalState.LOST):
            note += f", {lost} lost: `terma restore` runs them anew"
        trouble = self._terminals.trouble
        return dataclasses.replace(
            await super().describe(), note=note, last_error=trouble or self.last_error
        )

    # -- terminals ---------------------------------------------------------------------------

    @handles(OpenTerminal)
    async def open(self, request: OpenTerminal) -> TerminalInfo:
        """Open a terminal."""
        return self._info(await self._terminals.open(request))

    @handles(ListTerminals)
    async def list(self, request: ListTerminals) -> TerminalList:
        """List the terminals, or one, or those that are closed."""
        if request.is_closed:
            kept = await self._store.closed(request.name, _MAX_CLOSED)
            closed = await asyncio.to_thread(lambda: tuple(map(self._closed_info, kept)))
            return TerminalList(terminals=closed, host_pid=self._terminals.host.pid)
        unread = {one.id: self._mailboxes.unread(one.id) for one in self._table}
        found = tuple(map(self._with_unseen, await self._terminals.describe(unread)))
        if request.name is not None:
            stored = await self._stored(request.name)
            found = tuple(one for one in found if one.id == stored.id)
            found = found or (self._closed_info(stored),)
        return TerminalList(terminals=found, host_pid=self._terminals.host.pid)

    def _with_unseen(self, info: TerminalInfo) -> TerminalInfo:
        unseen = self._mailboxes.unseen(info.id)
        return dataclasses.replace(info, unseen=unseen) if unseen else info

    def _closed_info(self, stored: StoredTerminal) -> TerminalInfo:
        return _closed_info(stored, self._terminals.log_of(stored.id))

    @handles(AttachTerminal)
    async def attach(self, request: AttachTerminal) -> AsyncGenerator[Output | TerminalEnd, None]:
        """Stream what an attached person sees."""
        terminal = self._table.running(request.name)
        async with aclosing(attach(self._terminals, terminal, request, self._caller()[0])) as items:
            async for item in items:
                yield item

    @handles(WriteTerminal)
    async def write(self, request: WriteTerminal) -> Typed:
        """Type into a terminal."""
        terminal = self._table.running(request.name)
        try:
            data = base64.b64decode(request.data, validate=True)
        except binascii.Error as error:
            raise InvalidMessage("data is not base64") from error
        if request.attachment is not None:
            attachment = attachment_of(terminal, request.attachment)
            return Typed(written=await type_into(self._terminals, terminal, attachment, data))
        self._terminals.observer.attended(terminal)
        await self._terminals.host.write(terminal.id, data, whole_lines=True)
        return Typed(written=len(data))

    @handles(ResizeTerminal)
    async def resize(self, request: ResizeTerminal) -> Ack:
        """Give a terminal another size."""
        terminal = self._table.running(request.name)
        if request.attachment is not None:
            attachment = attachment_of(terminal, request.attachment)
            attachment.columns, attachment.rows = request.columns, request.rows
            if attachment.is_read_only or terminal.last_typist not in (None, attachment.id):
                return Ack()
        await self._terminals.resize(terminal, request.columns, request.rows)
        return Ack()

    @handles(SignalTerminal)
    async def signal(self, request: SignalTerminal) -> Ack:
        """Send a signal to what is in the foreground."""
        terminal = self._table.running(request.name)
        await self._terminals.host.signal(terminal.id, request.signal.upper().removeprefix("SIG"))
        return Ack()

    @handles(RenameTerminal)
    async def rename(self, request: RenameTerminal) -> TerminalInfo:
        """Give a terminal another name."""
        terminal = self._table.find(request.name)
        was_ci = terminal.id in self._cis
        await self._terminals.rename(terminal, request.to)
        self._tell_name(terminal)
        if was_ci:
            await self._end_ci(terminal)
            await self._begin_ci(terminal)
        return self._info(terminal)

    @handles(ChangeRoles)
    async def change_roles(self, request: ChangeRoles) -> TerminalInfo:
        """Replace the roles of a terminal."""
        terminal = self._table.find(request.name)
        await self._terminals.set_roles(terminal, request.roles)
        return self._info(terminal)

    @handles(CloseTerminal)
    async def close(self, request: CloseTerminal) -> Closed:
        """End everything in a terminal; forget it where that is asked for."""
        try:
            terminal = self._table.find(request.name)
        except NotFound:
            stored = await self._store.find_closed(canonical(request.name))
            if stored is None or not request.forgets:
                raise
            await self._forget(stored.id)
            return Closed(name=stored.name)
        # to its end: the one who asks may be in that very terminal
        closing = asyncio.ensure_future(self._close(terminal, request.forgets))
        self.context.background(_settled(closing))
        return await asyncio.shield(closing)

    async def _close(self, terminal: Terminal, forgets: bool) -> Closed:
        await self._end_ci(terminal)
        closed = await self._terminals.close(terminal)
        await self._mailboxes.close(terminal.id)
        if forgets:
            await self._forget(terminal.id)
        return closed

    async def _forget(self, id_: str) -> None:
        await asyncio.to_thread(retention.forget, self.context.paths.terminals / id_)
        await self._mailboxes.forget(id_)
        await self._store.forget(id_)

    @handles(RestoreTerminals)
    async def restore(self, request: RestoreTerminals) -> Restored:
        """Run anew what was lost."""
        return await self._terminals.restore(request.names, request.environment, request.is_forced)

    # -- screens and logs --------------------------------------------------------------------

    @handles(ShowScreen)
    async def show(self, request: ShowScreen) -> Screen:
        """Show what a terminal shows."""
        terminal = self._table.find(request.name)
        return await self._terminals.screens.show(terminal.id, max(request.scrollback, 0))

    @handles(WatchScreen)
    async def watch_screen(
        self, request: WatchScreen
    ) -> AsyncGenerator[ScreenChange | TerminalEnd, None]:
        """Follow a screen until the terminal ends."""
        terminal = self._table.find(request.name)
        feed = terminal.feed
        async with aclosing(self._terminals.screens.watch(terminal.id)) as changes:
            coming = asyncio.ensure_future(anext(changes))
            over = asyncio.ensure_future(feed.over())
            try:
                while True:
                    await asyncio.wait((coming, over), return_when=asyncio.FIRST_COMPLETED)
                    if coming.done():
                        yield coming.result()
                        coming = asyncio.ensure_future(anext(changes))
                    elif over.done():
                        break
            finally:
                for task in (coming, over):
                    task.cancel()
                await asyncio.wait((coming, over))
        yield end_of(terminal)

    @handles(ReadLog)
    async def read_log(self, request: ReadLog) -> AsyncGenerator[LogPiece | LogEnd, None]:
        """Stream the bytes of a log."""
        stored = await self._recorded(request.name)
        pieces = follow_log(
            self._terminals, stored.id, request.offset, request.since, request.until,
            request.follows,
        )  # fmt: skip
        async with aclosing(pieces):
            async for piece in pieces:
                data = base64.b64encode(piece.data).decode("ascii")
                yield LogPiece(
                    offset=piece.offset, at=piece.at, columns=piece.columns, rows=piece.rows,
                    data=data,
                )  # fmt: skip
        yield log_end(self._terminals, stored.id)

    @handles(ReadLines)
    async def read_lines(self, request: ReadLines) -> AsyncGenerator[LogLines | LogEnd, None]:
        """Stream a log as lines of text."""
        stored = await self._recorded(request.name)
        check_pattern(request.pattern)
        wanted = Wanted(request.pattern, request.ignores_case, max(request.limit, 0))
        pieces = pieces_between(self._terminals, stored.id, request.since, request.until)
        left_out = 0
        screens = self._terminals.screens
        async with aclosing(read_lines(screens, pieces, stored.id, wanted)) as found:
            async for lines in found:
                if isinstance(lines, LogLines):
                    yield lines
                else:
                    left_out = lines
        yield dataclasses.replace(log_end(self._terminals, stored.id), left_out=left_out)

    async def _recorded(self, name: str) -> StoredTerminal:
        stored = await self._stored(name)
        if not stored.is_recorded:
            raise UsageError(
                f"{stored.name} is not recorded, so it has no log",
                f"`terma screen {stored.name} --scrollback all` shows what is still there",
            )
        return stored

    async def _stored(self, name: str) -> StoredTerminal:
        """Return a terminal that is there, or else the one of that name that was closed last."""
        try:
            return self._table.find(name).stored
        except NotFound:
            closed = await self._store.find_closed(canonical(name))
            if closed is None:
                raise
            return closed

    # -- mailboxes ---------------------------------------------------------------------------

    @handles(SendMessage)
    async def send(self, request: SendMessage) -> Sent:
        """Put a message into mailboxes."""
        sender = self._caller()[0]
        try:
            mailboxes = resolve(request.to, self._table, sender, self._mailboxes.name_of_closed)
        except NotFound:
            if found := await self._mailboxes.sent_before(sender, request):
                return found
            raise
        if request.is_trial:
            return Sent(id="", recipients=tuple(map(self._name_of, mailboxes)))
        return await self._mailboxes.send(sender, mailboxes, request)

    @handles(ReadInbox)
    async def read_inbox(self, request: ReadInbox) -> Messages:
        """Read a mailbox."""
        own = self._caller()[0]
        mailbox = own if request.name is None else await self._any_mailbox(request.name)
        is_own = mailbox == own
        if not request.is_notice:
            return await self._mailboxes.read(mailbox, is_own, request.is_whole, request.limit)
        found = await self._mailboxes.notice(mailbox, is_own)
        self._set_mail(mailbox)
        return found

    @handles(WatchInbox)
    async def watch_inbox(self, request: WatchInbox) -> AsyncGenerator[Message | Ack, None]:
        """Stream what comes into a mailbox; a terminal that does so of its own can answer."""
        mailbox, is_own = self._mailbox(request.name)
        terminal = self._table.get(mailbox) if is_own else None
        if terminal is not None:
            await self._begin_ci(terminal)
        try:
            async with aclosing(self._mailboxes.watch(mailbox, is_own)) as messages:
                async for message in messages:
                    yield message
        finally:
            if terminal is not None:
                terminal.can_answer -= 1
                if not terminal.can_answer:
                    await asyncio.shield(self._end_ci(terminal))
        yield Ack()

    @handles(AcknowledgeMessages)
    async def acknowledge(self, request: AcknowledgeMessages) -> Ack:
        """Take messages out of one's own mailbox."""
        await self._mailboxes.acknowledge(self._caller()[0], request.ids)
        return Ack()

    @handles(ReplyMessage)
    async def reply(self, request: ReplyMessage) -> Sent:
        """Answer a message."""
        own = self._caller()[0]
        if request.is_trial:
            return Sent(id=await self._mailboxes.find(own, request.id), recipients=())
        return await self._mailboxes.reply(own, request.id, request.text)

    @handles(FollowMessage)
    async def follow(self, request: FollowMessage) -> AsyncGenerator[Message | Deliveries, None]:
        """Tell how a message stands."""
        async with aclosing(self._mailboxes.follow(request.id, request.waits)) as changes:
            async for change in changes:
                yield change

    @handles(TakeAnswers)
    async def take_answers(self, request: TakeAnswers) -> Ack:
        """Take the replies that somebody has waited for out of their mailbox."""
        senders = [await self._any_mailbox(name) for name in request.of]
        await self._mailboxes.take_answers(self._caller()[0], request.id, senders)
        return Ack()

    @handles(WhoAmI)
    async def who_am_i(self, _: WhoAmI) -> Identity:
        """Tell who asks."""
        mailbox, known_by = self._caller()
        unread = self._mailboxes.unread(mailbox)
        terminal = self._table.get(mailbox)
        if terminal is None:
            return Identity(name=PERSON, unread=unread, known_by=known_by)
        return Identity(
            name=terminal.name,
            id=terminal.id,
            roles=terminal.stored.roles,
            unread=unread,
            known_by=known_by,
        )

    def _caller(self) -> tuple[str, str]:
        """Return the mailbox of who asks, and how that is known."""
        caller = CALLER.get()
        if caller is None:
            return PERSON, "user"
        known = list(self._table)
        leaders = {one.pid: one.id for one in known if one.is_running}
        if caller.peer.pid is not None:
            found = terminal_of(caller.peer.pid, leaders)
            if found is not None:
                return found
        hashes = {one.id: one.stored.token_hash for one in known}
        owner = owner_of(caller.token, hashes)
        return (owner, "token") if owner else (PERSON, "user")

    def _mailbox(self, name: str | None) -> tuple[str, bool]:
        """Return the mailbox of a name, or one's own, and whether it is one's own."""
        own = self._caller()[0]
        if name is None:
            return own, True
        mailbox = PERSON if name.lower() == PERSON else self._table.find(name).id
        return mailbox, mailbox == own

    async def _any_mailbox(self, name: str) -> str:
        """Return the mailbox of a name, that of a closed terminal as well."""
        return PERSON if name.lower() == PERSON else (await self._stored(name)).id

    def _name_of(self, mailbox: str) -> str:
        """Return the name of a mailbox as it is now; that of a closed terminal is its id."""
        terminal = self._table.get(mailbox)
        return terminal.name if terminal else mailbox

    def _runs(self, mailbox: str) -> bool:
        """Tell whether anything runs that could answer from a mailbox; a person always may."""
        terminal = self._table.get(mailbox)
        return mailbox == PERSON or (terminal is not None and terminal.is_running)

    def _worker_ended(self, reason: str) -> None:
        self.last_error = f"{reason}; its screens are drawn anew"

    def _clear_records(self) -> None:
        """Remove what a hub that was killed has left of CIs in terminals."""
        for record in self.context.registry.live_records():
            if record.kind == KIND and record.health is Health.DEAD:
                self.context.registry.remove(record.name, is_ci=True)
                self.context.paths.socket(record.name, is_ci=True).unlink(missing_ok=True)

    def _message_changed(self, mailbox: str, message: Message) -> None:
        self._set_mail(mailbox)
        self.context.publish(
            f"terminal.{self._name_of(mailbox)}.message",
            id=message.id,
            sender=message.sender,
            state=message.state.value,
        )

    def _set_mail(self, mailbox: str) -> None:
        """Tell shells whether there is news; those of a closed terminal are gone."""
        paths = self.context.paths
        if mailbox == PERSON:
            file = person_mail_file(paths)
        elif self._table.get(mailbox) is not None:
            file = mail_file(paths.terminals / mailbox)
        else:
            return
        try:
            set_mail(file, self._mailboxes.has_news(mailbox))
        except OSError as error:
            name = self._name_of(mailbox)
            log.error("the shells of %s cannot be told of messages: %s", name, error)

    def _tell_name(self, terminal: Terminal) -> None:
        try:
            set_name(self.context.paths.terminals / terminal.id, terminal.name)
        except OSError as error:
            log.error("the prompt in %s keeps its old name: %s", terminal.name, error)

    # -- a terminal as a CI ------------------------------------------------------------------

    async def _begin_ci(self, terminal: Terminal) -> None:
        terminal.can_answer += 1
        if terminal.id in self._cis or self.context.registry.find(terminal.name, is_ci=True):
            return
        ci = TerminalCI(self.context, terminal, self._mailboxes, self._sender)
        self._cis[terminal.id] = ci
        try:
            await self.context.start_service(ci)
        except TektonError:
            del self._cis[terminal.id]
            raise

    async def _end_ci(self, terminal: Terminal) -> None:
        ci = self._cis.pop(terminal.id, None)
        if ci is not None:
            await self.context.stop_service(ci)

    async def _sender(self) -> str:
        return self._caller()[0]

    def _info(self, terminal: Terminal) -> TerminalInfo:
        info = self._terminals.info(terminal, self._mailboxes.unread(terminal.id))
        return self._with_unseen(info)

    async def _keep_clean(self) -> None:
        while True:
            try:
                await retention.clean(
                    self.context.paths,
                    self._store,
                    self.context.now(),
                    self.context.config.terma.keep_days,
                )
                if days := self.context.config.terma.keep_days:
                    await self._mailboxes.clean(self.context.now() - days * _DAY_S)
            except TektonError as error:
                log.error("old logs are left: %s", error.message)
            except OSError as error:
                log.error("old logs are left: %s", error)
            await asyncio.sleep(_DAY_S)


async def _settled(work: Awaitable[object]) -> None:
    """Wait for something whose outcome somebody else tells."""
    await asyncio.wait([asyncio.ensure_future(work)])


def _closed_info(stored: StoredTerminal, written: Log) -> TerminalInfo:
    """Describe a terminal that is closed."""
    oldest, end = (written.oldest, written.end) if stored.is_recorded else (0, 0)
    return TerminalInfo(
        oldest=oldest,
        end=end,
        name=stored.name,
        id=stored.id,
        kind=stored.kind,
        roles=stored.roles,
        state=TerminalState.CLOSED,
        source="ptyhost",
        state_since=stored.closed_at or 0.0,
        command=stored.command,
        folder=stored.folder,
        worktree=stored.worktree,
        columns=stored.columns,
        rows=stored.rows,
        started_at=stored.started_at,
        ended_at=stored.ended_at,
        exit_status=stored.exit_status,
        is_recorded=stored.is_recorded,
    )
