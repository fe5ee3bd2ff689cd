"""What the commands of `tekton` have in common: options, and how a group of them is made."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def group(name: str, help: str) -> typer.Typer:  # noqa: A002  # Typer calls it so
    """Make a group of commands; its help opens with an example."""
    return typer.Typer(
        name=name,
        help=help,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
