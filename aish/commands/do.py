"""`aish do`: a command for what is wanted, run when a person says so."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aish.options import Debug, Model, Timeout, TokenFile, Url, Verbose
from backends.console import say
from backends.errors import TektonError, TimedOut, UsageError
from backends.runtime import canonical

if TYPE_CHECKING:
    from aish.do.proposal import Proposal
    from backends.protocol.messages import Chat

_DECLINED = 1


def do(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WISH...", help="What the command should do.")
    ] = None,
    ci: Annotated[
        str, typer.Option("--ci", metavar="NAME", help="The CI that is asked.")
    ] = "ergon",
    model: Model = "",
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the command; do not ask whether to run it.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print command, explanation and dangers as JSON.")
    ] = False,
    timeout: Timeout = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="No notices, and no explanation off a terminal.")
    ] = False,
    verbose: Verbose = False,
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
) -> None:
    """aish do "find files over 100 MB": propose a command, explain it, and run it if confirmed."""
    from aish.ask import die_of_interrupt
    from aish.do.confirm import confirmed, open_terminal
    from aish.do.run import shell_name, user_shell
    from aish.output import figures

    die_of_interrupt()
    shell = user_shell()
    name = shell_name(shell)
    chat = _chat(words or [], ci, model, name, quiet)
    proposal = _propose(chat, timeout, quiet, url, token_file)
    if verbose:
        say(figures(proposal.answer))
    if as_json:
        print(proposal.as_json(name))
        return
    terminal = None if only_print else open_terminal()
    if terminal is None:
        _print(proposal, name, quiet)
        return
    command = confirmed(proposal, name, terminal)
    if command is None:
        raise typer.Exit(_DECLINED)
    _run(command, shell, name, quiet)


def _chat(words: list[str], ci: str, model: str, shell: str, quiet: bool) -> Chat:
    from aish.do.proposal import system_prompt
    from backends.fast import Failed, read_input, to_unicode, warn_of_arguments
    from backends.protocol.messages import Chat

    wish = " ".join(to_unicode(word) for word in words)
    try:
        piped = read_input(bool(wish), False, {"-q": "-q"} if quiet else {})
    except Failed as failure:
        raise TektonError.of_kind(*failure.args) from failure
    if not wish and not piped:
        raise UsageError("there is nothing to do", 'say it: aish do "find files over 100 MB"')
    warn_of_arguments([*words, model], quiet)
    return Chat(
        ci=canonical(to_unicode(ci)), prompt=wish, input=piped, model=to_unicode(model) or None,
        system=system_prompt(shell),
    )  # fmt: skip


def _propose(
    chat: Chat, timeout: float | None, quiet: bool, url: str | None, token_file: Path | None
) -> Proposal:
    """Ask for a command; once more where the answer has not the form that was asked for."""
    import asyncio

    from aish.do.proposal import read_proposal, schema
    from aish.schema import fitting
    from backends.client.discovery import PATIENCE_S
    from backends.client.tekton import Tekton
    from backends.fast import silence_notice
    from backends.protocol.messages import Answer

    def tell(notice: str) -> None:
        if not quiet:
            say(f"notice: {notice}")

    async def ask() -> Proposal:
        async with Tekton(url, token_file) as tekton, asyncio.timeout(timeout):
            notice = silence_notice(chat.ci or "")
            silence = asyncio.get_running_loop().call_later(PATIENCE_S, tell, notice)

            async def stream(prompt: Chat) -> AsyncGenerator[Any, None]:
                async with aclosing(tekton.stream(prompt)) as items:
                    async for item in items:
                        silence.cancel()
                        yield item

            text = ""
            try:
                async with aclosing(fitting(stream, chat, schema())) as items:
                    async for item in items:
                        if isinstance(item, Answer):
                            return read_proposal(text, item)
                        text += item.text
                        if item.notice:
                            tell(item.notice)
            finally:
                silence.cancel()
        raise AssertionError("an answer that fits ends with what is known of it")

    try:
        return asyncio.run(ask())
    except TimeoutError as error:
        raise TimedOut(
            f"{chat.ci} did not finish within {timeout:g} s", "--timeout allows more"
        ) from error


def _print(proposal: Proposal, shell: str, quiet: bool) -> None:
    """Print the command alone on stdout, and beside it what a person has to know."""
    from aish.do.confirm import show_dangers, show_explanation

    print(proposal.command, flush=True)
    if not quiet and proposal.explanation:
        if sys.stderr.isatty():
            show_explanation(proposal.explanation, sys.stderr)
        else:
            print(proposal.explanation, file=sys.stderr)
    show_dangers(proposal.dangers(shell), sys.stderr)


def _run(command: str, shell: str, name: str, quiet: bool) -> None:
    from aish.do.run import hand_over, lost_change, remember, run_in_shell

    file = os.environ.get("AISH_DO_FILE")
    if file:
        hand_over(command, Path(file))
        return
    problem = remember(command, name)
    if problem:
        say(f"warning: {problem}")
    lost = lost_change(command, name)
    if lost and not quiet:
        say(f"hint: {lost} counts only within this command; in the shell of `aish` it lasts")
    run_in_shell(command, shell)
