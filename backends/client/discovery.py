"""Finding who answers a request on this machine, and telling well why nobody does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from backends.errors import CannotConnect, NotFound
from backends.paths import Paths
from backends.protocol.messages import CI_SERVICE, Health, Request, ServiceInfo
from backends.registry import Registry, checked
from backends.runtime import is_private
from backends.transport.address import Address, parse_address

START_HINT = "`tekton up` starts it"


def canonical(name: str) -> str:
    """The CI's own name: `apollo-ci` and `Apollo` are `apollo`."""
    return name.lower().removesuffix("-ci")


def target(request: Request[Any]) -> tuple[str, bool]:
    """Return the name of who answers a request, and whether that is a CI."""
    ci = getattr(request, "ci", None)
    if request.SERVICE == CI_SERVICE or (request.SERVICE is None and ci):
        return canonical(ci or ""), True
    name = request.SERVICE or getattr(request, "service", None) or "hermes"
    return name, name == "numa"


def remote_of(url: str | None) -> Address | None:
    """Return the address that `--url` or `$TEKTON_URL` names; `None` means this machine's hub.

    Raises:
        UsageError: It is no address.
    """
    url = url or os.environ.get("TEKTON_URL")
    return parse_address(url) if url else None


def locate(paths: Paths, name: str, is_ci: bool) -> Address:
    """Return the Unix socket of the service or CI of that name.

    Raises:
        CannotConnect: No hub is running, or the service is gone.
        NotFound: No such CI, or it is gone; the message says which and why.
    """
    if paths.runtime.exists() and not is_private(os.fspath(paths.runtime)):
        raise CannotConnect(
            f"the folder of sockets {paths.runtime} is not this user's alone, so it is not used",
            "look who made it, remove it, then `tekton up`",
        )
    registry = Registry(paths.registry)
    record = registry.find(name, is_ci)
    if record and checked(record).health is Health.ALIVE:
        return Address("unix", path=record.socket)
    alive = [found for found in registry.live_records() if found.health is Health.ALIVE]
    if not alive:
        raise _no_hub(registry)
    if record is None:
        raise NotFound(
            f"no {'CI' if is_ci else 'service'} named {name!r}", _suggest(name, is_ci, alive)
        )
    if is_ci:
        raise NotFound(
            f"CI {name!r} is gone: {checked(record).reason}",
            f"bring it back with `tekton serve {name}`, or all with `tekton down && tekton up`",
        )
    raise CannotConnect(
        f"{name} is gone: {checked(record).reason}", f"`tekton serve {name}` brings it back"
    )


def _no_hub(registry: Registry) -> CannotConnect:
    left = next((found for found in registry.records() if found.health is Health.ALIVE), None)
    if left is None:
        return CannotConnect("no hub is running", START_HINT)
    return CannotConnect(f"the hub (pid {left.pid}) died without saying goodbye", START_HINT)


def _suggest(name: str, is_ci: bool, alive: list[ServiceInfo]) -> str:
    import difflib

    names = [record.name for record in alive if record.is_ci == is_ci]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    listing = "`aish list` shows all" if is_ci else "`tekton status` shows all"
    if not close:
        return listing
    return f"did you mean {' or '.join(repr(found) for found in close)}? {listing}"


def read_token(file: Path) -> str:
    """Read a token from the file that `--token-file` names.

    Raises:
        NotFound: It cannot be read, or is empty.
    """
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"cannot read the token file {file}: {error}") from error
    if not token:
        raise NotFound(
            f"the token file {file} is empty", "`tekton token create NAME > FILE` makes one"
        )
    return token
