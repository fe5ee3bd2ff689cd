"""How a person who is attached hears of other terminals."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from backends.protocol.messages import Event
from backends.protocol.terminals import TerminalEnd, TerminalInfo, TerminalState
from terma.attach.client import end_of
from terma.attach.notices import Notices, call_person
from tests.scenarios.tekton_process import wait_for


def event(subject: str, **data: Any) -> Event:
    return Event(subject=subject, at=0.0, data=data)


def test_each_wait_is_told_once() -> None:
    notices = Notices("alice")
    waits = event("terminal.bob.state", state="waiting", detail="look here")
    assert notices.take(waits) == "bob waits: look here"
    assert notices.take(waits) is None
    assert notices.summary == "bob waits: look here"
    assert notices.take(event("terminal.bob.state", state="busy")) is None
    assert notices.summary == ""
    assert notices.take(waits) == "bob waits: look here"
    assert notices.take(event("terminal.carol.state", state="waiting")) == "carol waits"
    assert notices.summary == "bob waits: look here; carol waits"
    assert notices.take(event("terminal.alice.state", state="waiting")) is None
    assert notices.take(event("terminal.bob.output", state="waiting")) is None
    assert notices.take(event("elsewhere")) is None


def test_of_those_that_wait_already_each_is_told_once() -> None:
    notices = Notices("alice")
    alice, bob, carol = (
        TerminalInfo(name=name, id=name, state=TerminalState.WAITING, detail=detail)
        for name, detail in (("alice", None), ("bob", "look\x1b[2J here"), ("carol", None))
    )
    dan = TerminalInfo(name="dan", id="d", state=TerminalState.BUSY, detail="make")
    assert notices.take_all([alice, bob, dan]) == "bob waits: look here"
    assert notices.take(event("terminal.bob.state", state="waiting")) is None
    assert notices.take_all([alice, bob, carol, dan]) == "carol waits"
    assert notices.summary == "bob waits: look here; carol waits"
    notices.forget()
    assert notices.summary == ""
    assert notices.take_all([alice, carol, dan]) == ""
    assert notices.summary == "carol waits"


def test_a_new_name_is_followed() -> None:
    notices = Notices("alice")
    notices.take(event("terminal.bob.state", state="waiting", detail="look here"))
    assert notices.take(event("terminal.bob.renamed", to="eve")) is None
    assert notices.summary == "eve waits: look here"
    notices.take(event("terminal.eve.state", state="idle"))
    assert notices.summary == ""
    notices.take(event("terminal.alice.renamed", to="anna"))
    assert notices.own == "anna"
    assert notices.take(event("terminal.anna.state", state="waiting")) is None


@pytest.mark.parametrize(
    ("name", "detail"), [("b\x1b]52;c;AA\x07ob", "here"), ("bob", "\x1b]52;c;AA\x07here")]
)
def test_nothing_in_it_can_drive_the_terminal(name: str, detail: str) -> None:
    waits = event(f"terminal.{name}.state", state="waiting", detail=detail)
    assert Notices("alice").take(waits) == "bob waits: here"


@pytest.mark.parametrize(
    ("how", "sequence"),
    [("none", b""), ("bell", b"\x07"), ("osc9", b"\x1b]9;bob waits\x1b\\")],
)
def test_the_person_is_told_as_configured(how: str, sequence: bytes) -> None:
    assert call_person(how, "bob waits") == sequence


@pytest.mark.skipif(sys.platform == "darwin", reason="its desktop has another program")
def test_the_desktop_is_told_by_its_own_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, told = tmp_path / "notify-send", tmp_path / "told"
    program.write_text(f'#!/bin/sh\necho "$@" > {told}.new; mv {told}.new {told}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert call_person("desktop", "bob waits") == b""
    wait_for(told.exists, "the program has run")
    assert told.read_text() == "--app-name=terma -- bob waits\n"


def test_without_a_desktop_it_rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call_person("desktop", "bob waits") == b"\x07"


def test_the_end_is_told_with_the_way_back() -> None:
    lost = end_of("alice", TerminalEnd(state=TerminalState.LOST, detail="ptyhost was killed"))
    assert lost.error is not None
    assert lost.error.message == "alice is lost: ptyhost was killed"
    assert lost.error.hint == "`terma restore alice` runs it anew"
    exited = end_of("alice", TerminalEnd(state=TerminalState.EXITED, exit_status=0))
    assert (exited.words, exited.error) == ("exited with status 0", None)
