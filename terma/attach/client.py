"""A person's own terminal joined to a named one: one thread, one `select` over everything."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from backends.errors import CannotConnect, TektonError
from backends.protocol.connection import ChunkReceived
from backends.protocol.messages import Event, Subscribe
from backends.protocol.screens import Screen, ScreenChange
from backends.protocol.terminals import (
    Output,
    TerminalEnd,
    TerminalInfo,
    Terminals,
    TerminalState,
)
from terma.attach.history import ROWS, History
from terma.attach.keys import Key, Keys
from terma.attach.link import Link
from terma.attach.notices import Notices, call_person
from terma.attach.person import Person
from terma.attach.view import Mode, View
from terma.attach.wire import Arrival, Trouble, Wire

_RETRY_S = 0.05
_STATUS_S = 1.0
_ENDING = frozenset({signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})
_TAKEN = (*_ENDING, signal.SIGWINCH, signal.SIGCONT)
_IGNORED = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


@dataclass(frozen=True)
class End:
    """Why a person is attached no more, in words, or the signal that this process has to die of.

    `name` is what the terminal is called by then; `waiting` tells which others wait, if any.
    """

    words: str
    error: TektonError | None = None
    signal: signal.Signals | None = None
    notices: tuple[str, ...] = ()
    name: str = ""
    waiting: str = ""


class Attach:
    """Joins the terminal that is standard input and output to a named one; `run` once.

    Args:
        info: The named terminal.
        key: What lets go of it.
        is_read_only: Type nothing, and leave the size to others.
        has_status: Show a status line.
        has_history: Have rows that have scrolled away above the screen.
        notify: As `notify` under `[terma]`; how the person hears of other terminals.
    """

    def __init__(
        self,
        info: TerminalInfo,
        key: Key,
        is_read_only: bool,
        has_status: bool,
        has_history: bool,
        notify: str,
    ) -> None:
        self._info = info
        self._key = key
        self._keys = Keys(key)
        self._is_read_only = is_read_only
        self._has_status = has_status
        self._notify = notify
        self._person = Person()
        self._view = View(self._person, info, is_read_only, has_status)
        self._wire: Wire | None = None
        self._events: Link | None = None
        self._notices = Notices(info.name)
        self._history = History(has_history)
        self._is_name_sure = True
        self._asks_others = notify != "none"
        self._was_framed = False
        self._retry_at = 0.0
        self._ask_at = 0.0
        self._unsent = 0
        self._signals = -1
        self._end: End | None = None

    def run(self) -> End:
        """Stay until the person leaves or nothing more can come; restores their terminal."""
        with _taking_signals() as self._signals:
            try:
                self._person.enter()
                self._view.begin()
                while self._end is None or (self._person.is_behind and not self._end.signal):
                    self._turn()
            finally:
                self._person.leave(
                    self._view.end_sequence(), keeps_typed=not self._view.has_reports
                )
                lost = self._unsent + (self._wire.untyped if self._wire is not None else 0)
                self._hang_up()
        notices = [*self._view.notices, *([f"{_bytes(lost)} not typed"] if lost else [])]
        return replace(
            self._end, notices=tuple(notices), name=self._name, waiting=self._notices.summary
        )

    @property
    def _name(self) -> str:
        return self._notices.own

    # -- the loop ----------------------------------------------------------------------------

    def _turn(self) -> None:
        """Wait for something to happen, and do what follows of it."""
        if self._wire is None and self._end is None:
            self._connect()
        reads, writes = self._watched()
        readable, writable, _ = select.select(reads, writes, [], self._patience_s())
        now = time.monotonic()
        if self._signals in readable:
            self._take_signals(os.read(self._signals, 256), now)
        if 0 in readable:
            self._take_keys(now)
        if self._person.writing in writable:
            self._person.flush()
            self._view.catch_up()
        for link in writable:
            if isinstance(link, Link):
                link.flush()
        self._take_wire(readable, now)
        if self._events is not None and self._events in readable:
            self._take_events(self._events)
        self._do_what_is_due(time.monotonic())

    def _watched(self) -> tuple[list[int | Link], list[int | Link]]:
        """Return what may be read and what is to be written; macOS polls no terminal."""
        reads: list[int | Link] = [self._signals]
        writes: list[int | Link] = []
        if self._wire is None or not self._wire.is_full:
            reads.append(0)
        if self._person.is_behind:
            writes.append(self._person.writing)
        if self._wire is not None and self._end is None:
            reads.append(self._wire.typing)
            if not self._person.is_full:
                reads.append(self._wire.output)
            writes += [link for link in (self._wire.typing, self._wire.output) if link.is_behind]
        if self._events is not None:
            reads.append(self._events)
        return reads, writes

    def _patience_s(self) -> float | None:
        due = [self._keys.deadline]
        if self._end is None and self._wire is None:
            due.append(self._retry_at)
        elif self._end is None:
            due += [self._view.settle_by, self._view.waiting_until, self._history.deadline]
            due.append(self._ask_at if self._asks_state else None)
        times = [at for at in due if at is not None]
        return max(min(times) - time.monotonic(), 0.0) if times else None

    @property
    def _asks_state(self) -> bool:
        is_wanted = self._has_status or self._view.lacks_title or not self._is_name_sure
        return (is_wanted or self._asks_others) and self._view.is_shown

    def _do_what_is_due(self, now: float) -> None:
        self._type(self._keys.expire(now))
        if self._keys.is_detached:
            self._end = self._end or End("detached")
            self._person.forget()
        if self._person.is_gone:
            self._end = End("detached: this window is gone", signal=signal.SIGHUP)
        if self._wire is None or self._end is not None:
            return
        if self._history.deadline is not None and now >= self._history.deadline:
            self._release(now)
        self._view.settle(now)
        self._wire.watch(self._view.wants_screen)
        if self._view.wants_repaint():
            self._wire.attach(self._view.size)
        if self._asks_state and now >= self._ask_at:
            self._ask_at = now + _STATUS_S
            self._wire.ask_state(of_all=self._asks_others)
        if self._unsent and self._view.is_shown:
            self._view.tell(f"{_bytes(self._unsent)} not sent: the hub was gone")
            self._unsent = 0

    # -- the person --------------------------------------------------------------------------

    def _take_keys(self, now: float) -> None:
        """Take what was typed.

        Where text lies behind the key already, and no report of the window can be in it, it is
        for the shell outside: it stays unread. Of a single byte nobody can tell, but by reading
        it, whether it is the key once more; if it is another, that one is lost. So is what came
        behind a key that is a sequence, or at once with more than fingers type.
        """
        is_left = self._keys.is_pressed and self._person.unread > 1
        if is_left and not self._view.has_reports:
            self._keys.let_go()
        elif data := self._person.read(self._key.byte):
            self._type(self._keys.feed(data, now))

    def _type(self, keys: bytes) -> None:
        if not keys or self._end is not None:
            return
        if self._is_read_only:
            self._ring_for(keys)
        elif self._wire is None or self._view.mode is Mode.LOST:
            self._unsent += len(keys)
            self._show_loss()
            self._ring_for(keys)
        else:
            self._wire.type(keys)

    def _ring_for(self, keys: bytes) -> None:
        """Ring where keys go nowhere; for no answer or report of the person's terminal."""
        if not keys.startswith(b"\x1b"):
            self._view.call()

    def _take_signals(self, numbers: bytes, now: float) -> None:
        for number in numbers:
            if number in _ENDING:
                found = signal.Signals(number)
                self._end = End(f"detached ({found.name})", signal=found)
            elif number == signal.SIGWINCH:
                self._view.resize(now)
                if self._wire is not None and not self._is_read_only:
                    self._wire.resize(self._view.size)
            elif number == signal.SIGCONT:
                self._person.make_raw()
                if self._wire is not None and self._view.mode is Mode.RAW:
                    self._wire.attach(self._view.size)

    # -- the hub -----------------------------------------------------------------------------

    def _connect(self) -> None:
        if time.monotonic() < self._retry_at:
            return
        try:
            self._wire = Wire(
                self._info.id, self._view.size, self._is_read_only, not self._was_framed
            )
        except (OSError, CannotConnect):
            self._retry_at = time.monotonic() + _RETRY_S
            if self._view.mode is not Mode.LOST:
                self._show_loss()
            return
        if self._events is None:
            with suppress(OSError, TektonError):  # without a bus there is nothing to hear
                self._events = Link("hermes")
                self._events.ask(Subscribe(subject="terminal.*.renamed"))
                if self._notify != "none":
                    self._events.ask(Subscribe(subject="terminal.*.state"))

    def _take_wire(self, readable: list[int | Link], now: float) -> None:
        if self._wire is None or self._end is not None:
            return
        try:
            for link in (self._wire.typing, self._wire.output):
                if link in readable:
                    for arrival in self._wire.receive(link):
                        self._take(arrival, now)
        except CannotConnect:
            if self._end is None:
                self._lose_hub()
        except TektonError as error:
            self._end = End(f"cannot be shown: {error.message}", error)

    def _take(self, arrival: Arrival, now: float) -> None:
        if isinstance(arrival, Output):
            self._take_output(arrival, now)
        elif isinstance(arrival, Screen):
            self._history.take(arrival)
        elif isinstance(arrival, ScreenChange):
            self._view.show_change(arrival)
        elif isinstance(arrival, TerminalEnd):
            self._release(now)
            self._end = end_of(self._name, arrival)
        elif isinstance(arrival, Terminals):
            self._take_states(arrival, now)
        else:
            self._release(now)
            self._tell_trouble(arrival)
        if self._history.is_ready:
            self._release(now)

    def _take_output(self, output: Output, now: float) -> None:
        """Show output, or hold it until what belongs above it is there."""
        if self._history.hold(output):
            return
        has_its_size = (output.columns, output.rows) == self._view.size
        is_first = output.is_repaint and self._history.begin(output, now)
        if is_first and has_its_size and self._wire is not None:
            self._wire.ask_history(ROWS)
        elif is_first:
            self._release(now)
        else:
            self._view.show_output(output, now)

    def _release(self, now: float) -> None:
        """Show what was held, below the rows that it was held for."""
        if self._history.deadline is None:
            return
        rows, held = self._history.release()
        self._view.show_history(rows)
        for output in held:
            self._view.show_output(output, now)

    def _take_states(self, answer: Terminals, now: float) -> None:
        """Take how this terminal is, and at first which others wait already."""
        for info in answer.terminals:
            if info.id == self._info.id:
                self._is_name_sure = True
                self._notices.own = info.name
                self._view.show_state(info)
        if self._asks_others:
            self._asks_others = False
            if words := self._notices.take_all(answer.terminals):
                self._view.show_waiting(words, now)

    def _tell_trouble(self, trouble: Trouble) -> None:
        lost = f"{_bytes(trouble.untyped)} not typed: " if trouble.untyped else ""
        self._view.tell(lost + trouble.error.message)
        self._view.call()

    def _lose_hub(self) -> None:
        """Show that the hub is gone; what it may not have typed is never sent again."""
        if self._wire is not None:
            self._unsent += self._wire.untyped
        if self._view.mode in (Mode.RAW, Mode.FRAMED):
            self._was_framed = self._view.mode is Mode.FRAMED
        self._hang_up()
        self._history.forget()
        self._notices.forget()
        self._is_name_sure, self._asks_others = False, self._notify != "none"
        self._retry_at = time.monotonic()
        self._show_loss()

    def _show_loss(self) -> None:
        words = f"{self._name}: the hub is gone, waiting for it; {self._key} leaves"
        if self._unsent:
            words = f"{self._name}: the hub is gone; {_bytes(self._unsent)} not sent"
            words += f"; {self._key} leaves"
        self._view.show_loss(words)

    def _hang_up(self) -> None:
        for link in (self._wire, self._events):
            if link is not None:
                link.close()
        self._wire = self._events = None

    def _take_events(self, events: Link) -> None:
        try:
            for event in events.receive():
                if isinstance(event, ChunkReceived) and isinstance(event.value, Event):
                    self._take_event(event.value)
        except TektonError:
            events.close()
            self._events = None

    def _take_event(self, event: Event) -> None:
        before = self._name
        words = self._notices.take(event)
        if self._name != before:
            self._view.rename(self._name)
        if words:
            self._view.show_waiting(words, time.monotonic())
            self._view.call(call_person(self._notify, words))


def end_of(name: str, end: TerminalEnd) -> End:
    """Say why nothing more comes of a terminal."""
    if end.state is TerminalState.LOST:
        reason = f"{name} is lost: {end.detail or 'what held it has died'}"
        return End("lost", TektonError(reason, f"`terma restore {name}` runs it anew"))
    if end.state is TerminalState.EXITED and (end.detail or "").startswith("killed"):
        return End(str(end.detail))
    if end.state is TerminalState.EXITED and end.exit_status is not None:
        return End(f"exited with status {end.exit_status}")
    return End(end.state.value)


def _bytes(count: int) -> str:
    return f"{count} byte{'s' if count != 1 else ''}"


@contextmanager
def _taking_signals() -> Iterator[int]:
    """Have signals arrive as bytes of a pipe, so that none comes in the middle of something."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, _note) for number in _TAKEN}
    before |= {number: signal.signal(number, signal.SIG_IGN) for number in _IGNORED}
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _note(number: int, _: object) -> None:
    """Nothing: the number has been written to the pipe."""
