"""Terminals as a user has them: what outlives what, who is who, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.scenarios.tekton_process import PATIENCE_S, Ran, TektonProcess, wait_for

COUNTER = "i=0; while :; do i=$((i+1)); echo line $i; done"
STEADY = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"
READER = 'while read -r line; do eval "$line"; done'
"""A shell without prompt, editing or echo of its own: `do_in` has it run lines."""


@pytest.fixture
def tekton() -> Iterator[TektonProcess]:
    with TektonProcess() as tekton:
        tekton.start()
        yield tekton


@pytest.fixture(scope="module")
def one_tekton() -> Iterator[TektonProcess]:
    """For tests that need a hub, and harm nobody's terminals but their own."""
    with TektonProcess() as tekton:
        tekton.start()
        yield tekton


def new(tekton: TektonProcess, name: str, *words: str, options: tuple[str, ...] = ()) -> None:
    command = words or ("bash", "-c", READER)
    ran = tekton.terma("new", name, *options, "--", *command)
    assert (ran.status, ran.out) == (0, b""), ran.err


def listed(tekton: TektonProcess, name: str) -> dict[str, Any]:
    ran = tekton.terma("list", name, "--json")
    assert ran.status == 0, ran.err
    [found] = ran.json
    assert isinstance(found, dict)
    return found


