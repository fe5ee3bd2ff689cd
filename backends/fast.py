"""The shortest way from a prompt to its answer, for scripts that ask a thousand times.

`aish NAME PROMPT` with its output in a pipe or file goes through here: straight to the CI's
socket, with no more than two small C modules imported. Everything that needs more (a terminal,
several CIs, another option, a CI that is not there) is left to the full client, before anything
is sent.
It repeats, on purpose, what `aish.ask` does; a test runs the same exchanges through both.
"""

from __future__ import annotations

import os

from backends.runtime import (
    MAX_NAME,
    RESERVED,
    is_private,
    runtime_folder,
    socket_path,
    terminal_key,
)

TYPE_CHECKING = False  # `typing` would cost more than all that is imported here
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterator
    from typing import Any

EXIT_STATUS = {
    "usage": 2, "not_found": 3, "cannot_connect": 4, "connection_lost": 4, "unauthorized": 4,
    "timed_out": 5, "model_failed": 6, "no_model": 6, "truncated": 6,
    "schema_mismatch": 6,
}  # fmt: skip
"""As in `backends.errors`; every other kind is 1."""

_MAX_MESSAGE = 16 * 1024 * 1024
_LIMIT = f"{_MAX_MESSAGE // (1024 * 1024)} MiB"
_SEND_LESS = "send less at a time, or send files in parts"
_IDLE_NOTICE_MS = 2000
PATIENCE_S = 10.0
_EBADF = 9
_FORMAT, _CHARACTER, _FIFO, _SOCKET, _FILE = 0o170000, 0o020000, 0o010000, 0o140000, 0o100000


UNEXPECTED = (
    ValueError, StopIteration, LookupError, TypeError, AttributeError,
    SystemError,  # the scanner's own way, where `json.decoder` is not loaded
)  # fmt: skip


class Left(Exception):
    """This is for the full client."""


class Failed(Exception):
    """The prompt failed: kind, message and hint."""


def run(arguments: list[str]) -> None:
    """Answer a prompt and end the process; returns where the full client has to do it."""
    _die_of_interrupt()
    try:
        name, prompt, options = _parse(arguments)
        channel = connect(name)
        text = (
            None if "--no-stdin" in options else read_input(bool(prompt), "-" in options, options)
        )
        if not prompt and not text:
            channel.close()
            _explain_no_prompt(arguments[0], options)
        warn_of_arguments([prompt, *options.values()], "-q" in options)
        _ask(channel, name, prompt, text, options)
    except Left:
        return
    except Failed as failure:
        complain(*failure.args)
        os._exit(EXIT_STATUS.get(failure.args[0], 1))
    os._exit(0)


def _explain_no_prompt(name: str, options: dict[str, str]) -> None:
    if "--no-stdin" not in options and os.isatty(0):
        raise Left  # a person can be asked
    hint = f'give one: aish {to_unicode(name)} "hello", or pipe something in'
    raise Failed("usage", "there is no prompt", hint)


def _parse(arguments: list[str]) -> tuple[str, str, dict[str, str]]:
    """Return the CI's name, the prompt and the options; a flag's value is its own name."""
    if not arguments or os.isatty(1) or "TEKTON_URL" in os.environ:
        raise Left
    name = arguments[0].lower().removesuffix("-ci")
    if not name.replace("-", "").isalnum() or name in RESERVED or len(name) > MAX_NAME:
        raise Left
    words: list[str] = []
    options: dict[str, str] = {}
    rest = iter(arguments[1:])
    for word in rest:
        if word in ("-q", "--quiet", "--no-stdin", "-"):
            options["-q" if word == "--quiet" else word] = word
        elif word in ("-m", "--model", "-s", "--system"):
            options[word.lstrip("-")[0]] = next(rest, "")
            if not options[word.lstrip("-")[0]]:
                raise Left
        elif word.startswith("-"):
            raise Left
        else:
            words.append(word)
    return name, " ".join(words), options


