"""The commands of `aish`: a verb, else a CI to prompt, else a file to run.

Shells, and scripts that are named by a path, are started by `aish.start`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from importlib import import_module

import typer

from aish.options import Debug, TokenFile, Url
from backends.console import run_program
from backends.errors import UsageError
from backends.runtime import RESERVED, canonical
from backends.version import VERSION

HELP = """
  aish                                      your own shell, every CI a command
  aish apollo                               talk with a CI
  aish apollo "where does this lead?"       prompt it; its answer streams
  git diff | aish athena "review this"      what is piped in comes with it
  git diff | aish athena | aish hephaestus  one answer is the next one's input
  aish @all "ship it?"                      every CI; or @builder, apollo,athena
  aish apollo -C "and why?"                 go on with what was said last
  aish -c 'cat plan.md | prometheus'        one line; `aish FILE` runs a script

A CI (Companion Intelligence) is anything that reads input and writes output under a name.
`aish NAME --help` shows the options of a prompt.
"""

VERBS: Mapping[str, str] = {
    "list": "aish.commands.listing:list_cis",
    "chat": "aish.commands.chat:chat",
    "history": "aish.commands.history:history",
    "session": "aish.commands.sessions:app",
    "do": "aish.commands.do:do",
    "shell": "aish.commands.shell:shell",
    "shellenv": "aish.commands.shell:shellenv",
    "completion": "aish.commands.completion:app",
}
"""Where each verb's command, or group of commands, is; loaded only when it is used."""

_PLAIN = {"help_option_names": ["--help", "-h"]}
_WITH_VALUE = frozenset(
    "--url --token-file -m --model -s --system -a --attach --timeout --limit -n --search --ci "
    "--session --schema".split()
)


def make_app(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """Return the program with some of its verbs, all by default."""
    app = typer.Typer(
        name="aish",
        help="\b" + HELP.replace("\n  ", "\n"),  # the mark keeps a paragraph's lines
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings=_PLAIN,
    )
    app.callback()(_common)
    for verb in verbs:
        module, _, attribute = VERBS[verb].partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=verb)
        else:
            app.command(verb)(found)
    return app


def make_prompt() -> typer.Typer:
    """Return the program that prompts a CI."""
    from aish.commands.prompt import PromptCommand, prompt

    app = typer.Typer(
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=_PLAIN,
    )
    app.command(cls=PromptCommand)(prompt)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"aish {VERSION}")
        raise typer.Exit


def _common(
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Options that every verb has; read again by the verb itself."""


def _first_word(arguments: list[str]) -> int | None:
    """Return the index of the first argument that is neither an option nor an option's value."""
    is_value = False
    for index, word in enumerate(arguments):
        if is_value:
            is_value = False
        elif word == "-" or not word.startswith("-"):
            return index
        else:
            is_value = word in _WITH_VALUE
    return None


def _is_script(word: str) -> bool:
    """Tell whether a word names a file and, while the hub knows who there is, no CI.

    Without a hub nobody could tell, and a file called like a CI must not be run in its stead.
    """
    if not os.path.isfile(word):
        return False
    from backends.hub_record import is_locked
    from backends.paths import find_paths
    from backends.registry import Registry

    paths = find_paths()
    known = Registry(paths.registry).find(canonical(word), is_ci=True)
    return known is None and is_locked(paths)


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] == "-c":  # a whole one has been run by `aish.start`
        make_app(["shell"])(["shell", *arguments], prog_name="aish")
    index = _first_word(arguments)
    if index is None:
        make_app()(arguments, prog_name="aish")
    verb = arguments[index or 0]
    if verb in VERBS:
        # an option may stand before the verb, where a person puts it, or after
        words = [verb, *arguments[: index or 0], *arguments[(index or 0) + 1 :]]
        make_app([verb])(words, prog_name="aish")
    if verb in RESERVED and verb != "team-chat":
        raise UsageError(
            f"aish has no verb {verb!r}", f"there are: {', '.join(sorted(VERBS))}; `aish --help`"
        )
    if index == 0 and _is_script(verb):
        make_app(["shell"])(["shell", "--", *arguments], prog_name="aish")
    make_prompt()(arguments, prog_name="aish NAME")


def main() -> None:
    """Run `aish`."""
    run_program(lambda: _run(sys.argv[1:]))
