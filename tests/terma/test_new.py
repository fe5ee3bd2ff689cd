"""`terma new`: what it asks for, and what it says where that cannot be."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from backends.errors import NotFound, TektonError, TimedOut
from backends.protocol.messages import Request
from backends.protocol.terminals import (
    ListTerminals,
    OpenTerminal,
    TerminalInfo,
    Terminals,
    TerminalState,
)
from backends.service.base import Service, handles
from tests.backends.services import StageContext, elsewhere, running
from tests.programs import needed
from tests.scenarios.tekton_process import Ran
from tests.scenarios.terminal import Terminal
from tests.terma.scripted import TERMA, decoded
from tests.terma.test_worktree import Repository


class OpeningTerma(Service):
    """Says that it has opened what it is asked for, or fails as a test wants."""

    name = "terma"

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        self.asked: list[OpenTerminal] = []
        self.failure: TektonError | None = None
        self.others: list[Request[Terminals]] = []
        self.closed: tuple[TerminalInfo, ...] = ()

    @handles(OpenTerminal)
    async def open(self, request: OpenTerminal) -> TerminalInfo:
        """Note it."""
        self.asked.append(request)
        if self.failure:
            raise self.failure
        return TerminalInfo(
            name=request.name, id="a" * 32, kind=request.kind, command=request.command,
            folder=request.folder, worktree=request.worktree,
        )  # fmt: skip

    @handles(ListTerminals)
    async def list(self, request: ListTerminals) -> Terminals:
        """Tell of those of before; refuse to tell of one, so that attaching ends at once."""
        if request.name is None:
            return Terminals(terminals=self.closed if request.is_closed else ())
        self.others.append(request)
        raise NotFound("this is where attaching begins")


@pytest.fixture
def terma() -> Iterator[OpeningTerma]:
    @contextlib.asynccontextmanager
    async def work() -> AsyncIterator[OpeningTerma]:
        context = StageContext()
        service = OpeningTerma(context)
        async with running(context, service):
            yield service

    with elsewhere(work) as service:
        yield service


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("GIT_", "AISH_", "TERMA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SHELL", needed("bash"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")


def new(
    *arguments: str | bytes, folder: Path | str, variables: Mapping[str, str] | None = None
) -> Ran:
    """Run `terma new` to its end in a folder."""
    ran = subprocess.run(
        [*TERMA, "new", *arguments], env=os.environ | dict(variables or {}), cwd=folder,
        stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20,
    )  # fmt: skip
    return Ran(ran.returncode, ran.stdout, ran.stderr.decode())


# -- what is asked for -----------------------------------------------------------------------


def test_a_shell_begins_here_with_what_is_known_here(terma: OpeningTerma, tmp_path: Path) -> None:
    ran = new("alice", folder=tmp_path, variables={"MINE": "ü", "TMUX": "x"})
    assert ran == Ran(0, b"", "")
    [asked] = terma.asked
    assert (asked.name, asked.folder, asked.kind) == ("alice", str(tmp_path), "shell")
    assert asked.command[0] == needed("bash")
    assert (asked.columns, asked.rows, asked.roles) == (80, 24, ())
    assert (asked.is_recorded, asked.worktree) == (None, None)
    environment = decoded(asked.environment)
    assert (environment["MINE"], environment["PWD"]) == ("ü", str(tmp_path))
    assert "TMUX" not in environment


def test_a_program_has_its_own_words_and_the_other_options_count(
    terma: OpeningTerma, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    words = ["--role", "a,b", "--role", "c", "--cwd", "sub", "--no-record", "--json"]
    ran = new("bob", *words, "--", "htop", "--json", "-d", "--", "5", folder=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.json["name"] == "bob"
    [asked] = terma.asked
    assert (asked.command, asked.kind) == (("htop", "--json", "-d", "--", "5"), "program")
    assert (asked.roles, asked.is_recorded) == (("a", "b", "c"), False)
    assert asked.folder == str(tmp_path / "sub")


def test_the_shell_is_the_one_that_is_named_else_configured_else_the_user_s(
    terma: OpeningTerma, tmp_path: Path, tekton_home: Path
) -> None:
    config = tekton_home / "config" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text('[terma]\nshell = "fish"\n')
    assert new("one", folder=tmp_path).status == 0
    assert new("two", "--shell", "zsh", folder=tmp_path).status == 0
    assert [asked.command[0] for asked in terma.asked] == [needed("fish"), needed("zsh")]
    shells = [decoded(asked.environment)["SHELL"] for asked in terma.asked]
    assert shells == [needed("fish"), needed("zsh")]
    config.write_text('[terma]\nshell = "nosh"\n')
    ran = new("three", folder=tmp_path)
    assert (ran.status, len(terma.asked)) == (3, 2)
    assert "no shell 'nosh', which `shell` under [terma] asks for" in ran.err


def test_a_folder_is_known_by_the_path_that_the_user_took(
    terma: OpeningTerma, tmp_path: Path
) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real" / "deep")
    for cwd, pwd, wanted in [
        ((), str(link), str(link)),
        ((), "/nowhere", str(tmp_path / "real" / "deep")),
        (("--cwd", "."), str(link), str(link)),
        (("--cwd", ".."), str(link), str(tmp_path / "real")),
        (("--cwd", "not/there"), str(link), str(link / "not" / "there")),
        (("--cwd", "/"), str(link), "/"),
    ]:
        assert new("alice", *cwd, folder=link, variables={"PWD": pwd}).status == 0
        assert terma.asked[-1].folder == wanted


def test_on_a_terminal_it_has_its_size_and_tells_how_to_attach(
    terma: OpeningTerma, tmp_path: Path
) -> None:
    terminal = Terminal([*TERMA, "new", "alice"], os.environ, tmp_path, rows=33)
    try:
        assert terminal.wait() == 0
        assert terminal.shown == b"alice runs bash; `terma attach alice` shows it\r\n"
    finally:
        terminal.close()
    [asked] = terma.asked
    assert (asked.columns, asked.rows) == (80, 33)


def test_inside_a_terminal_another_one_is_made(terma: OpeningTerma, tmp_path: Path) -> None:
    outer = {"TERMA_TERMINAL": "bob", "TERMA_INSTANCE": "b" * 32, "TERMA_MAIL": "/x", "STY": "1"}
    assert new("alice", folder=tmp_path, variables=outer).status == 0
    environment = decoded(terma.asked[0].environment)
    assert not outer.keys() & environment.keys()


def test_attaching_follows(terma: OpeningTerma, tmp_path: Path) -> None:
    terminal = Terminal([*TERMA, "new", "alice", "-a"], os.environ, tmp_path)
    try:
        assert terminal.wait() == 3
        assert b"this is where attaching begins" in terminal.shown
    finally:
        terminal.close()
    assert terma.others == [ListTerminals(name="alice")]


# -- what cannot be --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("Alice",), "error: 'Alice' cannot be the name of a terminal: a name has the letters a to"
         " z in lower case, digits and '-', nothing else\nhint: call it 'alice'\n"),
        (("user",), "error: 'user' cannot be the name of a terminal: it is a word"),
        (("alice", "--attach"), "error: nothing can be attached without a terminal"),
        (("alice", "--shell", "zsh", "--", "htop"), "contradict each other"),
        ((b"al\xffice",), r"error: 'al\xffice' is not UTF-8"),
        (("alice", "--", b"x\xff"), r"error: 'x\xff' is not UTF-8"),
        (("alice", "--role", b"x\xff"), r"error: 'x\xff' is not UTF-8"),
        (("alice", "--cwd", b"x\xff"), r"x\xff' is not UTF-8"),
        (("alice", "--worktree", b"x\xff"), r"error: 'x\xff' is not UTF-8"),
        ((), "Missing argument 'NAME'"),
    ],
)  # fmt: skip
def test_a_slip_is_told_and_nothing_is_asked(
    terma: OpeningTerma, tmp_path: Path, words: tuple[str | bytes, ...], told: str
) -> None:
    ran = new(*words, folder=tmp_path)
    assert (ran.status, ran.out) == (2, b"")
    assert told in ran.err
    assert terma.asked == []


@pytest.mark.parametrize(("shell", "told"), [("nosh", "nosh on your PATH"), ("/x/sh", "/x/sh")])
def test_a_shell_that_is_not_there(
    terma: OpeningTerma, tmp_path: Path, shell: str, told: str
) -> None:
    ran = new("alice", "--shell", shell, folder=tmp_path)
    assert (ran.status, ran.out, terma.asked) == (3, b"", [])
    error, hint = ran.err.splitlines()
    assert error == f"error: there is no program {told}, which --shell asks for"
    assert "bash, zsh and fish" in hint


def test_a_current_folder_that_is_gone(terma: OpeningTerma, tmp_path: Path) -> None:
    line = "import os; os.rmdir(os.getcwd()); from terma.cli import main; main()"
    gone = tmp_path / "gone"
    for cwd, status in [((), 3), (("--cwd", "/"), 0)]:
        gone.mkdir()
        ran = subprocess.run(
            [sys.executable, "-P", "-c", line, "new", "alice", *cwd], cwd=gone, capture_output=True,
            stdin=subprocess.DEVNULL, check=False, timeout=20,
        )  # fmt: skip
        assert ran.returncode == status
        assert (b"the current folder is gone" in ran.stderr) == bool(status)


def test_a_current_folder_that_is_not_utf_8(terma: OpeningTerma, tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.mkdir(odd)
    ran = new("alice", folder=odd)
    assert (ran.status, len(terma.asked)) == (2, 0)
    assert r"\xff' is not UTF-8" in ran.err


def test_what_the_service_says_is_told(terma: OpeningTerma, tmp_path: Path) -> None:
    terma.failure = NotFound("there is no program 'nope'")
    ran = new("alice", "--", "nope", folder=tmp_path)
    assert (ran.status, ran.out) == (3, b"")
    assert ran.err == "error: there is no program 'nope'\n"


# -- worktrees -------------------------------------------------------------------------------


def test_a_worktree_is_made_for_it(terma: OpeningTerma, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "app")
    ran = new("bob", "--worktree", "feature/x", folder=repository.path)
    assert (ran.status, ran.err) == (0, "")
    [asked] = terma.asked
    assert asked.worktree is not None
    assert asked.folder == asked.worktree.path == f"{repository.path}.worktrees/feature-x"
    assert decoded(asked.environment)["PWD"] == asked.folder
    assert asked.worktree.branch == "feature/x"
    assert Path(asked.folder, "first").exists()


def test_a_worktree_of_before_is_taken_up(terma: OpeningTerma, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "app")
    assert new("bob", "--worktree", "one", folder=repository.path).status == 0
    first = terma.asked[0].worktree
    assert first is not None
    terma.closed = (
        TerminalInfo(name="bob", id="b" * 32, state=TerminalState.CLOSED, worktree=first),
    )
    repository.commit("main goes on", "m\n")
    ran = new("eve", "--worktree", "one", folder=repository.path)
    assert (ran.status, ran.err) == (
        0, f"the worktree {first.path} is there from before, and goes on as it is\n",
    )  # fmt: skip
    assert terma.asked[1].worktree == first
    terma.failure = TektonError("there is a terminal named 'eve'")
    assert new("eve", "--worktree", "one", folder=repository.path).status == 1
    assert Path(first.path).is_dir()


def test_a_worktree_goes_again_where_its_terminal_cannot_be(
    terma: OpeningTerma, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "app")
    terma.failure = TektonError("there is a terminal named 'bob'")
    ran = new("bob", "--worktree", "one", "--cwd", str(repository.path), folder=tmp_path)
    assert (ran.status, ran.err) == (1, "error: there is a terminal named 'bob'\n")
    assert repository.branches == ["main"]
    assert repository.worktrees == [str(repository.path)]


def test_a_worktree_stays_where_nobody_knows(terma: OpeningTerma, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "app")
    terma.failure = TimedOut("terma is silent")
    ran = new("bob", "--worktree", "one", folder=repository.path)
    assert ran.status == 5
    assert f"the worktree {repository.path}.worktrees/one stays" in ran.err
    assert repository.branches == ["main", "one"]


def test_without_a_hub_no_worktree_is_made(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "app")
    ran = new("bob", "--worktree", "one", folder=repository.path)
    assert (ran.status, ran.out) == (4, b"")
    assert repository.branches == ["main"]
    assert new("bob", folder=repository.path).status == 4


def test_what_is_asked_for_is_json_that_others_can_read(
    terma: OpeningTerma, tmp_path: Path
) -> None:
    shown = json.loads(new("alice", "--json", folder=tmp_path).out)
    assert shown["kind"] == "shell"
    assert shown["id"] == "a" * 32
    assert len(terma.asked) == 1
