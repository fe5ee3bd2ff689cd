"""A terminal is opened: what the program finds, and why it could not start."""

from __future__ import annotations

import base64
import json
import os
import re
import resource
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.terma.ptyhost.ptyhost_process import (
    Client,
    Ptyhost,
    Refused,
    id_of,
    is_running,
    wait_until,
)

LIBRARYS_OWN = 3 << 31
"""Signals 32 and 33 are glibc's: whoever started us may have them ignored, and nobody can say."""

TELL = """
import json, os, resource, signal, sys, termios
print(json.dumps({
    "session": os.getsid(0) == os.getpid() == os.tcgetpgrp(0),
    "files": [n for n in range(100) if os.path.exists(f"/proc/self/fd/{n}")],
    "limit": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    "signals": [l for l in open("/proc/self/status") if l.startswith(("SigIgn", "SigBlk"))],
    "size": list(os.get_terminal_size(0)), "folder": os.getcwd(), "umask": os.umask(0),
    "environment": dict(os.environ),
}), "END")
"""


def tell(client: Client, python: str, terminal: str, **arguments: Any) -> dict[str, Any]:
    """Run a program that tells what it finds."""
    client.open(terminal, python, "-ISc", TELL, **arguments)
    client.follow(terminal)
    said = client.wait_for(b"END").replace(b"\r\n", b"")
    return dict(json.loads(said[: said.index(b"END")]))


