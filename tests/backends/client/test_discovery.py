"""Finding who answers, and telling well why nobody does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backends.client.discovery import locate, read_token, remote_of, target, why_not
from backends.errors import CannotConnect, NotFound, TektonError, UsageError
from backends.paths import Paths, find_paths, private_folder
from backends.protocol.conversations import BeginTurn, History, Turn, TurnStatus
from backends.protocol.messages import (
    Chat,
    Health,
    Hello,
    Info,
    ListAll,
    Measure,
    Publish,
    Request,
    ServiceInfo,
    Subscribe,
)
from backends.registry import Registry
from backends.runtime import canonical
from backends.transport.address import Address


@pytest.fixture
def paths(tekton_home: Path) -> Paths:
    found = find_paths()
    private_folder(found.runtime)
    return found


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def add(paths: Paths, name: str, is_ci: bool = True, **fields: Any) -> None:
    """Write the record of something that is alive, unless the fields say otherwise."""
    where = paths.socket(name, is_ci)
    private_folder(where.parent)
    if "socket" not in fields:
        where.touch()
    known: dict[str, Any] = {
        "pid": os.getpid(),
        "socket": os.fspath(where),
        "is_service": not is_ci,
    } | fields
    Registry(paths.registry).write(ServiceInfo(name=name, is_ci=is_ci, **known))


def failure(paths: Paths, name: str, is_ci: bool = True) -> TektonError:
    try:
        locate(name, is_ci)
    except TektonError as error:
        return error
    return why_not(name, is_ci, paths)


TURN = Turn(id="1", session="s", ci="apollo", status=TurnStatus.RUNNING, prompt="")


@pytest.mark.parametrize(
    ("request_", "name", "is_ci"),
    [
        (Chat(ci="apollo"), "apollo", True),
        (Chat(ci="Apollo-CI"), "apollo", True),
        (Info(ci="rhetor"), "rhetor", True),
        (Info(service="rhetor"), "rhetor", False),
        (Info(), "hermes", False),
        (Hello(), "hermes", False),
        (ListAll(), "hermes", False),
        (Subscribe(), "hermes", False),
        (Publish(subject="a"), "hermes", False),
        (BeginTurn(turn=TURN), "engram", False),
        (History(ci="apollo"), "engram", False),
        (Measure(), "numa", True),
        (Info(service="numa"), "numa", True),
    ],
)
def test_a_request_knows_who_answers_it(request_: Request[Any], name: str, is_ci: bool) -> None:
    assert target(request_) == (name, is_ci)


@pytest.mark.parametrize("name", ["apollo", "Apollo", "apollo-ci", "APOLLO-CI"])
def test_a_ci_has_one_name_however_it_is_written(name: str) -> None:
    assert canonical(name) == "apollo"


def test_a_name_leads_to_its_socket(paths: Paths) -> None:
    assert locate("apollo", True) == Address("unix", path=f"{paths.runtime}/ci/apollo.sock")
    assert locate("rhetor", False) == Address("unix", path=f"{paths.runtime}/rhetor.sock")
    assert locate("rhetor", True, "/x") == Address("unix", path="/x/ci/rhetor.sock")


@pytest.mark.parametrize("name", ["", "..", "../hermes", "a/b", "a b", "x\n"])
def test_a_name_that_leads_elsewhere_is_no_name(paths: Paths, name: str) -> None:
    add(paths, "apollo")
    with pytest.raises(NotFound, match="no CI named"):
        locate(name, True)


# -- why nobody answers ------------------------------------------------------------------------


def test_without_a_hub_the_command_that_starts_one_is_told(tekton_home: Path) -> None:
    error = failure(find_paths(), "apollo")
    assert isinstance(error, CannotConnect)
    assert (error.message, error.hint) == ("no hub is running", "`tekton up` starts it")


def test_a_hub_that_died_is_told_as_such(paths: Paths, dead_pid: int) -> None:
    add(paths, "apollo", pid=dead_pid)
    add(paths, "hermes", is_ci=False, pid=dead_pid)
    for name in ("apollo", "zeus"):
        error = failure(paths, name)
        assert isinstance(error, CannotConnect)
        assert error.message == f"the hub (pid {dead_pid}) died without saying goodbye"


def test_what_was_stopped_in_order_is_no_death(paths: Paths, dead_pid: int) -> None:
    add(paths, "apollo", pid=dead_pid, health=Health.ENDED, reason="it was stopped")
    assert failure(paths, "apollo").message == "no hub is running"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("apolo", "did you mean 'apollo'? `aish list` shows all"),
        ("athen", "did you mean 'athene' or 'athena'? `aish list` shows all"),
        ("zeus", "`aish list` shows all"),
        ("numa", "`aish list` shows all"),
        ("../numa", "`aish list` shows all"),
        ("x" * 100_000, "`aish list` shows all"),
    ],
)
def test_an_unknown_ci_is_told_with_the_nearest_names(paths: Paths, name: str, hint: str) -> None:
    for known in ("apollo", "athena", "athene"):
        add(paths, known)
    add(paths, "numa", is_ci=False)
    error = failure(paths, name)
    assert isinstance(error, NotFound)
    assert (error.message, error.hint) == (f"no CI named {name!r}", hint)


def test_an_unknown_service_is_told(paths: Paths) -> None:
    add(paths, "hermes", is_ci=False)
    error = failure(paths, "hermse", is_ci=False)
    assert error.message == "no service named 'hermse'"
    assert error.hint == "did you mean 'hermes'? `tekton status` shows all"


def test_a_ci_whose_process_is_gone_is_told_with_the_reason(paths: Paths, dead_pid: int) -> None:
    add(paths, "apollo", pid=dead_pid)
    add(paths, "hermes", is_ci=False)
    error = failure(paths, "apollo")
    assert isinstance(error, NotFound)
    assert error.message == f"CI 'apollo' is gone: its process (pid {dead_pid}) is gone"
    assert "`tekton serve apollo`" in (error.hint or "")


def test_a_ci_whose_socket_is_gone_is_told_with_the_reason(paths: Paths) -> None:
    add(paths, "apollo", socket="/nowhere/apollo.sock")
    add(paths, "hermes", is_ci=False)
    error = failure(paths, "apollo")
    assert error.message == "CI 'apollo' is gone: its socket /nowhere/apollo.sock is gone"


def test_a_service_that_is_gone_cannot_be_connected_to(paths: Paths, dead_pid: int) -> None:
    add(paths, "hermes", is_ci=False, pid=dead_pid)
    add(paths, "apollo")
    error = failure(paths, "hermes", is_ci=False)
    assert isinstance(error, CannotConnect)
    assert error.message == f"hermes is gone: its process (pid {dead_pid}) is gone"
    assert error.hint == "`tekton serve hermes` brings it back, or tells why not"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_folder_of_sockets_that_others_may_enter_is_not_used(paths: Paths, mode: int) -> None:
    add(paths, "apollo")
    paths.runtime.chmod(mode)
    error = failure(paths, "apollo")
    assert isinstance(error, CannotConnect)
    assert "is not this user's alone, so it is not used" in error.message


def test_a_linked_folder_of_sockets_is_not_used(paths: Paths) -> None:
    add(paths, "apollo")
    real = paths.runtime.rename(paths.runtime.with_name("real"))
    paths.runtime.symlink_to(real)
    assert "is not this user's alone" in failure(paths, "apollo").message


def test_a_folder_of_somebody_else_is_not_used(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(paths, "apollo")
    monkeypatch.setattr(os, "getuid", lambda: paths.runtime.stat().st_uid + 1)
    assert "is not this user's alone" in failure(paths, "apollo").message


# -- elsewhere ---------------------------------------------------------------------------------


def test_an_address_is_taken_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert remote_of(None) is None
    monkeypatch.setenv("TEKTON_URL", "tcp://127.0.0.1:9002")
    assert remote_of(None) == Address("tcp", host="127.0.0.1", port=9002)
    assert remote_of("unix:/x") == Address("unix", path="/x")
    monkeypatch.setenv("TEKTON_URL", "http://127.0.0.1")
    with pytest.raises(UsageError, match=r"'http://127\.0\.0\.1' is not an address"):
        remote_of(None)


def test_a_token_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  secret\n")
    assert read_token(file) == "secret"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_a_token_file_that_cannot_be_used_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NotFound, match=r"the token file .*token") as raised:
        read_token(file)
    assert "secret" not in raised.value.message


def test_one_on_record_who_does_not_answer_is_told_with_the_reason(paths: Paths) -> None:
    add(paths, "apollo")
    error = why_not("apollo", True, paths, "cannot connect: Connection refused")
    assert isinstance(error, NotFound)
    assert error.message == "CI 'apollo' is gone: cannot connect: Connection refused"
