"""`terma inbox`, `reply`, `ack` and `whoami`: what a terminal does with its mailbox."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from backends.cleaning import clean
from backends.console import BOLD, DIM, ago, paint, say
from backends.errors import NotFound, TektonError, UsageError
from backends.protocol import schema
from backends.protocol.mailboxes import (
    AcknowledgeMessages,
    Message,
    MessageState,
    ReadInbox,
    ReplyMessage,
    WatchInbox,
)
from backends.protocol.messages import Ack
from backends.protocol.terminals import WhoAmI
from terma.commands.message import Words, read_text
from terma.options import Debug, Json

if TYPE_CHECKING:
    from backends.protocol.mailboxes import Messages

_INDENT = "    "
_LIMIT = 100
_EVERYTHING = 10_000
_OPEN = (MessageState.QUEUED, MessageState.SHOWN)


def inbox(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="A terminal, a closed one too, or user; without it, one's own."
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with each that comes.")] = False,
    whole: Annotated[
        bool, typer.Option("--all", help="Also what was acknowledged, answered, or has expired.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--limit",
            metavar="N",
            min=1,
            max=_EVERYTHING,
            help="The newest N, where there are more; without it 100, with --watch all.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; with --watch one object a line.")
    ] = False,
    notice: Annotated[
        bool, typer.Option("--notice", help="One line if there is something new; for prompts.")
    ] = False,
    debug: Debug = False,
) -> None:
    """terma inbox: the messages that are open, in the order they came.

    \b
    terma inbox --watch --json        a program's way to live on messages
    terma inbox alice                 look into another mailbox; nothing counts as shown there

    With --watch, -n N leaves out what was shown before, but for the newest N; what was never shown
    comes always, then each that is sent.

    In a terminal that is its own mailbox; elsewhere it is the person's (user). What is new counts
    as shown then, and stays open: `terma reply ID TEXT` answers it, `terma ack ID` takes it out.
    """  # noqa: D301  # the mark keeps a paragraph's lines
    if notice:
        if name or watch or whole or as_json:
            raise UsageError("--notice stands alone", "`terma inbox --notice`")
        _show_notice()
    elif watch:
        if whole:
            raise UsageError("--watch begins with what is open", "leave --all out")
        _watch(name, as_json, limit)
    else:
        _list(ReadInbox(name=name, is_whole=whole, limit=limit or _LIMIT), as_json)


def _read(request: ReadInbox, patience_s: float = 10.0) -> Messages:
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(is_local=True, patience_s=patience_s) as tekton:
        return tekton.call(request)


def _show_notice() -> None:
    """As `terma.fast` does where it can; a prompt hears nothing of what goes wrong."""
    from terma.fast import NOTICE_PATIENCE_S, columns, notice

    try:
        found = _read(ReadInbox(is_notice=True), NOTICE_PATIENCE_S)
    except TektonError:
        return
    for last in found.messages:
        print(notice(1 + found.left_out, last.sender, last.text, columns()))


def _list(request: ReadInbox, as_json: bool) -> None:
    found = _read(request)
    if as_json:
        print(json.dumps(schema.encode(found.messages), indent=1))
    elif found.messages:
        now = time.time()
        print("\n\n".join(as_text(message, now) for message in found.messages))
    elif sys.stdout.isatty():
        whose = "" if request.name is None else f" for {found.mailbox}"
        say(f"no messages{whose}" + ("" if request.is_whole else "; --all shows those that ended"))
    if found.left_out:
        say(f"{found.left_out} more are not shown; `terma inbox -n N` shows N")
    is_own = request.name is None and any(one.state in _OPEN for one in found.messages)
    if is_own and not as_json and sys.stdout.isatty() and sys.stderr.isatty():
        hint = "`terma reply ID TEXT` answers, `terma ack ID` or `terma ack --all` takes out"
        print(paint(hint, DIM, sys.stderr), file=sys.stderr, flush=True)


def _watch(name: str | None, as_json: bool, limit: int | None) -> None:
    from backends.client.blocking import BlockingTekton
    from terma.patience import patiently

    told: set[str] = set()

    def tell(message: Message) -> None:
        if message.id in told:
            return  # a hub that is back begins with all that is open
        if as_json:
            print(json.dumps(schema.encode(message)), flush=True)
        else:
            print(("\n" if told else "") + as_text(message, time.time()), flush=True)
        told.add(message.id)

    passed = 0 if limit is None else _pass_over(name, limit, tell)
    with BlockingTekton(is_local=True) as tekton:
        for item in patiently(lambda: tekton.stream(WatchInbox(name=name)), "messages"):
            if isinstance(item, Ack):
                return
            if item.number > passed or item.state is MessageState.QUEUED:
                tell(item)


def _pass_over(name: str | None, limit: int, tell: Callable[[Message], None]) -> int:
    """Tell what was never shown, and the newest of the rest; return the number of the last."""
    found = _read(ReadInbox(name=name, limit=_EVERYTHING)).messages
    for number, message in enumerate(found, limit - len(found)):
        if message.state is MessageState.QUEUED or number >= 0:
            tell(message)
    return found[-1].number if found else 0


def as_text(message: Message, now: float) -> str:
    """Return a message as a person reads it: a line about it, then its text, indented."""
    state = "new" if message.state is MessageState.QUEUED else message.state.value
    words = [f"from {message.sender}", _age(message.sent_at, now), state]
    if message.reply_to:
        words.append(f"answers {message.reply_to}")
    if message.expires_at is not None and message.state in _OPEN:
        words.append(f"expires in {ago(max(message.expires_at - now, 0))}")
    head = f"{message.id}  {clean(', '.join(words))}"
    if message.state is MessageState.QUEUED:
        head = paint(head, BOLD)
    lines = [head, *_indented(message.text, _INDENT)]
    if message.answer is not None:
        first, *others = _indented(message.answer, _INDENT + "  ")
        lines += [f"{_INDENT}> {first.strip()}", *others]
    return "\n".join(lines)


def _age(at: float, now: float) -> str:
    return "now" if now - at < 1 else f"{ago(now - at)} ago"


def _indented(text: str, indent: str) -> list[str]:
    return [(indent + line).rstrip() for line in clean(text).strip("\n").split("\n")]


def reply(
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="A message of one's own, or how its id begins.")
    ],
    words: Words = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """terma reply k4tz "merged": answer a message; its sender gets that as a message.

    Prints the id of the reply. Four characters of an id are enough, where no other begins so.
    Standard input is read where no text is given, or with `-`: so a loop that reads an inbox can
    reply within.
    """
    from backends.client.blocking import BlockingTekton
    from backends.fast import to_unicode

    given = words or []
    no_stdin = bool(given) and "-" not in given
    id_ = to_unicode(id_)
    trial = ReplyMessage(id=id_, text="", is_trial=True)
    text = read_text(given, no_stdin, quiet=False, whom=id_, trial=trial, command="reply")
    with BlockingTekton(is_local=True) as tekton:
        sent = tekton.call(ReplyMessage(id=id_, text=text))
    print(json.dumps(schema.encode(sent)) if as_json else sent.id)


def acknowledge(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Messages of one's own, or how their ids begin."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    debug: Debug = False,
) -> None:
    """terma ack k4tz 7mq2: take messages out of the inbox; they have been read.

    Their senders can see that. `terma inbox --all` still shows them.
    """
    from backends.fast import to_unicode

    if bool(ids) == everything:
        raise UsageError(
            "ids and --all contradict each other" if ids else "name the messages, or --all",
            "`terma inbox` shows their ids",
        )
    if everything:
        count = _acknowledge_all()
    else:
        given = list(dict.fromkeys(to_unicode(one) for one in ids or ()))
        try:
            _acknowledge(given)
        except (NotFound, UsageError) as error:
            if len(given) == 1:
                raise
            raise type(error)(f"{error.message}; nothing was acknowledged", error.hint) from error
        count = len(given)
    say(f"{count} {'message' if count == 1 else 'messages'} acknowledged")


def _acknowledge(ids: list[str]) -> None:
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(is_local=True) as tekton:
        tekton.call(AcknowledgeMessages(ids=tuple(ids)))


def _acknowledge_all() -> int:
    """Take out all that are there now, but none that comes meanwhile."""
    count, last = 0, None
    while found := _read(ReadInbox(limit=_EVERYTHING)).messages:
        last = last or found[-1].number
        ids = [one.id for one in found if one.number <= last]
        if not ids:
            break
        _acknowledge(ids)
        count += len(ids)
    return count


def whoami(as_json: Json = False, debug: Debug = False) -> None:
    """terma whoami: the name of the terminal that this runs in; elsewhere, user.

    With --json also its id, its roles, how many messages are open, and how it is known.
    """
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(is_local=True) as tekton:
        found = tekton.call(WhoAmI())
    print(json.dumps(schema.encode(found), indent=1) if as_json else found.name)
