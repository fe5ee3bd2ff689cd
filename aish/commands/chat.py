"""`aish chat TARGET`: a conversation at the terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from aish.options import Debug, Model, Session, System, TokenFile, Url


def chat(
    target: Annotated[
        str, typer.Argument(metavar="NAME", help="A CI, @role, @all, or names joined by commas.")
    ],
    session: Session = "",
    is_new: Annotated[bool, typer.Option("--new", help="Begin a new conversation.")] = False,
    model: Model = "",
    system: System = None,
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
) -> None:
    """aish chat apollo: a conversation; every line is a prompt, and /help tells the rest."""
    raise typer.Exit(
        start(
            target, session=session or None, is_new=is_new, model=model or None, system=system,
            url=url, token_file=token_file,
        )
    )  # fmt: skip


def start(
    target: str,
    *,
    session: str | None = None,
    is_new: bool = False,
    model: str | None = None,
    system: str | None = None,
    url: str | None = None,
    token_file: Path | None = None,
) -> int:
    """Chat until the person leaves; returns the exit status.

    Where standard input or output is no terminal, or one without a cursor that moves, each line
    of the input is a prompt, and the status is that of the last answer.

    Raises:
        TektonError: Nobody of those can be talked to.
    """
    from aish.chat.conversation import Conversation
    from backends.fast import to_unicode

    target = to_unicode(target)
    conversation = Conversation(
        target=target,
        model=to_unicode(model) if model else None,
        system=to_unicode(system) if system is not None else None,
    )
    word = to_unicode(session) if session else None
    if not _has_arts():
        from aish.chat.lines import LineChat

        return LineChat(conversation, url, token_file).run(target, word, is_new)
    import asyncio

    from aish.chat.app import TerminalChat
    from backends.paths import find_paths

    async def run() -> int:
        return await TerminalChat(conversation, url, token_file, find_paths().state).run(
            target, word, is_new
        )

    return asyncio.run(run())


def _has_arts() -> bool:
    """Tell whether a person sits at a terminal whose cursor can be moved."""
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return is_terminal and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
