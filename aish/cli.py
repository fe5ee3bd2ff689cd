"""The commands of `aish`: `aish NAME …` prompts a CI, everything else is a verb."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from backends.console import GREEN, RED, YELLOW, run_program, say, table
from backends.errors import TektonError, UsageError
from backends.runtime import RESERVED, canonical
from backends.version import VERSION

if TYPE_CHECKING:
    from backends.protocol.messages import ServiceInfo, Turn

PROMPT_HELP = """
  aish apollo "where does this lead?"       prompt a CI; its answer streams
  git diff | aish athena "review this"      what is piped in comes with it
  git diff | aish athena | aish hephaestus  one answer is the next one's input
  aish @all "ship it?"                      every CI; or @builder, apollo,athena

A CI (Companion Intelligence) is anything that reads input and writes output under a name.
`aish NAME --help` shows the options of a prompt.
"""

app = typer.Typer(
    name="aish",
    help="\b" + PROMPT_HELP.replace("\n  ", "\n"),  # the mark keeps a paragraph's lines
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)
prompts = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)

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


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"aish {VERSION}")
        raise typer.Exit


@app.callback()
def common(
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options that every verb has; read again by the verb itself."""


@app.command("list")
def list_cis(
    url: Url = None, token_file: TokenFile = None, as_json: Json = False, debug: Debug = False
) -> None:
    """aish list: every CI, alive or dead, with its role and model."""
    from backends.client.blocking import BlockingTekton
    from backends.protocol import schema
    from backends.protocol.messages import Health, ListAll

    with BlockingTekton(url, token_file) as tekton:
        cis = [entry for entry in tekton.call(ListAll()).entries if entry.is_ci]
    if as_json:
        print(json.dumps([schema.encode(entry) for entry in cis], indent=1))
        return
    rows = [["NAME", "STATE", "KIND", "ROLE", "MODEL"], *(_row(entry) for entry in cis)]
    print(table(rows, [None, *(_color(entry) for entry in cis)]))
    if any(entry.model is None and entry.health is Health.ALIVE for entry in cis):
        say("no model answers for some; `tekton doctor` tells how to get one")


def _row(entry: ServiceInfo) -> list[str]:
    model = entry.model or "none"
    if entry.health.value != "alive":
        model = entry.reason or ""
    elif entry.model and entry.note:
        model = f"{entry.model} ({entry.note})"
    return [entry.name, entry.health.value, entry.kind, entry.role, model]


def _color(entry: ServiceInfo) -> str:
    if entry.health.value != "alive":
        return RED
    return GREEN if entry.model else YELLOW


@app.command()
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
    from backends.protocol.messages import History

    words, name = to_unicode(search), canonical(to_unicode(ci))
    with BlockingTekton(url, token_file) as tekton:
        found = tekton.call(History(search=words or None, ci=name or None, limit=limit))
    turns = found.turns
    if as_json:
        print(json.dumps([schema.encode(turn) for turn in turns], indent=1))
    elif turns:
        print(
            table([["WHEN", "CI", "STATUS", "MODEL", "PROMPT", "ANSWER"], *map(_turn_row, turns)])
        )
    else:
        say("no turns found")


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


class _PromptCommand(TyperCommand):
    """Its usage names the CI first, as the program's name does already."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Leave the name out, for it is said."""
        return [piece for piece in super().collect_usage_pieces(ctx) if piece.strip("{}") != "NAME"]


