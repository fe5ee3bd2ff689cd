"""ptyhost itself: its requests, its clients, its terminals, and when it is over."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable

from terma.ptyhost import frames
from terma.ptyhost.address import Address
from terma.ptyhost.closing import Closings
from terma.ptyhost.connection import Connection, is_ours
from terma.ptyhost.failure import Failure
from terma.ptyhost.loop import READ, Loop
from terma.ptyhost.requests import (
    Fields,
    amount_of,
    bytes_of,
    flag_of,
    meta_of,
    number_of,
    opening_of,
    signal_of,
    size_of,
    text_of,
)
from terma.ptyhost.terminal import Opening, Owner, Terminal

_FIRST_CLIENT_S = 10.0
_RETRY_S = 1.0
_LOOK_EVERY_S = 2.0
_MAX_READ = 1 << 20
_MAX_GRACE_S = 60.0

Later = None
"""What a request returns that is answered later."""


class Server(Owner):
    """Serves at an address, until nothing is left to be held."""

    def __init__(self, address: Address) -> None:
        self._loop = Loop()
        self._address = address
        self._looks = False
        self._complaint = ""
        self._started_at = time.time()
        self._clients: set[Connection] = set()
        self._terminals: dict[str, Terminal] = {}
        self._starting: dict[str, Callable[[Failure | None], None]] = {}
        self._closings = Closings(self._loop)
        self._is_awaited = True
        self._ops: dict[str, Callable[[Connection, int, Fields], dict[str, object] | None]] = {
            "hello": self._hello, "open": self._open, "list": self._list, "read": self._read,
            "subscribe": self._subscribe, "unsubscribe": self._unsubscribe, "write": self._write,
            "resize": self._resize, "signal": self._signal, "meta": self._meta,
            "close": self._close, "forget": self._forget, "cancel": self._cancel,
        }  # fmt: skip

    def run(self) -> None:
        """Serve until the last client is gone and nothing runs, or SIGTERM."""
        wakes, self._waker = socket.socketpair()
        wakes.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: None)
        self._loop.watch(wakes.fileno(), READ, lambda _: self._on_signal(wakes.recv(4096)))
        self._listen(True)
        self._loop.later(_FIRST_CLIENT_S, self._stop_waiting)
        self._loop.run()

    # -- clients ------------------------------------------------------------------------------

    def _on_client(self, _ready: int) -> None:
        try:
            peer, _ = self._address.listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            # No more files can be opened; it waits, and is ready all that time.
            self._listen(False)
            self._loop.later(_RETRY_S, lambda: self._listen(True))
            return
        if not is_ours(peer):
            peer.close()
            return
        self._is_awaited = False
        self._clients.add(Connection(peer, self._loop, self._on_frame, self._on_client_gone))

    def _listen(self, is_wanted: bool) -> None:
        listener = self._address.listener
        self._loop.watch(listener.fileno(), READ if is_wanted else 0, self._on_client)

    def _look(self) -> None:
        """See to it that what holds terminals can be found, also where its socket was removed."""
        if self._terminals:
            self._renew()
            if not self._looks:
                self._looks = True
                self._loop.later(_LOOK_EVERY_S, self._look_again)

    def _look_again(self) -> None:
        self._looks = False
        self._look()

    def _renew(self) -> None:
        before = self._address.listener.fileno()
        try:
            if self._address.renew():
                self._loop.watch(before, 0, self._on_client)
                self._listen(True)
            self._complaint = ""
        except OSError as error:
            complaint = f"nobody can connect: {error.strerror or error}"
            if complaint != self._complaint:
                print(complaint, file=sys.stderr, flush=True)
            self._complaint = complaint

    def _on_client_gone(self, client: Connection) -> None:
        self._clients.discard(client)
        for terminal in self._terminals.values():
            terminal.drop_input(client)
        self._loop.at_last(self._look)
        self._loop.at_last(self._end_if_idle)

    def _stop_waiting(self) -> None:
        self._is_awaited = False
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        """End where nobody is connected and nothing runs; how programs ended is in files."""
        runs = any(terminal.is_running for terminal in self._terminals.values())
        holds = bool(self._clients) or runs or self._closings.is_busy
        if not holds and not self._is_awaited:
            self._loop.is_over = True

    def _on_frame(self, client: Connection, kind: int, payload: bytes) -> None:
        if kind == frames.INPUT:
            self._on_input(client, payload)
            return
        if kind != frames.MESSAGE:
            return
        fields = frames.fields_of(payload)
        request, op = fields.get("id"), fields.get("op")
        if isinstance(request, bool) or not isinstance(request, int) or not 0 < request < 1 << 32:
            raise frames.FrameError("a request without an id")
        try:
            if not isinstance(op, str) or op not in self._ops:
                raise Failure("unknown_op", f"no request {op!r}")
            answer = self._ops[op](client, request, fields)
        except Failure as failure:
            client.send({"id": request, "error": failure.fields()})
        except Exception as error:  # noqa: BLE001
            # A mistake of ours, which must not take every terminal down with it.
            if not isinstance(error, OSError):
                sys.excepthook(*sys.exc_info())
            reason = Failure("failed", f"{op}: {error}")
            client.send({"id": request, "error": reason.fields()})
        else:
            if answer is not None:
                client.send({"id": request, "ok": answer})

    def _on_input(self, client: Connection, payload: bytes) -> None:
        head = frames.INPUT_HEAD
        if len(payload) < head.size:
            raise frames.FrameError("input without a terminal")
        request, length = head.unpack_from(payload)
        name = payload[head.size : head.size + length].decode("latin-1")
        try:
            self._type(client, request, name, payload[head.size + length :], False)
        except Failure as failure:
            client.send({"id": request, "error": failure.fields()})

    # -- the program's life -------------------------------------------------------------------

    def started(self, terminal: Terminal, failure: Failure | None) -> None:
        """Answer the one who opened it."""
        if failure:
            del self._terminals[terminal.id]
        self._starting.pop(terminal.id)(failure)

    def ended(self, terminal: Terminal) -> None:
        """Tell every client."""
        event = {"event": "exit", "terminal": terminal.id, **(terminal.exit or {})}
        for client in tuple(self._clients):
            client.send_exit(terminal.id, event)
        self._loop.at_last(self._end_if_idle)

    def recording(self, terminal: Terminal) -> None:
        """Tell every client."""
        for client in tuple(self._clients):
            client.send({"event": "log", "terminal": terminal.id, "error": terminal.output.error})

    def _on_signal(self, numbers: bytes) -> None:
        self._reap()
        if signal.SIGTERM in numbers:
            running = [terminal for terminal in self._terminals.values() if terminal.is_running]
            self._loop.is_over = True
            self._closings.hang_up(running)

    def _reap(self) -> None:
        by_pid = {one.pid: one for one in self._terminals.values() if not one.is_reaped}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in by_pid:
                by_pid[pid].program_ended(status)

    # -- requests -----------------------------------------------------------------------------

    def _find(self, fields: Fields) -> Terminal:
        name = text_of(fields, "terminal")
        if name not in self._terminals:
            raise Failure("not_found", f"no terminal {name}")
        return self._terminals[name]

    def _hello(self, _client: Connection, _id: int, _fields: Fields) -> dict[str, object]:
        return {
            "version": frames.VERSION, "pid": os.getpid(), "started_at": self._started_at,
            "ops": list(self._ops),
        }  # fmt: skip

    def _open(self, client: Connection, request: int, fields: Fields) -> None:
        opening: Opening = opening_of(fields)
        name = opening.terminal
        if name in self._terminals or name in self._closings:
            raise Failure("exists", f"there is a terminal {name} already")
        terminal = Terminal(opening, self._loop, self)

        def answer(failure: Failure | None) -> None:
            if failure:
                client.send({"id": request, "error": failure.fields()})
            else:
                client.send({"id": request, "ok": {"pid": terminal.pid}})

        self._terminals[name] = terminal
        self._starting[name] = answer
        self._loop.at_last(self._look)

    def _list(self, _client: Connection, _id: int, _fields: Fields) -> dict[str, object]:
        return {"terminals": [_shown(terminal) for terminal in self._terminals.values()]}

    def _read(self, client: Connection, request: int, fields: Fields) -> dict[str, object] | None:
        terminal = self._find(fields)
        asked, limit = number_of(fields, "offset"), number_of(fields, "limit", _MAX_READ)
        offset, data = terminal.output.read(asked, min(limit, _MAX_READ))
        if offset > asked:
            return _trimmed(terminal, offset)
        output = terminal.output
        head = frames.READ_HEAD.pack(request, asked, output.oldest, output.end)
        client.send_frame(frames.frame(frames.READ, head, data))
        return Later

    def _subscribe(self, client: Connection, _id: int, fields: Fields) -> dict[str, object]:
        terminal = self._find(fields)
        channel, asked = number_of(fields, "channel"), number_of(fields, "offset")
        if channel >= 1 << 32:
            raise Failure("usage", "channel takes 4 bytes")
        if asked > terminal.output.end:
            raise Failure("usage", f"the output of {terminal.id} ends at {terminal.output.end}")
        offset, _ = terminal.output.read(asked, 1)
        if offset > asked:
            return _trimmed(terminal, offset)
        client.follow(channel, terminal, asked)
        return {"oldest": terminal.output.oldest, "end": terminal.output.end}

    def _unsubscribe(self, client: Connection, _id: int, fields: Fields) -> dict[str, object]:
        client.unfollow(number_of(fields, "channel"))
        return {}

    def _write(self, client: Connection, request: int, fields: Fields) -> None:
        name, data = text_of(fields, "terminal"), bytes_of(fields, "data")
        self._type(client, request, name, data, flag_of(fields, "whole_lines"))

    def _type(
        self, client: Connection, request: int, name: str, data: bytes, whole_lines: bool
    ) -> None:
        terminal = self._find({"terminal": name})

        def answer(failure: Failure | None) -> None:
            if failure:
                client.send({"id": request, "error": failure.fields()})
            else:
                ok = {"written": len(data), "input": terminal.input.count}
                client.send({"id": request, "ok": ok})

        terminal.type((client, request), data, whole_lines, answer)

    def _cancel(self, client: Connection, _id: int, fields: Fields) -> dict[str, object]:
        source = client, number_of(fields, "request")
        return {"dropped": self._find(fields).cancel_input(source)}

    def _resize(self, _client: Connection, _id: int, fields: Fields) -> dict[str, object]:
        self._find(fields).resize(size_of(fields, "columns"), size_of(fields, "rows"))
        return {}

    def _signal(self, _client: Connection, _id: int, fields: Fields) -> dict[str, object]:
        self._find(fields).send_signal(signal_of(fields))
        return {}

    def _meta(self, _client: Connection, _id: int, fields: Fields) -> dict[str, object]:
        self._find(fields).meta = meta_of(fields)
        return {}

    def _close(self, client: Connection, request: int, fields: Fields) -> None:
        terminal = self._find(fields)
        grace_s = min(amount_of(fields, "grace_s", 2.0), _MAX_GRACE_S)

        def answer(outcome: dict[str, object] | Failure) -> None:
            if isinstance(outcome, Failure):
                client.send({"id": request, "error": outcome.fields()})
            else:
                client.send({"id": request, "ok": outcome})
            self._loop.at_last(self._end_if_idle)

        self._closings.add(terminal, grace_s, answer)

    def _forget(self, _client: Connection, _id: int, fields: Fields) -> dict[str, object]:
        terminal = self._find(fields)
        if terminal.is_running:
            raise Failure("usage", f"{terminal.id} still runs")
        del self._terminals[terminal.id]
        for client in self._clients:
            for number, channel in tuple(client.channels.items()):
                if channel.terminal is terminal:
                    client.unfollow(number)
        return {}


def _trimmed(terminal: Terminal, oldest: int) -> dict[str, object]:
    return {"trimmed": True, "oldest": oldest, "end": terminal.output.end}


def _shown(terminal: Terminal) -> dict[str, object]:
    output = terminal.output
    columns, rows = output.size
    return {
        "terminal": terminal.id, "pid": terminal.pid, "columns": columns, "rows": rows,
        "oldest": output.oldest, "end": output.end, "input": terminal.input.count,
        "meta": terminal.meta, "started_at": terminal.started_at,
        "active_at": terminal.active_at, "foreground": terminal.foreground,
        "canonical": terminal.is_canonical, "exit": terminal.exit, "log_error": output.error,
    }  # fmt: skip
