"""What is asked every other second: the terminals in one line, for status lines and prompts.

Completion asks the same way. Both say nothing where no hub answers, since nobody could read it
there; the modules that a full client needs would take most of the time.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` would cost more than all that is imported here
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_PATIENCE_S = 1.0
_MARKS = {"busy": "●", "waiting": "!", "exited": "○", "lost": "✗"}


def run(words: Sequence[str]) -> None:
    """Answer `--short` or `--for-completion` and end the process; returns where more is asked."""
    if words == ["--short"]:
        text = short_line()
    elif words == ["--for-completion"]:
        text = "\n".join(_candidates())
    else:
        return
    if text:
        _print(text)
    os._exit(0)


def short_line(name: str | None = None) -> str:
    """Return the terminals in one line, or the one of that name; "" where no hub answers."""
    return " ".join(
        f"{one['name']}{_MARKS.get(one.get('state', ''), '')}{_unseen(one.get('unseen', 0))}"
        for one in _terminals(name)
    )


def _unseen(count: int) -> str:
    return f"+{count}" if count else ""


def _candidates() -> Iterator[str]:
    """Yield what may stand for terminals, each with what it is: names, then roles."""
    roles: dict[str, list[str]] = {}
    for one in _terminals():
        yield f"{one['name']}\t{one.get('kind', '')}, {one.get('state', '')}"
        for role in one.get("roles", ()):
            roles.setdefault(role, []).append(one["name"])
    for role, names in sorted(roles.items()):
        yield f"@{role}\t{' '.join(names)}"


def _terminals(name: str | None = None) -> list[dict[str, Any]]:
    """Ask for the terminals; there are none where anything is not as it should be."""
    from _json import encode_basestring_ascii as quote

    parameters = f'{{"name":{quote(name)}}}' if name else "{}"
    question = f'{{"jsonrpc":"2.0","id":1,"method":"terminal.list","params":{parameters}}}\n'
    try:
        return _found(_ask(question.encode("ascii")))
    except Exception:  # noqa: BLE001 - a status line has no place for a reason
        return []


def _ask(question: bytes) -> bytes:
    """Send a line to the service and return the line that it answers."""
    import _socket

    from backends.fast import connect

    _socket.setdefaulttimeout(_PATIENCE_S)  # connecting may take for ever, too
    channel = connect("terma", is_ci=False)
    left = memoryview(question)
    while left:
        left = left[channel.send(left) :]
    answer = b""
    while not answer.endswith(b"\n") and (part := channel.recv(1 << 18)):
        answer += part
    return answer


def _found(answer: bytes) -> list[dict[str, Any]]:
    from backends.fast import scanner

    terminals: list[dict[str, Any]] = scanner()(answer.decode(), 0)[0]["result"]["terminals"]
    return [one for one in terminals if _is_slug(one["name"])]


def _is_slug(name: str) -> bool:
    """Tell whether a name is one: nothing else goes to a terminal from here."""
    return name.isascii() and name.replace("-", "").replace("_", "").isalnum()


def _print(text: str) -> None:
    left = f"{text}\n".encode()
    try:
        while left:
            left = left[os.write(1, left) :]
    except OSError:
        pass  # nobody reads it
