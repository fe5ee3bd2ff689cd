"""The life of terminals: opened, found again after a start, changed, ended."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from backends.errors import ConnectionLost, NotFound, TektonError, TimedOut, UsageError
from backends.paths import private_folder
from backends.protocol.terminals import (
    Closed,
    NotRestored,
    OpenTerminal,
    Restored,
    TerminalInfo,
    TerminalState,
)
from backends.runtime import check_name
from backends.service.base import Context
from terma.ptyhost.processes import survivors
from terma.service.answering import Answering
from terma.service.feed import Feed
from terma.service.foreground import foreground_of
from terma.service.host import Host
from terma.service.hosted import Hosted, Opening
from terma.service.identity import hash_of, new_token
from terma.service.leftovers import end_leftovers
from terma.service.log import Log
from terma.service.observer import Observer
from terma.service.opening import (
    check_roles,
    check_size,
    environment_of,
    exit_file,
    meta_of,
    read_exit,
    restored_line,
    status_of,
    stored_of,
    write_token,
)
from terma.service.piece import Piece
from terma.service.screens import Screens
from terma.service.state import (
    Activity,
    Seen,
    with_foreground,
)
from terma.service.store import StoredTerminal, TerminalStore
from terma.service.table import Table
from terma.service.terminal import Terminal

log = logging.getLogger(__name__)

T = TypeVar("T")

GRACE_S = 2.0
"""How long what runs in a terminal may take to end before it is killed."""

_TAIL = 64 * 1024
"""Bytes of old output that are looked through for the state, after a start of the hub."""

_READ = 256 * 1024
_TRY_AGAIN_S = 1.0
_PATIENCE_S = 2.0
"""How long ptyhost may be silent until what is known without it is told."""


class Terminals:
    """Opens and ends the terminals of a table; it is the source of what `Screens` works out."""

    def __init__(self, context: Context, store: TerminalStore) -> None:
        self._context = context
        self._store = store
        self.table = Table()
        self.trouble: str | None = None
        """Why ptyhost cannot be reached, though it may be there."""
        self._waiting: asyncio.Task[None] | None = None
        self._joining = asyncio.Lock()
        self.on_end: Callable[[Terminal], None] = lambda terminal: None
        """Called once nothing runs in a terminal any more."""
        self.screens = Screens(self, context.config.terma.workers, context.config.terma.scrollback)
        self.host = Host(context.paths)
        self.observer = Observer(context, self.table, self.screens)
        self._answering = Answering(self.screens, self.host)
        self.observer.on_question = self._answering.asked
        self.screens.on_warning = self.observer.on_warning
        self.host.on_output = self.observer.on_output
        self.host.on_size = self.observer.on_size
        self.host.on_trimmed = self.observer.on_trimmed
        self.host.on_log = self.observer.on_log
        self.host.on_exit = self._on_exit
        self.host.on_lost = self._on_lost

    # -- telling of them ---------------------------------------------------------------------

    async def describe(self, unread: dict[str, int]) -> tuple[TerminalInfo, ...]:
        """Describe all of them, with what runs in their foreground now."""
        hosted = {one.terminal: one for one in await self._hosted()}
        return tuple(self._info(one, hosted.get(one.id), unread) for one in self.table)

    def info(self, terminal: Terminal, unread: int = 0) -> TerminalInfo:
        """Describe one as far as it is known without asking."""
        return terminal.info(terminal.activity.now, unread, self.screens.warning(terminal.id))

    def _info(
        self, terminal: Terminal, hosted: Hosted | None, unread: dict[str, int]
    ) -> TerminalInfo:
        seen = terminal.activity.now
        if hosted is not None:
            terminal.oldest, terminal.active_at = hosted.oldest, hosted.active_at
            if terminal.is_running:
                seen = with_foreground(
                    seen,
                    terminal.activity.has_marks,
                    terminal.stored.kind == "shell",
                    foreground_of(hosted, terminal.pid),
                )
        return terminal.info(seen, unread.get(terminal.id, 0), self.screens.warning(terminal.id))

    async def _hosted(self) -> list[Hosted]:
        """Ask ptyhost what it holds, for what may be told without that, too."""
        try:
            found = await self._list() if self.host.pid else []
        except ConnectionLost:
            return []  # `on_lost` tells it
        except TimedOut as error:
            self.trouble = error.message
            return []
        self.trouble = None
        return found

    async def _list(self) -> list[Hosted]:
        """Ask ptyhost what it holds.

        Raises:
            TimedOut: It says nothing, which is no answer.
            ConnectionLost: It has hung up.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self.host.list()
        except TimeoutError as error:
            raise TimedOut(
                f"ptyhost (pid {self.host.pid}) does not answer", "`tekton status` shows its state"
            ) from error

    # -- the source of screens ---------------------------------------------------------------

    def folder(self, terminal: str) -> Path | None:
        """Return where a snapshot may be kept; `None` for what must not be written down."""
        found = self.table.get(terminal)
        is_recorded = found is None or found.stored.is_recorded
        return self._context.paths.terminals / terminal if is_recorded else None

    def log_of(self, terminal: str) -> Log:
        """Return the log of a terminal, closed ones too."""
        return Log(self._context.paths.terminals / terminal / "log")

    async def pieces(self, terminal: str, offset: int) -> AsyncIterator[Piece]:
        """Yield what was put out from an offset on, up to what is the end now."""
        found = self.table.get(terminal)
        if found is None:
            return
        if found.stored.is_recorded:
            async for piece in self.log_of(terminal).stream(offset):
                yield piece
                offset = piece.end
        end = found.end  # not a later one: whoever floods would never be caught up with
        while found.is_running and offset < end:
            # what the log lacks: because it is not kept, or cannot be written
            read = await self.host.read(terminal, offset, _READ)
            if not read.data:
                return
            stored = found.stored
            yield Piece(read.offset, found.active_at, stored.columns, stored.rows, read.data)
            offset = read.offset + len(read.data)

    # -- start and stop ----------------------------------------------------------------------

    async def start(self) -> None:
        """Find the terminals that are there, running or not."""
        for stored in await self._store.open_ones():
            state = Seen(TerminalState.LOST, "ptyhost", stored.ended_at or self.now(), None)
            self.table.add(Terminal(stored, Activity(state), Feed(0)))
        try:
            await self._join("the process that held it is gone")
        except TektonError as error:
            self._wait_for_host(error)

    def _wait_for_host(self, error: TektonError) -> None:
        """Show terminals as lost while ptyhost does not answer; they are back when it does."""
        log.error("the terminals cannot be reached: %s", error.message)
        self.trouble = error.message
        for terminal in self.table:
            if terminal.activity.base.state is not TerminalState.EXITED:
                terminal.end_as(TerminalState.LOST, self.now(), error.message)
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._try_again())

    async def _try_again(self) -> None:
        while True:
            await asyncio.sleep(_TRY_AGAIN_S)
            try:
                await self._join("the process that held it is gone")
            except TektonError as error:
                self.trouble = error.message
            else:
                self.trouble = None
                return

    async def _join(self, why_not: str) -> None:
        """Take up what ptyhost holds; what it does not hold has exited, or is lost.

        Raises:
            TektonError: It cannot be asked.
        """
        async with self._joining:
            hosted = await self._list() if await self.host.connect() else []
            for one in hosted:
                await self._adopt(one)
            held = {one.terminal for one in hosted}
            for terminal in self.table:
                has_ended = terminal.activity.base.state is TerminalState.EXITED
                is_coming = terminal.name in self.table.opening
                if terminal.id not in held and not (has_ended or is_coming):
                    await self._lose(terminal, why_not)

    async def _adopt(self, hosted: Hosted) -> None:
        terminal = self.table.get(hosted.terminal)
        if terminal is not None and terminal.pid == hosted.pid and hosted.exit is None:
            await self.host.follow(terminal.id, terminal.end)  # only the line was down
            return
        if terminal is None:
            if await self._store.find_closed(hosted.terminal) is not None:
                return  # an older ptyhost forgets nothing
            stored = stored_of(hosted.meta, hosted.terminal)
            if stored is None:
                log.warning("ptyhost holds a terminal of somebody else: %s", hosted.terminal)
                return
            stored = dataclasses.replace(stored, name=self.table.name_like(stored.name))
            terminal = self.table.add(Terminal(stored, Activity(_starting(0.0)), Feed(0)))
            await self._store_found(terminal)
        stored = terminal.stored
        terminal.stored = dataclasses.replace(stored, columns=hosted.columns, rows=hosted.rows)
        if hosted.exit is None and stored.ended_at is not None:  # it was lost, and is found again
            terminal.stored = dataclasses.replace(
                terminal.stored, ended_at=None, exit_status=None, reason=None
            )
            await self._store_found(terminal)
        terminal.log_error = hosted.log_error
        terminal.oldest = hosted.oldest
        terminal.begin(hosted.pid, hosted.active_at, hosted.end)
        self.screens.opened(terminal.id, hosted.columns, hosted.rows)
        if hosted.exit is not None:
            ended = hosted.exit
            await self._exited(terminal, ended.status, ended.signal, ended.at or self.now())
            return
        begin = max(hosted.oldest, hosted.end - _TAIL)
        await self.host.follow(terminal.id, begin)

    async def _store_found(self, terminal: Terminal) -> None:
        """Store a terminal that runs; where that fails it runs all the same."""
        try:
            await self._store.save(terminal.stored)
        except TektonError as error:
            log.error("%s is not stored: %s", terminal.name, error.message)

    async def stop(self) -> None:
        """Let go of everything; the terminals go on."""
        self.observer.is_stopping = True
        if self._waiting:
            self._waiting.cancel()
        for terminal in self.table:
            terminal.feed.finish()
        await self._answering.close()
        await self.screens.close()
        await self.host.disconnect()

    # -- opening, closing --------------------------------------------------------------------

    async def open(self, request: OpenTerminal) -> Terminal:
        """Open a terminal and run a program in it.

        Raises:
            UsageError: The name cannot be used, or is taken.
            NotFound: The program or the folder is not there.
            TektonError: The system has no terminal left, or ptyhost does not start.
        """
        name = self._free(check_name(request.name, "terminal"))
        self.table.opening.add(name)
        return await self._to_the_end(self._open(name, request))

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something whole, though the one who asked for it may be gone before."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._context.background(_ended(task))
            raise

    async def _open(self, name: str, request: OpenTerminal) -> Terminal:
        try:
            return await self._open_as(name, request)
        finally:
            self.table.opening.discard(name)

    async def _open_as(self, name: str, request: OpenTerminal) -> Terminal:
        check_size(request.columns, request.rows)
        if not request.command:
            raise UsageError("no program is named", "`terma new NAME` runs a shell")
        token = new_token()
        records = self._context.config.terma.record
        stored = StoredTerminal(
            id=uuid.uuid4().hex,
            name=name,
            kind=request.kind,
            roles=check_roles(request.roles),
            command=request.command,
            folder=request.folder,
            worktree=request.worktree,
            columns=request.columns,
            rows=request.rows,
            is_recorded=records if request.is_recorded is None else request.is_recorded,
            started_at=self.now(),
            ended_at=None,
            closed_at=None,
            exit_status=None,
            reason=None,
            token_hash=hash_of(token),
        )
        folder = private_folder(private_folder(self._context.paths.terminals) / stored.id)
        write_token(folder, token)
        terminal = Terminal(stored, Activity(_starting(stored.started_at)), Feed(0))
        self.table.add(terminal)
        try:
            await self._run(terminal, request.environment)
            await self._store.save(stored)
        except TimedOut:  # the end, asked for behind it, would have to be waited for as well
            self._context.background(self._undo(terminal, folder))
            raise
        except Exception:
            await self._undo(terminal, folder)
            raise
        self.observer.publish(terminal, "opened", id=stored.id, kind=stored.kind, pid=terminal.pid)
        return terminal

    async def _undo(self, terminal: Terminal, folder: Path) -> None:
        """Leave nothing of a terminal that could not be opened."""
        terminal.is_closing = True
        with suppress(TektonError):  # what has happened before is worse
            await self._end(terminal, 0)
        self.table.remove(terminal)
        await self.screens.forget(terminal.id)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _run(self, terminal: Terminal, environment: str, preface: bytes = b"") -> None:
        """Run a terminal's program and follow its output."""
        await self.host.start()
        stored = terminal.stored
        folder = self._context.paths.terminals / stored.id
        opening = Opening(
            terminal=stored.id,
            command=stored.command,
            folder=stored.folder,
            environment=environment_of(environment, stored, folder),
            columns=stored.columns,
            rows=stored.rows,
            log=folder / "log" if stored.is_recorded else None,
            log_bytes=self._context.config.terma.log_bytes,
            exit_file=exit_file(folder),
            meta=meta_of(stored),
            preface=preface,
        )
        end = self.log_of(stored.id).end if stored.is_recorded else 0
        pid = await self.host.open(opening)
        terminal.begin(pid, self.now(), end)
        self.screens.opened(stored.id, stored.columns, stored.rows, end=end)
        await self.host.follow(stored.id, end)

    async def close(self, terminal: Terminal) -> Closed:
        """End all that runs in a terminal and free its name; its log is left."""
        return await self._to_the_end(self._close(terminal))

    async def _close(self, terminal: Terminal) -> Closed:
        terminal.is_closing = True
        try:
            ended, left = await self._end(terminal, GRACE_S)
        finally:
            terminal.is_closing = False
        now = self.now()
        closed = dataclasses.replace(
            terminal.stored, closed_at=now, ended_at=terminal.stored.ended_at or now
        )
        try:
            await self._store.save(closed)
        except TektonError:
            terminal.end_as(TerminalState.EXITED, now, "closed, but that could not be stored")
            self.on_end(terminal)
            raise
        terminal.stored = closed
        self.table.remove(terminal)
        terminal.end_as(TerminalState.CLOSED, now, None)
        await self.screens.forget(terminal.id)
        self.observer.publish(terminal, "closed", ended=ended)
        return Closed(name=terminal.name, ended=ended, left=left)

    async def _end(self, terminal: Terminal, grace_s: float) -> tuple[int, tuple[int, ...]]:
        """End all processes of a terminal, also where ptyhost does not hold it any more."""
        if self.host.pid:
            with suppress(NotFound):
                found = await self.host.close(terminal.id, grace_s)
                await self.host.forget(terminal.id)
                return found.ended, found.left
        return await asyncio.to_thread(end_leftovers, terminal.id, grace_s)

    async def restore(self, names: Sequence[str], environment: str, is_forced: bool) -> Restored:
        """Run anew what was lost, or what is named.

        Raises:
            NotFound: One that is named is not there.
            UsageError: One that is named runs.
        """
        wanted = [self.table.find(name) for name in names]
        for terminal in wanted:
            if terminal.is_running:
                raise UsageError(
                    f"{terminal.name} runs (pid {terminal.pid})",
                    f"`terma attach {terminal.name}` shows it",
                )
        if not names:
            lost = TerminalState.LOST
            wanted = [one for one in self.table if one.activity.base.state is lost]
        try:
            left = await asyncio.to_thread(survivors, [one.id for one in wanted])
        except OSError as error:
            raise TektonError(f"the processes cannot be looked at: {error.strerror}") from error
        return await self._to_the_end(self._restore(wanted, left, environment, is_forced))

    async def _restore(
        self,
        wanted: Sequence[Terminal],
        left: dict[str, list[int]],
        environment: str,
        is_forced: bool,
    ) -> Restored:
        restored: list[TerminalInfo] = []
        refused: list[NotRestored] = []
        for terminal in wanted:
            pids = tuple(left.get(terminal.id, ()))
            if pids and not is_forced:
                reason = "processes of it are still there"
                refused.append(NotRestored(name=terminal.name, reason=reason, pids=pids))
                continue
            try:
                restored.append(self.info(await self._rerun(terminal, environment)))
            except TektonError as error:
                refused.append(NotRestored(name=terminal.name, reason=error.message))
        return Restored(terminals=tuple(restored), refused=tuple(refused))

    async def _rerun(self, terminal: Terminal, environment: str) -> Terminal:
        if self.host.pid:
            with suppress(NotFound):
                await self.host.forget(terminal.id)
        stored = terminal.stored
        terminal.stored = dataclasses.replace(stored, exit_status=None, ended_at=None, reason=None)
        try:
            await self._run(terminal, environment, restored_line(self.now()))
        except TektonError:
            terminal.stored = stored
            raise
        await self._store.save(terminal.stored)
        self.observer.publish(terminal, "restored", pid=terminal.pid)
        return terminal

    def _free(self, name: str) -> str:
        """Return a name that no terminal and no CI has.

        Raises:
            UsageError: Somebody has it.
        """
        self.table.free(name)
        if self._context.registry.find(name, is_ci=True) is not None:
            raise UsageError(
                f"there is a CI named {name!r}", "choose another name; `aish list` shows all CIs"
            )
        return name

    # -- changing ----------------------------------------------------------------------------

    async def rename(self, terminal: Terminal, to: str) -> None:
        """Give a terminal another name.

        Raises:
            UsageError: The name cannot be used, or is taken.
        """
        before = terminal.name
        await self._change(terminal, name=self._free(check_name(to, "terminal")))
        self._context.publish(f"terminal.{before}.renamed", to=terminal.name)

    async def set_roles(self, terminal: Terminal, roles: Sequence[str]) -> None:
        """Replace the roles of a terminal.

        Raises:
            UsageError: One of them cannot be a role.
        """
        await self._change(terminal, roles=check_roles(roles))
        self.observer.publish(terminal, "role", roles=list(terminal.stored.roles))

    async def _change(self, terminal: Terminal, **fields: object) -> None:
        changed = dataclasses.replace(terminal.stored, **fields)  # type: ignore[arg-type]
        await self._store.save(changed)
        terminal.stored = changed
        if terminal.is_running:
            await self.host.set_meta(terminal.id, meta_of(changed))

    async def resize(self, terminal: Terminal, columns: int, rows: int) -> None:
        """Give a running terminal another size.

        Raises:
            UsageError: There is no such size.
        """
        check_size(columns, rows)
        if (columns, rows) != (terminal.stored.columns, terminal.stored.rows):
            await self.host.resize(terminal.id, columns, rows)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._context.now()

    # -- their ends --------------------------------------------------------------------------

    def _on_exit(self, id_: str, status: int | None, signal: str | None, end: int) -> None:
        terminal = self.table.get(id_)
        if terminal is not None and not terminal.is_closing:
            terminal.end = end
            self._context.background(self._exited(terminal, status, signal, self.now()))

    async def _exited(
        self, terminal: Terminal, status: int | None, signal: str | None, at: float
    ) -> None:
        """Note how a terminal's program has ended; told once, and stored."""
        shown = status if status is not None else status_of(signal)
        detail = f"exit {status}" if status is not None else f"killed by {signal}"
        terminal.end_as(TerminalState.EXITED, at, detail)
        self.on_end(terminal)
        if terminal.stored.exit_status is not None:
            return
        terminal.stored = dataclasses.replace(
            terminal.stored, ended_at=at, exit_status=shown, reason=detail
        )
        self.observer.publish(terminal, "exited", status=status, signal=signal)
        await self._store.save(terminal.stored)

    def _on_lost(self, reason: str) -> None:
        if not self.observer.is_stopping:
            self._context.background(self._join_again(reason))

    async def _join_again(self, reason: str) -> None:
        try:
            await self._join(reason)
        except TektonError as error:
            self._wait_for_host(error)

    async def _lose(self, terminal: Terminal, reason: str) -> None:
        """Note that nobody holds a terminal any more."""
        ended = read_exit(self._context.paths.terminals / terminal.id)
        if ended is not None:
            await self._exited(terminal, *ended)
            return
        now = terminal.stored.ended_at or self.now()
        reason = terminal.stored.reason or reason
        if terminal.stored.ended_at is None:
            terminal.stored = dataclasses.replace(terminal.stored, ended_at=now, reason=reason)
            await self._store.save(terminal.stored)
            self.observer.publish(terminal, "lost", reason=reason)
        terminal.end_as(TerminalState.LOST, now, reason)
        self.on_end(terminal)
        if terminal.stored.is_recorded:
            written = self.log_of(terminal.id)
            terminal.oldest, terminal.end = written.oldest, written.end
        self.screens.opened(terminal.id, terminal.stored.columns, terminal.stored.rows)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait for something that nobody waits for any more."""
    try:
        await task
    except TektonError as error:
        log.warning("nobody heard of this: %s", error.message)


def _starting(at: float) -> Seen:
    return Seen(TerminalState.IDLE, "ptyhost", at)
