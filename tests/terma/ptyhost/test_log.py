"""The log: segments and times on a real disk."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from terma.ptyhost.log import RECORD, Log

SIZE = (80, 24)


def whole(log: Log) -> dict[int, bytes]:
    """All that is kept, by offset."""
    found, offset = {}, 0
    while piece := log.read(offset, 1 << 20):
        found[piece[0]] = piece[1]
        offset = piece[0] + len(piece[1])
    return found


def records(file: Path) -> list[tuple[int, float, int, int]]:
    return list(RECORD.iter_unpack(file.read_bytes()))


def name(offset: int, kind: str) -> str:
    return f"{offset:020d}.{kind}"


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Files grow no longer than 100,000 bytes; what goes beyond is cut short."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_offsets_go_on_where_the_folder_ended(tmp_path: Path) -> None:
    first = Log(str(tmp_path / "log"), 1_000_000)
    first.append(0, b"one", 1.0, SIZE)
    first.close()
    second = Log(str(tmp_path / "log"), 1_000_000)
    assert second.end == 3
    second.append(3, b"two", 2.0, SIZE)
    assert whole(second) == {0: b"one", 3: b"two"}
    assert sorted(file.name for file in (tmp_path / "log").glob("*.log")) == [
        name(0, "log"), name(3, "log"),
    ]  # fmt: skip
    assert {oct(file.stat().st_mode & 0o777) for file in (tmp_path / "log").iterdir()} == {"0o600"}


def test_a_record_says_when_a_byte_came_and_how_large_the_terminal_was(tmp_path: Path) -> None:
    log = Log(str(tmp_path), 1_000_000)
    log.append(0, b"a", 10.0, SIZE)
    log.append(1, b"b", 10.005, SIZE)  # too soon for a record of its own
    log.append(2, b"c", 10.02, SIZE)
    log.resize(3, 10.021, (100, 30))
    log.append(3, b"d", 10.022, (100, 30))
    assert records(tmp_path / name(0, "times")) == [
        (0, 10.0, 80, 24), (2, 10.02, 80, 24), (3, 10.021, 100, 30),
    ]  # fmt: skip


def test_the_oldest_segments_go_and_the_rest_stays_below_the_limit(tmp_path: Path) -> None:
    log = Log(str(tmp_path), 1_000_000)
    piece = bytes(range(256)) * 40
    for number in range(400):
        log.append(number * len(piece), piece, float(number), SIZE)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1_000_000 + len(piece)
    kept = whole(log)
    assert min(kept) == log.segments[0].start > 0
    assert b"".join(kept.values()) == (piece * 400)[min(kept) :]
    assert sum(map(len, kept.values())) > 800_000
    for segment in log.segments:
        assert records(tmp_path / name(segment.start, "times"))[0][0] == segment.start


def test_a_write_that_is_cut_short_shifts_no_offset(tmp_path: Path, file_limit: None) -> None:
    log = Log(str(tmp_path), 64_000_000)
    text = os.urandom(150_000)
    with pytest.raises(OSError, match="File too large"):
        log.append(0, text, 1.0, SIZE)
    assert log.end == 100_000
    log.append(150_000, b"behind the gap", 2.0, SIZE)
    assert whole(log) == {0: text[:100_000], 150_000: b"behind the gap"}
    assert whole(Log(str(tmp_path), 64_000_000)) == whole(log)


def test_a_segment_that_gets_no_byte_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / name(0, "times")).mkdir()
    log = Log(str(tmp_path), 1_000_000)
    with pytest.raises(OSError, match="directory"):
        log.append(0, b"x", 1.0, SIZE)
    assert not list(tmp_path.glob("*.log"))
    (tmp_path / name(0, "times")).rmdir()
    log.append(0, b"x", 1.0, SIZE)
    assert whole(log) == {0: b"x"}


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    (path.parent.parent / "secret").write_bytes(b"secret")
    path.symlink_to(path.parent.parent / "secret")


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # its whole path may be too long for one
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


IN_THE_WAY = [_fifo, _link, _socket]


@pytest.mark.parametrize("kind", ["log", "times"])
@pytest.mark.parametrize("put", IN_THE_WAY)
def test_what_lies_in_the_way_of_a_segment_gives_way(
    tmp_path: Path, put: Callable[[Path], None], kind: str
) -> None:
    (tmp_path / "log").mkdir()
    log = Log(str(tmp_path / "log"), 1_000_000)
    put(tmp_path / "log" / name(0, kind))
    log.append(0, b"x", 1.0, SIZE)
    assert whole(log) == {0: b"x"}
    assert records(tmp_path / "log" / name(0, "times")) == [(0, 1.0, *SIZE)]
    if put is _link:
        assert (tmp_path / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("put", IN_THE_WAY)
def test_what_has_taken_the_place_of_a_segment_is_a_gap(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    (tmp_path / "log").mkdir()
    log = Log(str(tmp_path / "log"), 1_000_000)
    log.append(0, b"0123456789", 1.0, SIZE)
    log.append(20, b"more", 2.0, SIZE)
    (tmp_path / "log" / name(0, "log")).unlink()
    put(tmp_path / "log" / name(0, "log"))
    assert whole(log) == {20: b"more"}
    assert whole(Log(str(tmp_path / "log"), 1_000_000)) == {20: b"more"}


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / name(0, "log")).write_bytes(b"secret")
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    log = Log(str(tmp_path / "log"), 1_000_000)
    assert log.segments == []
    with pytest.raises(OSError, match=r"directory|symbolic"):
        log.append(0, b"x", 1.0, SIZE)
    assert [file.name for file in (tmp_path / "elsewhere").iterdir()] == [name(0, "log")]


def test_a_log_goes_on_when_somebody_removed_all_of_it_and_it_was_read(tmp_path: Path) -> None:
    log = Log(str(tmp_path), 1_000_000)
    log.append(0, b"gone", 1.0, SIZE)
    for file in tmp_path.iterdir():
        file.unlink()
    assert log.read(0, 10) is None
    log.append(4, b"back", 1.001, SIZE)
    assert whole(log) == {4: b"back"}


def test_a_reader_who_wants_nothing_takes_nothing_away(tmp_path: Path) -> None:
    log = Log(str(tmp_path), 1_000_000)
    log.append(0, b"0123456789", 1.0, SIZE)
    assert log.read(3, 0) == (3, b"")
    assert whole(log) == {0: b"0123456789"}


def test_an_offset_that_no_log_comes_to_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / f"{'9' * 20}.log").write_bytes(b"x")
    log = Log(str(tmp_path), 1_000_000)
    assert (log.end, log.segments) == (0, [])
    log.append(0, b"x", 1.0, SIZE)


def test_a_log_that_was_removed_while_it_is_written_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = Log(str(folder), 1_000_000)
    log.append(0, b"gone", 1.0, SIZE)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    with pytest.raises(OSError, match="removed"):
        log.append(4, b"lost", 2.0, SIZE)
    log.append(8, b"back", 3.0, SIZE)
    assert whole(log) == {8: b"back"}


def test_a_segment_that_somebody_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    log = Log(str(tmp_path), 1_000_000)
    log.append(0, b"0123456789", 1.0, SIZE)
    log.append(20, b"more", 2.0, SIZE)
    os.truncate(tmp_path / name(0, "log"), 4)
    assert whole(log) == {0: b"0123", 20: b"more"}
    assert log.read(24, 10) is None


@pytest.mark.parametrize("left", [0, 4])
def test_a_segment_that_is_cut_while_it_is_written_shifts_no_offset(
    tmp_path: Path, left: int
) -> None:
    log = Log(str(tmp_path), 1_000_000)
    log.append(0, b"0123456789", 1.0, SIZE)
    os.truncate(tmp_path / name(0, "log"), left)
    log.append(10, b"more", 1.001, SIZE)
    log.append(14, b" and more", 1.002, SIZE)
    kept = {10: b"more and more"} | ({0: b"0123"} if left else {})
    assert whole(log) == whole(Log(str(tmp_path), 1_000_000)) == kept
    assert log.segments[0].start == min(kept)
    assert records(tmp_path / name(10, "times")) == [(10, 1.001, *SIZE)]


def test_what_somebody_adds_to_a_segment_shifts_no_offset(tmp_path: Path) -> None:
    log = Log(str(tmp_path), 1_000_000)
    log.append(0, b"0123456789", 1.0, SIZE)
    with (tmp_path / name(0, "log")).open("ab") as file:
        file.write(b"foreign")
    log.append(10, b"more", 2.0, SIZE)
    assert whole(log) == whole(Log(str(tmp_path), 1_000_000)) == {0: b"0123456789more"}
    log.append(20, b"behind a gap", 3.0, SIZE)
    with (tmp_path / name(0, "log")).open("ab") as file:
        file.write(b"foreign")
    assert whole(Log(str(tmp_path), 1_000_000)) == {
        0: b"0123456789moreforeig", 20: b"behind a gap",
    }  # fmt: skip


@pytest.mark.parametrize("left", [0, 4])
def test_no_offset_is_given_out_twice_when_a_log_was_cut_short(tmp_path: Path, left: int) -> None:
    log = Log(str(tmp_path), 1_000_000)
    log.append(0, b"0123456789", 1.0, SIZE)
    log.append(10, b"ab", 2.0, SIZE)
    log.close()
    os.truncate(tmp_path / name(0, "log"), left)
    assert Log(str(tmp_path), 1_000_000).end == 10  # as its times tell
    log = Log(str(tmp_path), 1_000_000, 12)
    assert log.end == 12
    log.append(12, b"anew", 3.0, SIZE)
    assert whole(log) == {12: b"anew"} | ({0: b"0123"} if left else {})
    (tmp_path / name(12, "log")).unlink()
    assert Log(str(tmp_path), 1_000_000, 7).end == 12


@pytest.mark.parametrize("garbage", [b"", b"x" * 19, b"\xff" * 20, bytes(20)])
def test_times_that_are_none_tell_no_end(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / name(7, "log")).write_bytes(b"x")
    (tmp_path / name(7, "times")).write_bytes(garbage)
    assert Log(str(tmp_path), 1_000_000, 1 << 64).end == 8


def test_what_is_no_segment_is_left_alone(tmp_path: Path) -> None:
    for stranger in ("exit.json", "1.log", "x" * 20 + ".log", name(7, "log")):
        (tmp_path / stranger).touch()
    log = Log(str(tmp_path), 1_000_000)
    assert (log.end, log.segments) == (0, [])
