"""Who may open a WebSocket: checked on the handshake, before anything is accepted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backends.config import LOOPBACK, Tcp

if TYPE_CHECKING:
    from websockets.http11 import Request

PATH = "/ws"


def refusal(request: Request, tcp: Tcp) -> tuple[int, str] | None:
    """Return an HTTP status and a reason to refuse a handshake, or `None`.

    Host must name this machine, exactly and once, so that a name that an attacker points here
    does not count; a page's Origin must be one that the configuration lists.
    """
    hosts = request.headers.get_all("Host")
    known = LOOPBACK | {name.lower() for name in (tcp.host, *tcp.hosts)}
    if len(hosts) != 1 or _host_of(hosts[0]) not in known:
        return 421, "this server does not answer for that Host"
    origins = request.headers.get_all("Origin")
    if len(origins) > 1 or any(origin not in tcp.origins for origin in origins):
        return 403, "this Origin may not connect; `origins` under [tcp] lists those that may"
    if request.path.partition("?")[0] != PATH:
        return 404, f"the WebSocket is at {PATH}"
    return None


def bearer_token(request: Request) -> str:
    """Return the token of the Authorization header (RFC 6750), or nothing."""
    values = request.headers.get_all("Authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else ""


def _host_of(value: str) -> str:
    """Return the host of a Host header, or nothing where the header is not one."""
    found = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?", value)
    return (found[1] or found[2] or "").lower() if found else ""
