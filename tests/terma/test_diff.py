"""`terma diff`: all that a worktree has and its base has not, and nothing is touched by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.protocol.terminals import TerminalInfo, Worktree
from terma.worktree import make
from tests.scenarios.tekton_process import Ran
from tests.scenarios.terminal import Terminal
from tests.terma.scripted import TERMA, run, scripted
from tests.terma.test_worktree import Repository

ALICE = TerminalInfo(name="alice", id="a" * 32)


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("PAGER", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "app")
    (repository.path / ".gitignore").write_text("*.o\n")
    repository.commit("kept", "kept\n")
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "more")
    return repository


@pytest.fixture
def worktree(repository: Repository) -> Iterator[Worktree]:
    """A worktree with a bit of everything, which is that of the terminal bob."""
    worktree = make(str(repository.path), "one").worktree
    folder = Path(worktree.path)
    repository.commit("committed", "committed\n", folder=folder)
    (folder / "staged").write_text("staged\n")
    repository.git("add", "staged", folder=folder)
    (folder / "first").write_text("changed\n")
    (folder / "kept").unlink()
    (folder / "sub").mkdir()
    (folder / "sub" / "new file").write_text("new\n")
    (folder / "ignored.o").write_text("x")
    bob = TerminalInfo(name="bob", id="b" * 32, worktree=worktree)
    with scripted(ALICE, bob):
        yield worktree


def names(ran: Ran) -> list[str]:
    """The changes of `--name-status`."""
    assert (ran.status, ran.err) == (0, "")
    return ran.text.splitlines()


def test_everything_that_is_not_ignored_is_shown(worktree: Worktree) -> None:
    assert names(run("diff", "bob", "--", "--name-status")) == [
        "A\tcommitted", "M\tfirst", "D\tkept", "A\tstaged", "A\tsub/new file",
    ]  # fmt: skip
    text = run("diff", "bob").text
    assert "+changed" in text
    assert "+new" in text
    ran = run("diff", "bob", "--stat")
    assert ran.text.splitlines()[-1].strip().startswith("5 files changed")
    assert names(run("diff", "bob", "--", "--name-only", "--", "sub")) == ["sub/new file"]


def test_the_user_s_index_and_the_repository_stay_as_they_are(
    worktree: Worktree, repository: Repository
) -> None:
    def state() -> tuple[str, bytes, str]:
        index = Path(repository.git("rev-parse", "--git-path", "index", folder=worktree.path))
        status = repository.git("status", "--porcelain", folder=worktree.path)
        return status, index.read_bytes(), repository.git("count-objects", "-v")

    before = state()
    assert run("diff", "bob").status == 0
    assert state() == before


def test_nothing_has_changed(repository: Repository) -> None:
    worktree = make(str(repository.path), "one").worktree
    with scripted(TerminalInfo(name="bob", id="b" * 32, worktree=worktree)):
        assert run("diff", "bob") == Ran(0, b"", "")
        ran = run("diff", "bob", "--", "--exit-code")
        assert ran == Ran(0, b"", "")
        Path(worktree.path, "new").touch()
        assert run("diff", "bob", "--", "--exit-code", "--quiet").status == 1


def test_a_file_that_nobody_may_read_and_a_repository_within_keep_nothing_away(
    worktree: Worktree,
) -> None:
    inner = Repository(Path(worktree.path) / "inner")
    assert inner.branches == ["main"]
    (Path(worktree.path) / "dangling").symlink_to("nowhere")
    found = names(run("diff", "bob", "--", "--name-only"))
    assert {"committed", "dangling", "inner", "sub/new file"} <= set(found)


def test_a_person_has_their_own_pager(worktree: Worktree, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nsed 's/^/PAGED /'\n")
    pager.chmod(0o755)
    environment = os.environ | {"GIT_PAGER": str(pager), "TERM": "xterm"}
    terminal = Terminal([*TERMA, "diff", "bob"], environment, tmp_path)
    try:
        assert terminal.wait() == 0
        assert b"PAGED " in terminal.shown
        assert b"committed" in terminal.shown
    finally:
        terminal.close()


_PAGER = """
import os, signal, sys
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"CAUGHT\\n"))
sys.stdin.buffer.read()
os.write(1, b"READY\\n")
os.write(1, b"KEY " + open("/dev/tty").readline().encode())
"""


def test_ctrl_c_is_the_pager_s(worktree: Worktree, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text(f"#!{sys.executable} -IS\n{_PAGER}")
    pager.chmod(0o755)
    environment = os.environ | {"GIT_PAGER": str(pager), "TERM": "xterm"}
    terminal = Terminal([*TERMA, "diff", "bob"], environment, tmp_path)
    try:
        terminal.wait_for(b"READY")
        terminal.type("\x03")
        terminal.wait_for(b"CAUGHT")
        terminal.type("q\r")
        terminal.wait_for(b"KEY q")
        assert terminal.wait() == -signal.SIGINT, "as git ends then"
    finally:
        terminal.close()


def test_a_pipe_that_is_closed_ends_it(worktree: Worktree) -> None:
    Path(worktree.path, "big").write_text("line\n" * 200_000)
    line = f"{' '.join(map(repr, TERMA))} diff bob | head -1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True,
        check=True, timeout=20,
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["diff --git a/big b/big", "141"]
    assert ran.stderr == ""


def test_git_s_own_errors_and_status_are_told(worktree: Worktree) -> None:
    for option, status, told in [
        ("--no-such-option", 2, "git diff does not take --no-such-option"),
        ("--diff-filter=q", 2, "git diff does not take --diff-filter=q"),
        ("nothing", 1, "git diff: ambiguous argument 'nothing': "),
    ]:
        ran = run("diff", "bob", "--", option)
        assert (ran.status, ran.out) == (status, b"")
        assert ran.err.startswith(f"error: {told}")
    assert run("diff", "bob", "--", "--exit-code", "--name-only").status == 1


def test_a_complaint_does_not_go_to_the_pager(worktree: Worktree, tmp_path: Path) -> None:
    environment = os.environ | {"PAGER": "touch paged"}
    terminal = Terminal([*TERMA, "diff", "bob", "--", "--nonsense"], environment, tmp_path)
    assert terminal.wait() == 2
    assert b"git diff does not take --nonsense\r\n" in terminal.shown
    assert not Path(worktree.path, "paged").exists()
    terminal.close()


def test_a_terminal_without_a_worktree_or_one_that_is_gone(worktree: Worktree) -> None:
    ran = run("diff", "alice")
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err == (
        "error: the terminal 'alice' has no worktree of its own\n"
        "hint: `terma new NAME --worktree BRANCH` makes a terminal that has one\n"
    )
    assert run("diff", "nobody").status == 3
    Path(worktree.path).rename(worktree.path + "-moved")
    ran = run("diff", "bob")
    assert (ran.status, ran.err) == (3, f"error: the worktree {worktree.path} is gone\n")
