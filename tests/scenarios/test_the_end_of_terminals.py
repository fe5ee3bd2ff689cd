"""Terminals live on without a hub, and end when that is asked: nothing of them is left then."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from backends.cli import app
from backends.commands import terminals
from tests.backends.commands.running import done
from tests.scenarios.tekton_process import BIN, Ran, TektonProcess, wait_for

_STUBBORN = "trap '' HUP TERM; setsid sleep 600 & sleep 600"


@pytest.fixture
def tekton() -> Iterator[TektonProcess]:
    with TektonProcess() as tekton:
        yield tekton


def terma(tekton: TektonProcess, *arguments: str) -> Ran:
    return tekton.run([str(BIN / "terma"), *arguments])


def open_two(tekton: TektonProcess, program: str = "sleep 600 & sleep 600") -> None:
    """Start a hub, a shell, and a program that sleeps twice."""
    assert tekton.tekton("up", "-q").status == 0
    assert terma(tekton, "new", "alice", "--shell", "bash").status == 0
    assert terma(tekton, "new", "bob", "--", "bash", "-c", program).status == 0
    wait_for(lambda: len(sleepers(tekton)) == 2, "two that sleep")


def sleepers(tekton: TektonProcess) -> list[int]:
    found = []
    for pid in tekton.processes():
        try:
            found += [pid] if psutil.Process(pid).name() == "sleep" else []
        except psutil.Error:
            continue
    return found


def hub_pid(tekton: TektonProcess) -> int:
    return int(tekton.tekton("status", "--json").json["pid"])


def host_pid(tekton: TektonProcess) -> int:
    return int(tekton.tekton("status", "--json").json["ptyhost"]["pid"])


def nothing_runs(tekton: TektonProcess) -> bool:
    """Tell whether there is nothing but the hub, its workers and, while connected, ptyhost."""
    status = tekton.tekton("status", "--json").json
    known = {status["pid"], status.get("ptyhost", {}).get("pid")}
    return all(is_worker(pid, status["pid"]) for pid in set(tekton.processes()) - known)


def is_worker(pid: int, hub: int) -> bool:
    """Tell whether a process works out screens for the hub, or has ended meanwhile."""
    try:
        process = psutil.Process(pid)
        return process.ppid() == hub and process.cmdline()[-1] == "terma.screen.worker"
    except psutil.Error:
        return True


def nothing_is_left(tekton: TektonProcess) -> bool:
    return not list(tekton.processes()) and tekton.leftovers() == []


def test_terminals_live_on_without_a_hub_until_all_is_to_end(tekton: TektonProcess) -> None:
    open_two(tekton)
    status = tekton.tekton("status").text
    host = host_pid(tekton)
    assert f"\nterma: 2 terminals, held by ptyhost (pid {host})\n" in status
    pids = [one["pid"] for one in terma(tekton, "list", "--json").json]
    told = "2 terminals live on; `tekton down --all` ends them too\n"
    assert tekton.tekton("down").err.endswith(told)
    held = f"terminals live on, held by ptyhost (pid {host}); `tekton down --all` ends them too"
    assert held in tekton.tekton("status").err
    assert tekton.tekton("down").err == f"no hub is running\n{held}\n"
    tekton.tekton("up", "-q")
    assert tekton.tekton("clean").err == "nothing to remove\n"
    assert [one["pid"] for one in terma(tekton, "list", "--json").json] == pids
    ran = tekton.tekton("down", "--all")
    assert ran.status == 0
    assert "closed 2 terminals (" in ran.err
    assert nothing_is_left(tekton)


def test_a_hub_is_started_to_close_what_a_killed_one_left(tekton: TektonProcess) -> None:
    open_two(tekton)
    os.kill(hub_pid(tekton), signal.SIGKILL)
    ran = tekton.tekton("down", "--all")
    assert ran.status == 0
    assert "closed 2 terminals (" in ran.err
    assert nothing_is_left(tekton)
    tekton.tekton("up", "-q")
    assert terma(tekton, "list", "--json").json == []
    tekton.tekton("down")


def test_the_worktrees_that_are_left_are_told(tekton: TektonProcess) -> None:
    folder = tekton.home / "src"
    identity = "-c user.name=Ada -c user.email=ada@example.org"
    made = f"git init -q {folder} && git -C {folder} {identity} commit -q --allow-empty -m first"
    assert tekton.shell(made).status == 0
    tekton.tekton("up", "-q")
    for name in ("one", "two"):
        words = ("new", name, "--cwd", str(folder), "--worktree", name, "--", "sleep", "600")
        ran = terma(tekton, *words)
        assert ran.status == 0, ran.err
    trees = folder.with_name("src.worktrees")
    assert tekton.shell(f"rm -r {trees}/two").status == 0
    lines = tekton.tekton("down", "--all").err.splitlines()
    assert [line for line in lines if "worktree" in line] == [
        f"the worktree of one is still there: {trees}/one; "
        f"`git -C {folder} worktree remove {trees}/one` removes it"
    ]


def test_what_hangs_is_ended_with_clear_words(
    tekton: TektonProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_two(tekton, _STUBBORN)
    monkeypatch.setenv("TEKTON_HOME", str(tekton.home))
    monkeypatch.setattr(terminals, "_ASK_S", 0.2)
    monkeypatch.setattr(terminals, "_GRACE_S", 0.3)
    host = host_pid(tekton)
    os.kill(host, signal.SIGSTOP)
    told = done(app, "down", "--all").err
    assert "the service terma does not answer: its terminals are ended without it\n" in told
    assert "still there of terminals: " in told
    assert "sleep (pid " in told
    assert f"ptyhost (pid {host}) does not end by itself: it is killed\n" in told
    assert nothing_is_left(tekton)


def test_everything_ends_also_when_a_terminal_asks_for_it(tekton: TektonProcess) -> None:
    open_two(tekton)
    terma(tekton, "send", "alice", "--keys", r"tekton down --all\n")
    wait_for(lambda: nothing_is_left(tekton), "nothing is left")


def test_terminals_are_closed_from_within_one_of_them(tekton: TektonProcess) -> None:
    open_two(tekton)
    assert sleepers(tekton)
    terma(tekton, "send", "alice", "--keys", r"terma close --all --yes\n")
    wait_for(lambda: not terma(tekton, "list", "--json").json, "no terminal is left")
    wait_for(lambda: nothing_runs(tekton), "nothing of them is left")
    tekton.tekton("down")


def test_what_is_lost_is_restored_once_nothing_of_it_is_left(tekton: TektonProcess) -> None:
    open_two(tekton, _STUBBORN)
    os.kill(host_pid(tekton), signal.SIGKILL)
    wait_for(lambda: terma(tekton, "list", "--short").text == "alice✗ bob✗\n", "both are lost")
    ran = terma(tekton, "restore")
    assert ran.status == 1
    assert ran.err.startswith("restored alice (pid ")
    assert "error: bob was not restored: " in ran.err
    pids = sorted(map(int, ran.err.partition("`kill ")[2].partition("`")[0].split()))
    assert set(sleepers(tekton)) < set(pids)
    assert terma(tekton, "list", "--short").text.startswith("alice ")
    assert terma(tekton, "restore", "bob", "--force").err.startswith("restored bob (pid ")
    assert terma(tekton, "restore").err == "no terminal is lost\n"
    ran = terma(tekton, "close", "--all", "--yes")
    assert ran.status == 0
    assert "closed alice" in ran.err
    wait_for(lambda: nothing_runs(tekton), "nothing of them is left")
    tekton.tekton("down")
