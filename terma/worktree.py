"""Git worktrees: a folder with a branch of its own for each terminal that wants one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from backends.console import say
from backends.errors import NotFound, TektonError, UsageError
from backends.protocol.terminals import TerminalInfo, TerminalState, Worktree
from backends.runtime import slug_of

_LONGEST_SLUG = 100
_OF_ANOTHER = ("DIR", "WORK_TREE", "INDEX_FILE", "COMMON_DIR", "OBJECT_DIRECTORY", "PREFIX")
"""Variables `GIT_…` that a hook of another repository sets (git(1))."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A worktree, whether it was made just now, and whether its branch was, too."""

    worktree: Worktree
    is_new_branch: bool
    is_new: bool = True


def make(folder: str, branch: str, known: Sequence[TerminalInfo] = ()) -> Made:
    """Make a worktree beside the repository around a folder, or take up the one that is there.

    A branch that is new begins at HEAD, or at the branch of that name of `origin`. A worktree of
    the branch that was made for a terminal which is closed is taken up as it is, with the commit
    that it began at, as far as that is known.

    Args:
        folder: Anywhere in the repository.
        branch: Its name.
        known: Terminals, open and closed.

    Raises:
        NotFound: The folder or git is not there.
        UsageError: It is in no repository, or the branch cannot have a worktree; the message
            says why.
        TektonError: Git cannot make it, and says why.
    """
    repository = _repository(folder)
    _check_name(repository, branch)
    path = _place(repository, branch)
    if left := _left_behind(repository, branch, path, known):
        return left
    _check_free(repository, branch, path)
    is_new = not _commit(repository, f"refs/heads/{branch}")
    arguments = [path, branch]
    if is_new:
        is_tracked = bool(_commit(repository, f"refs/remotes/origin/{branch}"))
        # where it begins is what HEAD is in the caller's folder, which may be a worktree itself
        begin = f"origin/{branch}" if is_tracked else _commit(folder, "HEAD")
        if not begin:
            raise UsageError(
                f"the repository {repository} has no commit yet, so there is nothing to begin at",
                "`git commit --allow-empty -m first` makes one",
            )
        track = "--track" if is_tracked else "--no-track"
        arguments = [track, "-b", branch, path, begin]
    worktree = Worktree(repository=repository, path=path, branch=branch, base="")
    made = Made(worktree=worktree, is_new_branch=is_new)
    try:
        _add(repository, arguments)
        base = _commit(path, "HEAD")
    except BaseException:
        remove(made)
        raise
    found = Worktree(repository=repository, path=path, branch=branch, base=base)
    return Made(worktree=found, is_new_branch=is_new)


def remove(made: Made) -> None:
    """Remove a worktree, if it was made just now, and its branch if that was made with it."""
    if not made.is_new:
        return
    worktree = made.worktree
    status, _, complaint = run(worktree.repository, "worktree", "remove", "--force", worktree.path)
    if status and os.path.lexists(worktree.path):
        say(f"{worktree.path} is left behind: {failure('worktree', status, complaint).message}")
    run(worktree.repository, "worktree", "prune")
    if made.is_new_branch:
        run(worktree.repository, "branch", "-D", worktree.branch)
    with suppress(OSError):  # others may have theirs in it
        os.rmdir(os.path.dirname(worktree.path))


