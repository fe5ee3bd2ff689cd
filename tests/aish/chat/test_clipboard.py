"""How a text comes into a clipboard."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from aish.chat import clipboard
from backends.errors import TektonError


@pytest.fixture(autouse=True)
def _no_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAYLAND_DISPLAY", "DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")


def have(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("variable", "name"), [("WAYLAND_DISPLAY", "wl-copy"), ("DISPLAY", "xclip")]
)
def test_a_desktop_has_a_program_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    have(tmp_path, name, f"cat > {tmp_path}/filled", monkeypatch)
    assert clipboard.program() is None
    monkeypatch.setenv(variable, ":0")
    command = clipboard.program()
    assert command is not None
    clipboard.fill(command, "text 漢")
    assert (tmp_path / "filled").read_text() == "text 漢"
    monkeypatch.setenv("SSH_CONNECTION", "elsewhere")
    assert clipboard.program() is None, "the person's clipboard is on another machine"


def test_a_program_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    have(tmp_path, "wl-copy", "exit 1", monkeypatch)
    with pytest.raises(TektonError, match="wl-copy could not"):
        clipboard.fill(["wl-copy"], "text")


def test_a_terminal_is_given_no_more_than_it_takes() -> None:
    text = "x" * clipboard.MAX_OSC52
    found = clipboard.sequence(text)
    assert found.startswith("\x1b]52;c;")
    assert base64.b64decode(found[7:-1]) == text.encode()
    assert len(found) < 100_010
    with pytest.raises(TektonError, match="too many") as error:
        clipboard.sequence(text + "x")
    assert "/save" in (error.value.hint or "")
