"""`terma diff`: what the worktree of a terminal has that the commit it began at has not."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from backends.client.blocking import BlockingTekton
from backends.console import die_of
from backends.errors import NotFound, UsageError
from backends.protocol.terminals import ListTerminals, Worktree
from terma.options import Debug, Name
from terma.worktree import failure, git_environment, run, start

_USAGE = 129
"""Git's status where it was asked wrongly."""


def diff(
    name: Name,
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTION...]", help="Options and paths for `git diff`."),
    ] = None,
    stat: Annotated[
        bool, typer.Option("--stat", help="Only which files, and how many lines.")
    ] = False,
    debug: Debug = False,
) -> None:
    """terma diff bob --stat: what has changed in the git worktree of a terminal since it was made.

    Commits, what is staged and what is not, and new files that git does not ignore. The rest of
    the line goes to git: `terma diff bob -- --word-diff -- src`.
    """
    with BlockingTekton(is_local=True) as tekton:
        found = tekton.call(ListTerminals(name=name)).terminals
    if not found:
        raise NotFound(f"no terminal named {name!r}", "`terma list` shows all")
    terminal = found[0]
    if terminal.worktree is None:
        raise UsageError(
            f"the terminal {terminal.name!r} has no worktree of its own",
            "`terma new NAME --worktree BRANCH` makes a terminal that has one",
        )
    if not os.path.isdir(terminal.worktree.path):
        raise NotFound(f"the worktree {terminal.worktree.path} is gone")
    status = show(terminal.worktree, [*(["--stat"] if stat else []), *(options or ())])
    if status:
        raise typer.Exit(status)


def show(worktree: Worktree, options: Sequence[str]) -> int:
    """Have git show the difference, by the user's pager on a terminal; returns its exit status.

    Raises:
        UsageError: Git does not know the options.
        TektonError: Git cannot look at the worktree.
    """
    sys.stdout.flush()
    with _index_of(worktree.path) as environment:
        if options:
            _check(worktree, options, environment)
        # Ctrl-C is for git and the pager; ours would leave that alone on the terminal
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            with start(
                worktree.path, "diff", worktree.base, *options, environment=environment
            ) as process:
                status = process.wait()
        finally:
            signal.signal(signal.SIGINT, before)
    if status < 0:
        die_of(signal.Signals(-status))
    return status


def _check(worktree: Worktree, options: Sequence[str], environment: Mapping[str, str]) -> None:
    """Have git complain before it starts the pager, which would get its complaints."""
    status, _, complaint = run(
        worktree.path, "diff", "--quiet", worktree.base, *options, environment=environment
    )
    if status == _USAGE:
        raise UsageError(
            f"git diff does not take {shlex.join(options)}", "`git diff -h` shows what it takes"
        )
    if status > 1:  # 1: there are differences
        raise failure("diff", status, complaint)


@contextmanager
def _index_of(path: str) -> Iterator[dict[str, str]]:
    """Give an environment in which git knows of new files, too; the user's own index stays."""
    status, found, complaint = run(
        path, "rev-parse", "--git-path", "index", "--git-path", "objects"
    )
    if status:
        raise failure("rev-parse", status, complaint)
    index, objects = (os.path.join(path, one) for one in found.split("\n"))
    with tempfile.TemporaryDirectory(prefix="terma-diff-") as folder:
        if os.path.exists(index):
            shutil.copy2(index, f"{folder}/index")
        environment = git_environment() | {"GIT_INDEX_FILE": f"{folder}/index"}
        # a new file needs the empty object, which is not to be written into the user's repository
        elsewhere = {
            "GIT_OBJECT_DIRECTORY": f"{folder}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
        }
        os.mkdir(f"{folder}/objects")
        status, _, complaint = run(
            path, "-c", "advice.addEmbeddedRepo=false", "add", "--intent-to-add", "--ignore-errors",
            "--", ".", environment=environment | elsewhere,
        )  # fmt: skip
        if status > 1:  # 1: a file of them cannot be read
            raise failure("add", status, complaint)
        yield environment
