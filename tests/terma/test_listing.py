"""`terma list`: what it shows of every state, where it goes on, and where it says nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.console import cells
from backends.protocol.terminals import TerminalInfo, TerminalState
from terma.overview import as_table, short_ago, state_of
from tests.scenarios.tekton_process import PATIENCE_S, wait_for
from tests.scenarios.terminal import Terminal
from tests.terma.scripted import TERMA, Stage, run, scripted

NOW = time.time()
ALICE = TerminalInfo(
    name="alice", id="a" * 32, roles=("coding", "test"), state=TerminalState.BUSY,
    source="prompt mark", state_since=NOW - 40, detail="make test", pid=101,
    folder="/home/you/src/app", active_at=NOW - 3, is_recorded=False,
)  # fmt: skip
BOB = TerminalInfo(
    name="bob", id="b" * 32, kind="program", roles=("test",), state=TerminalState.WAITING,
    source="bell", state_since=NOW - 200, unread=3, unseen=2, pid=102, active_at=NOW - 200,
    warning="the screen is drawn by a simpler engine",
)  # fmt: skip
EVE = TerminalInfo(
    name="eve", id="e" * 32, state=TerminalState.LOST, source="ptyhost", state_since=NOW - 7300,
    detail="ptyhost has died", unread=1, unseen=1,
)  # fmt: skip
CARL = TerminalInfo(name="carl", id="c" * 32, state=TerminalState.EXITED, exit_status=0)
DORA = TerminalInfo(name="dora", id="d" * 32, pid=105)


@pytest.fixture
def stage() -> Iterator[Stage]:
    passed = time.time() - NOW  # since this module was loaded
    known = (
        dataclasses.replace(
            one,
            state_since=one.state_since and one.state_since + passed,
            active_at=one.active_at and one.active_at + passed,
        )
        for one in (ALICE, BOB, EVE, CARL, DORA)
    )
    with scripted(*known) as stage:
        yield stage


@pytest.mark.usefixtures("stage")
def test_every_terminal_has_its_state_with_source_and_age() -> None:
    ran = run("list")
    assert ran.status == 0
    head, *rows = [re.split(" {2,}", line) for line in ran.text.splitlines()]
    assert head == ["NAME", "KIND", "ROLE", "STATE", "UNREAD", "PID", "IDLE", "FOLDER"]
    assert [row[0] for row in rows] == ["alice", "bob", "eve", "carl", "dora"]
    alice, bob, eve, carl, dora = rows
    assert alice[1:3] == ["shell, no log", "coding,test"]
    assert re.fullmatch(r"busy: make test, 4\d s, from prompt mark", alice[3])
    assert (alice[4], alice[5], alice[7]) == ("-", "101", "/home/you/src/app")
    assert re.fullmatch(r"waiting, 3 min \d+ s, from bell", bob[3])
    assert bob[4] == "3"
    assert eve[3:7] == ["lost: ptyhost has died, 2 h 1 min, from ptyhost", "1", "-", "-"]
    assert carl[3] == "exited"
    assert dora[3] == "idle"
    assert ran.err == "warning: bob: the screen is drawn by a simpler engine\n"


@pytest.mark.usefixtures("stage")
def test_one_terminal_alone_can_be_listed() -> None:
    assert [one["name"] for one in run("list", "eve", "--json").json] == ["eve"]
    ran = run("list", "nobody")
    assert (ran.status, ran.out) == (3, b"")
    assert ran.err.startswith("error: no terminal named 'nobody'\nhint: ")


@pytest.mark.usefixtures("stage")
def test_json_has_all_that_is_known() -> None:
    shown = run("list", "--json")
    assert shown.err == ""
    alice = shown.json[0]
    assert (alice["state"], alice["detail"], alice["folder"]) == (
        "busy", "make test", "/home/you/src/app",
    )  # fmt: skip


def test_without_terminals_it_says_how_to_make_one() -> None:
    with scripted():
        ran = run("list")
        assert (ran.status, ran.out) == (0, b"")
        assert ran.err == "there are no terminals; `terma new NAME` makes one\n"
        assert run("list", "--json").json == []
        assert run("list", "--short").out == b""


def test_without_a_hub_it_fails_and_the_short_form_is_silent(tekton_home: Path) -> None:
    assert run("list").status == 4
    for arguments in (["--short"], ["--short", "alice"], ["--for-completion"]):
        ran = run("list", *arguments)
        assert (ran.status, ran.out, ran.err) == (0, b"", "")
    (tekton_home / "run").mkdir(mode=0o777)
    (tekton_home / "run").chmod(0o777)  # somebody else may have put a socket there
    assert run("list", "--short").status == 0


@pytest.mark.parametrize("waiting", [0, 5])
def test_the_short_form_does_not_wait_for_a_hub_that_hangs(tekton_home: Path, waiting: int) -> None:
    (tekton_home / "run").mkdir(mode=0o700)
    with contextlib.ExitStack() as stack:
        hanging = stack.enter_context(socket.socket(socket.AF_UNIX))
        hanging.bind(str(tekton_home / "run" / "terma.sock"))
        hanging.listen(0)
        for _ in range(waiting):  # more than may wait
            other = stack.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                other.connect(hanging.getsockname())
        ran = run("list", "--short")
        assert (ran.status, ran.out, ran.err) == (0, b"", "")


# -- the table -------------------------------------------------------------------------------


def test_what_a_command_calls_itself_reaches_no_terminal_raw() -> None:
    bad = dataclasses.replace(ALICE, detail="x\x1b]0;owned\x07\r\n\u202ey")
    shown = as_table([bad], NOW, None)
    assert len(shown.splitlines()) == 2
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", shown)


@pytest.mark.parametrize("width", [80, 90, 110, 120, 160, 200])
def test_it_fits_the_terminal_with_every_folder_and_every_time(width: int) -> None:
    terminals = [dataclasses.replace(ALICE, detail="vim 日本語のファイル.txt"), BOB, EVE]
    head, alice, bob, eve = as_table(terminals, NOW, width).splitlines()
    assert max(map(cells, (head, alice, bob, eve))) <= width
    assert "FOLDER" in head
    assert "/home/you/src" in alice
    is_whole = width >= 120
    assert ("40 s, from prompt mark" in alice, "IDLE" in head) == (is_whole, is_whole)
    assert width < 160 or "busy: vim 日本語のファイル.txt, 40 s" in alice
    if not is_whole:
        assert re.match(r"alice +shell, no log +coding,test +busy [^ ].* 40s  ", alice)
        assert " waiting 3m  " in bob
        assert re.search(r"lost( ptyhost has died| pty[^ ]*….*)? 2h ", eve)


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (120, "NAME KIND ROLE STATE UNREAD PID IDLE FOLDER"),
        (119, "NAME KIND ROLE STATE UNREAD PID FOLDER"),
        (69, "NAME KIND ROLE STATE UNREAD PID"),
        (50, "NAME KIND ROLE STATE UNREAD"),
        (40, "NAME ROLE STATE UNREAD"),
        (24, "NAME STATE"),
    ],
)
def test_the_window_alone_decides_which_columns_there_are(width: int, heads: str) -> None:
    busy = dataclasses.replace(DORA, state=TerminalState.BUSY, detail="x" * 300, active_at=NOW)
    long = dataclasses.replace(busy, name="n" * 32, folder="/" + "f" * 200)
    for terminals in ([DORA], [DORA, busy], [DORA, long]):
        lines = as_table(terminals, NOW, width).splitlines()
        assert lines[0].split() == heads.split()
        assert max(map(cells, lines)) <= width
    assert " idle" in as_table([DORA, busy], NOW, width)


def test_what_is_idle_says_so_once_where_room_is_short() -> None:
    idle = dataclasses.replace(DORA, state_since=NOW - 130, source="prompt mark", active_at=NOW - 1)
    lines = [line.split() for line in as_table([idle], NOW, 70).splitlines()]
    assert lines == [
        ["NAME", "KIND", "ROLE", "STATE", "UNREAD", "PID", "FOLDER"],
        ["dora", "shell", "-", "idle", "2m", "-", "105"],
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-1, "0s"), (59.9, "59s"), (60, "1m"), (7199, "1h"), (1e6, "11d")]
)
def test_a_short_length_of_time_has_one_unit(seconds: float, shown: str) -> None:
    assert short_ago(seconds) == shown


@pytest.mark.usefixtures("stage")
def test_one_terminal_is_shown_with_all_that_is_known_of_it() -> None:
    lines = dict(
        re.split(" {2,}", line, maxsplit=1) for line in run("list", "bob").text.splitlines()
    )
    assert lines.pop("state").startswith("waiting, 3 min ")
    assert lines.pop("idle").startswith("3 min ")
    assert lines == {
        "name": "bob", "id": "b" * 32, "kind": "program", "role": "test", "unread": "3 (2 new)",
        "pid": "102", "size": "80x24", "log": "0 B",
    }  # fmt: skip
    assert "log       none\n" in run("list", "alice").text + "\n"


# -- closed ones -----------------------------------------------------------------------------


def test_closed_terminals_are_listed_with_what_names_them() -> None:
    closed = dataclasses.replace(
        DORA, state=TerminalState.CLOSED, state_since=time.time() - 200, end=12_345, folder="/srv"
    )
    hidden = dataclasses.replace(closed, id="f" * 32, is_recorded=False)
    with scripted(ALICE) as stage:
        stage.terma.closed = [closed, hidden]
        ran = run("list", "--closed")
        assert (ran.status, ran.err) == (0, "")
        assert [re.split(" {2,}", line) for line in ran.text.splitlines()] == [
            ["NAME", "CLOSED", "LOG", "ID", "FOLDER"],
            ["dora", "3m ago", "12 kB", "d" * 32, "/srv"],
            ["dora", "3m ago", "none", "f" * 32, "/srv"],
        ]
        assert [one["id"] for one in run("list", "--closed", "--json").json] == ["d" * 32, "f" * 32]
        ran = run("list", "--closed", "alice")
        assert (ran.status, ran.err) == (0, "no closed terminal called alice is kept\n")
        assert run("list", "--closed", "--watch").status == 2
        assert run("list", "--closed", "--short").status == 2


def test_a_folder_at_home_is_written_as_a_person_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for home, shown in (("/home/you", "~/src/app"), ("/home/yo", "/home/you/src/app")):
        monkeypatch.setenv("HOME", home)
        assert as_table([ALICE], NOW, None).endswith(f"  {shown}")


def test_a_state_without_a_time_or_a_source_is_told_alone() -> None:
    assert state_of(DORA, NOW) == "idle"
    assert state_of(dataclasses.replace(DORA, state_since=NOW + 5), NOW) == "idle, 0.0 s"


# -- the short form --------------------------------------------------------------------------


@pytest.mark.usefixtures("stage")
def test_the_short_form_marks_what_is_not_idle() -> None:
    for arguments, shown in (
        ([], "alice● bob!+2 eve✗+1 carl○ dora\n"),
        (["bob"], "bob!+2\n"),
        (["nobody"], ""),
    ):
        ran = run("list", "--short", *arguments, variables={"LC_ALL": "C"})
        assert (ran.status, ran.text, ran.err) == (0, shown, "")


def test_a_name_that_is_none_does_not_come_to_a_status_line() -> None:
    with scripted(dataclasses.replace(ALICE, name="#[fg=red]"), BOB):
        assert run("list", "--short").text == "bob!+2\n"


@pytest.mark.usefixtures("stage")
def test_completion_is_told_names_and_roles() -> None:
    assert run("list", "--for-completion").text.splitlines() == [
        "alice\tshell, busy", "bob\tprogram, waiting", "eve\tshell, lost", "carl\tshell, exited",
        "dora\tshell, idle", "@coding\talice", "@test\talice bob",
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [["--json"], ["--watch"]])
def test_the_short_form_stands_alone(arguments: list[str]) -> None:
    assert run("list", "--short", *arguments).status == 2


@pytest.mark.usefixtures("stage")
def test_the_short_form_starts_without_the_full_program() -> None:
    measured = ("COVERAGE_", "COV_")  # would load more
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(measured)
    }
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", *TERMA[1:], "list", "--short"],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert ran.stdout.startswith("alice●")
    loaded = set(re.findall(r"\| +(\S+)$", ran.stderr, re.MULTILINE))
    assert {"terma.cli", "terma.short", "backends.runtime"} <= loaded
    assert not loaded & {"typer", "json", "re", "socket", "typing", "asyncio", "dataclasses"}
    assert {name for name in loaded if name.startswith(("backends.", "terma."))} == {
        "terma.cli", "terma.short", "backends.runtime", "backends.fast",
    }  # fmt: skip


# -- watching --------------------------------------------------------------------------------


def test_piped_it_prints_again_with_each_change_and_not_otherwise() -> None:
    with scripted(ALICE) as stage:
        watching = subprocess.Popen(
            [*TERMA, "list", "--watch", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert watching.stdout
        assert json.loads(watching.stdout.readline())[0]["state"] == "busy"
        wait_for(lambda: stage.bus.subjects, "a subscription")
        assert stage.bus.subjects == ["terminal.>"]
        stage.terma.terminals = [dataclasses.replace(ALICE, active_at=NOW + 9, end=10)]
        stage.tell("terminal.alice.output")
        stage.terma.terminals = [dataclasses.replace(ALICE, state=TerminalState.IDLE)]
        stage.tell("terminal.alice.state")
        assert json.loads(watching.stdout.readline())[0]["state"] == "idle"
        watching.send_signal(signal.SIGINT)
        rest, complaint = watching.communicate(timeout=PATIENCE_S)
        assert (watching.returncode, rest, complaint) == (-signal.SIGINT, b"", b"")


def test_piped_tables_have_a_blank_line_between_them() -> None:
    with scripted() as stage:
        watching = subprocess.Popen(
            [*TERMA, "list", "--watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert watching.stdout
        assert watching.stdout.readline().startswith("there are no terminals")
        stage.terma.terminals = [DORA]
        assert watching.stdout.readline() == "\n"
        assert watching.stdout.readline().startswith("NAME")
        watching.terminate()
        watching.communicate(timeout=PATIENCE_S)


@pytest.mark.parametrize(("key", "status"), [("q", 0), ("\x03", -signal.SIGINT)])
def test_on_a_terminal_it_draws_in_place_until_it_is_told_to_end(
    tekton_home: Path, key: str, status: int
) -> None:
    with scripted(ALICE) as stage:
        environment = os.environ | {"TERM": "xterm", "NO_COLOR": "1"}
        terminal = Terminal([*TERMA, "list", "--watch"], environment, Path.cwd(), rows=3)
        terminal.wait_for(b"busy make t")
        terminal.wait_for(b"q quits")
        wait_for(lambda: stage.bus.subjects, "a subscription")
        stage.terma.terminals = [dataclasses.replace(BOB, name=f"t{n}") for n in range(6)]
        stage.tell("terminal.bob.state")
        terminal.wait_for("… 12 more".encode())  # with the warning of each
        assert terminal.shown.rstrip().endswith(b"\x1b[Jq quits")
        assert terminal.shown.startswith(b"\x1b[?1049h")
        terminal.type(key)
        assert terminal.wait() == status
        assert terminal.shown.endswith(b"\x1b[?7h\x1b[?25h\x1b[?1049l")
        terminal.close()


def test_on_a_terminal_a_line_that_fills_it_keeps_its_last_character(tekton_home: Path) -> None:
    with scripted(dataclasses.replace(ALICE, folder="/" + "f" * 200)):
        environment = os.environ | {"TERM": "xterm", "NO_COLOR": "1"}
        terminal = Terminal([*TERMA, "list", "--watch"], environment, Path.cwd())
        terminal.wait_for(b"q quits")
        [alice] = re.findall(r"\x1b\[K(alice.*)\r\n", terminal.shown.decode())
        assert (cells(alice), alice[-1]) == (80, "…")
        terminal.type("q")
        assert terminal.wait() == 0
        terminal.close()


def test_on_a_terminal_it_outlives_the_hub(tekton_home: Path) -> None:
    environment = os.environ | {"TERM": "xterm", "NO_COLOR": "1"}
    with scripted(ALICE):
        terminal = Terminal([*TERMA, "list", "--watch"], environment, Path.cwd())
        terminal.wait_for(b"busy make t")
    terminal.wait_for(b"error: no hub is running")
    with scripted(BOB):
        terminal.wait_for(b"waiting ")
        terminal.type("q")
        assert terminal.wait() == 0
    terminal.close()