def connect(name: str, is_ci: bool = True) -> _socket.socket:
    """Connect to a CI, or a service, of this machine.

    Raises:
        Left: Nobody can be reached there; the full client tells why.
    """
    import _socket

    try:
        folder = runtime_folder()
    except Exception:  # noqa: BLE001 - the full client tells it
        raise Left from None
    if not is_private(folder):
        raise Left
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        channel.connect(socket_path(folder, name, is_ci))
    except OSError:
        channel.close()
        raise Left from None
    if channel.fileno() < 3:
        channel.close()  # it has the number of a standard stream that is closed
        raise Left
    return channel


def read_input(
    has_prompt: bool, insists: bool, options: dict[str, str], program: str = "aish"
) -> str | None:
    """Read standard input to its end, where there is any; never times out.

    A terminal or another device is not read unless the user insists. Where there is a prompt
    already and a pipe stays silent for 2 s, a notice tells what is waited for.

    Returns:
        The text, invalid UTF-8 replaced (with a warning), or `None`.

    Raises:
        Failed: It cannot be read, or is larger than a message may be.
    """
    try:
        kind = os.fstat(0).st_mode & _FORMAT
    except OSError:
        return None  # it is closed
    if (kind == _CHARACTER and not insists) or kind not in (_CHARACTER, _FIFO, _SOCKET, _FILE):
        return None
    is_quiet = "-q" in options
    tells = has_prompt and kind in (_FIFO, _SOCKET) and not is_quiet
    data = _read_all(program if tells else None)
    try:
        return data.decode() or None
    except UnicodeDecodeError:
        if not is_quiet:
            say(
                "warning: standard input is not UTF-8; what could not be read is replaced by U+FFFD"
            )
        return data.decode("utf-8", "replace")


def _read_all(telling: str | None) -> bytes:
    """Read to the end; in the name of the program `telling`, tell where nothing comes."""
    parts: list[bytes] = []
    size = 0
    while True:
        if telling and not _is_readable(_IDLE_NOTICE_MS):
            say(f"{telling}: waiting for standard input to end (--no-stdin does not read it)")
            telling = None
        try:
            part = os.read(0, 1 << 20)
        except BlockingIOError:
            _is_readable(-1)
            continue
        except OSError as error:
            raise Failed("failed", f"cannot read standard input: {error.strerror}", None) from None
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > _MAX_MESSAGE:  # or an endless one would take all memory
            reason = f"standard input is too large for a message; the limit is {_LIMIT}"
            raise Failed("too_large", reason, _SEND_LESS)


def _is_readable(timeout_ms: int) -> bool:
    import select

    readable = select.poll()
    readable.register(0, select.POLLIN)
    return bool(readable.poll(timeout_ms))


def _ask(
    channel: _socket.socket, name: str, prompt: str, text: str | None, options: dict[str, str]
) -> None:
    from _json import encode_basestring_ascii as quote

    parameters = {
        "prompt": prompt,
        "input": text,
        "model": options.get("m"),
        "system": options.get("s"),
        "terminal": terminal_key(),
    }
    fields = ",".join(
        f'"{key}":{quote(to_unicode(value))}' for key, value in parameters.items() if value
    )
    message = f'{{"jsonrpc":"2.0","id":1,"method":"chat","params":{{{fields}}}}}\n'.encode("ascii")
    check_size(message)
    notice = None if "-q" in options else silence_notice(name)
    channel.settimeout(PATIENCE_S)
    try:
        left = memoryview(message)
        while left:
            left = left[_patiently(channel, channel.send, left, notice) :]
    except OSError:
        pass  # the reason, if there is one, is still there to be read
    last = b"\n"
    try:
        for piece in _pieces(channel, options, notice):
            write_answer(piece)
            last = piece[-1:]
    finally:  # an error stands on a line of its own
        if last != b"\n":
            write_answer(b"\n")


def check_size(message: bytes) -> None:
    """Refuse what is larger than a message may be.

    Raises:
        Failed: It is.
    """
    if len(message) > _MAX_MESSAGE:
        size = len(message) / (1024 * 1024)
        reason = f"the message is {size:.1f} MiB; the limit is {_LIMIT}"
        raise Failed("too_large", reason, _SEND_LESS)


def silence_notice(name: str) -> str:
    """Say that nothing has come for a while, and what can be done."""
    return f"aish: no answer from {name} yet (Ctrl-C stops waiting; --timeout SECONDS gives up)"


