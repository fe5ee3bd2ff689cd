"""The command line of `tekton`: the hub and what belongs to it."""

from __future__ import annotations

import signal

_is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if _is_ours:  # an interrupt during the imports would print a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# ruff: noqa: E402
import os
import sys

import typer

from backends.commands import cis, doctor, processes, secrets, settings
from backends.console import run_program
from backends.version import VERSION

HELP = """
  tekton up                         start the hub, list services and CIs
  tekton status                     what runs, and what went wrong last
  tekton doctor                     what is missing, and how to get it
  tekton events --subject 'ci.>'    what happens, as it happens
  tekton down                       end it

The hub serves your CIs (Companion Intelligences); `aish NAME "…"` prompts one.
"""

app = typer.Typer(
    name="tekton",
    help="\b" + HELP.replace("\n  ", "\n"),  # the mark keeps the lines of a paragraph
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    processes.up, processes.down, processes.restart, processes.status, processes.serve,
    processes.logs, processes.events, doctor.doctor, processes.clean,
):  # fmt: skip
    app.command()(command)
app.add_typer(settings.app, name="config")
app.add_typer(cis.app, name="ci")
app.add_typer(secrets.keys, name="key")
app.add_typer(secrets.tokens, name="token")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tekton {VERSION}")
        raise typer.Exit


@app.callback()
def common(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run `tekton`; what it makes is for this user only."""
    os.umask(0o077)
    run_program(lambda: app(sys.argv[1:], prog_name="tekton"))


if _is_ours:  # now `run_program` knows what to do, and so does who reads a key
    signal.signal(signal.SIGINT, signal.default_int_handler)
