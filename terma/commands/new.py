"""`terma new`: a named terminal with a shell or any program in it."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from backends.client.blocking import BlockingTekton
from backends.console import say
from backends.errors import ConnectionLost, NotFound, TimedOut, UsageError
from backends.protocol import schema
from backends.protocol.terminals import ListTerminals, OpenTerminal
from backends.runtime import check_name
from terma.options import Debug, Json

if TYPE_CHECKING:
    from backends.protocol.terminals import TerminalInfo


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it shall be called.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- CMD...]", help="A program; by default your own shell."),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="What it is for; @ROLE reaches it. a,b works."),
    ] = None,
    cwd: Annotated[
        str, typer.Option("--cwd", metavar="DIR", help="Where it begins; default: here.")
    ] = "",
    worktree: Annotated[
        str,
        typer.Option(
            "--worktree", metavar="BRANCH", help="Begin in a git worktree of its own, made for it."
        ),
    ] = "",
    shell: Annotated[
        str,
        typer.Option(
            "--shell", metavar="SHELL", help="Its name or path; default: as configured, else yours."
        ),
    ] = "",
    record: Annotated[
        bool | None,
        typer.Option("--record/--no-record", help="Keep what it shows; default: as configured."),
    ] = None,
    is_attached: Annotated[bool, typer.Option("--attach", "-a", help="Attach to it.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """terma new alice --role coding: a terminal that outlives this one, with a shell in it.

    With a program: terma new bob -- htop -d 5. With a branch: terma new eve --worktree fix/42,
    whose folder lies beside the repository, in REPOSITORY.worktrees; one that a closed terminal
    has left there is taken up again.

    At a terminal it tells on stderr how to attach; otherwise it prints nothing, but for --json.
    """
    _check_text(name, worktree, *(words or ()), *(role or ()))
    check_name(name, "terminal")
    if words and shell:
        raise UsageError("--shell and a program contradict each other", "leave one of them out")
    if is_attached and (as_json or not (os.isatty(0) and os.isatty(1))):
        what = "with --json" if as_json else "without a terminal"
        raise UsageError(f"nothing can be attached {what}", "leave --attach out")
    folder = _folder(cwd)
    command, environment, kind = _program(words or [], shell)
    _check_text(*command)
    columns, rows = _size()
    plan = OpenTerminal(
        name=name,
        command=command,
        folder=folder,
        environment="",
        kind=kind,
        roles=tuple(one for each in role or () for one in each.split(",") if one),
        columns=columns,
        rows=rows,
        is_recorded=record,
    )
    info = _open_in_worktree(plan, environment, worktree) if worktree else _open(plan, environment)
    if as_json:
        print(json.dumps(schema.encode(info), indent=1))
    if is_attached:
        from terma.commands.attach import attach

        attach(info.name)
    elif sys.stderr.isatty():
        program = os.path.basename(info.command[0])
        say(f"{info.name} runs {program}; `terma attach {info.name}` shows it")


def _program(words: Sequence[str], shell: str) -> tuple[tuple[str, ...], Mapping[str, str], str]:
    """Return the command, its environment and its kind."""
    from terma.shell import program_of

    configured = "" if words or shell else _configured_shell()
    try:
        return program_of(words, os.environ, shell or configured or None)
    except NotFound as error:
        if configured:
            raise NotFound(
                f"no shell {configured!r}, which `shell` under [terma] asks for",
                "`tekton config set terma.shell NAME` names one that is there",
            ) from error
        if shell:
            where = "" if "/" in shell else " on your PATH"
            raise NotFound(
                f"there is no program {shell}{where}, which --shell asks for",
                "any shell will do that is there; only bash, zsh and fish tell when they are idle",
            ) from error
        raise


def _configured_shell() -> str:
    from backends.config import load_config
    from backends.paths import find_paths

    return load_config(find_paths().config_file, os.environ).terma.shell


def _open(plan: OpenTerminal, environment: Mapping[str, str]) -> TerminalInfo:
    from terma.shell import encoded

    given = encoded({**environment, "PWD": plan.folder})
    with BlockingTekton(is_local=True) as tekton:
        return tekton.call(dataclasses.replace(plan, environment=given))


def _open_in_worktree(
    plan: OpenTerminal, environment: Mapping[str, str], branch: str
) -> TerminalInfo:
    """Open a terminal in a worktree of its own.

    One that is made for it is gone again where that fails.
    """
    from terma.worktree import make, remove

    with BlockingTekton(is_local=True) as tekton:  # before anything is made; that may take long
        known = tekton.call(ListTerminals()).terminals
        known += tekton.call(ListTerminals(is_closed=True)).terminals
    made = make(plan.folder, branch, known)
    worktree = made.worktree
    if not made.is_new:
        say(f"the worktree {worktree.path} is there from before, and goes on as it is")
    try:
        return _open(
            dataclasses.replace(plan, folder=worktree.path, worktree=worktree), environment
        )
    except (ConnectionLost, TimedOut):
        say(f"the worktree {worktree.path} stays, for the terminal may be there")
        raise
    except BaseException:
        remove(made)
        raise


def _folder(cwd: str) -> str:
    """Return the folder where it shall begin, by the path that the user knows it by."""
    folder = cwd if os.path.isabs(cwd) else os.path.join(_here(), cwd or ".")
    # what `..` leads to depends on the links before it
    tidy = os.path.realpath if ".." in folder.split("/") else os.path.normpath
    folder = tidy(folder)
    _check_text(folder)
    return folder


def _here() -> str:
    try:
        here = os.getcwd()
    except FileNotFoundError as error:
        raise NotFound(
            "the current folder is gone", "`cd` to one that is there, or name one: --cwd DIR"
        ) from error
    known = os.environ.get("PWD", "")
    is_here = os.path.isabs(known) and os.path.isdir(known) and os.path.samefile(known, here)
    return known if is_here else here


def _check_text(*words: str) -> None:
    """Refuse what no message can carry.

    Raises:
        UsageError: One of them is not UTF-8.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            shown = os.fsencode(word).decode(errors="backslashreplace")
            raise UsageError(
                f"'{shown}' is not UTF-8, so it cannot be sent", "use a name that is UTF-8"
            ) from error


def _size() -> tuple[int, int]:
    """Return the columns and rows of the terminal around us, or what is usual."""
    for stream in (0, 1, 2):
        try:
            columns, rows = os.get_terminal_size(stream)
        except OSError:
            continue
        if columns and rows:
            return columns, rows
    return 80, 24