def until(tekton: TektonProcess, name: str, state: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        info = listed(tekton, name)
        return info if info["state"] == state else None

    info: dict[str, Any] = wait_for(found, f"{name} is {state}")
    return info


def do_in(tekton: TektonProcess, name: str, line: str) -> None:
    """Have the reading shell of a terminal run a line."""
    ran = tekton.terma("send", name, line, "--enter")
    assert ran.status == 0, ran.err


def asked_in(tekton: TektonProcess, name: str, line: str) -> str:
    """Have it run a line, and return what that printed."""
    answer = tekton.home / f"answer-{name}"
    answer.unlink(missing_ok=True)
    do_in(tekton, name, f"{{ {line}; }} >{answer}.new 2>&1; mv {answer}.new {answer}")
    wait_for(answer.exists, f"{name} answers {line!r}")
    return answer.read_text()


def raw_log(tekton: TektonProcess, name: str) -> bytes:
    ran = tekton.terma("log", name, "--raw")
    assert ran.status == 0, ran.err
    return ran.out


def numbered(count: int) -> bytes:
    return b"".join(b"line %d\r\n" % number for number in range(1, count + 1))


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


# -- what outlives what ----------------------------------------------------------------------


def test_a_terminal_outlives_six_deaths_of_the_hub_and_nothing_of_it_is_lost(
    tekton: TektonProcess,
) -> None:
    new(tekton, "alice", "bash", "-c", STEADY)
    info = listed(tekton, "alice")
    pid = info["pid"]
    log_folder = tekton.home / "state" / "terminals" / info["id"] / "log"

    def written() -> int:
        return sum(file.stat().st_size for file in log_folder.iterdir())

    for _ in range(6):
        before = written()
        wait_for(lambda: written() > before, "it goes on")  # noqa: B023
        assert tekton.hub is not None
        end(tekton.hub)
        tekton.start()
    assert listed(tekton, "alice")["pid"] == pid
    os.kill(pid, signal.SIGSTOP)
    log = raw_log(tekton, "alice")
    assert log == numbered(log.count(b"\n")) != b""


def test_a_burst_while_the_hub_dies_is_whole(tekton: TektonProcess) -> None:
    new(tekton, "alice", "bash", "-c", "read; seq 200000; read")
    do_in(tekton, "alice", "")
    assert tekton.hub is not None
    end(tekton.hub)
    tekton.start()
    wanted = b"\r\n" + b"".join(b"%d\r\n" % number for number in range(1, 200_001))
    wait_for(lambda: listed(tekton, "alice")["end"] == len(wanted), "all of it")
    assert raw_log(tekton, "alice") == wanted


def test_a_terminal_whose_program_is_killed_tells_so_and_keeps_its_log(
    tekton: TektonProcess,
) -> None:
    new(tekton, "alice", "bash", "-c", "echo to be kept; read")
    wait_for(lambda: b"kept" in raw_log(tekton, "alice"), "its output")
    os.kill(listed(tekton, "alice")["pid"], signal.SIGKILL)
    info = until(tekton, "alice", "exited")
    assert (info["exit_status"], info["detail"]) == (137, "killed by KILL")
    assert raw_log(tekton, "alice") == b"to be kept\r\n"
    ran = tekton.terma("send", "alice", "x")
    assert ran.status == 1
    assert "nothing runs in alice" in ran.err
    assert "terma restore alice" in ran.err


def test_a_death_of_ptyhost_is_told_and_restored(tekton: TektonProcess) -> None:
    new(tekton, "alice", "bash", "-c", "echo before; read")
    wait_for(lambda: raw_log(tekton, "alice") == b"before\r\n", "its output")
    host = tekton.ptyhost()
    assert host is not None
    os.kill(host, signal.SIGKILL)
    info = until(tekton, "alice", "lost")
    assert "pid" not in info
    assert "ptyhost" in info["detail"]
    assert raw_log(tekton, "alice") == b"before\r\n"
    assert "before" in tekton.terma("screen", "alice").text
    ran = tekton.terma("restore")
    assert ran.status == 0, ran.err
    wait_for(lambda: raw_log(tekton, "alice").endswith(b"\r\nbefore\r\n"), "it runs anew")
    shown = tekton.terma("screen", "alice").text.split("\n")
    assert (shown[0], shown[1], shown[3]) == ("before", "", "before")
    assert shown[2].startswith("-- restored 20")
    again = listed(tekton, "alice")
    assert (again["id"], again["state"] in ("idle", "busy")) == (info["id"], True)


def test_a_terminal_is_not_restored_beside_what_survives_of_it(tekton: TektonProcess) -> None:
    new(tekton, "alice")
    survivor = int(
        asked_in(tekton, "alice", "(trap '' HUP; exec setsid sleep 300) >/dev/null 2>&1 & echo $!")
    )
    host = tekton.ptyhost()
    assert host is not None
    os.kill(host, signal.SIGKILL)
    until(tekton, "alice", "lost")
    ran = tekton.terma("restore", "alice")
    assert ran.status == 1
    assert str(survivor) in ran.err
    assert listed(tekton, "alice")["state"] == "lost"
    ran = tekton.terma("restore", "alice", "--force")
    assert ran.status == 0, ran.err
    assert psutil.pid_exists(survivor)
    ran = tekton.terma("close", "alice")
    assert ran.status == 0, ran.err
    wait_for(lambda: not is_alive(survivor), "it ends with its terminal")


def test_closing_a_lost_terminal_ends_what_survives_of_it(tekton: TektonProcess) -> None:
    new(tekton, "alice")
    survivor = int(
        asked_in(tekton, "alice", "(trap '' HUP; exec setsid sleep 300) >/dev/null 2>&1 & echo $!")
    )
    host = tekton.ptyhost()
    assert host is not None
    os.kill(host, signal.SIGKILL)
    until(tekton, "alice", "lost")
    assert tekton.terma("close", "alice").status == 0
    wait_for(lambda: not is_alive(survivor), "it ends with its terminal")


def test_nothing_stays_behind_when_a_terminal_is_closed(tekton: TektonProcess) -> None:
    new(tekton, "alice")
    lines = (
        "sleep 300 >/dev/null 2>&1 & echo $!",
        "(trap '' HUP; exec sleep 300) >/dev/null 2>&1 & echo $!",
        "setsid sleep 300 >/dev/null 2>&1 & echo $!",
        "(trap '' HUP TERM INT; exec setsid sleep 300) >/dev/null 2>&1 & echo $!",
        "sleep 300 >/dev/null 2>&1 & kill -STOP $!; echo $!",
    )
    pids = [int(asked_in(tekton, "alice", line)) for line in lines]
    assert all(is_alive(pid) for pid in pids)
    ran = tekton.terma("close", "alice")
    assert ran.status == 0, ran.err
    assert [pid for pid in pids if is_alive(pid)] == []
    assert tekton.terma("list", "--json").json == []


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_terminals_outlive_tekton_down(tekton: TektonProcess) -> None:
    new(tekton, "alice")
    pid = listed(tekton, "alice")["pid"]
    tekton.stop()
    assert is_alive(pid)
    ran = tekton.terma("list")
    assert (ran.status, "no hub is running" in ran.err) == (4, True)
    tekton.start()
    assert listed(tekton, "alice")["pid"] == pid
    assert asked_in(tekton, "alice", "echo $TERMA_TERMINAL") == "alice\n"


def test_ptyhost_ends_with_the_last_terminal_and_the_hub(tekton: TektonProcess) -> None:
    new(tekton, "alice")
    assert tekton.ptyhost() is not None
    assert tekton.terma("close", "alice").status == 0
    tekton.stop()
    wait_for(lambda: tekton.ptyhost() is None, "ptyhost ends")


def test_an_exit_that_nobody_saw_is_known_later(tekton: TektonProcess) -> None:
    new(tekton, "alice", "bash", "-c", "read; exit 3")
    pid = listed(tekton, "alice")["pid"]
    socket_file = tekton.home / "go"
    new(tekton, "bob", "bash", "-c", f"until [[ -e {socket_file} ]]; do sleep 0.02; done; exit 4")
    assert tekton.hub is not None
    end(tekton.hub)
    os.kill(pid, signal.SIGHUP)
    socket_file.touch()
    wait_for(lambda: tekton.ptyhost() is None, "nothing is left to be held")
    tekton.start()
    assert (listed(tekton, "alice")["state"], listed(tekton, "alice")["exit_status"]) == (
        "exited", 129,
    )  # fmt: skip
    assert (listed(tekton, "bob")["state"], listed(tekton, "bob")["exit_status"]) == ("exited", 4)


# -- environment and identity ----------------------------------------------------------------


def test_a_terminal_has_its_callers_environment_and_folder(one_tekton: TektonProcess) -> None:
    folder = one_tekton.home / "some where"
    folder.mkdir()
    ran = one_tekton.terma(
        "new", "env", "--cwd", str(folder), "--", "bash", "-c", READER,
        variables={"MARK_OF_THE_CALLER": "a b\nc"},
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert asked_in(one_tekton, "env", 'printf %s "$MARK_OF_THE_CALLER"') == "a b\nc"
    assert asked_in(one_tekton, "env", "pwd") == f"{folder}\n"
    token = asked_in(
        one_tekton, "env", 'stat -c %a "$TERMA_TOKEN_FILE"; wc -c <"$TERMA_TOKEN_FILE"'
    )
    assert token.split() == ["600", "44"]
    assert asked_in(one_tekton, "env", "echo $TERM $TERMA_TERMINAL") == "xterm-256color env\n"
    assert asked_in(one_tekton, "env", "ls /proc/self/fd | wc -l").strip() == "4"  # one is ls's own


@pytest.mark.parametrize(
    ("line", "known_by"),
    [
        ("{terma} whoami --json", "session"),
        ("env -i TEKTON_HOME=$TEKTON_HOME {terma} whoami --json", "session"),
        ("env -i TEKTON_HOME=$TEKTON_HOME setsid -w {terma} whoami --json", "ancestor"),
        ("TERMA_INSTANCE=other TERMA_TERMINAL=other {terma} whoami --json", "session"),
    ],
)
def test_from_inside_a_terminal_knows_who_it_is(
    one_tekton: TektonProcess, line: str, known_by: str
) -> None:
    name = "who"
    if one_tekton.terma("list", name).status:
        new(one_tekton, name, options=("--role", "coding,test"))
    terma = asked_in(one_tekton, name, "command -v terma").strip()
    found = json.loads(asked_in(one_tekton, name, line.format(terma=terma)))
    assert found["name"] == name
    assert found["roles"] == ["coding", "test"]
    assert found["known_by"] == known_by


def test_a_token_tells_who_it_is_where_the_process_does_not(one_tekton: TektonProcess) -> None:
    new(one_tekton, "holder")
    token = asked_in(one_tekton, "holder", "echo $TERMA_TOKEN_FILE").strip()
    ran = one_tekton.terma("whoami", "--json", variables={"TERMA_TOKEN_FILE": token})
    assert (ran.json["name"], ran.json["known_by"]) == ("holder", "token")
    ran = one_tekton.terma("whoami", "--json")
    assert (ran.json["name"], ran.json["known_by"]) == ("user", "user")
    forged = one_tekton.home / "forged"
    forged.write_text("x" * 43 + "\n")
    ran = one_tekton.terma("whoami", "--json", variables={"TERMA_TOKEN_FILE": str(forged)})
    assert (ran.json["name"], ran.json["known_by"]) == ("user", "user")


def test_no_token_makes_one_terminal_another(one_tekton: TektonProcess) -> None:
    new(one_tekton, "victim")
    new(one_tekton, "thief")
    token = asked_in(one_tekton, "victim", "echo $TERMA_TOKEN_FILE").strip()
    found = asked_in(one_tekton, "thief", f"TERMA_TOKEN_FILE={token} terma whoami --json")
    assert json.loads(found)["name"] == "thief"


def test_the_gateway_does_not_stand_for_the_terminal_behind_it(one_tekton: TektonProcess) -> None:
    new(one_tekton, "behind")
    gateway = one_tekton.socket("rhetor", is_ci=False)
    request = '{"jsonrpc":"2.0","id":1,"method":"terminal.whoami","params":{}}'
    program = (
        "import socket; s = socket.socket(socket.AF_UNIX); "
        f"s.connect('{gateway}'); s.sendall(b'{request}\\n'); print(s.recv(9999).decode())"
    )
    script = one_tekton.home / "ask.py"
    script.write_text(program)
    answer = json.loads(asked_in(one_tekton, "behind", f"python3 {script}"))
    assert (answer["result"]["name"], answer["result"]["known_by"]) == ("behind", "session")


# -- messages --------------------------------------------------------------------------------


def test_a_message_is_read_answered_and_waited_for(one_tekton: TektonProcess) -> None:
    new(one_tekton, "alice")
    waiting = one_tekton.begin("message", "alice", "is 42 ready?", "--wait", program="terma")
    shown = wait_for(
        lambda: json.loads(asked_in(one_tekton, "alice", "terma inbox --json")), "it comes"
    )
    assert [(one["sender"], one["text"], one["state"]) for one in shown] == [
        ("user", "is 42 ready?", "queued")
    ]
    [seen] = one_tekton.terma("inbox", "alice", "--json").json
    assert seen["state"] == "shown"
    answer = asked_in(one_tekton, "alice", f"terma reply {shown[0]['id']} 'it is'")
    out, err = waiting.communicate(timeout=PATIENCE_S)
    assert waiting.returncode == 0, (err, answer)
    assert b"it is" in out
    assert one_tekton.terma("inbox", "--json").json == []  # whoever waited has it


def test_a_reply_that_nobody_waits_for_is_in_the_inbox(one_tekton: TektonProcess) -> None:
    new(one_tekton, "zoe")
    sent = one_tekton.terma("message", "zoe", "when you can").text.strip()
    asked_in(one_tekton, "zoe", f"terma reply {sent} 'done'")
    [reply] = one_tekton.terma("inbox", "--json").json
    assert (reply["sender"], reply["text"], reply["reply_to"]) == ("zoe", "done", sent)
    assert one_tekton.terma("ack", reply["id"]).status == 0
    assert one_tekton.terma("inbox", "--json").json == []


def test_the_shells_of_the_person_are_told_of_a_message(one_tekton: TektonProcess) -> None:
    flag = one_tekton.home / "state" / "user.mail"
    assert not flag.exists()
    new(one_tekton, "sender")
    sent = asked_in(one_tekton, "sender", "terma message user 'look here'")
    assert flag.exists(), sent
    assert flag.read_text() == "1\n"
    assert "look here" in one_tekton.terma("inbox").text
    wait_for(lambda: not flag.exists(), "nothing is to be told any more")
    assert one_tekton.terma("ack", "--all").status == 0


def test_a_message_survives_the_hub_that_took_it(tekton: TektonProcess) -> None:
    new(tekton, "alice")
    assert tekton.hub is not None
    ran = tekton.terma("message", "alice", "keep this")
    end(tekton.hub)
    assert ran.status == 0, ran.err
    tekton.start()
    [found] = tekton.terma("inbox", "alice", "--json").json
    assert (found["id"], found["text"], found["state"]) == (
        ran.text.strip(), "keep this", "queued",
    )  # fmt: skip


def test_roles_and_everybody_leave_out_who_sends(one_tekton: TektonProcess) -> None:
    new(one_tekton, "r1", options=("--role", "crew"))
    new(one_tekton, "r2", options=("--role", "crew"))
    sent = asked_in(one_tekton, "r1", "terma message @crew 'all hands'")
    assert sent.strip()
    [found] = one_tekton.terma("inbox", "r2", "--json").json
    assert (found["sender"], found["text"]) == ("r1", "all hands")
    assert one_tekton.terma("inbox", "r1", "--json").json == []


def test_whoever_reads_its_messages_is_a_ci(one_tekton: TektonProcess) -> None:
    new(one_tekton, "oracle")
    ran = one_tekton.aish("oracle", "anybody?")
    assert ran.status == 3
    program = (
        "import json, subprocess, sys\n"
        "for line in sys.stdin:\n"
        "    message = json.loads(line)\n"
        "    answer = 'you said ' + message['text']\n"
        "    subprocess.run(['terma', 'reply', message['id'], answer], check=True)\n"
    )
    script = one_tekton.home / "oracle.py"
    script.write_text(program)
    do_in(one_tekton, "oracle", f"terma inbox --watch --json | python3 {script}")
    wait_for(lambda: listed(one_tekton, "oracle")["can_answer"], "it can answer")
    ran = one_tekton.aish("oracle", "hello")
    assert (ran.status, ran.out) == (0, b"you said hello\n"), ran.err
    ran = one_tekton.shell("echo piped | aish oracle | aish mirror")
    assert (ran.status, ran.out) == (0, b"you said piped\n"), ran.err
    entries = {entry["name"]: entry for entry in one_tekton.aish("list", "--json").json}
    assert (entries["oracle"]["kind"], entries["oracle"]["model"]) == (
        "terminal", "terminal/oracle",
    )  # fmt: skip
    assert one_tekton.terma("inbox", "--json").json == []  # the answer was the answer
    assert one_tekton.terma("close", "oracle").status == 0
    assert "oracle" not in {entry["name"] for entry in one_tekton.aish("list", "--json").json}


# -- bad input -------------------------------------------------------------------------------


def failed(ran: Ran, status: int, *words: str) -> None:
    assert ran.status == status, (ran.text, ran.err)
    for word in words:
        assert word in ran.err
    assert "Traceback" not in ran.err


def test_what_cannot_be_opened_is_told_at_once(one_tekton: TektonProcess) -> None:
    terminals = one_tekton.home / "state" / "terminals"
    before = set(terminals.iterdir())
    began = time.monotonic()
    failed(one_tekton.terma("new", "bad", "--", "no-such-program"), 3, "no-such-program")
    failed(one_tekton.terma("new", "bad", "--cwd", "/no/such", "--", "bash"), 3, "/no/such")
    failed(one_tekton.terma("new", "Bad Name", "--", "bash"), 2, "Bad Name")
    failed(one_tekton.terma("new", "apollo", "--", "bash"), 2, "apollo")
    assert time.monotonic() - began < 4 * PATIENCE_S
    assert "bad" not in {one["name"] for one in one_tekton.terma("list", "--json").json}
    assert set(terminals.iterdir()) == before


def test_a_name_is_given_once(one_tekton: TektonProcess) -> None:
    new(one_tekton, "once")
    failed(one_tekton.terma("new", "once", "--", "bash"), 2, "once", "terma attach once")
    new(one_tekton, "twice")
    failed(one_tekton.terma("rename", "twice", "once"), 2, "once")
    assert one_tekton.terma("rename", "twice", "thrice").status == 0
    assert asked_in(one_tekton, "thrice", "terma whoami --json | grep -c thrice") == "1\n"


def test_an_unknown_name_is_told_with_one_like_it(one_tekton: TektonProcess) -> None:
    new(one_tekton, "carol")
    for verb in ("attach", "screen", "log", "close", "message", "send"):
        words = ("carl", "hi") if verb in ("message", "send") else ("carl",)
        ran = one_tekton.terma(verb, *words)
        if verb != "attach":  # which is refused first, for it has no terminal here
            failed(ran, 3, "no terminal named 'carl'", "did you mean 'carol'")


def test_a_line_that_the_kernel_would_cut_is_refused(one_tekton: TektonProcess) -> None:
    new(one_tekton, "canon", "cat")
    wait_for(lambda: listed(one_tekton, "canon")["pid"], "it runs")
    failed(one_tekton.terma("send", "canon", "x" * 5000, "--enter"), 2, "4095")
    assert raw_log(one_tekton, "canon") == b""
    ran = one_tekton.terma("send", "canon", "y" * 4000, "--enter")
    assert ran.status == 0, ran.err
    wanted = b"y" * 4000 + b"\r\n"
    wait_for(lambda: raw_log(one_tekton, "canon") == wanted * 2, "the echo, and what cat says")


def test_a_storm_of_sizes_ends_with_the_last_one(one_tekton: TektonProcess) -> None:
    import asyncio

    from backends.client.client import Client
    from backends.protocol.terminals import ResizeTerminal
    from backends.transport.address import Address

    new(one_tekton, "sized")

    async def storm() -> None:
        address = Address("unix", path=str(one_tekton.socket("terma", is_ci=False)))
        async with await Client.connect(address) as client:
            for number in range(300):
                columns, rows = 40 + number % 100, 10 + number % 30
                await client.call(ResizeTerminal(name="sized", columns=columns, rows=rows))
            await client.call(ResizeTerminal(name="sized", columns=91, rows=33))

    asyncio.run(storm())
    assert asked_in(one_tekton, "sized", "stty size </dev/tty").split() == ["33", "91"]
    info = listed(one_tekton, "sized")
    assert (info["columns"], info["rows"]) == (91, 33)


def test_a_socket_path_that_is_too_long_is_replaced() -> None:
    with TektonProcess() as tekton:
        deep = tekton.home / ("d" * 60) / ("e" * 60)
        deep.mkdir(parents=True)
        variables = {"TEKTON_HOME": str(deep)}
        ran = tekton.tekton("up", variables=variables)
        assert ran.status == 0, ran.err
        try:
            ran = tekton.terma("new", "deep", "--", "cat", variables=variables)
            assert ran.status == 0, ran.err
            [info] = tekton.terma("list", "--json", variables=variables).json
            assert info["name"] == "deep"
            assert tekton.terma("close", "deep", variables=variables).status == 0
        finally:
            assert tekton.tekton("down", "--all", variables=variables).status == 0


def test_what_must_not_be_recorded_is_not(one_tekton: TektonProcess) -> None:
    secret = "correct horse"
    new(one_tekton, "quiet", "bash", "-c", f"echo {secret}; read", options=("--no-record",))
    wait_for(lambda: secret in one_tekton.terma("screen", "quiet").text, "it is shown")
    failed(one_tekton.terma("log", "quiet"), 2, "not recorded")
    assert one_tekton.terma("close", "quiet").status == 0
    for file in Path(one_tekton.home / "state" / "terminals").rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes()


def test_what_is_forgotten_is_gone(one_tekton: TektonProcess) -> None:
    new(one_tekton, "gone", "bash", "-c", "echo once here; read")
    wait_for(lambda: raw_log(one_tekton, "gone") == b"once here\r\n", "its output")
    folder = one_tekton.home / "state" / "terminals" / listed(one_tekton, "gone")["id"]
    assert one_tekton.terma("message", "gone", "remember me").status == 0
    assert one_tekton.terma("close", "gone", "--forget").status == 0
    assert not folder.exists()
    failed(one_tekton.terma("log", "gone"), 3, "gone")


def test_a_closed_terminal_keeps_its_log_and_frees_its_name(one_tekton: TektonProcess) -> None:
    new(one_tekton, "kept", "bash", "-c", "echo first; read")
    wait_for(lambda: raw_log(one_tekton, "kept") == b"first\r\n", "its output")
    assert one_tekton.terma("close", "kept").status == 0
    assert raw_log(one_tekton, "kept") == b"first\r\n"
    new(one_tekton, "kept", "bash", "-c", "echo second; read")
    wait_for(lambda: raw_log(one_tekton, "kept") == b"second\r\n", "the new one's own")


def test_waiting_ends_where_nothing_can_answer_any_more(one_tekton: TektonProcess) -> None:
    new(one_tekton, "brief", "bash", "-c", "read; exit 0")
    waiting = one_tekton.begin("message", "brief", "well?", "--wait", program="terma")
    wait_for(lambda: listed(one_tekton, "brief")["unread"] == 1, "the message is there")
    do_in(one_tekton, "brief", "")
    out, err = waiting.communicate(timeout=PATIENCE_S)
    assert (waiting.returncode, out) == (3, b"")
    assert b"nothing runs in brief" in err
    ran = one_tekton.terma("message", "brief", "and now?", "--wait")
    failed(ran, 3, "nothing runs in brief", "terma restore brief")


def test_a_ci_in_a_terminal_is_one_again_after_the_hub_was_killed(tekton: TektonProcess) -> None:
    new(tekton, "rob")
    script = tekton.home / "rob.sh"
    script.write_text(
        "terma inbox --watch --json | while read -r line; do\n"
        '  id=$(printf %s "$line" | python3 -c '
        "\"import json,sys; print(json.load(sys.stdin)['id'])\")\n"
        '  terma reply "$id" "here I am"\n'
        "done\n"
    )
    do_in(tekton, "rob", f"bash {script}")
    wait_for(lambda: listed(tekton, "rob")["can_answer"], "it can answer")
    assert tekton.hub is not None
    end(tekton.hub)
    tekton.start()
    wait_for(lambda: listed(tekton, "rob")["can_answer"], "it can answer again")
    ran = tekton.aish("rob", "are you there?")
    assert (ran.status, ran.out) == (0, b"here I am\n"), ran.err
    assert tekton.terma("close", "rob").status == 0
    new(tekton, "rob")


def test_the_name_of_a_dead_ci_in_a_terminal_is_free(tekton: TektonProcess) -> None:
    new(tekton, "rob")
    do_in(tekton, "rob", "terma inbox --watch --json")
    wait_for(lambda: listed(tekton, "rob")["can_answer"], "it can answer")
    assert tekton.hub is not None
    end(tekton.hub)
    tekton.end_terminals()
    tekton.start()
    assert "rob" not in {entry["name"] for entry in tekton.aish("list", "--json").json}
    assert tekton.terma("close", "rob").status == 0
    new(tekton, "rob")


def test_a_worker_that_dies_costs_a_repaint_and_is_told(tekton: TektonProcess) -> None:
    new(tekton, "shown", "bash", "-c", "echo still here; read")
    wait_for(lambda: "still here" in tekton.terma("screen", "shown").text, "it is shown")
    assert tekton.hub is not None
    workers = [
        child
        for child in psutil.Process(tekton.hub.pid).children()
        if "terma.screen.worker" in child.cmdline()
    ]
    assert workers
    for worker in workers:
        worker.kill()
    wait_for(lambda: "screen worker" in tekton.tekton("status").text, "its death is told")
    assert "still here" in tekton.terma("screen", "shown").text
