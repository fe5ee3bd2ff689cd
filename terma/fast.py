"""The shortest way of a message into a mailbox, and of a notice to a prompt.

Agents send many messages, and a shell asks for its notice before every prompt. Both go straight to
the service's socket, as one-shot prompts do (`backends.fast`); whatever needs more is left to the
full client, before anything is sent. What is said of both is decided here for the full client,
too; a test runs the same exchanges through both.
"""

from __future__ import annotations

import os
from stat import S_ISCHR

from backends.fast import (
    EXIT_STATUS,
    PATIENCE_S,
    UNEXPECTED,
    Failed,
    Left,
    check_size,
    complain,
    connect,
    read_input,
    say,
    scanner,
    to_unicode,
    warn_of_arguments,
    write_answer,
)

TYPE_CHECKING = False  # `typing` would cost more than all that is imported here
if TYPE_CHECKING:
    import _socket
    from typing import Any

NOTICE_PATIENCE_S = 1.0
"""How long a prompt waits for its notice."""

_SHOWN = 1000
_LEAST = 12


def run(arguments: list[str]) -> None:
    """Send a message, or show a notice, and end the process; returns where it is neither."""
    try:
        if arguments == ["inbox", "--notice"]:
            _show_notice()
        elif arguments[:1] == ["message"]:
            _send(arguments[1:])
        else:
            return
    except Left:
        return
    except Failed as failure:
        complain(*failure.args)
        os._exit(EXIT_STATUS.get(failure.args[0], 1))
    os._exit(0)


# -- messages --------------------------------------------------------------------------------


def _send(arguments: list[str]) -> None:
    names, words, options = _parse(arguments)
    is_quiet = "-q" in options
    to = addresses(names)
    channel = connect("terma", is_ci=False)
    given = joined(words)
    piped = None
    if "--no-stdin" not in options and reads_input("-" in options):
        trial = {"to": to, "text": "", "is_trial": True}
        _ask(connect("terma", is_ci=False), "message.send", trial, PATIENCE_S)
        piped = read_input(bool(given), "-" in options, options, "terma")
    if not given and not piped and "--no-stdin" not in options and os.isatty(0):
        channel.close()
        raise Left  # a person can be asked
    text = compose(given, piped, f"message {names}")
    warn_of_arguments(words, is_quiet)
    fields = {"to": to, "text": text}
    if "--id" in options:
        fields["id"] = to_unicode(options["--id"])
    sent = _ask(channel, "message.send", fields, PATIENCE_S)
    try:
        id_, recipients = sent["id"], sent["recipients"]
        note = told_of(to, recipients, bool(sent.get("is_repeated")))
    except UNEXPECTED:
        raise Failed("protocol", "unexpected answer", None) from None
    write_answer(f"{id_}\n".encode())
    if note and not is_quiet:
        say(note)


def _parse(arguments: list[str]) -> tuple[str, list[str], dict[str, str]]:
    """Return the names, the words of the text and the options; a flag's value is its own name."""
    words: list[str] = []
    options: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        if word in ("-q", "--quiet", "--no-stdin"):
            options["-q" if word == "--quiet" else word] = word
        elif word == "-" and words:
            options["-"] = word
        elif word == "--id":
            options["--id"] = next(rest, "")
            if not options["--id"]:
                raise Left
        elif word.startswith("-"):
            raise Left
        else:
            words.append(word)
    if not words:
        raise Left
    return to_unicode(words[0]), words[1:], options


def addresses(names: str) -> list[str]:
    """Return the names, roles and groups of `alice,@test`.

    Raises:
        Failed: There is none.
    """
    found = [name.strip() for name in names.split(",") if name.strip()]
    if not found:
        raise Failed(
            "usage", "nobody is named", "`terma message NAME TEXT`; `terma list` shows all"
        )
    return found


def joined(words: list[str]) -> str:
    """Return the text of a command line.

    Raises:
        Failed: There are words, and nothing in them.
    """
    given = " ".join(map(to_unicode, words))
    if words and not given.strip():
        hint = "without a text it is read from a pipe; at a terminal you are asked for it"
        raise Failed("usage", "the message is empty", hint)
    return given


def reads_input(insists: bool) -> bool:
    """Tell whether a text may come by standard input, where that is no terminal."""
    try:
        return insists or not S_ISCHR(os.fstat(0).st_mode)
    except OSError:
        return False  # it is closed


def compose(given: str, piped: str | None, command: str) -> str:
    """Return the text of a message: what was given, then what came through a pipe.

    Raises:
        Failed: It is empty.
    """
    text = "\n\n".join(part for part in (given, piped) if part)
    if not text.strip():
        hint = f'give it one: terma {command} "hello", or pipe something in'
        raise Failed("usage", "the message has no text", hint)
    return text


