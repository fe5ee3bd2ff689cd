"""`terma list`: the terminals there are, and what each does."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from backends.console import say, terminal_width
from backends.errors import UsageError
from terma.options import Debug, Json
from terma.overview import EMPTY, as_closed_table, as_page, as_text, fetch, warnings_of

_MOST = 1000


def list_terminals(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="All that is known of this one, also if it is closed."
        ),
    ] = "",
    as_json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew with each change, until q or Ctrl-C.")
    ] = False,
    short: Annotated[
        bool, typer.Option("--short", help="One line for status lines and prompts, see above.")
    ] = False,
    closed: Annotated[
        bool, typer.Option("--closed", help="Those that are closed and still kept, newest first.")
    ] = False,
    for_completion: Annotated[bool, typer.Option("--for-completion", hidden=True)] = False,
    debug: Debug = False,
) -> None:
    """terma list --watch: what there is, and what each does, since when, and how that is known.

    UNREAD counts the messages that are open: until they are answered or taken out (`terma ack`),
    whether they were shown or not. `no log` after the kind: what it shows is not written down.

    With --short, `alice● bob!+2 eve✗` says: alice is busy, bob waits for a person and has two
    messages that it was never shown, eve is lost; ○ has exited, and no mark is idle. It is quick
    enough to be asked every other second, and prints nothing, with status 0, where no hub answers.
    """
    if short or for_completion:
        # alone it is answered before all this is loaded
        if as_json or watch or closed or for_completion:
            raise UsageError("--short stands alone", "`terma list --json` is for programs")
        from terma.short import short_line

        if line := short_line(name or None):
            print(line)
        return
    if closed:
        if watch:
            raise UsageError("--closed and --watch contradict each other", "leave --watch out")
        _list_closed(name or None, as_json)
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
        print(as_page(terminals, name or None))
    else:
        say(EMPTY)
    for line in warnings_of(terminals):
        say(line)


def _list_closed(name: str | None, as_json: bool) -> None:
    terminals = fetch(name, is_closed=True)
    if as_json:
        print(as_text(terminals, indent=1))
        return
    if not terminals:
        say(f"no closed terminal called {name} is kept" if name else "no closed terminal is kept")
        return
    print(as_closed_table(terminals, time.time(), terminal_width()))
    if len(terminals) == _MOST:
        say(f"those that were closed before the last {_MOST} are not shown")
    if sys.stderr.isatty():
        say("`terma log ID` shows what one has shown, `terma close --forget ID` deletes it")
