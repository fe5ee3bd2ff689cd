"""Addresses of services: `unix:PATH`, `tcp://HOST:PORT`, `ws://HOST:PORT/ws`, `wss://…`."""

from __future__ import annotations

from dataclasses import dataclass

from backends.errors import UsageError

SCHEMES = ("unix", "tcp", "ws", "wss")


@dataclass(frozen=True)
class Address:
    """Where a service listens; `path` is the socket's for `unix` and the URL's for WebSockets."""

    scheme: str
    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.scheme == "unix":
            return f"unix:{self.path}"
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_address(text: str) -> Address:
    """Read an address.

    Raises:
        UsageError: It is none; the message says what is wrong.
    """
    hint = "addresses look like unix:/path/x.sock, tcp://127.0.0.1:9002 or ws://127.0.0.1:8003/ws"
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in SCHEMES:
        raise UsageError(f"{text!r} is not an address of a service", hint)
    if scheme == "unix":
        path = rest.removeprefix("//")
        if not path:
            raise UsageError(f"{text!r} names no socket", hint)
        return Address(scheme, path="/" + path.lstrip("/") if path[0] == "/" else path)
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{text!r} is not an address of a service: {error}", hint) from None
    if parts.username or parts.password or parts.query:
        raise UsageError(
            f"{text!r} must not carry a user or a query", "give the token with --token-file"
        )
    if not host or port == 0 or (port is None and scheme == "tcp"):
        raise UsageError(f"{text!r} needs a host and a port", hint)
    path = "" if scheme == "tcp" else parts.path or "/ws"
    return Address(scheme, path, host, port or (443 if scheme == "wss" else 80))
