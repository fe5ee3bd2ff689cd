"""`aish NAME …`: prompt a CI, or several."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from aish.options import (
    Debug,
    Model,
    Quiet,
    Session,
    System,
    Timeout,
    TokenFile,
    Url,
    Verbose,
)
from backends.console import say
from backends.errors import TektonError, UsageError
from backends.runtime import canonical, terminal_key

if TYPE_CHECKING:
    from aish.schema import Schema


class PromptCommand(TyperCommand):
    """Its usage names the CI first, as the program's name does already."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Leave the name out, for it is said."""
        return [piece for piece in super().collect_usage_pieces(ctx) if piece.strip("{}") != "NAME"]


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
    model: Model = "",
    system: System = None,
    attach: Annotated[
        list[Path] | None,
        typer.Option(
            "-a",
            "--attach",
            metavar="FILE",
            help="Send a text file or an image too; may be repeated.",
        ),
    ] = None,
    is_new: Annotated[
        bool, typer.Option("--new", help="Without a prompt: begin a new chat, as each prompt does.")
    ] = False,
    continues: Annotated[
        bool,
        typer.Option(
            "-C", "--continue", help="Go on with the last conversation of this terminal and CI."
        ),
    ] = False,
    session: Session = "",
    schema: Annotated[
        Path | None,
        typer.Option(
            "--schema",
            metavar="FILE",
            help="Print the answer once it fits a JSON schema; it is asked twice at most.",
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
    timeout: Timeout = None,
    no_stdin: Annotated[
        bool, typer.Option("--no-stdin", help="Do not read standard input.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
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
    if continues and session:
        raise UsageError("-C and --session name two conversations", "give one of them")
    terminal = terminal_key()
    if continues and terminal is None:
        raise UsageError(
            "there is no terminal here whose last conversation could go on",
            f'name one: aish {target} --session NAME "…"',
        )
    if not text and not piped and not attachments:
        _check(target, url, token_file)
        if not words and not no_stdin and _is_person() and not as_json:
            from aish.commands.chat import start

            raise typer.Exit(
                start(
                    target,
                    session=session or None,
                    is_new=is_new,
                    model=model or None,
                    system=system,
                    url=url,
                    token_file=token_file,
                )
            )
        if not words and not no_stdin and sys.stdin.isatty():
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
        session=to_unicode(session) or None,
        continues=continues,
        terminal=terminal,
    )
    options = Options(
        is_json=as_json, streams=not no_stream, timeout_s=timeout, is_quiet=quiet,
        is_verbose=verbose, url=url, token_file=token_file,
        schema=_read_schema(schema) if schema else None,
    )  # fmt: skip
    raise typer.Exit(asyncio.run(ask(target, chat, options)))


def _is_person() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _read_schema(path: Path) -> Schema:
    from aish.schema import read_schema

    return read_schema(path)


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
