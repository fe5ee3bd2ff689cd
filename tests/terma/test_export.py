"""`terma export`: what was recorded as a file, which is there whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.errors import StorageError
from terma.recording.newfile import new_file
from terma.times import show_time
from tests.terma.recordings import TERMA, Person, Recordings, now, recordings
from tests.terma.scripted import run

NOW = now()
OUTPUT = "grüße \x1b[31mred\x1b[0m\r\nmore\r\n".encode()


@pytest.fixture
def service() -> Iterator[Recordings]:
    with recordings() as service:
        service.put(OUTPUT[:4], NOW - 60)
        service.put(OUTPUT[4:], NOW - 58)
        yield service


@pytest.mark.usefixtures("service")
def test_a_cast_has_the_name_and_the_shell(tmp_path: Path) -> None:
    file = tmp_path / "alice.cast"
    ran = run("export", "alice", "--cast", str(file))
    assert (ran.status, ran.out, ran.err) == (0, b"", "")
    header, *events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert header["title"] == "alice"
    assert header["env"] == {"TERM": "xterm-256color", "SHELL": "/bin/bash"}
    assert header["timestamp"] == NOW - 60
    assert "".join(event[2] for event in events).encode() == OUTPUT
    assert [event[0] for event in events] == [0.0, 2.0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.usefixtures("service")
def test_stdout_takes_each_form() -> None:
    assert run("export", "alice", "--raw", "-").out == OUTPUT
    assert run("export", "alice", "--text", "-").text == "grüße red\nmore\n"
    assert json.loads(run("export", "alice", "--cast", "-").text.splitlines()[0])["version"] == 2
    assert run("export", "alice", "--raw", "-", "--since", show_time(NOW - 59)).out == OUTPUT[4:]


def test_what_is_not_as_it_was_is_told(service: Recordings) -> None:
    service.leave_out(10, NOW)
    service.put(b"\xff\xfe", NOW)
    ran = run("export", "alice", "--cast", "-")
    assert "2 bytes are no UTF-8" in ran.err
    place = f"10 bytes were not kept, before offset {len(OUTPUT) + 10}\n"
    assert place in ran.err
    assert "10 bytes are missing in all" in ran.err
    ran = run("export", "alice", "--raw", "-")
    assert ran.out == OUTPUT + b"\xff\xfe"
    assert ran.err == place


@pytest.mark.usefixtures("service")
def test_a_time_without_output_is_told() -> None:
    for form in ("--cast", "--raw"):
        ran = run("export", "alice", form, "-", "--since", "0s")
        assert (ran.status, ran.err) == (0, "nothing was put out in that time\n")


@pytest.mark.usefixtures("service")
def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("mine", encoding="utf-8")
    ran = run("export", "alice", "--raw", str(file))
    assert ran.status == 1
    assert "is there already" in ran.err
    assert "--force replaces it" in ran.err
    assert file.read_text(encoding="utf-8") == "mine"
    assert run("export", "alice", "--raw", str(file), "--force").status == 0
    assert file.read_bytes() == OUTPUT


@pytest.mark.usefixtures("service")
def test_nothing_is_left_where_it_fails(tmp_path: Path) -> None:
    assert run("export", "bob", "--raw", str(tmp_path / "bob")).status == 3
    assert run("export", "bob", "--cast", str(tmp_path / "bob")).status == 3
    ran = run("export", "alice", "--raw", str(tmp_path / "none" / "file"))
    assert (ran.status, "No such file or directory" in ran.err) == (1, True)
    assert "is a folder" in run("export", "alice", "--raw", str(tmp_path), "--force").err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["--cast", "a", "--raw", "b"]])
def test_one_form_is_named(arguments: list[str]) -> None:
    ran = run("export", "alice", *arguments)
    assert ran.status == 2
    assert "name one file" in ran.err


@pytest.mark.usefixtures("service")
def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with subprocess.Popen([*TERMA, "export", "alice", "--raw", str(fifo)]) as process:
        assert fifo.read_bytes() == OUTPUT
        assert process.wait(20) == 0
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.usefixtures("service")
def test_bytes_reach_a_terminal_only_by_force(tmp_path: Path) -> None:
    with Person(tmp_path, ["export", "alice", "--raw", "-"]) as person:
        assert person.wait() == 2
        assert b"terma replay alice" in person.shown
    with Person(tmp_path, ["export", "alice", "--raw", "-", "--force"]) as person:
        assert person.wait() == 0
        assert b"\x1b[31mred" in person.shown


# -- the file --------------------------------------------------------------------------------


def test_a_file_has_its_name_only_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "new"
    with new_file(file, replaces=False) as stream:
        stream.write(b"half")
        stream.flush()
        assert not file.exists()
    assert file.read_bytes() == b"half"
    assert list(tmp_path.iterdir()) == [file]


def test_who_took_the_name_meanwhile_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "new"
    with pytest.raises(StorageError, match="is there already"):
        with new_file(file, replaces=False):
            file.write_bytes(b"theirs")
    assert file.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "new"
    file.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        with new_file(file, replaces=True) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_disk_that_is_full_is_told() -> None:
    with pytest.raises(StorageError, match="No space left"):
        with new_file(Path("/dev/full"), replaces=True) as stream:
            stream.write(b"x")


def test_a_reader_that_goes_away_is_a_broken_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = threading.Thread(target=lambda: fifo.open("rb").close())
    reading.start()
    with pytest.raises(BrokenPipeError):
        with new_file(fifo, replaces=False) as stream:
            reading.join()
            stream.write(b"x" * 100_000)
