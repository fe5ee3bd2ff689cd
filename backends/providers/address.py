"""Where a model server is, and a first look at it that needs no package of its vendor."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from backends.errors import ConfigError
from backends.providers.base import Settings
from backends.providers.faults import Refusal

MAX_LISTING = 4 * 1024 * 1024
"""Bytes of a list of models."""

_PRIVATE_NAMES = (".local", ".internal", ".lan", ".home.arpa")
"""Names that never lead out of a private network (RFC 6762, RFC 8375, and common use)."""


@dataclass(frozen=True)
class Address:
    """A server's base URL, without a slash at its end, and the host in it."""

    url: str
    host: str

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, by its literal address or `localhost`."""
        found = _literal(self.host)
        if found is not None:
            return found.is_loopback
        return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def is_private(self) -> bool:
        """Whether the host is this machine or on a private network; no name is looked up."""
        found = _literal(self.host)
        if found is not None:
            return not found.is_global
        is_single_word = "." not in self.host
        return self.is_loopback or is_single_word or self.host.endswith(_PRIVATE_NAMES)


def find_address(
    name: str, settings: Settings, variable: str, default: str, bare_port: int | None = None
) -> Address:
    """Return a provider's address: `url` of its settings, else the environment, else the default.

    Args:
        name: The provider's name, for the error.
        settings: Its settings.
        variable: The variable of the environment.
        default: A complete URL.
        bare_port: The port of a host that is named without a scheme; `None` forbids that.

    Raises:
        ConfigError: What is set there is not the address of an HTTP server.
    """
    text, source = settings.get("url"), f"[providers.{name}] url"
    if text is None:
        text, source = os.environ.get(variable) or default, variable
    try:
        return _parse(text, bare_port)
    except ValueError as error:
        raise ConfigError(
            f"{source} is not an address that can be used: {error}",
            f"it looks like {default}; `tekton config edit` opens the settings",
        ) from error


def _parse(text: object, bare_port: int | None) -> Address:
    if not isinstance(text, str) or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is not a URL")
    is_bare = bare_port is not None and "://" not in text
    parts = urlsplit(f"http://{text}" if is_bare else text)
    if "@" in parts.netloc:
        raise ValueError("it holds a password; keys go into `tekton key set`")
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{text!r} does not begin with http:// or https://")
    host = parts.hostname or ("127.0.0.1" if is_bare else "")
    if not host:
        raise ValueError(f"{text!r} names no host")
    found = _literal(host)
    if found is not None and found.is_unspecified:  # what a server listens on, not where it is
        host = "127.0.0.1" if found.version == 4 else "::1"
    port = parts.port or (bare_port if is_bare else None)
    shown = f"[{host}]" if ":" in host else host
    where = f"{shown}:{port}" if port else shown
    return Address(f"{parts.scheme}://{where}{parts.path.rstrip('/')}", host)


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


async def get_json(
    address: Address, path: str, timeout_s: float, headers: Mapping[str, str]
) -> Any:
    """Fetch a JSON document.

    The work is done by the standard library in a thread: a look at a server must not load its
    vendor's package. The thread may outlive a cancellation, by no more than `timeout_s` and what
    the system needs to look up a name.

    Raises:
        Refusal: An error status.
        OSError: No connection, or no answer in time.
        ValueError: No JSON, or no HTTP.
    """
    deadline = time.monotonic() + timeout_s
    return json.loads(await asyncio.to_thread(_fetch, address, path, deadline, headers))


def _fetch(address: Address, path: str, deadline: float, headers: Mapping[str, str]) -> bytes:
    import http.client
    import urllib.error
    import urllib.request

    # Handlers one by one: the usual set would follow a redirect, with the key, to another host.
    opener = urllib.request.OpenerDirector()
    proxies = urllib.request.ProxyHandler({} if address.is_loopback else None)
    for handler in (
        proxies,
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(address.url + path, headers=dict(headers))
    try:
        with opener.open(request, timeout=_left(deadline)) as response:
            return _read_all(response, deadline)
    except urllib.error.HTTPError as error:
        with error:
            raise Refusal(error.code, error.read(64 * 1024).decode(errors="replace")) from error
    except urllib.error.URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else error from error
    except http.client.HTTPException as error:
        raise ValueError(str(error)) from error


def _read_all(response: Any, deadline: float) -> bytes:
    body = bytearray()
    while piece := response.read1(64 * 1024):
        body += piece
        _left(deadline)
        if len(body) > MAX_LISTING:
            raise ValueError("the list of models is too long")
    return bytes(body)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