def test_a_program_finds_a_terminal_as_a_login_has_it(
    client: Client, python: str, tmp_path: Path
) -> None:
    first = os.path.dirname(python)
    found = tell(
        client, python, "alice", folder=str(tmp_path), columns=101, rows=33,
        environment={"PATH": first, "LANG": "C.UTF-8", "NAME": "välue"},
    )  # fmt: skip
    assert found["session"]
    assert found["files"] == [0, 1, 2]
    assert found["limit"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # Python itself ignores SIGPIPE (13) and SIGXFSZ (25).
    blocked, ignored = (int(line.split()[1], 16) for line in sorted(found["signals"]))
    assert (blocked, ignored & ~(1 << 12 | 1 << 24 | LIBRARYS_OWN)) == (0, 0)
    assert (found["size"], found["folder"]) == ([101, 33], str(tmp_path))
    before = os.umask(0)
    os.umask(before)
    assert found["umask"] == before
    assert found["environment"] == {
        "PATH": first, "LANG": "C.UTF-8", "NAME": "välue", "TERMA_INSTANCE": id_of("alice"),
    }  # fmt: skip


def test_a_broken_pipe_ends_a_program_as_anywhere_else(client: Client) -> None:
    client.open(
        "a", "sh", "-c", "exec 3>&1; (yes; echo $? >&3) | head -n1; grep SigIgn /proc/$$/status"
    )
    client.follow("a")
    client.wait_event("exit", terminal="a")
    assert b"141" in client.output[1]
    [ignored] = re.findall(rb"SigIgn:\t([0-9a-f]{16})", client.output[1])
    assert int(ignored, 16) & ~LIBRARYS_OWN == 0


def test_no_program_holds_the_terminal_of_another(client: Client) -> None:
    for name in ("a", "b", "c"):
        client.open(name, "cat")
    for name in ("a", "b", "c"):
        pid = client.state(name)["pid"]
        held = {os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
        assert len(held) == 1, held
        assert next(iter(held)).startswith("/dev/pts/")


@pytest.mark.parametrize(
    ("command", "folder", "kind", "said"),
    [
        (["nowhere-at-all"], "/", "no_program", "there is no program nowhere-at-all"),
        (["./nothing"], "/", "no_program", "there is no program ./nothing"),
        (["/etc/passwd"], "/", "no_program", "permission denied"),
        (["/etc"], "/", "no_program", "permission denied"),
        (["script"], "/", "no_program", "the interpreter that script names is not there"),
        (["garbage"], "/", "no_program", "exec format error"),
        (["cat"], "/proc/none", "no_folder", "/proc/none is not there"),
        (["cat"], "/etc/passwd", "no_folder", "/etc/passwd is no folder"),
        (["cat", "x" * 200_000], "/", "failed", "argument list too long"),
        ([""], "/", "no_program", "no program"),
    ],
)
def test_what_cannot_start_is_told_apart(
    client: Client, tmp_path: Path, command: list[str], folder: str, kind: str, said: str
) -> None:
    for name, text in (("script", "#!/no/interpreter\n"), ("garbage", "\x7fELF\0")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    with pytest.raises(Refused) as refused:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        client.open("a", *command, folder=folder, environment=environment)
    assert refused.value.kind == kind
    assert said in refused.value.message
    assert client.ask("list") == {"terminals": []}
    client.open("a", "cat")  # the name is free again


def test_the_path_is_that_of_the_environment_given(client: Client, tmp_path: Path) -> None:
    for folder, mode in (("first", 0o644), ("second", 0o755)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").write_text(f"#!/bin/sh\necho from {folder}\n")
        (tmp_path / folder / "tool").chmod(mode)
    path = f"{tmp_path}/none:{tmp_path}/first:{tmp_path}/second"
    client.open("a", "tool", environment={"PATH": path})
    client.follow("a")
    assert client.wait_for(b"\n") == b"from second\r\n"
    client.open("b", "./tool", folder=f"{tmp_path}/second", environment={"PATH": "/none"})
    client.follow("b", channel=2)
    assert client.wait_for(b"\n", 2) == b"from second\r\n"


@pytest.mark.parametrize(
    "change",
    [
        {"terminal": "A"}, {"terminal": ""}, {"terminal": "a" * 65}, {"terminal": 1},
        {"command": []}, {"command": "cat"}, {"command": ["a\0b"]}, {"command": ["\ud800"]},
        {"columns": 0}, {"rows": 70_000}, {"columns": "80"}, {"rows": True}, {"environment": "!"},
        {"folder": None}, {"log": 3}, {"log_bytes": -1}, {"meta": "x" * 70_000},
        {"preface": "!"}, {"preface": 1}, {"preface": "A" * 88_000},
        {"meta": json.loads("[" * 40 + "]" * 40)},
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(client: Client, change: dict[str, Any]) -> None:
    fields = {"terminal": "a", "command": ["cat"], "folder": "/", "environment": "",
              "columns": 80, "rows": 24, "log": None}  # fmt: skip
    with pytest.raises(Refused) as refused:
        client.ask("open", **{**fields, **change})
    assert refused.value.kind == "usage"
    assert client.ask("list") == {"terminals": []}


def test_a_preface_is_the_first_output_and_stays_in_the_log(client: Client, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    client.open("a", "printf", "first", log=log)
    client.wait_event("exit", terminal="a")
    preface = b"\x1b[!p\0-- restored --\r\n"
    client.open("b", "printf", "then", log=log, preface=base64.b64encode(preface).decode())
    client.follow("b", 5)
    whole = preface + b"then"
    assert client.wait_event("exit", terminal="b")["end"] == 5 + len(whole)
    assert client.output[1] == whole
    assert client.ask("read", terminal="b", offset=0, limit=99)[1] == b"first"
    assert client.ask("read", terminal="b", offset=5, limit=99)[1] == whole
    client.open("c", "cat", log=log, preface=None)
    assert client.state("c")["end"] == 5 + len(whole)


def test_a_program_that_says_nothing_has_its_preface_too(client: Client) -> None:
    client.open("a", "sleep", "60", preface=base64.b64encode(b"x" * 65_536).decode())
    assert client.ask("read", terminal="a", offset=0, limit=99_999)[1] == b"x" * 65_536


def test_where_no_program_runs_there_is_no_preface(client: Client, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    with pytest.raises(Refused, match="no_program"):
        client.open("a", "nowhere-at-all", log=log, preface="eHh4")
    client.open("a", "sleep", "60", log=log)
    assert client.state("a")["end"] == 0


def test_an_id_is_used_once(client: Client) -> None:
    client.open("a", "cat", meta={"name": "alice"})
    with pytest.raises(Refused, match="exists"):
        client.open("a", "cat")
    assert client.state("a")["meta"] == {"name": "alice"}
    client.ask("meta", terminal="a", meta=["eve"])
    assert client.state("a")["meta"] == ["eve"]


def test_a_system_without_a_terminal_left_is_named(ptyhost: Ptyhost, client: Client) -> None:
    files = len(os.listdir(f"/proc/{ptyhost.pid}/fd"))
    process = psutil.Process(ptyhost.pid)
    _, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (files + 1, hard))
    with pytest.raises(Refused) as refused:
        client.open("a", "cat")
    assert refused.value.kind == "no_terminal"
    process.rlimit(psutil.RLIMIT_NOFILE, (files + 3, hard))
    with pytest.raises(Refused) as refused:
        client.open("a", "cat")
    assert refused.value.kind == "failed"
    assert len(os.listdir(f"/proc/{ptyhost.pid}/fd")) == files
    process.rlimit(psutil.RLIMIT_NOFILE, (hard, hard))
    client.open("a", "cat")


def test_more_files_are_open_than_a_login_may_have(client: Client, ptyhost: Ptyhost) -> None:
    soft, hard = psutil.Process(ptyhost.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft == hard


def test_nothing_is_left_of_a_program_that_has_ended(ptyhost: Ptyhost, client: Client) -> None:
    files = len(os.listdir(f"/proc/{ptyhost.pid}/fd"))
    pids = [client.open(f"t{number}", "true") for number in range(20)]
    for number in range(20):
        client.wait_event("exit", terminal=f"t{number}", status=0)
    wait_until(lambda: not any(map(psutil.pid_exists, pids)), "the end of zombies")
    assert len(os.listdir(f"/proc/{ptyhost.pid}/fd")) == files
    assert not any(map(is_running, pids))


@pytest.mark.parametrize(
    ("script", "status", "signal"),
    [("exit 7", 7, None), ("kill -9 $$", None, "KILL"), ("kill -TERM $$", None, "TERM")],
)
def test_how_a_program_ended_is_told_and_kept(
    client: Client, tmp_path: Path, script: str, status: int | None, signal: str | None
) -> None:
    client.open("a", "sh", "-c", f"echo hello; {script}", log=str(tmp_path / "log"))
    event = client.wait_event("exit", terminal="a")
    assert (event["status"], event["signal"], event["end"]) == (status, signal, 7)
    assert client.state("a")["exit"] == {
        "status": status, "signal": signal, "end": 7, "at": event["at"],
    }  # fmt: skip
    assert json.loads((tmp_path / "log" / "exit.json").read_text())["status"] == status
    for op in ("resize", "signal"):
        with pytest.raises(Refused) as refused:
            client.ask(op, terminal="a", columns=90, rows=30, signal="INT")
        assert refused.value.kind == "ended"
    with pytest.raises(Refused) as refused:
        client.write("a", b"x")
    assert refused.value.kind == "ended"


def test_an_end_of_before_does_not_count_for_what_runs_anew(client: Client, tmp_path: Path) -> None:
    client.open("a", "true", log=str(tmp_path / "log"), exit_file=str(tmp_path / "end"))
    client.wait_event("exit", terminal="a")
    assert json.loads((tmp_path / "end").read_text())["status"] == 0
    client.ask("forget", terminal="a")
    client.open("a", "cat", log=str(tmp_path / "log"), exit_file=str(tmp_path / "end"))
    assert not (tmp_path / "end").exists()


def test_a_signal_goes_to_the_foreground(client: Client) -> None:
    client.open("a", "sh", "-c", "trap 'echo caught' INT; echo ready; while :; do sleep 0.1; done")
    client.follow("a")
    client.wait_for(b"ready")
    assert client.state("a")["foreground"] == client.state("a")["pid"]
    client.ask("signal", terminal="a", signal="SIGINT")
    client.wait_for(b"caught")
    client.ask("signal", terminal="a", signal="kill")
    assert client.wait_event("exit", terminal="a")["signal"] == "KILL"
    with pytest.raises(Refused, match="no signal"):
        client.ask("signal", terminal="a", signal="NOPE")


def test_an_environment_that_is_not_text_arrives_as_it_is(client: Client) -> None:
    raw = base64.b64encode(b"PATH=" + os.environb[b"PATH"] + b"\0X=\xff\xfe=1\0junk\0=y\0").decode()
    client.ask("open", terminal="a", command=["sh", "-c", "printf %s \"$X\" | od -An -tx1"],
               folder="/", environment=raw, columns=80, rows=24, log=None)  # fmt: skip
    client.follow("a")
    assert b"ff fe 3d 31" in client.wait_for(b"\n")


def test_a_fifo_in_the_way_of_an_exit_file_holds_nobody_up(client: Client, tmp_path: Path) -> None:
    client.open("other", "cat")
    client.open("a", "sh", "-c", 'mkfifo "$0.new" "$0"; exit 3', f"{tmp_path}/exit.json",
                exit_file=f"{tmp_path}/exit.json")  # fmt: skip
    client.wait_event("exit", terminal="a")
    assert client.write("other", b"x")["input"] == 1
    assert json.loads((tmp_path / "exit.json").read_text())["status"] == 3
    assert client.state("a")["log_error"] is None


def test_an_exit_file_that_cannot_be_written_is_told(client: Client, tmp_path: Path) -> None:
    client.open("a", "sh", "-c", 'mkdir "$0"; exit 3', f"{tmp_path}/exit.json",
                exit_file=f"{tmp_path}/exit.json")  # fmt: skip
    client.wait_event("exit", terminal="a")
    assert "directory" in client.state("a")["log_error"].lower()


def test_a_limit_that_was_lowered_keeps_no_program_from_starting(
    ptyhost: Ptyhost, client: Client
) -> None:
    limit = 500  # less than a login has
    psutil.Process(ptyhost.pid).rlimit(psutil.RLIMIT_NOFILE, (limit, limit))
    client.open("a", "sh", "-c", "ulimit -n; read x")
    client.follow("a")
    assert client.wait_for(b"\n") == b"%d\r\n" % limit


def test_a_start_that_fails_in_a_way_nobody_thought_of_is_told(tekton_home: Path) -> None:
    script = (
        "import sys; from terma.ptyhost import __main__, child\n"
        "def fail(*_): raise ValueError('out of luck')\n"
        "child._execute = fail; sys.exit(__main__.main(sys.argv[1]))"
    )
    with Ptyhost(tekton_home / "run", ("-c", script)) as ptyhost:
        client = ptyhost.client()
        with pytest.raises(Refused, match=r"failed: cat cannot be started: .*out of luck"):
            client.open("a", "cat")
        assert client.ask("list") == {"terminals": []}
