"""One client: its frames, and the terminals whose output it follows."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from functools import partial

from terma.ptyhost import frames
from terma.ptyhost.loop import READ, WRITE, Loop
from terma.ptyhost.terminal import Terminal

_IS_LINUX = sys.platform == "linux"
_AT_ONCE = 256 << 10
_PIECE = 64 << 10
_SMALL = 4 << 10
_ENOUGH = 256 << 10
_TOO_MUCH = 8 << 20
_TURNS = 8
_RETRY_S = 1.0
_PASSING = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
"""Why a log cannot be read for now."""


class Channel:
    """Where a client has got to in the output of a terminal; what comes next is read when sent."""

    __slots__ = ("_news", "_output", "_sizes", "is_behind", "number", "position", "terminal")

    def __init__(
        self, number: int, terminal: Terminal, position: int, news: Callable[[Channel], None]
    ) -> None:
        self.number, self.terminal, self.position = number, terminal, position
        self._output = terminal.output
        self._sizes = self._output.size_at(position)
        self._news = news
        self.is_behind = False
        self._output.followers.append(self._on_news)

    def _on_news(self) -> None:
        if not self.is_behind:
            self._news(self)

    def close(self) -> None:
        """Follow no more."""
        self._output.followers.remove(self._on_news)

    @property
    def backlog(self) -> int:
        """Bytes that it has not got yet."""
        return self._output.end - self.position

    @property
    def is_done(self) -> bool:
        """Whether it has all there is."""
        return not self.backlog and self._sizes == self._output.sizes_ever

    def next(self) -> bytes:
        """Return the next frame: a size that holds from here on, a gap, or output.

        Raises:
            OSError: The log cannot be read for now.
        """
        output, until = self._output, self._output.end
        if self._sizes < output.sizes_ever:
            number, until, columns, rows = output.size_of(self._sizes)
            if until <= self.position:
                self._sizes = number + 1
                return frames.message(
                    {"event": "size", "channel": self.number, "offset": self.position,
                     "columns": columns, "rows": rows}
                )  # fmt: skip
        try:
            offset, data = output.read(self.position, min(_PIECE, until - self.position))
        except OSError as error:
            if error.errno in _PASSING:
                raise
            offset, data = output.recent, b""
        if offset > self.position:
            self.position = offset
            self._sizes = output.size_at(offset)
            return frames.message({"event": "trimmed", "channel": self.number, "oldest": offset})
        head = frames.OUTPUT_HEAD.pack(self.number, offset)
        self.position += len(data)
        return frames.frame(frames.OUTPUT, head, data)


class Connection:
    """The socket of a client; what it is sent waits here only so far as it is no output."""

    def __init__(
        self, peer: socket.socket, loop: Loop,
        on_frame: Callable[[Connection, int, bytes], None],
        on_close: Callable[[Connection], None],
    ) -> None:  # fmt: skip
        self.channels: dict[int, Channel] = {}
        self._socket, self._loop = peer, loop
        self._on_frame, self._on_close = on_frame, on_close
        self._splitter = frames.Splitter(frames.MAX_REQUEST)
        self._frames: deque[tuple[int, bytes]] = deque()
        self._out = bytearray()
        self._behind: deque[Channel] = deque()
        self._ends: dict[str, bytes] = {}
        self._events = READ
        self.is_closed = False
        peer.setblocking(False)
        loop.watch(peer.fileno(), READ, self._on_ready)

    def send(self, fields: dict[str, object]) -> None:
        """Send a reply or an event."""
        self.send_frame(frames.message(fields))

    def send_frame(self, frame: bytes) -> None:
        """Send a frame; a client that reads none of what it asked for is hung up on."""
        if self.is_closed:
            return
        self._out += frame
        if len(self._out) > _TOO_MUCH:
            self.close()
        else:
            self._loop.at_last(self._pump)

    def send_exit(self, terminal: str, event: dict[str, object]) -> None:
        """Send that a terminal has ended, behind the output of it that is on its way."""
        if self._waits_for(terminal):
            self._ends[terminal] = frames.message(event)
        else:
            self.send(event)

    def follow(self, number: int, terminal: Terminal, offset: int) -> None:
        """Send the output of a terminal from an offset on."""
        self.unfollow(number)
        self.channels[number] = Channel(number, terminal, offset, self._on_news)
        self._on_news(self.channels[number])

    def unfollow(self, number: int) -> None:
        """Send no more of a channel."""
        channel = self.channels.pop(number, None)
        if channel:
            channel.close()
            self._behind = deque(one for one in self._behind if one is not channel)
            self._send_end(channel.terminal.id)

    def close(self) -> None:
        """Hang up; what waits is dropped."""
        if self.is_closed:
            return
        self.is_closed = True
        self._loop.watch(self._socket.fileno(), 0, self._on_ready)
        for channel in self.channels.values():
            channel.close()
        self.channels.clear()
        self._behind.clear()
        self._frames.clear()
        self._out.clear()
        self._socket.close()
        self._on_close(self)

    def _on_news(self, channel: Channel) -> None:
        channel.is_behind = True
        # A few bytes are what somebody waits for; they do not stand in line behind a flood.
        if channel.backlog < _SMALL:
            self._behind.appendleft(channel)
        else:
            self._behind.append(channel)
        self._loop.at_last(self._pump)

    def _on_ready(self, ready: int) -> None:
        if ready & READ:
            self._receive()
        if ready & WRITE and not self.is_closed:
            self._loop.at_last(self._pump)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            self._frames.extend(self._splitter.split(data))
        except frames.FrameError:
            self.close()
            return
        self._answer()

    def _answer(self) -> None:
        """Take what was asked, for as long as the client reads the answers."""
        while self._frames and len(self._out) < _ENOUGH:
            try:
                self._on_frame(self, *self._frames.popleft())
            except frames.FrameError:
                self.close()

    def _pump(self) -> None:
        # A channel that is fed as fast as it is emptied must not keep the loop here.
        for _ in range(_TURNS):
            self._fill()
            if not self._flush():
                break
        self._answer()
        self._plan()

    def _plan(self) -> None:
        if self.is_closed:
            return
        if not self._out and (self._behind or self._frames):
            self._loop.at_last(self._pump)
        events = (WRITE if self._out else 0) | (0 if self._frames else READ)
        if events and events != self._events:
            self._events = events
            self._loop.watch(self._socket.fileno(), events, self._on_ready)

    def _fill(self) -> None:
        while self._behind and len(self._out) < _ENOUGH:
            channel = self._behind.popleft()
            try:
                if not channel.is_done:
                    self._out += channel.next()
            except OSError:
                self._loop.later(_RETRY_S, partial(self._try_again, channel))
                continue
            if not channel.is_done:
                self._behind.append(channel)
                continue
            channel.is_behind = False
            self._send_end(channel.terminal.id)

    def _try_again(self, channel: Channel) -> None:
        if self.channels.get(channel.number) is channel:
            self._on_news(channel)

    def _flush(self) -> bool:
        """Send what waits; returns whether there was something and all of it is gone."""
        if not self._out:
            return False
        try:
            sent = self._socket.send(self._out)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self.close()
            return False
        del self._out[:sent]
        return not self._out

    def _send_end(self, terminal: str) -> None:
        if terminal in self._ends and not self._waits_for(terminal):
            self.send_frame(self._ends.pop(terminal))

    def _waits_for(self, terminal: str) -> bool:
        return any(
            channel.is_behind and channel.terminal.id == terminal
            for channel in self.channels.values()
        )


def is_ours(peer: socket.socket) -> bool:
    """Tell whether the other end is a process of this user."""
    if _IS_LINUX:  # unix(7), SO_PEERCRED: pid, user and group
        packed = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return bool(struct.unpack("iII", packed)[1] == os.getuid())
    # unix(4): LOCAL_PEERCRED gives a struct xucred, version and user first.
    credentials = peer.getsockopt(0, 1, 76)
    return len(credentials) >= 8 and struct.unpack("iI", credentials[:8])[1] == os.getuid()
