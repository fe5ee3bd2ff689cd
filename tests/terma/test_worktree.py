"""Git worktrees of terminals: real repositories in a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.errors import NotFound, TektonError, UsageError
from backends.protocol.terminals import TerminalInfo, TerminalState, Worktree
from terma.worktree import make, remove
from tests.programs import needed
from tests.scenarios.terminal import Terminal
from tests.terma.scripted import TERMA


class Repository:
    """A git repository with one commit, and nothing of the user's configuration."""

    def __init__(self, path: Path, has_commit: bool = True) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        if has_commit:
            self.commit("first", "one\n")

    def git(self, *arguments: str, folder: Path | str | None = None) -> str:
        """Run git; returns what it prints."""
        ran = subprocess.run(
            [needed("git"), "-C", str(folder or self.path), *arguments],
            capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def commit(self, name: str, text: str, folder: Path | str | None = None) -> str:
        """Commit a file; returns the commit."""
        (Path(folder or self.path) / name).write_text(text)
        self.git("add", name, folder=folder)
        self.git("commit", "-q", "-m", name, folder=folder)
        return self.git("rev-parse", "HEAD", folder=folder)

    @property
    def worktrees(self) -> list[str]:
        """The folders of all that git knows."""
        lines = self.git("worktree", "list", "--porcelain").splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith("worktree ")]

    @property
    def branches(self) -> list[str]:
        """The names of all branches."""
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()


@pytest.fixture(autouse=True)
def _own_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "src" / "app")


# -- made ------------------------------------------------------------------------------------


def test_a_new_branch_begins_at_head_beside_the_repository(repository: Repository) -> None:
    (repository.path / "sub").mkdir()
    made = make(str(repository.path / "sub"), "feature/Cache")
    worktree = made.worktree
    assert worktree.path == f"{repository.path}.worktrees/feature-cache"
    assert (worktree.repository, worktree.branch) == (str(repository.path), "feature/Cache")
    assert worktree.base == repository.git("rev-parse", "HEAD")
    assert made.is_new_branch
    assert Path(worktree.path, "first").read_text() == "one\n"
    assert repository.git("branch", "--show-current", folder=worktree.path) == "feature/Cache"


def test_a_branch_that_is_there_is_used_as_it_is(repository: Repository) -> None:
    repository.git("switch", "-q", "-c", "other")
    there = repository.commit("second", "two\n")
    repository.git("switch", "-q", "main")
    made = make(str(repository.path), "other")
    assert (made.worktree.base, made.is_new_branch) == (there, False)
    assert Path(made.worktree.path, "second").exists()


def test_a_branch_that_only_origin_has_is_tracked(repository: Repository, tmp_path: Path) -> None:
    repository.git("branch", "far")
    clone = Repository(tmp_path / "clone", has_commit=False)
    clone.git("remote", "add", "origin", str(repository.path))
    clone.git("fetch", "-q", "origin")
    made = make(str(clone.path), "far")
    assert made.is_new_branch
    assert clone.git("rev-parse", "--abbrev-ref", "far@{upstream}") == "origin/far"


def test_from_within_a_worktree_it_lies_beside_the_first(repository: Repository) -> None:
    one = make(str(repository.path), "one").worktree
    there = repository.commit("more", "m\n", folder=one.path)
    two = make(one.path, "two").worktree
    assert two.path == f"{repository.path}.worktrees/two"
    assert two.repository == str(repository.path)
    assert two.base == there, "it begins where its maker is"


