"""The shortest way from a prompt to its answer, for scripts that ask a thousand times.

`aish NAME PROMPT` with its output in a pipe or file goes through here: straight to the CI's
socket, with no more than two small C modules imported. Everything that needs more (a terminal,
several CIs, another option, a CI that is not there) is left to the full client, before anything
is sent.
It repeats, on purpose, what `aish.ask` does; a test runs the same exchanges through both.
"""

from __future__ import annotations

import os

from backends.runtime import CI_FOLDER, MAX_NAME, RESERVED, is_private, runtime_folder

TYPE_CHECKING = False  # `typing` would cost more than all that is imported here
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterator
    from typing import Any

EXIT_STATUS = {
    "usage": 2, "not_found": 3, "cannot_connect": 4, "connection_lost": 4, "unauthorized": 4,
    "timed_out": 5, "model_failed": 6, "no_model": 6, "truncated": 6,
}  # fmt: skip
"""As in `backends.errors`; every other kind is 1."""

_MAX_MESSAGE = 16 * 1024 * 1024
_IDLE_NOTICE_MS = 2000
_FORMAT, _CHARACTER, _FIFO, _SOCKET, _FILE = 0o170000, 0o020000, 0o010000, 0o140000, 0o100000


class _Left(Exception):
    """This prompt is for the full client."""


class _Failed(Exception):
    """The prompt failed: kind, message and hint."""


def run(arguments: list[str]) -> None:
    """Answer a prompt and end the process; returns where the full client has to do it."""
    try:
        name, prompt, options = _parse(arguments)
        channel = _connect(name)
    except _Left:
        return
    _die_of_interrupt()
    try:
        text = (
            None
            if options.get("--no-stdin")
            else read_input(bool(prompt), bool(options.get("-")), options)
        )
        if not prompt and not text:
            raise _Failed(
                "usage",
                "there is no prompt",
                f'give one: aish {name} "hello", or pipe something in',
            )
        _ask(channel, prompt, text, options)
    except _Failed as failure:
        _complain(*failure.args)
        os._exit(EXIT_STATUS.get(failure.args[0], 1))
    os._exit(0)


def _parse(arguments: list[str]) -> tuple[str, str, dict[str, str]]:
    """Return the CI's name, the prompt and the options; a flag's value is its own name."""
    if not arguments or os.isatty(1) or "TEKTON_URL" in os.environ:
        raise _Left
    name = arguments[0].lower().removesuffix("-ci")
    if not name.replace("-", "").isalnum() or name in RESERVED or len(name) > MAX_NAME:
        raise _Left
    words: list[str] = []
    options: dict[str, str] = {}
    rest = iter(arguments[1:])
    for word in rest:
        if word == "--":
            words += rest
        elif word in ("-q", "--quiet", "--no-stdin", "-"):
            options["-q" if word == "--quiet" else word] = word
        elif word in ("-m", "--model", "-s", "--system"):
            options[word.lstrip("-")[0]] = next(rest, "")
            if not options[word.lstrip("-")[0]]:
                raise _Left
        elif word.startswith("-"):
            raise _Left
        else:
            words.append(word)
    return name, " ".join(words), options


def _connect(name: str) -> _socket.socket:
    import _socket

    folder = runtime_folder()
    if not is_private(folder):
        raise _Left
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        channel.connect(f"{folder}/{CI_FOLDER}/{name}.sock")
    except OSError:
        raise _Left from None
    return channel


def read_input(has_prompt: bool, insists: bool, options: dict[str, str]) -> str | None:
    """Read standard input to its end, where there is any; never times out.

    A terminal or another device is not read unless the user insists. Where there is a prompt
    already and a pipe stays silent for 2 s, a notice tells what is waited for.

    Returns:
        The text, invalid UTF-8 replaced (with a warning), or `None`.
    """
    try:
        kind = os.fstat(0).st_mode & _FORMAT
    except OSError:
        return None  # it is closed
    if kind not in (_CHARACTER, _FIFO, _SOCKET, _FILE) or (kind == _CHARACTER and not insists):
        return None
    if has_prompt and kind in (_FIFO, _SOCKET) and "-q" not in options:
        _notice_if_idle()
    parts = []
    while part := os.read(0, 1 << 20):
        parts.append(part)
    data = b"".join(parts)
    try:
        return data.decode() or None
    except UnicodeDecodeError:
        if "-q" not in options:
            _say(
                "warning: standard input is not UTF-8; what could not be read is replaced by U+FFFD"
            )
        return data.decode("utf-8", "replace")