def _patiently(
    channel: _socket.socket, act: Callable[[Any], Any], argument: object, notice: str | None
) -> Any:
    """Send or receive; where that takes long, tell so once and then wait for ever."""
    try:
        return act(argument)
    except TimeoutError:
        if notice:
            say(notice)
        channel.settimeout(None)
        return act(argument)


def _pieces(
    channel: _socket.socket, options: dict[str, str], silence: str | None
) -> Iterator[bytes]:
    scan = scanner()
    waiting = b""
    while data := _receive(channel, silence):
        if channel.gettimeout():
            channel.settimeout(None)
        *lines, waiting = (waiting + data if waiting else data).split(b"\n")
        for line in lines:
            try:
                text, notice, is_over = _read_message(scan(line.decode(), 0)[0])
            except UNEXPECTED:
                _read_closely(line)
                continue
            if notice and "-q" not in options:
                say(f"notice: {_clean(notice)}")
            if text:
                yield text
            if is_over:
                return
    raise Failed("connection_lost", "the connection was lost before the answer was complete", None)


def _read_message(body: dict[str, Any]) -> tuple[bytes, str | None, bool]:
    """Return the text and the notice of a chunk, and whether the answer is complete."""
    if body.get("method") == "$/chunk" and body["params"]["id"] == 1:
        value = body["params"]["value"]
        return _encoded(value.get("text", "")), value.get("notice"), False
    if body["id"] != 1 or "method" in body:
        raise LookupError
    if "error" in body:
        found = body["error"]
        raise Failed(found["data"]["kind"], found["message"], found["data"].get("hint"))
    answer = body["result"]
    if not type(answer["ci"]) is type(answer["model"]) is str:
        raise TypeError
    return b"", None, True


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can carry
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()


def _read_closely(line: bytes) -> None:
    """Pass over a message that the protocol lets one pass over; fail with its words otherwise."""
    from backends.protocol.connection import Connection
    from backends.protocol.messages import Chat

    if not line.strip():
        return
    connection = Connection()
    connection.request(Chat())
    event = connection.receive(line)
    if event is None:
        return
    error = getattr(event, "error", None)
    if error is None:
        raise Failed("connection_lost", "unexpected message", None)
    raise Failed(error.kind, error.message, error.hint)


def _receive(channel: _socket.socket, silence: str | None) -> bytes:
    try:
        return _patiently(channel, channel.recv, 65536, silence)  # type: ignore[no-any-return]
    except OSError:
        return b""


def scanner() -> Callable[[str, int], tuple[dict[str, Any], int]]:
    """Return the JSON scanner of CPython, without the package around it."""
    from _json import make_scanner

    class Context:
        strict = True
        object_hook = object_pairs_hook = None
        parse_float, parse_int, parse_constant = float, int, float

    return make_scanner(Context)  # type: ignore[arg-type]


def write_answer(data: bytes) -> None:
    """Write to standard output, all of it; a reader that is gone ends the process.

    Raises:
        Failed: It cannot be written.
    """
    while data:
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:
            import select

            select.select([], [1], [])
        except BrokenPipeError:
            _die_of(13)
        except OSError as error:
            is_closed = error.errno == _EBADF
            reason = "standard output is closed" if is_closed else error.strerror
            raise Failed("failed", f"cannot write the answer: {reason}", None) from None


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


def complain(kind: str, message: str, hint: str | None) -> None:
    """Show an error, and its hint, on stderr."""
    say(f"error: {_clean(message)}")
    if hint:
        say(f"hint: {_clean(hint)}")


def _clean(text: str) -> str:
    from backends.cleaning import clean_line

    return clean_line(text)


def say(line: str) -> None:
    """Tell the user something beside the answer."""
    try:
        os.write(2, line.encode("utf-8", "replace") + b"\n")
    except OSError:
        pass  # nobody listens


def warn_of_arguments(words: list[str], is_quiet: bool) -> None:
    """Tell, unless that is unwanted, that some are not UTF-8."""
    if not is_quiet and any(to_unicode(word) != word for word in words):
        say("warning: an argument is not UTF-8; what could not be read is replaced by U+FFFD")


def to_unicode(text: str) -> str:
    """Replace what the system could not decode in an argument."""
    return (
        text
        if text.isascii()
        else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
