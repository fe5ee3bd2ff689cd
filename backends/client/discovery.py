"""Finding who answers a request on this machine, and telling well why nobody does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.errors import CannotConnect, NotFound, TektonError, TimedOut
from backends.protocol.messages import CI_SERVICE, Health, Request, ServiceInfo
from backends.runtime import canonical, is_private, runtime_folder, socket_path
from backends.transport.address import Address, parse_address

if TYPE_CHECKING:
    from backends.paths import Paths

START_HINT = "`tekton up` starts it"
PATIENCE_S = 10.0
"""How long a service may be silent where nothing keeps it busy, in seconds."""

_ASK_S = 0.5
_MAX_ANSWER = 1024 * 1024
_VERBS = ("list", "chat", "history", "session", "shell", "shellenv", "completion")


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


def locate(name: str, is_ci: bool, runtime: str | None = None) -> Address:
    """Return the Unix socket of the service or CI of that name, whether it is there or not.

    Args:
        name: As `target` gives it.
        is_ci: Whether it is a CI.
        runtime: The folder of sockets; `None` asks the environment.

    Raises:
        CannotConnect: The folder of sockets is not this user's alone.
        NotFound: Nothing can have that name.
    """
    folder = runtime or runtime_folder()
    if os.path.lexists(folder) and not is_private(folder):
        raise CannotConnect(
            f"the folder of sockets {folder} is not this user's alone, so it is not used",
            "look who made it, remove it, then `tekton up`",
        )
    if not name.replace("-", "").replace("_", "").isalnum():
        raise why_not(name, is_ci)
    return Address("unix", path=socket_path(folder, name, is_ci))


def why_not(
    name: str, is_ci: bool, paths: Paths | None = None, reason: str | None = None
) -> TektonError:
    """Find out why nobody answers at the socket of a service or CI.

    Returns:
        `CannotConnect`: no hub is running, or the service is gone; `NotFound`: no such CI, or it
        is gone. `reason` is told where the record says that it should be there.
    """
    from backends.paths import find_paths
    from backends.registry import Registry, checked

    registry = Registry((paths or find_paths()).registry)
    record = registry.find(name, is_ci)
    alive = [found for found in registry.live_records() if found.health is Health.ALIVE]
    if not alive:
        left = next((found for found in registry.records() if found.health is Health.ALIVE), None)
        if left is None:
            return CannotConnect("no hub is running", START_HINT)
        return CannotConnect(f"the hub (pid {left.pid}) died without saying goodbye", START_HINT)
    if record is None:
        kind = "CI" if is_ci else "service"
        if is_ci and _is_terminal(name, alive):
            return NotFound(
                f"no CI named {name!r}: nothing answers in the terminal of that name",
                f"`terma message {name} TEXT` puts a message into its mailbox",
            )
        return NotFound(f"no {kind} named {name!r}", _suggest(name, is_ci, alive))
    why = checked(record).reason or reason or "it does not answer"
    if is_ci:
        return NotFound(
            f"CI {name!r} is gone: {why}",
            f"bring it back with `tekton serve {name}`, or all with `tekton restart`",
        )
    return CannotConnect(
        f"{name} is gone: {why}", f"`tekton serve {name}` brings it back, or tells why not"
    )


def silent(name: str, is_ci: bool, seconds: float, paths: Paths | None = None) -> TimedOut:
    """Return the error for a service or CI that says nothing: which process to look at."""
    from backends.paths import find_paths
    from backends.registry import Registry

    record = Registry((paths or find_paths()).registry).find(name, is_ci)
    hint = "`tekton status` shows what runs"
    if record:
        pid = record.pid
        hint = f"`kill -CONT {pid}` if it is stopped; else `kill -KILL {pid}`, then `tekton up`"
    return TimedOut(f"{name} does not answer within {seconds:g} s", hint)


def _is_terminal(name: str, alive: list[ServiceInfo]) -> bool:
    """Ask terma whether there is an open terminal of a name; silence means no."""
    import json
    import socket

    terma = next((one for one in alive if one.name == "terma" and not one.is_ci), None)
    if terma is None or terma.pid == os.getpid():
        return False  # a hub that waited for itself would wait in vain
    request = {"jsonrpc": "2.0", "id": 1, "method": "terminal.list", "params": {"name": name}}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(_ASK_S)
            channel.connect(terma.socket)
            channel.sendall(json.dumps(request).encode() + b"\n")
            with channel.makefile("rb") as answer:
                found = json.loads(answer.readline(_MAX_ANSWER))["result"]["terminals"][0]
        return bool(found["name"] == name and found.get("state") != "closed")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _suggest(name: str, is_ci: bool, alive: list[ServiceInfo]) -> str:
    import difflib

    names = [record.name for record in alive if record.is_ci == is_ci]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    verbs = difflib.get_close_matches(name, _VERBS, n=1, cutoff=0.7) if is_ci else []
    if verbs and name not in close:
        return f"did you mean `aish {verbs[0]}`? `aish list` shows all CIs"
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
    except OSError as error:
        raise NotFound(f"cannot read the token file {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise NotFound(f"cannot read the token file {file}: it is no text") from error
    if not token:
        raise NotFound(
            f"the token file {file} is empty", "`tekton token create NAME > FILE` makes one"
        )
    return token


def terminal_token(name: str) -> str | None:
    """Return the token of the terminal around this process, which is shown to terma alone.

    Where it cannot be read, terma still knows its own processes by the kernel's word.
    """
    file = os.environ.get("TERMA_TOKEN_FILE") if name == "terma" else None
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