def test_a_bare_repository_has_worktrees_too(repository: Repository, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    repository.git("clone", "-q", "--bare", str(repository.path), str(bare))
    worktree = make(str(bare), "one").worktree
    assert worktree.path == f"{tmp_path}/bare.worktrees/one"


def test_a_submodule_has_worktrees_of_its_own(repository: Repository, tmp_path: Path) -> None:
    outer = Repository(tmp_path / "outer")
    allow = ("-c", "protocol.file.allow=always")
    outer.git(*allow, "submodule", "--quiet", "add", str(repository.path), "inner")
    worktree = make(str(outer.path / "inner"), "one").worktree
    assert worktree.path == f"{outer.path}/inner.worktrees/one"
    assert Path(worktree.path, "first").exists()


def test_the_variables_of_a_hook_lead_nowhere_else(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no-index"))
    assert make(str(repository.path), "one").worktree.repository == str(repository.path)


@pytest.mark.parametrize(
    ("branch", "folder"), [("42/x", "42-x"), ("日本/x", "x"), ("日本", "日本")]
)
def test_a_folder_is_called_like_its_branch(
    repository: Repository, branch: str, folder: str
) -> None:
    assert make(str(repository.path), branch).worktree.path.endswith(f".worktrees/{folder}")


def test_a_person_sees_git_s_own_progress(repository: Repository, tmp_path: Path) -> None:
    line = f"from terma.worktree import make; make({str(repository.path)!r}, 'one')"
    root = str(Path(__file__).parents[2])
    terminal = Terminal([TERMA[0], "-c", line], os.environ | {"PYTHONPATH": root}, tmp_path)
    try:
        assert terminal.wait() == 0
        assert b"Preparing worktree (new branch 'one')" in terminal.shown
    finally:
        terminal.close()


# -- not made --------------------------------------------------------------------------------


def test_without_a_repository(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is in no git repository"):
        make(str(tmp_path), "one")
    with pytest.raises(NotFound, match="there is no folder"):
        make(str(tmp_path / "nowhere"), "one")


def test_without_a_commit(tmp_path: Path) -> None:
    empty = Repository(tmp_path / "empty", has_commit=False)
    with pytest.raises(UsageError, match="has no commit yet") as raised:
        make(str(empty.path), "one")
    assert str(raised.value.hint).startswith("`git commit --allow-empty")


def test_without_git(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NotFound, match="need git, which is not on your PATH"):
        make(str(repository.path), "one")


@pytest.mark.parametrize("branch", ["-x", "a..b", "a b", "a.lock", "HEAD", "@{-1}", "a~1", "", "/"])
def test_what_git_takes_for_no_branch(repository: Repository, branch: str) -> None:
    repository.git("switch", "-q", "-c", "second")
    repository.git("switch", "-q", "main")
    with pytest.raises(UsageError, match="cannot be the name of a branch"):
        make(str(repository.path), branch)
    assert repository.branches == ["main", "second"]


def test_a_branch_that_is_checked_out_elsewhere(repository: Repository) -> None:
    with pytest.raises(UsageError, match=f"is checked out already, in {repository.path}$"):
        make(str(repository.path), "main")
    there = str(repository.path.parent / "there")
    repository.git("worktree", "add", "-q", "-b", "one", there)
    with pytest.raises(UsageError, match=f"is checked out already, in {there}$") as raised:
        make(str(repository.path), "one")
    assert f"`--cwd {there}`" in str(raised.value.hint)
    subprocess.run(["rm", "-r", there], check=True)
    with pytest.raises(UsageError, match="is checked out already") as raised:
        make(str(repository.path), "one")
    assert "git worktree prune" in str(raised.value.hint)


def had(worktree: Worktree, name: str, state: TerminalState) -> TerminalInfo:
    return TerminalInfo(name=name, id=name, state=state, worktree=worktree)


def test_what_a_closed_terminal_has_left_is_taken_up_again(repository: Repository) -> None:
    first = make(str(repository.path), "feature/cache").worktree
    repository.commit("kept", "k\n", folder=first.path)
    closed = had(first, "bob", TerminalState.CLOSED)
    repository.commit("main goes on", "m\n")
    again = make(str(repository.path), "feature/cache", [closed])
    assert again.worktree == first, "with the commit that it began at"
    assert (again.is_new, again.is_new_branch) == (False, False)
    remove(again)
    assert Path(first.path, "kept").exists(), "it was not made for this"


def test_where_nobody_knows_it_began_its_branch_tells(repository: Repository) -> None:
    first = make(str(repository.path), "one").worktree
    repository.commit("kept", "k\n", folder=first.path)
    repository.commit("main goes on", "m\n")
    assert make(str(repository.path), "one").worktree == first


def test_what_an_open_terminal_works_in_is_its_own(repository: Repository) -> None:
    first = make(str(repository.path), "one").worktree
    known = [had(first, "eve", TerminalState.CLOSED), had(first, "bob", TerminalState.EXITED)]
    with pytest.raises(UsageError, match=f"already, in {first.path}, for bob$") as raised:
        make(str(repository.path), "one", known)
    assert f"`--cwd {first.path}`" in str(raised.value.hint)


def test_a_folder_in_the_way(repository: Repository) -> None:
    place = Path(f"{repository.path}.worktrees/a-b")
    place.mkdir(parents=True)
    (place / "mine").write_text("")
    with pytest.raises(UsageError, match="is in the way"):
        make(str(repository.path), "a/b")
    assert (place / "mine").exists()
    assert repository.branches == ["main"]


def test_a_checkout_that_fails_leaves_nothing(repository: Repository) -> None:
    hook = repository.path / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'fatal: the hook says no' >&2; exit 3\n")
    hook.chmod(0o755)
    with pytest.raises(TektonError, match="git worktree: the hook says no"):
        make(str(repository.path), "one")
    assert repository.worktrees == [str(repository.path)]
    assert repository.branches == ["main"]
    assert not Path(f"{repository.path}.worktrees").exists()


# -- removed ---------------------------------------------------------------------------------


def _old_branch(repository: Repository) -> list[str]:
    repository.git("branch", "one")
    return ["main", "one"]


def _new_branch(repository: Repository) -> list[str]:
    del repository
    return ["main"]


@pytest.mark.parametrize("prepare", [_old_branch, _new_branch])
def test_what_was_made_goes_again_and_nothing_else(
    repository: Repository, prepare: Callable[[Repository], list[str]]
) -> None:
    branches = prepare(repository)
    other = make(str(repository.path), "other")
    made = make(str(repository.path), "one")
    remove(made)
    assert repository.branches == [*branches, "other"]
    assert repository.worktrees == [str(repository.path), other.worktree.path]
    remove(other)
    assert not Path(f"{repository.path}.worktrees").exists()


def test_what_cannot_be_removed_is_told(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(str(repository.path), "one")
    repository.git("worktree", "lock", made.worktree.path)
    remove(made)
    told = capsys.readouterr().err
    assert told.startswith(f"{made.worktree.path} is left behind: git worktree: ")
    assert Path(made.worktree.path).is_dir()
    assert repository.branches == ["main", "one"]
