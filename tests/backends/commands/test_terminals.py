"""What `tekton` does with terminals: it tells of those that live on, and can end them all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from backends.cli import app
from backends.commands import hub_process, terminals
from backends.errors import TektonError
from backends.paths import Paths, find_paths, private_folder
from backends.protocol.terminals import Closed, TerminalInfo, Terminals
from tests.backends.commands.running import done
from tests.scenarios.tekton_process import PATIENCE_S, TektonProcess, wait_for
from tests.terma.scripted import scripted

# Says that it is ready, and ignores that its terminal hangs up.
_STUBBORN = (
    "import signal, time; signal.signal(1, signal.SIG_IGN); print(flush=True); time.sleep(60)"
)
# Holds no terminal, but looks like what does.
_HOST = """
import socket, sys, time
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
print(flush=True)
time.sleep(60)
"""

ALICE = TerminalInfo(name="alice", id="a" * 32, pid=1)
BOB = TerminalInfo(name="bob", id="b" * 32, pid=2)
GONE = TerminalInfo(name="gone", id="c" * 32)


@pytest.fixture
def paths() -> Paths:
    paths = find_paths()
    private_folder(paths.runtime)
    return paths


def started(*arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """Start a Python that says when it is ready."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, env=os.environ | variables,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    process.stdout.readline()
    return process


def host_of(paths: Paths) -> subprocess.Popen[bytes]:
    """Start what looks like ptyhost."""
    program = paths.state / "ptyhost" / "__main__.py"
    program.parent.mkdir(parents=True)
    program.write_text(_HOST)
    return started(str(program), str(paths.runtime / "ptyhost.sock"))


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    begun: list[subprocess.Popen[bytes]] = []
    yield begun
    for process in begun:
        process.kill()
        process.wait(PATIENCE_S)
        assert process.stdout
        process.stdout.close()


def within(home: Path) -> dict[str, str]:
    """The environment of what runs in a terminal of a home."""
    token = home / "state" / "terminals" / ("a" * 32) / "token"
    return {"TERMA_INSTANCE": "a" * 32, "TERMA_TOKEN_FILE": str(token)}


def test_whoever_holds_terminals_is_found_though_it_hangs(
    paths: Paths, processes: list[subprocess.Popen[bytes]]
) -> None:
    assert terminals.host_pid(paths) is None
    assert terminals.living(paths, None) == ""
    host = host_of(paths)
    processes.append(host)
    host.send_signal(signal.SIGSTOP)
    reader = started(
        "-c", "import time; print(flush=True); time.sleep(60)", str(paths.runtime / "ptyhost.sock")
    )
    processes.append(reader)
    assert terminals.host_pid(paths) == host.pid
    assert terminals.living(paths, None) == (
        f"terminals live on, held by ptyhost (pid {host.pid}); `tekton down --all` ends them too"
    )


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ((), ""),
        ((GONE,), ""),
        ((ALICE, GONE), "1 terminal lives on; `tekton down --all` ends it too"),
        ((ALICE, BOB), "2 terminals live on; `tekton down --all` ends them too"),
    ],
)
def test_it_counts_the_terminals_in_which_something_runs(
    paths: Paths, found: tuple[TerminalInfo, ...], told: str
) -> None:
    assert terminals.living(paths, Terminals(terminals=found)) == told


def test_all_are_closed_by_the_service_and_what_fails_is_told(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(ALICE, BOB, GONE) as stage:
        stage.terma.together = 3
        stage.terma.answers |= {
            "bob": TektonError("ptyhost is silent"), "gone": Closed(name="gone", ended=1),
        }  # fmt: skip
        terminals.close_all(paths)
        assert [one.name for one in stage.terma.terminals] == ["bob"]
    told = capsys.readouterr().err
    assert told == "error: bob: ptyhost is silent\nclosed 2 terminals (3 processes ended)\n"


def test_a_service_that_does_not_answer_is_told(
    paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "_ASK_S", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(paths.socket("terma", is_ci=False)))
        silent.listen()
        assert terminals.ask(paths) is None
    terminals.close_all(paths)
    assert "the service terma does not answer" in capsys.readouterr().err


def test_what_hangs_is_ended_by_force_and_nothing_else(
    paths: Paths,
    tekton_home: Path,
    processes: list[subprocess.Popen[bytes]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminals, "_GRACE_S", 0.3)
    ours = [
        started("-c", _STUBBORN, **within(tekton_home)),
        started("-c", "import time; print(flush=True); time.sleep(60)", **within(tekton_home)),
    ]
    other = started("-c", _STUBBORN, **within(tekton_home / "other"))
    host = host_of(paths)
    processes += [*ours, other, host]
    for process in (ours[1], host):
        process.send_signal(signal.SIGSTOP)
    terminals.end_rest(paths)
    for process in (*ours, host):
        process.wait(PATIENCE_S)
    assert other.poll() is None
    assert not (paths.runtime / "ptyhost.sock").exists()
    told = capsys.readouterr().err
    assert "still there of terminals: " in told
    assert all(f"(pid {process.pid})" in told for process in ours)
    assert f"ptyhost (pid {host.pid}) does not end by itself: it is killed" in told
    terminals.end_rest(paths)
    assert capsys.readouterr().err == ""


def test_it_knows_a_terminal_of_its_own_home(
    paths: Paths, tekton_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not terminals.is_within(paths)
    for home, is_own in ((tekton_home, True), (tekton_home / "other", False)):
        for name, value in within(home).items():
            monkeypatch.setenv(name, value)
        assert terminals.is_within(paths) is is_own


def test_a_hub_that_is_started_in_a_terminal_does_not_belong_to_it() -> None:
    """Or it would end when that terminal is closed."""
    with TektonProcess() as tekton:
        up = tekton.tekton("up", "--json", variables=within(tekton.home))
        found = psutil.Process(up.json["pid"]).environ()
        assert found["TEKTON_HOME"] == str(tekton.home)
        assert not [name for name in found if name.startswith("TERMA_")]
        assert tekton.tekton("down").err == f"hub is down (it was pid {up.json['pid']})\n"


def test_a_hub_that_hangs_is_killed_where_everything_is_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(terminals, "_ASK_S", 0.1)
    monkeypatch.setattr(hub_process, "_STOP_S", 0.2)
    with TektonProcess() as tekton:
        monkeypatch.setenv("TEKTON_HOME", str(tekton.home))
        pid = tekton.start()
        assert tekton.hub
        os.kill(pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            status = pool.submit(tekton.hub.wait, PATIENCE_S)
            ran = done(app, "down", "--all")
            assert status.result() == -signal.SIGKILL
        tekton.hub = None
        assert f"the hub (pid {pid}) does not end within 0.2 s: it is killed\n" in ran.err
        assert "the service terma does not answer" in ran.err
        wait_for(lambda: not list(tekton.processes()), "nothing is left")
