"""Records of services: written whole, checked against the process table, never trusted blindly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backends.errors import StorageError
from backends.protocol.messages import Health, ServiceInfo
from backends.registry import Registry, checked, is_running


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "ai_registry")


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_record_is_found_as_it_was_written(registry: Registry, tmp_path: Path) -> None:
    ci = ServiceInfo(name="rhetor", is_ci=True, pid=1, urls=("tcp://127.0.0.1:9",), model="a/b")
    service = ServiceInfo(name="rhetor", is_service=True, pid=2)
    registry.write(ci)
    registry.write(service)
    assert registry.find("rhetor", is_ci=True) == ci
    assert registry.find("rhetor", is_ci=False) == service
    assert registry.find("apollo", is_ci=True) is None
    files = sorted(file.name for file in (tmp_path / "ai_registry").iterdir())
    assert files == ["rhetor-ci.json", "rhetor.json"]
    assert (tmp_path / "ai_registry").stat().st_mode & 0o777 == 0o700


def test_records_come_services_first_and_by_name(registry: Registry) -> None:
    assert list(registry.records()) == []
    for name, is_ci in (("zeus", True), ("apollo", True), ("rhetor", False), ("hermes", False)):
        registry.write(ServiceInfo(name=name, is_ci=is_ci))
    assert [record.name for record in registry.records()] == ["hermes", "rhetor", "apollo", "zeus"]


def test_a_record_may_be_removed_twice(registry: Registry) -> None:
    registry.write(ServiceInfo(name="apollo", is_ci=True))
    for _ in range(2):
        registry.remove("apollo", is_ci=True)
        assert registry.find("apollo", is_ci=True) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "{}", '{"name": 5}', '{"name": "x", "pid": 1.5}', "\x00", "\xff"]
)
def test_what_is_no_record_is_passed_over(registry: Registry, tmp_path: Path, text: str) -> None:
    registry.write(ServiceInfo(name="hermes"))
    (tmp_path / "ai_registry" / "broken.json").write_bytes(text.encode("latin-1"))
    (tmp_path / "ai_registry" / "folder.json").mkdir()
    assert [record.name for record in registry.records()] == ["hermes"]
    assert registry.find("broken", is_ci=False) is None


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", "\0", "n" * 5000, ""])
def test_a_name_does_not_lead_out_of_the_folder(
    registry: Registry, tmp_path: Path, name: str
) -> None:
    registry.write(ServiceInfo(name="hermes"))
    (tmp_path / "outside.json").write_text(json.dumps({"name": "outside"}))
    assert registry.find(name, is_ci=False) is None


def test_a_record_that_cannot_be_written_is_told(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "ai_registry" / "apollo-ci.json").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot write .*apollo-ci\.json: Is a directory"):
        registry.write(ServiceInfo(name="apollo", is_ci=True))


def test_readers_never_see_half_a_record(registry: Registry) -> None:
    record = ServiceInfo(name="apollo", is_ci=True, description="x" * 100_000)
    registry.write(record)
    written = 0
    is_over = threading.Event()

    def write() -> None:
        nonlocal written
        while not is_over.is_set():
            registry.write(record)
            written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while written < 50:
            assert registry.find("apollo", is_ci=True) == record
    finally:
        is_over.set()
        writer.join()


# -- alive or dead -----------------------------------------------------------------------------


def test_a_record_is_alive_with_its_process_and_socket(registry: Registry, tmp_path: Path) -> None:
    alive = ServiceInfo(name="hermes", pid=os.getpid(), socket=os.fspath(tmp_path))
    registry.write(alive)
    assert list(registry.live_records()) == [alive]


def test_a_record_whose_process_is_gone_is_dead(tmp_path: Path) -> None:
    pid = ended_process()
    found = checked(ServiceInfo(name="hermes", pid=pid, socket=os.fspath(tmp_path)))
    assert (found.health, found.reason) == (Health.DEAD, f"its process (pid {pid}) is gone")


def test_a_record_whose_socket_is_gone_is_dead(tmp_path: Path) -> None:
    found = checked(ServiceInfo(name="hermes", pid=os.getpid(), socket=f"{tmp_path}/x.sock"))
    assert (found.health, found.reason) == (Health.DEAD, f"its socket {tmp_path}/x.sock is gone")


def test_a_record_that_says_when_it_ended_is_believed() -> None:
    ended = ServiceInfo(name="hermes", pid=os.getpid(), health=Health.ENDED, reason="stopped")
    assert checked(ended) == ended


@pytest.mark.parametrize("pid", [0, -1, pytest.param(-os.getpid(), id="-self"), 2**40, 2**62])
def test_what_is_no_process_id_is_not_running(pid: int) -> None:
    assert not is_running(pid)


def test_a_process_of_another_user_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert is_running(1)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc tells")
def test_a_process_that_ended_and_was_not_noticed_yet_is_not_running() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(process.pid)
