"""The folder of sockets: the same for all who look for it, and private."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import runtime
from backends.errors import UsageError
from backends.runtime import (
    CI_FOLDER,
    MAX_NAME,
    MAX_SOCKET_PATH,
    check_name,
    is_private,
    runtime_folder,
    slug_of,
)
from tests.scenarios.terminal import Terminal

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="XDG folders are Linux's")


def longest_socket(folder: str) -> bytes:
    return os.fsencode(f"{folder}/{CI_FOLDER}/{'n' * MAX_NAME}.sock")


def test_home_holds_the_sockets(tekton_home: Path) -> None:
    assert runtime_folder() == f"{tekton_home}/run"


def test_a_relative_home_is_taken_from_where_we_are(
    tekton_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tekton_home)
    monkeypatch.setenv("TEKTON_HOME", "here")
    assert runtime_folder() == f"{os.getcwd()}/here/run"


@on_linux
def test_without_a_home_the_users_runtime_folder_is_taken(
    tekton_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEKTON_HOME")
    assert runtime_folder() == f"{tekton_home}/tekton"


@on_linux
@pytest.mark.parametrize("parent", ["/proc/nowhere", "relative", "/proc/1/root"])
def test_a_runtime_folder_that_is_not_ours_is_not_taken(
    parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEKTON_HOME")
    monkeypatch.setenv("XDG_RUNTIME_DIR", parent)
    monkeypatch.setattr(os, "getuid", lambda: 4321)
    assert runtime_folder() == "/tmp/tekton-4321"


@on_linux
def test_the_folder_that_systemd_keeps_is_found_without_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TEKTON_HOME")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    uid = os.getuid()
    monkeypatch.setattr(runtime, "_owner", lambda folder: uid if "/run/user" in folder else -1)
    assert runtime_folder() == f"/run/user/{uid}/tekton"


def test_elsewhere_there_is_only_the_folder_in_tmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEKTON_HOME")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert runtime_folder() == f"/tmp/tekton-{os.getuid()}"


def test_a_path_too_long_for_a_socket_becomes_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    room = MAX_SOCKET_PATH - len(longest_socket("/run"))
    fits, too_long, other = "/" + "h" * (room - 1), "/" + "h" * room, "/" + "o" * room
    found = []
    for home in (fits, too_long, other):
        monkeypatch.setenv("TEKTON_HOME", home)
        found.append(runtime_folder())
        assert len(longest_socket(found[-1])) <= MAX_SOCKET_PATH
    assert found[0] == f"{fits}/run"
    assert all(folder.startswith(f"/tmp/tekton-{os.getuid()}-") for folder in found[1:])
    assert len({*found}) == 3


def test_bytes_count_and_not_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEKTON_HOME", "/" + "ü" * 30)
    assert runtime_folder().startswith("/tmp/tekton-")


def test_the_longest_name_fits_into_a_real_socket(
    tekton_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = MAX_SOCKET_PATH - len(longest_socket(f"{tekton_home}//run"))
    monkeypatch.setenv("TEKTON_HOME", f"{tekton_home}/{'h' * room}")
    path = longest_socket(runtime_folder())
    assert len(path) == MAX_SOCKET_PATH
    os.makedirs(os.path.dirname(path))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)


def test_only_a_real_folder_of_ours_alone_is_private(tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir(mode=0o700)
    assert is_private(os.fspath(ours))
    for mode in (0o701, 0o710, 0o740, 0o707, 0o777):
        ours.chmod(mode)
        assert not is_private(os.fspath(ours)), oct(mode)
    ours.chmod(0o700)
    (tmp_path / "link").symlink_to(ours)
    (tmp_path / "file").touch(mode=0o700)
    for name in ("link", "file", "missing"):
        assert not is_private(os.fspath(tmp_path / name)), name


def test_a_folder_of_somebody_else_is_not_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert not is_private(os.fspath(tmp_path))


def test_the_digest_is_that_of_its_publication() -> None:
    """Values from the test vectors of draft-eastlake-fnv."""
    assert runtime._digest(b"") == 0xCBF29CE484222325
    assert runtime._digest(b"a") == 0xAF63DC4C8601EC8C
    assert runtime._digest(b"foobar") == 0x85944171F73967E8


# -- the terminal ----------------------------------------------------------------------------

_TELL = "from backends.runtime import terminal_key; print(terminal_key())"


def keys_on_a_terminal(tmp_path: Path, *commands: str, **variables: str) -> list[str]:
    """Run some Pythons, one after the other, in a shell on a terminal; return what they print."""
    line = "; ".join(commands)
    environment = {**os.environ, **variables}
    terminal = Terminal(["/bin/sh", "-c", line], environment, tmp_path)
    try:
        assert terminal.wait() == 0, terminal.shown
        return terminal.shown.decode().split()
    finally:
        terminal.close()


def test_all_of_one_terminal_have_one_key_and_another_terminal_another(tmp_path: Path) -> None:
    tell = f"{sys.executable} -c '{_TELL}'"
    here = keys_on_a_terminal(tmp_path, tell, f"echo | {tell} | cat", f"( ({tell}) )")
    assert len(here) == 3
    assert len(set(here)) == 1
    assert os.uname().nodename in here[0]
    assert keys_on_a_terminal(tmp_path, tell) != here[:1]


def test_a_session_that_took_the_number_of_another_has_another_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "getsid", lambda pid: 4711)
    monkeypatch.setattr(runtime, "_started_at", lambda leader: "1")
    first = runtime.terminal_key()
    monkeypatch.setattr(runtime, "_started_at", lambda leader: "2")
    assert first != runtime.terminal_key()
    assert "4711" in str(first)


def test_without_a_terminal_there_is_no_key() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _TELL], start_new_session=True, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout == "None\n"


def test_a_named_terminal_is_known_by_its_id_whatever_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERMA_INSTANCE", "0123456789abcdef" * 2)
    for name in ("alice", "eve"):
        monkeypatch.setenv("TERMA_TERMINAL", name)
        assert runtime.terminal_key() == f"{os.uname().nodename}/{'0123456789abcdef' * 2}"


# -- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why", "hint"),
    [
        ("Alice", "the letters a to z in lower case", "call it 'alice'"),
        ("feature/CACHE #3", "nothing else", "call it 'feature-cache-3'"),
        ("Über", "nothing else", "call it 'uber'"),
        ("9lives", "begins with a letter", "call it 'lives'"),
        ("x" * 33, "at most 32 characters, this has 33", f"call it {'x' * 32!r}"),
        ("a" * 32, "looks like the id of a terminal", "choose another"),
        ("alice-ci", "NAME-ci is the CI NAME", "call it 'alice'"),
        ("user", "a word of Tekton's own", "choose another"),
        ("hermes", "it is a service", "choose another"),
        ("日本", "nothing else", "choose another"),
        ("", "at least one letter", "choose another"),
        ("User-ci", "nothing else", "choose another"),
    ],
)
def test_a_bad_name_is_told_why_and_what_is_near_it(name: str, why: str, hint: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a terminal: ") as raised:
        check_name(name, "terminal")
    assert why in raised.value.message
    assert raised.value.hint == hint


def test_a_name_without_end_is_not_repeated_without_end() -> None:
    with pytest.raises(UsageError) as raised:
        check_name("é" * 100_000)
    assert len(raised.value.message) < 300


@given(st.text(max_size=60))
def test_the_name_that_is_proposed_can_be_one(text: str) -> None:
    hint = ""
    try:
        check_name(text)
    except UsageError as error:
        hint = error.hint or ""
    if hint.startswith("call it "):
        proposed = hint.removeprefix("call it '").removesuffix("'")
        assert check_name(proposed) == proposed


@given(st.text(max_size=60), st.integers(1, 70))
def test_a_slug_has_words_of_letters_and_digits_alone(text: str, longest: int) -> None:
    slug = slug_of(text, longest)
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", slug)
    assert len(slug) <= longest
    assert slug_of(slug) == slug


def test_ps_tells_the_same_terminals_apart(tmp_path: Path) -> None:
    """What is asked where there is no /proc."""
    tell = "import os; from backends.runtime import _asked_of_ps; print(_asked_of_ps(os.getsid(0)))"
    command = f"{sys.executable} -c '{tell}'"
    first, second = keys_on_a_terminal(tmp_path, command, f"echo | {command} | cat")
    assert first == second != "None"
    ran = subprocess.run(
        [sys.executable, "-c", tell], start_new_session=True, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout == "None\n"
