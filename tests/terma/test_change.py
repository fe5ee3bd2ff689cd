"""`terma rename`, `role`, `close` and `restore`: what they ask for, and what they tell."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from backends.errors import TektonError
from backends.protocol.terminals import (
    ChangeRoles,
    Closed,
    CloseTerminal,
    NotRestored,
    RenameTerminal,
    Restored,
    RestoreTerminals,
    TerminalInfo,
    TerminalState,
    Worktree,
)
from tests.scenarios.terminal import Terminal
from tests.terma.scripted import TERMA, decoded, run, scripted

ALICE = TerminalInfo(name="alice", id="a" * 32, pid=101, detail="vim", state=TerminalState.BUSY)
BOB = TerminalInfo(name="bob", id="b" * 32, pid=102)
CARL = TerminalInfo(
    name="carl", id="c" * 32, kind="program", command=("x",), state=TerminalState.EXITED
)
BASH = shutil.which("bash") or "bash"


def test_a_terminal_is_renamed_without_a_word() -> None:
    with scripted(ALICE) as stage:
        ran = run("rename", "alice", "eve")
        assert (ran.status, ran.out, ran.err) == (0, b"", "")
        assert stage.terma.asked == [RenameTerminal(name="alice", to="eve")]


@pytest.mark.parametrize(
    ("words", "roles"),
    [
        (["review"], ("review",)),
        (["review,test"], ("review", "test")),
        (["review", "test,review,"], ("review", "test")),
        (["--none"], ()),
    ],
)
def test_roles_are_replaced(words: list[str], roles: tuple[str, ...]) -> None:
    with scripted(ALICE) as stage:
        ran = run("role", "alice", *words)
        assert (ran.status, ran.out, ran.err) == (0, b"", "")
        assert stage.terma.asked == [ChangeRoles(name="alice", roles=roles)]


@pytest.mark.parametrize("words", [[], [","], ["test", "--none"]])
def test_roles_that_contradict_are_refused(words: list[str]) -> None:
    ran = run("role", "alice", *words)
    assert (ran.status, ran.out) == (2, b"")
    assert "hint: `terma role alice review,test`" in ran.err


# -- close -----------------------------------------------------------------------------------


def test_a_terminal_is_closed_by_its_id_without_a_question() -> None:
    with scripted(ALICE, BOB) as stage:
        ran = run("close", "alice")
        assert (ran.status, ran.out, ran.err) == (0, b"", "closed alice: 2 processes ended\n")
        assert stage.terma.asked == [CloseTerminal(name=ALICE.id)]
        assert run("close", "--forget", "bob").status == 0
        assert stage.terma.asked[1:] == [CloseTerminal(name=BOB.id, forgets=True)]


def test_what_is_still_kept_of_others_of_that_name_is_told() -> None:
    older = [dataclasses.replace(ALICE, id=each * 32, state=TerminalState.CLOSED) for each in "ef"]
    with scripted(ALICE, BOB) as stage:
        stage.terma.closed = older
        told = run("close", "--forget", "alice").err.splitlines()[1]
        assert told == (
            "2 closed terminals of before, called alice, are still kept; "
            f"`terma close --forget {'e' * 32} {'f' * 32}` deletes them"
        )
        assert run("close", "--forget", "bob").err == "closed bob: 2 processes ended\n"


def test_nothing_is_closed_where_one_is_not_found() -> None:
    with scripted(ALICE) as stage:
        ran = run("close", "alice", "nobody")
        assert (ran.status, ran.err.splitlines()[0]) == (3, "error: no terminal named 'nobody'")
        assert not stage.terma.asked


def test_several_are_closed_at_once() -> None:
    terminals = [dataclasses.replace(BOB, name=f"t{n}", id=f"{n:032}") for n in range(20)]
    with scripted(*terminals) as stage:
        stage.terma.together = 20
        ran = run("close", *(one.name for one in terminals), "t0")
        assert ran.status == 0
        assert len(stage.terma.asked) == 20
        assert sorted(ran.err.splitlines()) == sorted(
            f"closed {one.name}: 2 processes ended" for one in terminals
        )


def test_the_terminal_around_it_is_closed_last() -> None:
    with scripted(ALICE, BOB, CARL) as stage:
        ran = run("close", "--all", "--yes", variables={"TERMA_INSTANCE": ALICE.id})
        assert ran.status == 0
        closed = [one.name for one in stage.terma.asked if isinstance(one, CloseTerminal)]
        assert closed[-1] == ALICE.id
        assert sorted(closed) == [ALICE.id, BOB.id, CARL.id]


def test_those_that_have_exited_are_closed_unasked() -> None:
    with scripted(ALICE, CARL) as stage:
        stage.terma.answers["carl"] = Closed(name="carl")
        assert run("close", "--exited").err == "closed carl\n"
        assert run("close", "--exited").err == "no terminal has exited\n"
        assert [one.name for one in stage.terma.terminals] == ["alice"]


def test_what_does_not_end_is_an_error_and_does_not_keep_the_others() -> None:
    with scripted(ALICE, BOB, CARL) as stage:
        stage.terma.answers |= {
            "alice": Closed(name="alice", ended=1, left=(7, 8)),
            "bob": TektonError("ptyhost is silent", "`kill -CONT 5`"),
        }
        ran = run("close", "--all", "-y")
        assert (ran.status, ran.out) == (1, b"")
        assert "closed alice: 1 process ended\n" in ran.err
        assert "error: alice: these processes do not end: 7 8\nhint: `kill -KILL 7 8`" in ran.err
        assert "error: bob: ptyhost is silent\nhint: `kill -CONT 5`\n" in ran.err
        assert "closed carl" in ran.err


def test_a_worktree_stays_and_it_is_told_how_it_goes() -> None:
    tree = Worktree(repository="/src/my app", path="/src/my app.cache", branch="cache", base="1f")
    with scripted(dataclasses.replace(ALICE, worktree=tree)):
        told = run("close", "alice").err.splitlines()[1]
    assert told == (
        "its worktree is still there: /src/my app.cache; "
        "`git -C '/src/my app' worktree remove '/src/my app.cache'` removes it"
    )


@pytest.mark.parametrize(
    "words", [[], ["alice", "--all"], ["--all", "--exited"], ["alice", "--exited"]]
)
def test_which_ones_has_to_be_clear(words: list[str]) -> None:
    ran = run("close", *words)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.startswith("error: tell which terminals")


@pytest.mark.parametrize(("answer", "status", "left"), [("y", 0, 0), ("", 1, 2), ("no", 1, 2)])
def test_a_person_is_asked_before_all_are_closed(answer: str, status: int, left: int) -> None:
    with scripted(ALICE, BOB) as stage:
        terminal = Terminal([*TERMA, "close", "--all"], os.environ, Path.cwd())
        terminal.wait_for(b"Close 2 terminals, and end all in them? [y/N] ")
        assert b"  alice: busy (vim)\r\n  bob: idle\r\n" in terminal.shown
        terminal.type(f"{answer}\n")
        assert terminal.wait() == status
        terminal.close()
        assert len(stage.terma.terminals) == left
        assert (b"nothing was closed" in terminal.shown) == bool(left)


def test_where_nobody_can_be_asked_all_are_closed_only_with_consent() -> None:
    with scripted(ALICE) as stage:
        ran = run("close", "--all")
        assert (ran.status, ran.err.splitlines()[0]) == (2, "error: nobody can be asked here")
        assert run("close", "--all", "--yes").status == 0
        assert not stage.terma.terminals
        assert run("close", "--all").err == "there are no terminals\n"


# -- restore ---------------------------------------------------------------------------------


def test_what_is_lost_is_restored_in_the_environment_of_the_caller() -> None:
    lost = [
        dataclasses.replace(ALICE, state=TerminalState.LOST, kind="program", command=("vim",)),
        dataclasses.replace(BOB, state=TerminalState.LOST, command=(BASH,)),
        dataclasses.replace(BOB, id="d" * 32, state=TerminalState.LOST, command=(BASH,)),
    ]
    with scripted(*lost, CARL) as stage:
        stage.terma.restored = Restored(terminals=(BOB,))
        ran = run("restore", variables={"MINE": "ö", "TERMA_TERMINAL": "here"})
        assert (ran.status, ran.out) == (0, b"")
        assert ran.err == "restored bob (pid 102)\n" * 2
        programs, shells = stage.terma.asked
        assert isinstance(programs, RestoreTerminals)
        assert isinstance(shells, RestoreTerminals)
        assert (programs.names, shells.names) == ((ALICE.id,), (BOB.id, "d" * 32))
        assert not programs.is_forced
        for asked in (programs, shells):
            environment = decoded(asked.environment)
            assert environment["MINE"] == "ö"
            assert "TERMA_TERMINAL" not in environment
        assert decoded(programs.environment) != decoded(shells.environment)


def test_what_exits_at_once_is_not_told_as_running() -> None:
    gone = dataclasses.replace(CARL, detail="exit 3")
    with scripted(CARL) as stage:
        for one, told in ((gone, "which has exited: exit 3"), (CARL, "which has exited")):
            stage.terma.restored = Restored(terminals=(one,))
            ran = run("restore", "carl")
            assert (ran.status, ran.err) == (0, f"restored carl, {told}\n")


def test_what_is_refused_is_told_with_what_to_do() -> None:
    refused = (
        NotRestored(name="bob", reason="processes of it are still there", pids=(7, 8)),
        NotRestored(name="carl", reason="its folder /gone is not there"),
    )
    with scripted(ALICE, BOB, CARL) as stage:
        stage.terma.restored = Restored(terminals=(ALICE,), refused=refused)
        ran = run("restore", "carl", "--force")
        assert (ran.status, ran.out) == (1, b"")
        assert ran.err.splitlines() == [
            "restored alice (pid 101)",
            "error: bob was not restored: processes of it are still there (pid 7 8)",
            "hint: `kill 7 8` ends what is left, then `terma restore bob`; or with --force",
            "error: carl was not restored: its folder /gone is not there",
        ]
        [asked] = stage.terma.asked
        assert isinstance(asked, RestoreTerminals)
        assert (asked.names, asked.is_forced) == ((CARL.id,), True)


def test_where_nothing_is_lost_that_is_said() -> None:
    with scripted(ALICE):
        ran = run("restore")
        assert (ran.status, ran.out, ran.err) == (0, b"", "no terminal is lost\n")
        assert run("restore", "nobody").status == 3
