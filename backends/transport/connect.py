"""Connecting to an address, whatever its scheme."""

from __future__ import annotations

import asyncio

from backends.errors import CannotConnect, TimedOut
from backends.transport.address import Address
from backends.transport.base import Channel, Peer
from backends.transport.stream import StreamChannel, open_unix, reason_of


async def open_channel(
    address: Address, token: str | None = None, timeout_s: float = 10.0
) -> Channel:
    """Connect; for a WebSocket the token goes into the handshake.

    Raises:
        CannotConnect: Nobody answers there; `Unauthorized` where the handshake was refused.
        TimedOut: No connection within the time.
    """
    try:
        async with asyncio.timeout(timeout_s):  # `wait_for` can lose a cancel in Python 3.11
            return await _open(address, token)
    except TimeoutError:
        raise TimedOut(f"no connection to {address} within {timeout_s:g} s") from None
    except OSError as error:
        hint = "`tekton status` shows what runs" if address.scheme == "unix" else None
        raise CannotConnect(f"cannot connect to {address}: {reason_of(error)}", hint) from error
    except ValueError as error:  # a host or path that can be none
        raise CannotConnect(f"cannot connect to {address}: {error}") from error


async def _open(address: Address, token: str | None) -> Channel:
    if address.scheme == "unix":
        return await open_unix(address.path)
    if address.scheme == "tcp":
        reader, writer = await asyncio.open_connection(address.host, address.port)
        return StreamChannel(reader, writer, Peer(where=str(address), is_trusted=True))
    from backends.transport.websocket import open_websocket

    return await open_websocket(address, token)
