"""What a person who is attached to a terminal gets: a repaint, then every byte that follows."""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import AsyncGenerator

from backends.errors import ConnectionLost, NotFound, UsageError
from backends.protocol.terminals import AttachTerminal, Output, TerminalEnd, TerminalState
from terma.service.table import Table
from terma.service.terminal import Attachment, Terminal
from terma.service.terminals import Terminals

_PIECE = 256 * 1024


_ANSWERS = re.compile(
    rb"(?:\x1b\[\?[\d;]*(?:[cnu]|\$y)|\x1b\[>[\d;]*c|\x1b\[[\d;]*[Rn]|\x1b\[[IO]"
    rb"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\)+"
)
"""What a window says by itself: answers to questions of the program, and that it has the focus."""


async def attach(
    terminals: Terminals, terminal: Terminal, request: AttachTerminal, viewer: str
) -> AsyncGenerator[Output | TerminalEnd, None]:
    """Yield what an attached person sees; closing it detaches.

    Args:
        terminals: All there are.
        terminal: The one that is asked for; something runs in it.
        request: How.
        viewer: The mailbox of who asks.

    Raises:
        UsageError: The terminal would show itself within itself.
    """
    check_no_loop(terminals.table, terminal, viewer)
    attachment = Attachment(
        uuid.uuid4().hex, viewer, request.columns, request.rows, request.is_read_only
    )
    terminal.attachments[attachment.id] = attachment
    terminal.feed.followers += 1
    terminals.observer.attachment_changed(terminal, "attached")
    feed = terminal.feed
    try:
        if not request.is_read_only:
            terminals.observer.attended(terminal)
        if request.takes_size and not request.is_read_only:
            terminal.last_typist = attachment.id
            await terminals.resize(terminal, request.columns, request.rows)
        async for item in _follow(terminals, terminal, attachment.id):
            yield item
        yield end_of(terminal)
    finally:
        feed.followers -= 1
        terminal.attachments.pop(attachment.id, None)
        terminals.observer.attachment_changed(terminal, "detached")


async def _follow(
    terminals: Terminals, terminal: Terminal, attachment: str
) -> AsyncGenerator[Output, None]:
    feed = terminal.feed
    painted = await terminals.screens.repaint(terminal.id)
    offset, size = painted.offset, (painted.columns, painted.rows)
    yield _repaint(painted.offset, painted.data, *size, attachment)
    while True:
        data = feed.after(offset)
        if data is None:
            try:
                read = await terminals.host.read(terminal.id, offset, _PIECE)
            except ConnectionLost:
                return
            if read.offset > offset:  # what lies between is not kept any more
                painted = await terminals.screens.repaint(terminal.id)
                offset, size = painted.offset, (painted.columns, painted.rows)
                yield _repaint(offset, painted.data, *size, None)
                continue
            data = read.data
        for resized in list(feed.sizes):
            if resized.offset <= offset + len(data) and (resized.columns, resized.rows) != size:
                before = data[: max(resized.offset - offset, 0)]
                if before:
                    yield _output(offset, before)
                    offset += len(before)
                    data = data[len(before) :]
                if resized.offset >= offset:
                    size = (resized.columns, resized.rows)
                    yield Output(offset=offset, columns=size[0], rows=size[1])
        if data:
            yield _output(offset, data)
            offset += len(data)
        elif feed.is_over:
            return
        else:
            await feed.news()


def check_no_loop(table: Table, terminal: Terminal, viewer: str) -> None:
    """Refuse that a terminal shows itself, be it through others.

    Raises:
        UsageError: It would.
    """
    shown, seen = [terminal.id], set[str]()
    while shown:
        within = shown.pop()
        if within == viewer:
            raise UsageError(
                f"{terminal.name} would show itself in itself: this is a terminal within it",
                "attach from another terminal",
            )
        seen.add(within)
        shown += [
            one.id
            for one in table
            if one.id not in seen
            and any(attachment.viewer == within for attachment in one.attachments.values())
        ]


def attachment_of(terminal: Terminal, id_: str) -> Attachment:
    """Return the attachment of an id.

    Raises:
        NotFound: Nobody is attached by it any more.
    """
    found = terminal.attachments.get(id_)
    if found is None:
        raise NotFound("nobody is attached by that id", "attach again")
    return found


async def type_into(
    terminals: Terminals, terminal: Terminal, attachment: Attachment, data: bytes
) -> int:
    """Pass on what a window sends; returns how many bytes were taken.

    What a window says by itself is no typing: it counts only from whoever typed last, for a
    program that asks once wants one answer.

    Raises:
        UsageError: The attachment only looks on.
    """
    if attachment.is_read_only:
        raise UsageError("this attachment only looks on", "attach without --read-only")
    if _ANSWERS.fullmatch(data):
        if terminal.last_typist in (None, attachment.id):
            await terminals.host.write(terminal.id, data)
        return len(data)
    terminals.observer.attended(terminal)
    terminal.last_typist = attachment.id
    await terminals.resize(terminal, attachment.columns, attachment.rows)  # first: it may ask
    await terminals.host.write(terminal.id, data)
    return len(data)


def end_of(terminal: Terminal) -> TerminalEnd:
    """Tell why nothing more comes from a terminal."""
    seen = terminal.activity.base
    is_over = seen.state in (TerminalState.EXITED, TerminalState.LOST, TerminalState.CLOSED)
    if not is_over:
        raise ConnectionLost("the hub is stopped", "`tekton up` starts it")
    return TerminalEnd(
        state=seen.state, exit_status=terminal.stored.exit_status, detail=seen.detail
    )


def _output(offset: int, data: bytes) -> Output:
    return Output(offset=offset, data=base64.b64encode(data).decode("ascii"))


def _repaint(offset: int, data: bytes, columns: int, rows: int, attachment: str | None) -> Output:
    return Output(
        offset=offset,
        data=base64.b64encode(data).decode("ascii"),
        is_repaint=True,
        attachment=attachment,
        columns=columns,
        rows=rows,
    )