def git_environment() -> dict[str, str]:
    """Return the environment for git, without what leads it to another repository."""
    left_out = {f"GIT_{name}" for name in _OF_ANOTHER}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def start(
    folder: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    output: int | None = None,
    complaints: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start git in a folder; the process is the caller's.

    Raises:
        NotFound: There is no git, or no such folder.
    """
    if not os.path.isdir(folder):
        raise NotFound(f"there is no folder {folder!r}")
    try:
        return subprocess.Popen(  # nosec B607
            ["git", "-C", folder, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            env=environment or git_environment(),
        )
    except FileNotFoundError as error:
        raise NotFound("worktrees need git, which is not on your PATH", "install git") from error


def run(
    folder: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run git to its end, in English; returns its status, and what it printed and complained.

    Raises:
        NotFound: There is no git, or no such folder.
    """
    environment = {**(environment or git_environment()), "LC_ALL": "C"}
    with start(
        folder, *arguments, environment=environment,
        output=subprocess.PIPE, complaints=subprocess.PIPE,
    ) as process:  # fmt: skip
        out, complaint = process.communicate()
    return process.returncode, os.fsdecode(out).rstrip("\n"), os.fsdecode(complaint)


def _asked(folder: str, *arguments: str) -> str:
    """Return what git prints.

    Raises:
        TektonError: It fails.
    """
    status, out, complaint = run(folder, *arguments)
    if status:
        raise failure(arguments[0], status, complaint)
    return out


def failure(verb: str, status: int, complaint: str) -> TektonError:
    """Return an error of git's as ours."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines[-1:]
    reason = told[0].partition(": ")[2] or told[0] if told else f"status {status}"
    return TektonError(f"git {verb}: {reason}")


def _repository(folder: str) -> str:
    """Return the main folder of the repository around a folder, from within a worktree as well."""
    status, out, complaint = run(folder, "rev-parse", "--git-common-dir", "--is-bare-repository")
    if status and "not a git repository" in complaint:
        raise UsageError(
            f"{folder} is in no git repository", "--cwd DIR names another folder; `git init` is one"
        )
    if status:
        raise failure("rev-parse", status, complaint)
    common, _, _ = out.rpartition("\n")
    common = os.path.realpath(os.path.join(folder, common))
    if os.path.basename(common) == ".git":
        return os.path.dirname(common)
    if _asked(common, "rev-parse", "--is-bare-repository") == "true":
        return common
    return _asked(folder, "rev-parse", "--show-toplevel")  # of a submodule


def _left_behind(
    repository: str, branch: str, path: str, known: Sequence[TerminalInfo]
) -> Made | None:
    """Return the worktree that is there already, where we would make it, and in no use.

    Raises:
        UsageError: An open terminal works there.
    """
    if (path, f"refs/heads/{branch}") not in _worktrees(repository) or not os.path.isdir(path):
        return None
    its = [one for one in known if one.worktree and one.worktree.path == path]
    for one in its:
        if one.state is not TerminalState.CLOSED:
            hint = f"`--cwd {path}` works there, too; another branch can have one of its own"
            place = f"in {path}, for {one.name}"
            raise UsageError(f"the branch {branch!r} is checked out already, {place}", hint)
    base = next((one.worktree.base for one in its if one.worktree), "")
    base = base or run(repository, "merge-base", "HEAD", branch)[1] or _commit(path, "HEAD")
    worktree = Worktree(repository=repository, path=path, branch=branch, base=base)
    return Made(worktree=worktree, is_new_branch=False, is_new=False)


def _check_name(repository: str, branch: str) -> None:
    status, name, _ = run(repository, "check-ref-format", "--branch", branch)
    if status or name != branch or branch == "HEAD":
        raise UsageError(
            f"{branch!r} cannot be the name of a branch",
            "`git help check-ref-format` tells what can",
        )


def _check_free(repository: str, branch: str, place: str) -> None:
    """Refuse a branch that is checked out elsewhere, and a place that is taken."""
    for path, other in _worktrees(repository):
        if other == f"refs/heads/{branch}":
            hint = f"`--cwd {path}` works there; another branch can have a worktree of its own"
            if not os.path.isdir(path):
                hint = "that folder is gone; `git worktree prune` forgets it"
            raise UsageError(f"the branch {branch!r} is checked out already, in {path}", hint)
    if os.path.lexists(place):
        raise UsageError(
            f"{place} is in the way of a worktree for {branch!r}",
            f"move it, or use it as it is: `--cwd {place}`",
        )


def _worktrees(repository: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each worktree, and the branch that is checked out there."""
    for entry in _asked(repository, "worktree", "list", "--porcelain").split("\n\n"):
        lines = [line.partition(" ") for line in entry.splitlines()]
        fields = {word: value for word, _, value in lines}
        if "worktree" in fields:
            yield fields["worktree"], fields.get("branch", "")


def _commit(folder: str, name: str) -> str:
    """Return the commit behind a name, or nothing where there is none."""
    return run(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")[1]


def _place(repository: str, branch: str) -> str:
    slug = slug_of(branch, _LONGEST_SLUG) or branch.replace("/", "-")
    path = f"{repository.removesuffix('.git')}.worktrees/{slug}"
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{path!r} is not UTF-8", "move the repository to a path that is"
        ) from error
    return path


def _add(repository: str, arguments: list[str]) -> None:
    """Have git make a worktree; a person sees how far it is.

    Raises:
        TektonError: It cannot.
    """
    words = ["worktree", "add", *arguments]
    if not sys.stderr.isatty():
        _asked(repository, *words)
        return
    with start(repository, *words, output=sys.stderr.fileno()) as process:
        status = process.wait()
    if status:
        raise TektonError(f"git could not make the worktree {arguments[-2]}; it says above why")
