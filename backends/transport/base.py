"""The contract of a transport: a channel carries whole messages both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from backends.protocol.framing import Oversized

HIGH_WATER = 256 * 1024
"""Bytes that may wait to be written before a sender has to wait for the reader."""


@dataclass(frozen=True)
class Peer:
    """Who is at the other end, as the socket itself tells; a peer's own words do not count.

    `is_trusted` is true for this user's own processes (the Unix socket's credentials, or this
    process); everybody else has to show a token, which the handshake may have seen already. `pid`
    is what the kernel says of a Unix socket's other end.
    """

    where: str
    is_trusted: bool
    is_local: bool = True
    has_shown_token: bool = False
    pid: int | None = None


MAX_STRANGER = 64 * 1024
"""Largest message, in bytes, of a peer that has not said who it is."""


class Channel(Protocol):
    """Carries messages between two ends, in order, each whole."""

    peer: Peer

    async def receive(self) -> bytes | Oversized | None:
        """Return the next message; `None` once the peer sends no more, and ever after."""

    def let_in(self) -> None:
        """Take messages up to the protocol's limit: the peer is no stranger any more."""

    async def gone(self) -> None:
        """Wait until a peer that sends no more is gone altogether, where the transport can tell.

        A peer may close its sending side only, as `nc -N` does, and wait for answers.
        """

    async def send(self, message: bytes) -> None:
        """Send a message; returns when the peer's side has room for more.

        Raises:
            ConnectionLost: The peer is gone.
        """

    async def close(self) -> None:
        """End the connection; what was sent still arrives. A second call does nothing."""