@prompts.command(cls=_PromptCommand)
def prompt(
    target: Annotated[
        str, typer.Argument(metavar="NAME", help="A CI, @role, @all, or names joined by commas.")
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROMPT]...", help="The question; '-' reads standard input whatever it is."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="Use this model: provider/model, a provider, or a model.",
        ),
    ] = "",
    system: Annotated[
        str | None,
        typer.Option(
            "-s", "--system", metavar="TEXT", help="Use this system prompt instead of the CI's own."
        ),
    ] = None,
    attach: Annotated[
        list[Path] | None,
        typer.Option(
            "-a",
            "--attach",
            metavar="FILE",
            help="Send a text file or an image too; may be repeated.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object when the answer is complete.")
    ] = False,
    no_stream: Annotated[
        bool,
        typer.Option(
            "--no-stream", help="Print the answer in one piece when it has ended, or broken off."
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", min=0.001, help="Give up after so long (exit status 5)."
        ),
    ] = None,
    no_stdin: Annotated[
        bool, typer.Option("--no-stdin", help="Do not read standard input.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No notices on stderr.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Tell model, tokens, cost and times on stderr.")
    ] = False,
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
) -> None:
    """git diff | aish athena "review this": prompt a CI, and stream its answer."""
    import asyncio

    from aish.ask import Options, ask, die_of_interrupt
    from aish.attachments import read_attachment
    from backends.fast import to_unicode, warn_of_arguments
    from backends.protocol.messages import Chat

    die_of_interrupt()
    target = to_unicode(target)
    given = [to_unicode(word) for word in words or []]
    text = " ".join(word for word in given if word != "-")
    attachments = tuple(read_attachment(path) for path in attach or [])
    flags = {"-q": "-q"} if quiet else {}
    piped = None if no_stdin else _read(bool(text), "-" in given, flags)
    if not text and not piped and not attachments:
        _check(target, url, token_file)
        if not no_stdin and sys.stdin.isatty():
            say(f"Your prompt for {target}; end it with Ctrl-D on a line of its own.")
            piped = _read(False, True, flags)
        if not piped:
            raise UsageError(
                "there is no prompt", f'give one: aish {target} "hello", or pipe something in'
            )
    warn_of_arguments([*(words or []), model, system or ""], quiet)
    chat = Chat(
        prompt=text,
        input=piped,
        model=to_unicode(model) or None,
        system=system and to_unicode(system),
        attachments=attachments,
    )
    options = Options(
        is_json=as_json, streams=not no_stream, timeout_s=timeout, is_quiet=quiet,
        is_verbose=verbose, url=url, token_file=token_file,
    )  # fmt: skip
    raise typer.Exit(asyncio.run(ask(target, chat, options)))


def _check(target: str, url: str | None, token_file: Path | None) -> None:
    """Find out whether anybody can be asked, before a person is asked for a whole prompt."""
    from aish.ask import is_team
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(url, token_file) as tekton:
        if is_team(target):
            tekton.check("hermes", is_ci=False)
        else:
            tekton.check(canonical(target), is_ci=True)


def _read(has_prompt: bool, insists: bool, flags: dict[str, str]) -> str | None:
    from backends.fast import Failed, read_input

    try:
        return read_input(has_prompt, insists, flags)
    except Failed as failure:
        raise TektonError.of_kind(*failure.args) from failure


_WITH_VALUE = {
    "--url",
    "--token-file",
    "-m",
    "--model",
    "-s",
    "--system",
    "-a",
    "--attach",
    "--timeout",
    "--limit",
    "-n",
    "--search",
    "--ci",
}


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


def main() -> None:
    """Run `aish`: a verb, else a CI."""

    def program() -> None:
        arguments = sys.argv[1:]
        index = _first_word(arguments)
        if index is None:
            app(arguments, prog_name="aish")
        verb = arguments[index or 0]
        known = {
            command.name or command.callback.__name__
            for command in app.registered_commands
            if command.callback
        }
        if verb in known:
            # an option may stand before the verb, where a person puts it, or after
            app([verb, *arguments[: index or 0], *arguments[(index or 0) + 1 :]], prog_name="aish")
        if verb in RESERVED and verb != "team-chat":
            raise UsageError(
                f"aish has no verb {verb!r}",
                f"there are: {', '.join(sorted(known))}; `aish --help`",
            )
        prompts(arguments, prog_name="aish NAME")

    run_program(program)
