"""`aish shell` and `aish shellenv`: the CIs as commands, in a new shell or in the one there is.

The plain forms never come here: `aish.start` has them run without the imports of this.
"""

from __future__ import annotations

from typing import Annotated

import typer

from aish.options import Debug


def shell(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE [ARG]...]", help="A script to run; what follows is its own."),
    ] = None,
    program: Annotated[
        str | None,
        typer.Option(
            "--shell",
            metavar="SHELL",
            help="Its name or path; default: $AISH_SHELL, else yours, or bash for a script.",
        ),
    ] = None,
    line: Annotated[
        str | None,
        typer.Option("-c", metavar="LINE", help="Run this line; the words after it are its own."),
    ] = None,
    debug: Debug = False,
) -> None:
    """aish shell --shell zsh: your own shell, with every CI as a command in it."""
    from aish.shell.request import Request
    from aish.shell.start import start

    given = words or []
    if line is not None:
        start(Request(program, line=line, arguments=given))
    start(Request(program, file=given[0] if given else None, arguments=given[1:]))


def shellenv(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="[SHELL]", help="bash, zsh, fish or sh; default: the shell that asks."
        ),
    ] = "",
    debug: Debug = False,
) -> None:
    """eval "$(aish shellenv)": the CIs as commands in the shell that you have already."""
    from aish.shell.environment import print_environment

    print_environment(kind)