def told_of(to: list[str], recipients: list[str], is_repeated: bool) -> str | None:
    """Say whom a message went to, where that is not plain from its address."""
    if is_repeated:
        return "it was sent before, so nothing was sent again"
    if len(recipients) > 1 or any(name.startswith("@") for name in to):
        return f"sent to {', '.join(recipients)}"
    return None


# -- notices ---------------------------------------------------------------------------------


def _show_notice() -> None:
    """Show what is new, in one line; whatever goes wrong, a prompt hears nothing of it."""
    try:
        channel = connect("terma", is_ci=False)
        inbox = _ask(channel, "message.inbox", {"is_notice": True}, NOTICE_PATIENCE_S)
        for last in inbox["messages"]:
            count = 1 + inbox.get("left_out", 0)
            line = notice(count, last["sender"], last["text"], columns())
            write_answer(line.encode("utf-8", "replace") + b"\n")
    except (Left, Failed, *UNEXPECTED):
        os._exit(0)


def notice(count: int, sender: str, text: str, width: int) -> str:
    """Return the line that tells of new messages, the last of them from `sender`; it fits."""
    from backends.cleaning import clean_line

    words = "new message" if count == 1 else f"{count} new messages, the last"
    head, tail = f'{words} from {clean_line(sender)}: "', '"  (terma inbox)'
    room = width - 1 - len(head) - len(tail)  # in the last column some terminals wrap
    if room < _LEAST:
        room, tail = room + len(tail) - 1, '"'
    return cut(head + cut(clean_line(text[:_SHOWN]), max(room, 1)) + tail, width - 1)


def cut(text: str, room: int) -> str:
    """Cut a line to so many columns; wide characters take two (Unicode, annex 11)."""
    if text.isascii():
        return text if len(text) <= room else text[: max(room - 1, 0)] + "…"
    from unicodedata import combining, east_asian_width

    used = end = 0
    for position, character in enumerate(text):
        used += 0 if combining(character) else 1 + (east_asian_width(character) in "WF")
        if used < room:
            end = position + 1  # an ellipsis still fits behind it
        elif used > room:
            return text[:end] + "…"
    return text


def columns() -> int:
    """Return the width of the terminal behind a standard stream, 80 where there is none."""
    for stream in (1, 2, 0):
        try:
            return os.get_terminal_size(stream).columns or 80
        except OSError:
            continue
    return 80


# -- the socket ------------------------------------------------------------------------------


def _ask(
    channel: _socket.socket, method: str, fields: dict[str, Any], patience_s: float
) -> dict[str, Any]:
    """Ask the service, and return its answer.

    Raises:
        Failed: What it answered, or that it did not.
    """
    token = _token()
    greeting = {"protocol": 1, "client": "terma", "token": token}
    hello = _request(0, "hello", greeting) if token else b""
    message = _request(1, method, fields)
    check_size(message)
    channel.settimeout(patience_s)
    try:
        channel.sendall(hello + message)
    except TimeoutError:
        raise _silence(patience_s) from None
    except OSError:
        pass  # the reason, if there is one, is still there to be read
    scan = scanner()
    for line in _lines(channel, patience_s):
        try:
            body = scan(line.decode(), 0)[0]
            if "error" in body:
                found = body["error"]
                raise Failed(found["data"]["kind"], found["message"], found["data"].get("hint"))
            if body["id"] == 1:
                result: dict[str, Any] = body["result"]
                return result
        except UNEXPECTED:
            raise Failed("protocol", "unexpected message", None) from None
    raise Failed("connection_lost", "the connection was lost before the answer was complete", None)


def _lines(channel: _socket.socket, patience_s: float) -> Any:
    waiting = b""
    while True:
        try:
            data = channel.recv(1 << 18)
        except TimeoutError:
            raise _silence(patience_s) from None
        except OSError:
            data = b""
        if not data:
            return
        *lines, waiting = (waiting + data if waiting else data).split(b"\n")
        yield from filter(None, lines)


def _silence(patience_s: float) -> Failed:
    from backends.client.discovery import silent

    error = silent("terma", False, patience_s)
    return Failed(error.kind, error.message, error.hint)


def _token() -> str | None:
    """Return the token of the terminal around this process, where it can be read."""
    file = os.environ.get("TERMA_TOKEN_FILE")
    try:
        with open(file or "", "rb", 0) as stream:
            return stream.read(4096).decode("ascii").strip() or None
    except (OSError, ValueError):
        return None


def _request(number: int, method: str, fields: dict[str, Any]) -> bytes:
    parameters = ",".join(f'"{name}":{_json(value)}' for name, value in fields.items())
    message = f'{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{{{parameters}}}}}\n'
    return message.encode("ascii")


def _json(value: str | int | list[str]) -> str:
    from _json import encode_basestring_ascii as quote

    if isinstance(value, int):
        return str(value).lower()  # a truth value is one, too
    if isinstance(value, str):
        return quote(value)
    return f"[{','.join(map(quote, value))}]"
