"""`terma list`: the terminals there are, and what each does."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from backends.console import say, terminal_width
from backends.errors import UsageError
from terma.options import Debug, Json
from terma.overview import EMPTY, as_table, as_text, fetch, warnings_of


def list_terminals(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Only this one, also if it is closed.")
    ] = "",
    as_json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew with each change, until q or Ctrl-C.")
    ] = False,
    short: Annotated[
        bool, typer.Option("--short", help="One line for status lines and prompts, see above.")
    ] = False,
    for_completion: Annotated[bool, typer.Option("--for-completion", hidden=True)] = False,
    debug: Debug = False,
) -> None:
    """terma list --watch: what there is, and what each does, since when, and how that is known.

    With --short, `alice● bob!+2 eve✗` says: alice is busy, bob waits for a person and has two
    unread messages, eve is lost; ○ has exited, and no mark is idle. It is quick enough to be
    asked every other second, and prints nothing, with status 0, where no hub answers.
    """
    if short or for_completion:
        if as_json or watch or for_completion:  # alone it is answered before all this is loaded
            raise UsageError("--short stands alone", "`terma list --json` is for programs")
        from terma.short import short_line

        if line := short_line(name or None):
            print(line)
        return
    if watch:
        from terma.commands.watching import watch_terminals

        watch_terminals(name or None, as_json)
        return
    terminals = fetch(name or None)
    if as_json:
        print(as_text(terminals, indent=1))
        return
    if terminals:
        print(as_table(terminals, time.time(), terminal_width()))
    else:
        say(EMPTY)
    for line in warnings_of(terminals):
        say(line)
