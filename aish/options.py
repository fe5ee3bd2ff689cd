"""The options that several of aish's commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Where: unix:PATH, tcp://…, ws://… or wss://…; default: this machine's hub.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="File with the token for --url."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Model = Annotated[
    str,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="Use this model: provider/model, a provider, or a model.",
    ),
]
System = Annotated[
    str | None,
    typer.Option(
        "-s", "--system", metavar="TEXT", help="Use this system prompt instead of the CI's own."
    ),
]
Session = Annotated[
    str,
    typer.Option(
        "--session",
        metavar="WORD",
        help="Go on with the conversation of this id or name; a new name begins one.",
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0.001, help="Give up after so long (exit status 5)."
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No notices on stderr.")]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", help="Tell model, tokens, cost and times on stderr.")
]
