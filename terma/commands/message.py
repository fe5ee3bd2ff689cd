"""`terma message`: send a message to terminals, and wait for their answers."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backends.cleaning import clean
from backends.console import ago, die_of, say
from backends.errors import CannotConnect, NotFound, TektonError, TimedOut, UsageError
from backends.protocol import schema
from backends.protocol.mailboxes import (
    Deliveries,
    FollowMessage,
    Message,
    MessageState,
    SendMessage,
    TakeAnswers,
)
from terma.options import Debug

if TYPE_CHECKING:
    from backends.protocol.mailboxes import Sent
    from backends.protocol.messages import Request

_TRY_EVERY_S = 0.1
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LENGTH = re.compile(r"(?:[0-9]{1,7}[smhdw])+")

NoStdin = Annotated[bool, typer.Option("--no-stdin", help="Do not read standard input.")]
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TEXT]...", help="The text; '-' reads standard input whatever it is."),
]


def message(
    names: Annotated[
        str,
        typer.Argument(
            metavar="NAMES", help="A terminal, @role, @all or user; several joined by commas."
        ),
    ],
    words: Words = None,
    id_: Annotated[
        str | None,
        typer.Option(
            "--id", metavar="ID", help="Its id: what has been sent is not sent again under it."
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="TIME", help="Nobody needs it after 90s, 10m, 1h, 2d."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Print the answers as they come, until all are there.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", min=0.001, help="Wait so long (exit status 5)."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; with --wait once all have answered.")
    ] = False,
    no_stdin: NoStdin = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No notices on stderr.")] = False,
    debug: Debug = False,
) -> None:
    """terma message alice "PR 42 is ready": put a message into mailboxes, and print its id.

    \b
    make test | terma message @review,bob "the tests say"
    answer=$(terma message alice --wait --timeout 60 "which branch?")

    Without a text, standard input is read; at a terminal you are asked for it, and Ctrl-D ends it.
    A message is safe on the disk when this returns. Nothing is typed into the terminal: its shell
    tells of the message before the next prompt, and `terma inbox`, in there, shows it.
    """  # noqa: D301  # the mark keeps a paragraph's lines
    from backends.fast import to_unicode

    if timeout is not None and not wait:
        raise UsageError("--timeout is for --wait", "add --wait, or leave --timeout out")
    expires_s = None if expires is None else _seconds(expires)
    to = read_addresses(to_unicode(names))
    trial = SendMessage(to=to, text="", is_trial=True)
    text = read_text(words, no_stdin, quiet, to_unicode(names), trial)
    request = SendMessage(to=to, text=text, id=id_ and to_unicode(id_), expires_s=expires_s)
    sent: Sent = _send(request)
    if wait:
        _wait(sent, timeout, as_json, quiet)
        return
    print(json.dumps(schema.encode(sent)) if as_json else sent.id)
    _tell(request, sent, quiet)


def _send(request: Request[Any]) -> Any:
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(is_local=True) as tekton:
        return tekton.call(request)


def _tell(request: SendMessage, sent: Sent, quiet: bool) -> None:
    from terma.fast import told_of

    note = told_of(list(request.to), list(sent.recipients), sent.is_repeated)
    if note and not quiet:
        say(note)


def read_addresses(names: str) -> tuple[str, ...]:
    """Return the names, roles and groups of `alice,@test`.

    Raises:
        UsageError: There is none.
    """
    from backends.fast import Failed
    from terma.fast import addresses

    try:
        return tuple(addresses(names))
    except Failed as failure:
        raise TektonError.of_kind(*failure.args) from failure


def read_text(
    words: list[str] | None,
    no_stdin: bool,
    quiet: bool,
    whom: str,
    trial: Request[Any],
    command: str = "message",
) -> str:
    """Return the text of a message: the words, then what comes through a pipe.

    A person who gives none is asked for it. Before anything is read, `trial` is asked: whether
    the message could be sent at all.

    Raises:
        TektonError: There is none, it cannot be read, or nobody could get it.
    """
    from backends.fast import Failed, read_input, warn_of_arguments
    from terma.fast import compose, joined, reads_input

    flags = {"-q": "-q"} if quiet else {}
    insists = "-" in (words or ())
    try:
        given = joined([word for word in words or () if word != "-"])
        is_asked = not (given or insists or no_stdin) and bool(sys.stdin) and sys.stdin.isatty()
        piped = None
        if is_asked or (not no_stdin and reads_input(insists)):
            _send(trial)
            piped = read_input(bool(given), insists, flags, "terma")
        if is_asked:
            say(f"Your message for {whom}; end it with Ctrl-D on a line of its own.")
            piped = read_input(False, True, flags, "terma")
        text = compose(given, piped, f"{command} {whom}")
    except Failed as failure:
        raise TektonError.of_kind(*failure.args) from failure
    warn_of_arguments([*(words or ())], quiet)
    return text


def _seconds(length: str) -> float:
    if not _LENGTH.fullmatch(length):
        raise UsageError(f"{length!r} is no length of time", "write it as in 90s, 10m, 1h30m or 2d")
    parts = re.findall(r"([0-9]+)([smhdw])", length)
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts))


# -- answers ---------------------------------------------------------------------------------


def _wait(sent: Sent, timeout_s: float | None, as_json: bool, quiet: bool) -> None:
    """Print the answers as they come.

    Raises:
        TimedOut: Not all have come in time, or before the message expired.
        NotFound: Somebody was closed before they had answered.
    """
    import asyncio

    if sys.stderr.isatty() and not quiet:
        say(f"sent as {sent.id} to {', '.join(sent.recipients)}; Ctrl-C stops waiting")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        found, is_late = asyncio.run(_follow(sent, timeout_s, streams=not as_json))
    except KeyboardInterrupt:
        say(_stays(sent.id))
        die_of(signal.SIGINT)
    except TektonError:
        say(_stays(sent.id))
        raise
    if as_json:
        print(json.dumps(schema.encode(found), indent=1), flush=True)
        _take(found)
    missing = [one for one in found.messages if one.state is not MessageState.ANSWERED]
    if is_late and missing:
        told = "; ".join(_standing(one, time.time()) for one in missing)
        raise TimedOut(f"no answer within {timeout_s:g} s: {told}", _stays(sent.id))
    if missing:
        raise _why_none(missing)


async def _follow(sent: Sent, timeout_s: float | None, streams: bool) -> tuple[Deliveries, bool]:
    """Follow a message; return how it stands, and whether the time was over before its end."""
    import asyncio

    from backends.client.tekton import Tekton

    printed: set[str] = set()
    is_told = False
    async with Tekton(is_local=True) as tekton:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        async for item in tekton.stream(FollowMessage(id=sent.id, waits=True)):
                            if isinstance(item, Deliveries):
                                return item, False
                            is_new = item.recipient not in printed
                            if streams and is_new and item.state is MessageState.ANSWERED:
                                _print(item, is_alone=len(sent.recipients) == 1)
                                printed.add(item.recipient)
                                await tekton.call(TakeAnswers(id=sent.id, of=(item.recipient,)))
                    except CannotConnect:
                        if not is_told:
                            say("the hub is gone; waiting for it (`tekton up` starts it)")
                        is_told = True
                        await asyncio.sleep(_TRY_EVERY_S)
        except TimeoutError:
            pass  # how it stands is told
        return await tekton.call(FollowMessage(id=sent.id)), True


def _print(message: Message, is_alone: bool) -> None:
    text = clean(message.answer or "").removesuffix("\n")
    print(text if is_alone else f"{message.recipient}: {text}", flush=True)


def _take(found: Deliveries) -> None:
    """Take the replies that were printed out of the mailbox; without a hub they stay in it."""
    from backends.client.blocking import BlockingTekton

    answered = MessageState.ANSWERED
    of = tuple(one.recipient for one in found.messages if one.state is answered)
    with suppress(CannotConnect), BlockingTekton(is_local=True) as tekton:
        tekton.call(TakeAnswers(id=found.id, of=of))


def _stays(id_: str) -> str:
    return f"the message stays, its id is {id_}; what is answered comes to `terma inbox`"


def _standing(message: Message, now: float) -> str:
    if message.state is MessageState.QUEUED:
        return f"{message.recipient} has not seen it"
    is_taken = message.state is MessageState.ACKNOWLEDGED
    at = message.ended_at if is_taken else message.shown_at
    word = "acknowledged" if is_taken else "seen"
    return f"{message.recipient} has {word} it, {ago(max(now - (at or now), 0))} ago"


def _why_none(missing: list[Message]) -> TektonError:
    expired = [one.recipient for one in missing if _has_expired(one)]
    if expired:
        return TimedOut(f"the message expired before {' and '.join(expired)} had answered")
    names = " and ".join(one.recipient for one in missing)
    if any(one.state in (MessageState.QUEUED, MessageState.SHOWN) for one in missing):
        reason = f"nothing runs in {names} that could answer; the message waits there"
        return NotFound(reason, f"`terma restore {missing[0].recipient}` runs it anew")
    return NotFound(f"{names} closed before there was an answer", "`terma list` shows who is there")


def _has_expired(message: Message) -> bool:
    """Tell whether its time was over; otherwise its mailbox was closed."""
    is_over = message.state is MessageState.EXPIRED and message.expires_at is not None
    return is_over and (message.ended_at or 0) >= (message.expires_at or 0)
