"""`terma screen`: what a terminal shows, once and as it changes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backends.protocol.screens import ChangedRow, Row, Run, Screen, ScreenChange
from tests.terma.recordings import END, Person, Recordings, recordings
from tests.terma.scripted import run

RED = Row(runs=(Run(text="red", foreground="1", link="https://example.com"),))
PLAIN = Row(runs=(Run(text="plain"),))
SCREEN = Screen(
    offset=7, columns=80, rows=3, lines=(RED, PLAIN, Row()), title="vim", warning="a simple engine"
)


@pytest.fixture
def service() -> Iterator[Recordings]:
    with recordings() as service:
        service.screens.append(ScreenChange(offset=7, screen=SCREEN, title="vim"))
        yield service


def test_a_pipe_gets_plain_text(service: Recordings) -> None:
    ran = run("screen", "alice")
    assert (ran.status, ran.text) == (0, "red\nplain\n")
    assert ran.err == "warning: a simple engine\n"
    assert service.scrollback == 0


@pytest.mark.usefixtures("service")
def test_colours_where_they_are_asked_for() -> None:
    assert run("screen", "alice", "--color", "always").text == "\x1b[0;31mred\x1b[0m\nplain\n"
    ran = run("screen", "alice", "--color", "always", variables={"NO_COLOR": "1"})
    assert "\x1b" in ran.text


@pytest.mark.usefixtures("service")
def test_a_terminal_gets_colours_of_its_own_accord(tmp_path: Path) -> None:
    with Person(tmp_path, ["screen", "alice"]) as person:
        assert person.wait() == 0
        assert b"\x1b[0;31mred\x1b[0m\r\nplain" in person.shown
    with Person(tmp_path, ["screen", "alice", "--color", "never"]) as person:
        assert person.wait() == 0
        assert b"\x1b" not in person.shown


@pytest.mark.usefixtures("service")
def test_json_has_all_of_it() -> None:
    shown = json.loads(run("screen", "alice", "--json").text)
    assert shown["title"] == "vim"
    assert shown["lines"][0]["runs"][0]["link"] == "https://example.com"


def test_rows_above_are_asked_for(service: Recordings) -> None:
    assert run("screen", "alice", "--scrollback", "12").status == 0
    assert service.scrollback == 12
    assert run("screen", "alice", "-s", "all").status == 0
    assert service.scrollback > 100_000


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--scrollback", "many"], 2, "'many' is no number of rows"),
        (["--scrollback", "-1"], 2, "'-1' is no number of rows"),
        (["--watch"], 2, "--watch needs a terminal"),
        (["--watch", "--json"], 2, "--watch shows the screen alone"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], status: int, complaint: str) -> None:
    ran = run("screen", "alice", *arguments)
    assert (ran.status, ran.out) == (status, b"")
    assert complaint in ran.err


@pytest.mark.usefixtures("service")
def test_a_terminal_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    ran = run("screen", "bob")
    assert ran.status == 3
    assert "no terminal named 'bob'" in ran.err
    with Person(tmp_path, ["screen", "bob", "--watch"]) as person:
        assert person.wait() == 3
        assert b"\x1b[?1049h" not in person.shown


def test_it_is_watched_until_a_person_has_seen_enough(service: Recordings, tmp_path: Path) -> None:
    with Person(tmp_path, ["screen", "alice", "--watch"]) as person:
        person.wait_for(b"plain")
        assert b"\x1b]2;alice: vim\x1b\\" in person.shown
        changed = ChangedRow(index=1, row=Row(runs=(Run(text="changed"),)))
        service.screens.append(ScreenChange(offset=9, rows=(changed,), title="vim"))
        person.wait_for(b"changed")
        seen = len(person.shown)
        person.resize(60, 10)
        os.kill(person.pid, signal.SIGWINCH)
        person.wait_for_more(seen)
        person.type("q")
        assert person.wait() == 0
        assert person.shown.endswith(b"\x1b[?1049l\x1b[23;0t")


def test_a_hub_that_dies_is_waited_for(tmp_path: Path) -> None:
    with recordings() as service:
        service.screens.append(ScreenChange(offset=7, screen=SCREEN, title="vim"))
        person = Person(tmp_path, ["screen", "alice", "--watch"])
        person.wait_for(b"plain")
    with person:
        person.wait_for(b"the hub is gone; waiting for it")
        assert b"\x1b[?1049l" not in person.shown
        with recordings() as service:
            other = replace(SCREEN, lines=(RED, Row(runs=(Run(text="back"),)), Row()))
            service.screens.append(ScreenChange(offset=7, screen=other, title="vim"))
            person.wait_for(b"back")
            assert person.shown.count(b"the hub is gone") == 1
            person.type("q")
            assert person.wait() == 0
            assert person.shown.endswith(b"\x1b[?1049l\x1b[23;0t")


@pytest.mark.usefixtures("service")
def test_ctrl_c_ends_the_watching(tmp_path: Path) -> None:
    with Person(tmp_path, ["screen", "alice", "--watch"]) as person:
        person.wait_for(b"plain")
        person.type("\x03")
        assert person.wait() == 0
        assert b"\x1b[?1049l" in person.shown


def test_the_end_of_the_terminal_ends_the_watching(service: Recordings, tmp_path: Path) -> None:
    with Person(tmp_path, ["screen", "alice", "-w"]) as person:
        person.wait_for(b"plain")
        service.screens.append(END)
        assert person.wait() == 0
        _, after = person.shown.split(b"\x1b[?1049l")
        assert b"alice has exited: exited with status 0" in after


@pytest.mark.usefixtures("service")
def test_a_signal_gives_the_terminal_back(tmp_path: Path) -> None:
    with Person(tmp_path, ["screen", "alice", "-w"]) as person:
        person.wait_for(b"plain")
        os.kill(person.pid, signal.SIGTERM)
        assert person.wait() == 128 + signal.SIGTERM
        assert person.shown.endswith(b"\x1b[?1049l\x1b[23;0t")
