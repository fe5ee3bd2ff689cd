"""`terma log`: lines and bytes of what a terminal has shown."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from terma.commands.log import mark
from terma.times import show_time
from tests.scenarios.tekton_process import wait_for
from tests.terma.recordings import TERMA, Person, Recordings, now, recordings
from tests.terma.scripted import run

NOW = now()
OUTPUT = b"one\r\nTwo \x1b]52;c;x\x07error\r\nthree\r\n"


@pytest.fixture
def service() -> Iterator[Recordings]:
    """Three lines: two hours ago, an hour ago, and now."""
    with recordings() as service:
        first, second, third = OUTPUT.splitlines(keepends=True)
        service.put(first, NOW - 7200)
        service.put(second, NOW - 3600)
        service.put(third, NOW)
        yield service


@pytest.mark.usefixtures("service")
def test_lines_come_cleaned_and_all_of_them() -> None:
    ran = run("log", "alice")
    assert (ran.status, ran.text, ran.err) == (0, "one\nTwo error\nthree\n", "")


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--since", "90m"], ["Two error", "three"]),
        (["--until", "90m"], ["one"]),
        (["--since", "90m", "--until", "30m"], ["Two error"]),
        (["--since", show_time(NOW - 3600)], ["Two error", "three"]),
        (["--grep", "t[wh]"], ["three"]),
        (["--grep", "t[wh]", "-i"], ["Two error", "three"]),
        (["--tail", "2"], ["Two error", "three"]),
        (["-n", "1", "--grep", "e$"], ["three"]),
    ],
)
def test_only_what_is_asked_for(arguments: list[str], lines: list[str]) -> None:
    ran = run("log", "alice", *arguments)
    assert ran.status == 0, ran.err
    assert ran.text.splitlines() == lines


@pytest.mark.usefixtures("service")
def test_a_pattern_that_is_nowhere_ends_as_grep_does() -> None:
    ran = run("log", "alice", "--grep", "none")
    assert (ran.status, ran.out, ran.err) == (1, b"", "")


@pytest.mark.usefixtures("service")
def test_each_line_may_have_its_local_time() -> None:
    assert run("log", "alice", "-t", "-n", "1").text == f"{show_time(NOW)}  three\n"


@pytest.mark.usefixtures("service")
def test_json_has_an_object_for_each_line() -> None:
    lines = [json.loads(line) for line in run("log", "alice", "--json").text.splitlines()]
    assert lines[0] == {"at": NOW - 7200, "offset": 5, "text": "one"}
    assert [line["text"] for line in lines][1] == "Two \x1b]52;c;x\x07error"


@pytest.mark.usefixtures("service")
def test_a_terminal_sees_what_was_looked_for(tmp_path: Path) -> None:
    with Person(tmp_path, ["log", "alice", "--grep", "err.r"]) as person:
        assert person.wait() == 0
        assert person.shown == b"Two \x1b[1;31merror\x1b[0m\r\n"


def test_matches_of_nothing_are_not_marked() -> None:
    assert mark("abba", re.compile("b*")) == "a\x1b[1;31mbb\x1b[0ma"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--grep", "a(b"], "--grep 'a(b' is no regular expression: missing ), unterminated "
         "subpattern at character 2"),
        (["--grep", "*"], "nothing to repeat at character 1"),
        (["--since", "soon"], "'soon' is no time"),
        (["--since", "1h", "--until", "2h"], "--until 2h is before --since 1h"),
        (["--raw", "--grep", "x"], "--raw has bytes, not lines"),
        (["--raw", "--json"], "--raw has bytes, not lines"),
        (["--tail", "-1"], "-1"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anybody_is_asked(
    arguments: list[str], complaint: str
) -> None:
    ran = run("log", "alice", *arguments)
    assert (ran.status, ran.out) == (2, b"")
    assert complaint in ran.err


@pytest.mark.usefixtures("service")
def test_an_unknown_terminal_is_not_found() -> None:
    for more in ([], ["--raw"], ["--follow"]):
        ran = run("log", "bob", *more)
        assert ran.status == 3, more
        assert "no terminal named 'bob'" in ran.err


def test_without_a_hub_it_cannot_connect() -> None:
    assert run("log", "alice").status == 4


@pytest.mark.usefixtures("service")
def test_raw_has_the_bytes() -> None:
    assert run("log", "alice", "--raw").out == OUTPUT
    assert run("log", "alice", "--raw", "--since", "10m").out == b"three\r\n"


def test_bytes_that_were_not_kept_are_told(service: Recordings, tmp_path: Path) -> None:
    service.leave_out(10, NOW)
    service.put(b"four", NOW)
    ran = run("log", "alice", "--raw")
    assert (ran.status, ran.out) == (0, OUTPUT + b"four")
    assert ran.err == f"10 bytes were not kept, before offset {len(OUTPUT) + 10}\n"
    with Following(tmp_path, "--raw", "-f") as following:
        following.wait_for((OUTPUT + b"four").replace(b"\r\n", b"\n").decode())


@pytest.mark.usefixtures("service")
def test_bytes_reach_a_terminal_only_by_force(tmp_path: Path) -> None:
    with Person(tmp_path, ["log", "alice", "--raw"]) as person:
        assert person.wait() == 2
        assert b"terma replay alice" in person.shown
        assert b"52;c" not in person.shown
    with Person(tmp_path, ["log", "alice", "--raw", "--force"]) as person:
        assert person.wait() == 0
        assert person.shown.replace(b"\r\r", b"\r") == OUTPUT


def test_a_closed_pipe_ends_it_quietly(service: Recordings) -> None:
    service.put(b"line\r\n" * 40_000, NOW)
    ran = subprocess.run(
        ["bash", "-c", '"$@" | head -1; echo ${PIPESTATUS[0]}', "-", *TERMA, "log", "alice"],
        capture_output=True, check=False, timeout=20,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == (b"one\n141\n", b"")


class Following:
    """`terma log --follow` with its output in a file."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._file = folder / "out"
        with self._file.open("wb") as file:
            self.process = subprocess.Popen(
                [*TERMA, "log", "alice", *arguments], stdin=subprocess.DEVNULL, stdout=file
            )

    def wait_for(self, text: str) -> None:
        wait_for(lambda: self._file.read_text(encoding="utf-8") == text, repr(text))

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def test_lines_follow_as_they_are_complete(service: Recordings, tmp_path: Path) -> None:
    with Following(tmp_path, "-f") as following:
        following.wait_for("one\nTwo error\nthree\n")
        service.put(b"fo", time.time())
        service.put(b"ur\r\nfive", time.time() + 1)
        following.wait_for("one\nTwo error\nthree\nfour\n")
        service.put(b"\r\n", time.time() + 1)
        following.wait_for("one\nTwo error\nthree\nfour\nfive\n")
        service.put(b"$ exit", time.time() + 2)
        service.is_over = True
        following.wait_for("one\nTwo error\nthree\nfour\nfive\n$ exit\n")
        assert following.process.wait(20) == 0


def test_what_follows_is_looked_through_too(service: Recordings, tmp_path: Path) -> None:
    with Following(tmp_path, "-f", "--grep", "r", "--tail", "1") as following:
        following.wait_for("three\n")
        service.put(b"four\r\nfive\r\nsever\r\n", time.time() + 1)
        following.wait_for("three\nfour\nsever\n")


def test_bytes_follow(service: Recordings, tmp_path: Path) -> None:
    with Following(tmp_path, "--raw", "-f", "--since", "10m") as following:
        following.wait_for("three\n")
        service.put(b"fo", time.time())
        following.wait_for("three\nfo")


@pytest.mark.usefixtures("service")
def test_ctrl_c_ends_the_following(tmp_path: Path) -> None:
    with Person(tmp_path, ["log", "alice", "-f"]) as person:
        person.wait_for(b"three\r\n")
        os.kill(person.pid, signal.SIGINT)
        assert person.wait() == -signal.SIGINT
        assert b"Traceback" not in person.shown