def _notice_if_idle() -> None:
    import select

    readable = select.poll()
    readable.register(0, select.POLLIN)
    if not readable.poll(_IDLE_NOTICE_MS):
        _say("aish: waiting for standard input to end (--no-stdin does not read it)")


def _ask(channel: _socket.socket, prompt: str, text: str | None, options: dict[str, str]) -> None:
    from _json import encode_basestring_ascii as quote

    parameters = {
        "prompt": prompt,
        "input": text,
        "model": options.get("m"),
        "system": options.get("s"),
    }
    fields = ",".join(
        f'"{key}":{quote(to_unicode(value))}' for key, value in parameters.items() if value
    )
    message = f'{{"jsonrpc":"2.0","id":1,"method":"chat","params":{{{fields}}}}}\n'.encode("ascii")
    if len(message) > _MAX_MESSAGE:
        size = len(message) / (1024 * 1024)
        reason = f"the message is {size:.1f} MiB; the limit is {_MAX_MESSAGE // (1024 * 1024)} MiB"
        raise _Failed("too_large", reason, "send less at a time, or send files in parts")
    try:
        channel.sendall(message)
    except OSError:
        pass  # the reason, if there is one, is still there to be read
    is_empty, last = True, "\n"
    for piece in _pieces(channel, options):
        _write(piece.encode("utf-8", "replace"))
        is_empty, last = False, piece[-1:]
    if not is_empty and last != "\n":
        _write(b"\n")


def _pieces(channel: _socket.socket, options: dict[str, str]) -> Iterator[str]:
    scan = _scanner()
    waiting = b""
    while data := _receive(channel):
        *lines, waiting = (waiting + data if waiting else data).split(b"\n")
        for line in lines:
            body = scan(line.decode(), 0)[0]
            if "method" in body:
                value = body["params"]["value"]
                if value.get("text"):
                    yield value["text"]
                if value.get("notice") and "-q" not in options:
                    _say(f"notice: {_clean(value['notice'])}")
            elif "error" in body:
                found = body["error"]
                raise _Failed(found["data"]["kind"], found["message"], found["data"].get("hint"))
            else:
                return
    raise _Failed("connection_lost", "the connection was lost before the answer was complete", None)


def _receive(channel: _socket.socket) -> bytes:
    try:
        return channel.recv(65536)
    except OSError:
        return b""


def _scanner() -> Callable[[str, int], tuple[dict[str, Any], int]]:
    """The JSON scanner of CPython, without the package around it."""
    from _json import make_scanner

    class Context:
        strict = True
        object_hook = object_pairs_hook = None
        parse_float, parse_int, parse_constant = float, int, float

    return make_scanner(Context)  # type: ignore[arg-type]


def _write(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:
            import select

            select.select([], [1], [])
        except BrokenPipeError:
            _die_of(13)
        except OSError as error:
            raise _Failed("failed", f"cannot write the answer: {error.strerror}", None) from None


def _die_of_interrupt() -> None:
    """Let Ctrl-C end the process at once; the hub sees the connection go and cancels."""
    import _signal  # type: ignore[import-not-found]

    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def _die_of(number: int) -> None:
    """End as a signal ends a program, so that a shell sees it."""
    import _signal

    _signal.signal(number, _signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _complain(kind: str, message: str, hint: str | None) -> None:
    _say(f"error: {_clean(message)}")
    if hint:
        _say(f"hint: {_clean(hint)}")


def _clean(text: str) -> str:
    from backends.cleaning import clean_line

    return clean_line(text)


def _say(line: str) -> None:
    try:
        os.write(2, line.encode("utf-8", "replace") + b"\n")
    except OSError:
        pass  # nobody listens


def to_unicode(text: str) -> str:
    """Replace what the system could not decode in an argument."""
    return (
        text
        if text.isascii()
        else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
