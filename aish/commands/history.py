"""`aish history`: what was asked and answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from aish.options import Debug, Json, TokenFile, Url
from backends.console import say, table
from backends.runtime import canonical

if TYPE_CHECKING:
    from backends.protocol.conversations import Turn


def history(
    search: Annotated[
        str, typer.Option("--search", metavar="WORDS", help="Only turns with all these words.")
    ] = "",
    ci: Annotated[str, typer.Option("--ci", metavar="NAME", help="Only turns of this CI.")] = "",
    limit: Annotated[
        int,
        typer.Option(
            "-n", "--limit", metavar="COUNT", min=1, max=1000, help="At most so many turns."
        ),
    ] = 20,
    url: Url = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """aish history --search WORDS: what was asked and answered."""
    from backends.client.blocking import BlockingTekton
    from backends.fast import to_unicode
    from backends.protocol import schema
    from backends.protocol.conversations import History

    words, name = to_unicode(search), canonical(to_unicode(ci))
    with BlockingTekton(url, token_file) as tekton:
        found = tekton.call(History(search=words or None, ci=name or None, limit=limit))
    turns = found.turns
    if as_json:
        print(json.dumps([schema.encode(turn) for turn in turns], indent=1))
    elif turns:
        rows = [["WHEN", "CI", "STATUS", "MODEL", "PROMPT", "ANSWER"], *map(_turn_row, turns)]
        if _is_wide():
            sessions = ["SESSION", *(turn.session[:8] for turn in turns)]
            rows = [
                [*row[:2], session, *row[2:]] for row, session in zip(rows, sessions, strict=True)
            ]
        print(table(rows))
    else:
        say("no turns found")


def _is_wide() -> bool:
    """Tell whether a terminal has room for one more column."""
    import os

    try:
        return os.get_terminal_size(1).columns >= 110
    except OSError:
        return False


def _turn_row(turn: Turn) -> list[str]:
    from datetime import datetime

    try:
        when = datetime.fromtimestamp(turn.started_at).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        when = "-"
    answer = turn.answer or (turn.error or "")
    return [when, turn.ci, turn.status.value, turn.model or "", _short(turn.prompt), _short(answer)]


def _short(text: str, length: int = 40) -> str:
    line = " ".join(text[: length * 4].split())
    return line if len(line) <= length else line[: length - 1] + "…"
