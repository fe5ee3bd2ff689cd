"""The options that several of terma's commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A terminal.")]
