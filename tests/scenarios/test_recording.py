"""What terminals have shown: logs, casts and replays of real programs, through a real hub."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import needed
from tests.scenarios.tekton_process import BIN, Ran, TektonProcess, wait_for
from tests.scenarios.terminal import Terminal

PROGRAM = r"""
import os, sys, time
def put(text):
    os.write(1, text)
for number in range(100):
    put(b"line %d \x1b[3%dmin colour\x1b[0m\r\n" % (number, number % 8))
put("gr\u00fc\u00dfe \U0001f600 \u6f22\u5b57\r\n".encode())
put(b"\x1b]52;c;ZXZpbA==\x07\x1b[6n\x1b]0;a title\x07")
time.sleep(0.1)
put(b"ready\r\n")
for line in sys.stdin.buffer:
    put(b"heard " + line.strip() + b"\r\n")
"""


@pytest.fixture(scope="module")
def tekton() -> Iterator[TektonProcess]:
    """A Tekton with alice, who has put out a hundred lines and repeats what she hears."""
    with TektonProcess() as tekton:
        (tekton.home / "program.py").write_text(PROGRAM, encoding="utf-8")
        assert tekton.tekton("up", "-q").status == 0
        # So the output is what the program writes, and nothing else.
        command = f"stty -opost -echo; exec {sys.executable} -ISu program.py"
        assert terma(tekton, "new", "alice", "--", "/bin/sh", "-c", command).status == 0
        wait_for(lambda: "ready" in terma(tekton, "screen", "alice").text, "the program's lines")
        yield tekton
        assert tekton.tekton("down", "--all").status == 0


def terma(tekton: TektonProcess, *arguments: str) -> Ran:
    return tekton.run([str(BIN / "terma"), *arguments])


def person(tekton: TektonProcess, *arguments: str) -> Terminal:
    return tekton.terminal(*arguments, program="terma")


def hear(tekton: TektonProcess, word: str) -> None:
    """Type a line, and wait until alice has repeated it."""
    assert terma(tekton, "send", "alice", "--keys", rf"{word}\n").status == 0
    heard = f"heard {word}"
    wait_for(lambda: heard in terma(tekton, "screen", "alice").text, heard)


def test_the_log_has_every_line_once(tekton: TektonProcess) -> None:
    lines = terma(tekton, "log", "alice").text.splitlines()
    assert [line for line in lines if line.startswith("line ")] == [
        f"line {number} in colour" for number in range(100)
    ]
    assert "grüße 😀 漢字" in lines
    assert "52;c" not in "".join(lines)


def test_lines_are_found_by_what_is_seen(tekton: TektonProcess) -> None:
    found = terma(tekton, "log", "alice", "--grep", r"^line \d\d? in colour$", "-n", "2")
    assert found.text == "line 98 in colour\nline 99 in colour\n"
    assert terma(tekton, "log", "alice", "--grep", "3[0-9]m").text == ""
    assert terma(tekton, "log", "alice", "--since", "1h", "--grep", "LINE 7 ", "-i").text == (
        "line 7 in colour\n"
    )
    assert terma(tekton, "log", "alice", "--until", "1h").text == ""


def test_a_cast_is_played_byte_for_byte_by_asciinema(tekton: TektonProcess) -> None:
    program = needed("asciinema")
    raw = terma(tekton, "export", "alice", "--raw", "-").out
    assert "grüße 😀 漢字".encode() in raw
    file = tekton.home / "alice.cast"
    assert terma(tekton, "export", "alice", "--cast", str(file)).status == 0
    command = f"exec {program} cat {file} >{tekton.home}/played"
    terminal = Terminal(["/bin/sh", "-c", command], tekton.environment, tekton.home)
    try:
        assert terminal.wait() == 0, terminal.shown
    finally:
        terminal.close()
    assert (tekton.home / "played").read_bytes() == raw


def test_a_replay_shows_all_and_does_nothing_else(tekton: TektonProcess) -> None:
    terminal = person(tekton, "replay", "alice", "--speed", "0")
    terminal.wait_for(b"any key leaves")
    assert b"line 99 \x1b[33min colour" in terminal.shown
    assert "grüße 😀".encode() in terminal.shown
    for effect in (b"\x1b]52", b"\x1b[6n", b"a title"):
        assert effect not in terminal.shown
    terminal.type("q")
    assert terminal.wait() == 0


def test_the_screen_is_watched_while_it_changes(tekton: TektonProcess) -> None:
    terminal = person(tekton, "screen", "alice", "--watch")
    terminal.wait_for(b"ready")
    hear(tekton, "watched")
    terminal.wait_for(b"heard watched")
    terminal.type("q")
    assert terminal.wait() == 0


def test_lines_follow_through_the_death_of_their_hub(tekton: TektonProcess) -> None:
    out = tekton.home / "followed"
    with out.open("wb") as file:
        following = tekton.begin(
            "log", "alice", "--follow", "-n", "1", stdout=file.fileno(), program="terma"
        )
    wait_for(lambda: out.read_bytes(), "the last line")
    hear(tekton, "one")
    hear(tekton, "two")
    wait_for(lambda: "heard two" in out.read_text(encoding="utf-8"), "what follows")
    assert out.read_text(encoding="utf-8").splitlines()[-2:] == ["heard one", "heard two"]
    os.kill(int(tekton.tekton("status", "--json").json["pid"]), signal.SIGKILL)
    assert following.wait(20) == 4
    assert following.stderr
    assert b"the connection was lost" in following.stderr.read()
    assert tekton.tekton("up", "-q").status == 0
    hear(tekton, "three")
    lines = terma(tekton, "log", "alice", "--grep", "^heard (one|two|three)$").text.splitlines()
    assert lines == ["heard one", "heard two", "heard three"]


def test_a_closed_terminal_still_has_its_log_until_it_is_forgotten(tekton: TektonProcess) -> None:
    sentence = "echo it was here; sleep 600"
    assert terma(tekton, "new", "bob", "--", "/bin/sh", "-c", sentence).status == 0
    wait_for(lambda: "it was here" in terma(tekton, "log", "bob").text, "its output")
    bob = terma(tekton, "list", "bob", "--json").json
    [bob] = bob if isinstance(bob, list) else [bob]
    assert terma(tekton, "close", "bob").status == 0
    assert terma(tekton, "log", "bob").text == "it was here\n"
    assert terma(tekton, "log", "bob", "--follow").text == "it was here\n"
    header, event = terma(tekton, "export", "bob", "--cast", "-").text.splitlines()
    assert (json.loads(header)["title"], json.loads(event)[2]) == ("bob", "it was here\r\n")
    assert (tekton.home / "state" / "terminals" / bob["id"]).is_dir()
    assert terma(tekton, "screen", "bob").status == 3


def test_what_is_not_recorded_has_no_log(tekton: TektonProcess) -> None:
    command = ["--", "/bin/sh", "-c", "echo secret; sleep 600"]
    assert terma(tekton, "new", "carl", "--no-record", *command).status == 0
    wait_for(lambda: "secret" in terma(tekton, "screen", "carl").text, "its output")
    for verb in (["log"], ["log", "--raw"], ["export", "--cast", "-"], ["replay", "--speed", "0"]):
        ran = terma(tekton, *verb[:1], "carl", *verb[1:])
        assert (ran.status, ran.out) == (2, b""), verb
        assert "carl is not recorded" in ran.err
    found = [file for file in _files(tekton.home / "state") if b"secret\r" in file.read_bytes()]
    assert found == []


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]
