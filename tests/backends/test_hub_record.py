"""What a hub tells of itself, and the lock that only one can hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backends.errors import AlreadyRunning, StorageError
from backends.hub_record import hub_lock, is_locked, read_hub_record, write_hub_record
from backends.paths import Paths, find_paths, private_folder

HOLD = """
import time
from backends.hub_record import hub_lock
from backends.paths import find_paths
with hub_lock(find_paths()):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def paths(tekton_home: Path) -> Paths:
    found = find_paths()
    private_folder(found.runtime)
    private_folder(found.state)
    return found


def test_the_lock_is_held_for_as_long_as_the_hub_runs(paths: Paths) -> None:
    assert not is_locked(paths)
    with hub_lock(paths):
        assert is_locked(paths)
        assert is_locked(paths)
    assert not is_locked(paths)


def test_a_second_hub_is_told_where_the_first_is(paths: Paths) -> None:
    write_hub_record(paths, {"pid": 4321})
    with (
        hub_lock(paths),
        pytest.raises(AlreadyRunning, match=rf"pid 4321, sockets in {paths.runtime}$"),
        hub_lock(paths),
    ):
        pass


def test_a_second_hub_is_refused_even_where_the_first_left_no_record(paths: Paths) -> None:
    with hub_lock(paths), pytest.raises(AlreadyRunning, match="pid unknown"), hub_lock(paths):
        pass


def test_the_lock_of_a_killed_process_is_free(paths: Paths) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_locked(paths)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert not is_locked(paths)
    with hub_lock(paths):
        pass


def test_where_there_is_no_folder_no_hub_runs(tekton_home: Path) -> None:
    assert not is_locked(find_paths())
    (tekton_home / "run").touch()
    assert not is_locked(find_paths())


def test_a_record_is_read_as_it_was_written(paths: Paths) -> None:
    assert read_hub_record(paths) == {}
    write_hub_record(paths, {"pid": 1, "started_at": 2.5})
    write_hub_record(paths, {"pid": 1, "started_at": 2.5, "ended_at": 3.5})
    assert read_hub_record(paths) == {"pid": 1, "started_at": 2.5, "ended_at": 3.5}
    assert [file.name for file in paths.state.iterdir()] == ["hub.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "\xff"])
def test_a_broken_record_is_none(paths: Paths, text: str) -> None:
    (paths.state / "hub.json").write_bytes(text.encode("latin-1"))
    assert read_hub_record(paths) == {}


def test_a_record_that_cannot_be_written_is_told(paths: Paths) -> None:
    (paths.state / "hub.json").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*hub\.json"):
        write_hub_record(paths, {})
