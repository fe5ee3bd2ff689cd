"""What a person who is attached to a terminal gets: a repaint, then every byte that follows."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncGenerator

from backends.errors import ConnectionLost
from backends.protocol.terminals import AttachTerminal, Output, TerminalEnd, TerminalState
from terma.service.terminal import Attachment, Terminal
from terma.service.terminals import Terminals

_PIECE = 256 * 1024


async def attach(
    terminals: Terminals, terminal: Terminal, request: AttachTerminal
) -> AsyncGenerator[Output | TerminalEnd, None]:
    """Yield what an attached person sees; closing it detaches."""
    attachment = Attachment(uuid.uuid4().hex, request.columns, request.rows, request.is_read_only)
    terminal.attachments[attachment.id] = attachment
    terminal.feed.followers += 1
    terminals.observer.attachment_changed(terminal, "attached")
    feed = terminal.feed
    try:
        if not request.is_read_only:
            terminals.observer.attended(terminal)
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
