"""What a terminal is made from."""

from __future__ import annotations

import base64
import dataclasses
import signal
import stat
from pathlib import Path

import pytest

from aish.shell import start
from backends.errors import InvalidMessage, StorageError, UsageError
from backends.paths import Paths, find_paths
from backends.protocol.terminals import Worktree
from terma.service.identity import hash_of
from terma.service.opening import (
    check_roles,
    check_size,
    environment_of,
    exit_file,
    mail_file,
    meta_of,
    person_mail_file,
    read_exit,
    set_mail,
    set_name,
    status_of,
    stored_of,
    write_token,
)
from terma.service.store import StoredTerminal
from tests.terma.service.test_directory import terminal


def stored() -> StoredTerminal:
    return terminal("alice", "coding").stored


def packed(*variables: bytes) -> str:
    return base64.b64encode(b"".join(one + b"\0" for one in variables)).decode()


def test_a_program_gets_the_callers_environment_and_its_own(tmp_path: Path) -> None:
    given = packed(b"LANG=C", b"TERM=dumb", b"ODD=\xff\nx", b"EMPTY=", b"TERMA_TERMINAL=outer")
    found = environment_of(given, stored(), tmp_path).split(b"\0")
    assert found.pop() == b""
    assert sorted(found) == sorted(
        [
            b"LANG=C",
            b"TERM=xterm-256color",
            b"ODD=\xff\nx",
            b"EMPTY=",
            b"TERMA_TERMINAL=alice",
            b"TERMA_INSTANCE=id-alice",
            b"TERMA_TOKEN_FILE=%s/token" % bytes(tmp_path),
            b"TERMA_MAIL=%s/mail" % bytes(tmp_path),
        ]
    )


@pytest.mark.parametrize("given", ["not base64!", packed(b"no sign"), packed(b"=no name")])
def test_what_is_no_environment_is_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidMessage, match="environment"):
        environment_of(given, stored(), tmp_path)


def test_a_token_is_its_users_alone_and_written_once(tmp_path: Path) -> None:
    write_token(tmp_path, "secret")
    file = tmp_path / "token"
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("secret\n", 0o600)
    with pytest.raises(StorageError):
        write_token(tmp_path, "another")


def test_mail_is_a_file_that_is_not_empty(tmp_path: Path) -> None:
    for file in (mail_file(tmp_path), person_mail_file(Paths(tmp_path, tmp_path, tmp_path))):
        set_mail(file, waits=True)
        assert file.stat().st_size > 0
        set_mail(file, waits=False)
        assert not file.exists()
        set_mail(file, waits=False)


def test_a_shell_in_no_terminal_looks_at_the_mail_of_the_person(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert start.mail_file() == str(person_mail_file(find_paths()))
    monkeypatch.delenv("TEKTON_HOME")
    for state in (str(tmp_path / "state"), "", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", state)
        assert start.mail_file() == str(person_mail_file(find_paths()))


def test_a_name_that_a_terminal_has_got_is_for_its_user_alone(tmp_path: Path) -> None:
    for name in ("alice", "bob"):
        set_name(tmp_path, name)
        file = tmp_path / "name"
        assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (f"{name}\n", 0o600)


def test_ptyhost_remembers_a_terminal_for_a_hub_that_does_not() -> None:
    worktree = Worktree(repository="/r", path="/r.worktrees/x", branch="x", base="abc")
    for one in (stored(), dataclasses.replace(stored(), worktree=worktree, exit_status=3)):
        assert stored_of(meta_of(one), one.id) == one
        assert stored_of(meta_of(one), "another") is None
    assert stored_of({"name": "alice"}, "id-alice") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"status": 3, "signal": null, "at": 5.5}', (3, None, 5.5)),
        ('{"status": null, "signal": "HUP", "at": 5}', (None, "HUP", 5.0)),
        ('{"status": null, "signal": null}', None),
        ('{"status": "3"}', None),
        ("[]", None),
        ("{", None),
    ],
)
def test_an_exit_is_read_back(
    text: str, found: tuple[int | None, str | None, float] | None, tmp_path: Path
) -> None:
    assert read_exit(tmp_path) is None
    exit_file(tmp_path).write_text(text)
    assert read_exit(tmp_path) == found


def test_a_signal_is_told_as_a_shell_does() -> None:
    assert status_of("KILL") == status_of("SIGKILL") == 128 + signal.SIGKILL
    assert status_of("NO") is None
    assert status_of(None) is None


def test_roles_are_slugs_each_once() -> None:
    assert check_roles(["Coding", "@test", " coding ", "a-1"]) == ("coding", "test", "a-1")
    for bad in ("", "a b", "all", "-x", "x" * 33, "é", "a,b"):
        with pytest.raises(UsageError, match="cannot be a role"):
            check_roles([bad])


def test_a_size_is_one_that_a_window_may_have() -> None:
    check_size(1, 1)
    check_size(1000, 1000)
    for columns, rows in ((0, 24), (80, 0), (1001, 24), (80, -1)):
        with pytest.raises(UsageError, match="cannot have"):
            check_size(columns, rows)


def test_a_hash_does_not_tell_the_token() -> None:
    assert "secret" not in hash_of("secret")
