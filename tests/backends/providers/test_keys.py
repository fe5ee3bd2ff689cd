"""Tests of `backends.providers.keys`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from backends.errors import ConfigError, StorageError
from backends.providers import keys
from backends.providers.keys import find_key, save_key

KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def find(
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    provider: str = "anthropic",
) -> tuple[str, str] | None:
    return find_key(provider, settings or {}, folder, environment or {})


def fake_keyring(monkeypatch: pytest.MonkeyPatch, answer: object) -> list[tuple[str, str]]:
    """Put a keyring in place that gives an answer or raises it."""
    asked: list[tuple[str, str]] = []

    def get_password(service: str, name: str) -> object:
        asked.append((service, name))
        if isinstance(answer, Exception):
            raise answer
        return answer

    module = ModuleType("keyring")
    module.get_password = get_password  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    return asked


# -- where a key is found ----------------------------------------------------------------------


def test_without_a_key_there_is_none(folder: Path) -> None:
    assert find(folder) is None


def test_the_environment_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_keyring(monkeypatch, "from the ring")
    save_key(folder / "anthropic", "from-file")
    settings = {"key_command": "echo from-command"}
    environment = {"ANTHROPIC_API_KEY": f" {KEY}\n"}
    assert find(folder, settings, environment) == (
        KEY,
        "the environment variable ANTHROPIC_API_KEY",
    )
    assert find(folder, settings) == ("from-command", "the key command")


def test_the_keyring_goes_before_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_keyring(monkeypatch, "from-ring")
    save_key(folder / "anthropic", "from-file")
    assert find(folder) == ("from-ring", "the keyring")
    assert asked == [("tekton", "anthropic")]


def test_the_file_goes_last(folder: Path) -> None:
    save_key(folder / "anthropic", KEY)
    assert find(folder) == (KEY, str(folder / "anthropic"))


@pytest.mark.parametrize(
    ("provider", "variable"),
    [("openai", "OPENAI_API_KEY"), ("my-lab", "MY_LAB_API_KEY"), ("lab2", "LAB2_API_KEY")],
)
def test_every_provider_has_its_variable(folder: Path, provider: str, variable: str) -> None:
    found = find(folder, environment={variable: KEY}, provider=provider)
    assert found == (KEY, f"the environment variable {variable}")


def test_another_variable_can_be_named(folder: Path) -> None:
    environment = {"ANTHROPIC_API_KEY": "wrong", "WORK_KEY": KEY}
    found = find(folder, {"key_env": "WORK_KEY"}, environment)
    assert found == (KEY, "the environment variable WORK_KEY")


def test_an_empty_variable_is_none(folder: Path) -> None:
    assert find(folder, environment={"ANTHROPIC_API_KEY": ""}) is None


@pytest.mark.parametrize("value", ["a\nb", "a b", "schlüssel", "a\x1bb", "x" * 5000])
def test_what_cannot_be_a_key_is_refused_without_being_shown(folder: Path, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(folder, environment={"ANTHROPIC_API_KEY": value})
    assert caught.value.message.startswith("ANTHROPIC_API_KEY is no key: it ")
    assert value not in caught.value.lines()


def test_a_key_is_not_shown_when_it_is_printed(folder: Path) -> None:
    found = find(folder, environment={"ANTHROPIC_API_KEY": KEY})
    assert KEY not in f"{found} {found!r}"


# -- the key command ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["echo", KEY], f"echo '{KEY}'"])
def test_a_command_is_a_list_or_a_text(folder: Path, command: object) -> None:
    assert find(folder, {"key_command": command}) == (KEY, "the key command")


def test_no_shell_reads_the_command(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no key"):
        find(folder, {"key_command": f"echo key; touch {tmp_path}/made"})
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/no/such/program"], "cannot start: /no/such/program: No such file or directory"),
        (["sh", "-c", "echo 'vault \x1b[31mlocked' >&2; exit 3"], "status 3: vault locked"),
        (["false"], "failed with status 1"),
        (["true"], "is no key: it is empty"),
        ("echo 'open", "cannot be read: No closing quotation"),
        (5, "is neither a text nor a list of texts"),
        ([5], "is neither a text nor a list of texts"),
    ],
)
def test_a_failing_command_tells_why(folder: Path, command: object, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(folder, {"key_command": command})
    assert "key_command of [providers.anthropic]" in caught.value.message
    assert reason in caught.value.message


def test_a_failing_command_does_not_show_what_it_printed(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find(folder, {"key_command": ["sh", "-c", f"echo {KEY}; exit 1"]})
    assert KEY not in caught.value.lines()


def test_a_slow_command_is_ended_with_its_children(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "COMMAND_S", 0.2)
    note = tmp_path / "pid"
    command = ["sh", "-c", f"sleep 60 & echo $! > {note}; wait"]
    before = time.monotonic()
    with pytest.raises(ConfigError, match=r"took longer than 0\.2 s"):
        find(folder, {"key_command": command})
    assert time.monotonic() - before < 5
    child = int(note.read_text())
    while _runs(child):
        assert time.monotonic() - before < 5, "the child still runs"


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that ended may wait for its new parent to notice."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


# -- the keyring -------------------------------------------------------------------------------


class NoKeyringError(RuntimeError):
    """Named as the package names it."""


def test_a_locked_keyring_is_reported_and_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_keyring(monkeypatch, RuntimeError("it is \x1b[31mlocked"))
    save_key(folder / "anthropic", KEY)
    assert find(folder) == (KEY, str(folder / "anthropic"))
    assert caplog.messages == ["the keyring gave no key for anthropic: it is locked"]


def test_a_keyring_without_a_back_end_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_keyring(monkeypatch, NoKeyringError("install one"))
    assert find(folder) is None
    assert not caplog.messages


@pytest.mark.parametrize("nothing", [None, "", 5])
def test_an_empty_entry_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, nothing: object
) -> None:
    fake_keyring(monkeypatch, nothing)
    assert find(folder) is None


# -- the file ----------------------------------------------------------------------------------


def test_a_key_is_kept_where_nobody_else_can_read_it(folder: Path) -> None:
    previous = os.umask(0)
    try:
        save_key(folder / "anthropic", f"{KEY}\n")
    finally:
        os.umask(previous)
    assert (folder / "anthropic").read_text() == f"{KEY}\n"
    assert (folder / "anthropic").stat().st_mode & 0o7777 == 0o600
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert list(folder.iterdir()) == [folder / "anthropic"]


def test_a_new_key_replaces_the_old_one(folder: Path) -> None:
    save_key(folder / "anthropic", "old")
    save_key(folder / "anthropic", KEY)
    assert find(folder) == (KEY, str(folder / "anthropic"))


def test_saving_replaces_a_link_and_leaves_what_it_points_to(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    target = tmp_path / "target"
    target.write_text("untouched")
    (folder / "anthropic").symlink_to(target)
    save_key(folder / "anthropic", KEY)
    assert target.read_text() == "untouched"
    assert not (folder / "anthropic").is_symlink()


@pytest.mark.parametrize("key", ["", "\n", "a\nb", "a\n\n", "a\tb", "a\x00b", "a b", "ключ"])
def test_what_cannot_be_a_key_is_not_kept(folder: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="what was given is no key"):
        save_key(folder / "anthropic", key)
    assert not folder.exists()


@pytest.mark.parametrize("name", ["..", ".hidden", "A b", "a.b"])
def test_a_name_that_is_no_providers_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is not a provider's name"):
        save_key(folder / name, KEY)
    assert not folder.exists()


def test_a_name_does_not_lead_out_of_the_folder(folder: Path) -> None:
    save_key(folder / "anthropic", KEY)
    (folder / "inner").mkdir()
    assert find(folder / "inner", provider="../anthropic") is None


def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    (folder / "anthropic" / "x").mkdir(parents=True)
    folder.chmod(0o700)
    with pytest.raises(StorageError, match="cannot write"):
        save_key(folder / "anthropic", KEY)
    assert [path.name for path in folder.iterdir()] == ["anthropic"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(folder: Path, mode: int) -> None:
    save_key(folder / "anthropic", KEY)
    (folder / "anthropic").chmod(mode)
    with pytest.raises(ConfigError) as caught:
        find(folder)
    assert f"others may read it (mode {mode:04o})" in caught.value.message
    assert caught.value.hint == f"`chmod 600 {folder / 'anthropic'}`"


def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    save_key(tmp_path / "real" / "anthropic", KEY)
    folder.mkdir()
    (folder / "anthropic").symlink_to(tmp_path / "real" / "anthropic")
    with pytest.raises(ConfigError, match="it is a link"):
        find(folder)


def test_a_pipe_or_a_folder_or_a_socket_is_refused_at_once(folder: Path) -> None:
    folder.mkdir()
    path = folder / "anthropic"
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="not a file"):
        find(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="not a file"):
        find(folder)
    path.rmdir()
    old = os.getcwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("anthropic")
            with pytest.raises(ConfigError, match="is not used"):
                find(folder)
    finally:
        os.chdir(old)


def test_somebody_elses_file_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_key(folder / "anthropic", KEY)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(ConfigError, match="belongs to somebody else"):
        find(folder)


@pytest.mark.parametrize("text", ["", "a\nb\n", "\n"])
def test_a_file_without_a_key_is_told(folder: Path, text: str) -> None:
    save_key(folder / "anthropic", KEY)
    (folder / "anthropic").write_text(text)
    with pytest.raises(ConfigError, match="is no key"):
        find(folder)
