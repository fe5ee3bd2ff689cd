"""Reading a terminal's log: what is written, what is about to go, what is torn."""

from __future__ import annotations

import asyncio
import os
import struct
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terma.ptyhost.log import Log as Writer
from terma.service.log import Log
from terma.service.piece import Piece

RECORD = struct.Struct(">QdHH")
SMALL = (80, 24)
LARGE = (120, 40)


def segment(
    folder: Path, start: int, data: bytes, marks: Iterable[tuple[int, float, int, int]] | None
) -> None:
    """Write a segment by hand; `None` leaves out the file of times."""
    (folder / f"{start:020}.log").write_bytes(data)
    if marks is not None:
        times = b"".join(RECORD.pack(*mark) for mark in marks)
        (folder / f"{start:020}.times").write_bytes(times)


def whole(pieces: Iterable[Piece]) -> bytes:
    return b"".join(piece.data for piece in pieces)


def seen(log: Log, **options: float) -> list[tuple[int, float, tuple[int, int], bytes]]:
    pieces = log.pieces(**options)  # type: ignore[arg-type]
    return [(one.offset, one.at, (one.columns, one.rows), one.data) for one in pieces]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Three things put out, at 1000, 1001 and, on a larger terminal, at 1002 seconds."""
    writer = Writer(str(tmp_path / "log"), 1 << 20)
    writer.append(0, b"one", 1000.0, SMALL)
    writer.append(3, b"two", 1001.0, SMALL)
    writer.append(6, b"three", 1002.0, LARGE)
    writer.close()
    return Log(tmp_path / "log")


def test_each_time_has_a_piece_with_its_size(log: Log) -> None:
    assert seen(log) == [
        (0, 1000.0, SMALL, b"one"), (3, 1001.0, SMALL, b"two"), (6, 1002.0, LARGE, b"three"),
    ]  # fmt: skip
    assert (log.oldest, log.end) == (0, 11)


def test_pieces_are_joined_where_the_size_stays(log: Log) -> None:
    assert seen(log, joins=True) == [(0, 1000.0, SMALL, b"onetwo"), (6, 1002.0, LARGE, b"three")]


def test_it_begins_within_a_piece_with_what_is_in_force_there(log: Log) -> None:
    assert seen(log, offset=4)[0] == (4, 1001.0, SMALL, b"wo")
    assert seen(log, offset=7) == [(7, 1002.0, LARGE, b"hree")]
    assert seen(log, offset=11) == []
    assert seen(log, offset=99) == []


def test_only_what_was_put_out_in_a_span_of_time(log: Log) -> None:
    assert whole(log.pieces(since=1001.0)) == b"twothree"
    assert whole(log.pieces(since=1000.5, until=1001.5)) == b"two"
    assert whole(log.pieces(until=1001.0)) == b"onetwo"
    assert whole(log.pieces(until=1001.0, joins=True)) == b"onetwo"
    assert whole(log.pieces(since=1003.0)) == b""
    assert whole(log.pieces(until=999.0)) == b""
    assert whole(log.pieces(offset=4, since=1000.0)) == b"wothree"


def test_the_offset_at_a_time(log: Log) -> None:
    assert [log.offset_at(at) for at in (0.0, 1000.0, 1000.1, 1002.0, 1003.0)] == [0, 0, 3, 6, 11]


def test_no_piece_is_longer_than_the_limit(log: Log) -> None:
    assert [one.data for one in log.pieces(limit=2)] == [
        b"on",
        b"e",
        b"tw",
        b"o",
        b"th",
        b"re",
        b"e",
    ]
    assert [one.data for one in log.pieces(limit=3, joins=True)][:2] == [b"one", b"two"]


def test_joined_pieces_begin_where_a_time_does(tmp_path: Path) -> None:
    segment(tmp_path, 0, b"abcdefgh", [(0, 1.0, *SMALL), (3, 2.0, *SMALL), (6, 3.0, *SMALL)])
    log = Log(tmp_path)
    assert [(one.at, one.data) for one in log.pieces(limit=7, joins=True)] == [
        (1.0, b"abcdef"), (3.0, b"gh"),
    ]  # fmt: skip


def test_a_folder_that_is_not_there_is_an_empty_log(tmp_path: Path) -> None:
    log = Log(tmp_path / "none")
    assert (log.oldest, log.end, log.offset_at(0.0), seen(log)) == (0, 0, 0, [])


def test_what_was_rotated_away_is_jumped_over(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path), 200_000)
    written = b""
    for number in range(100):
        data = bytes([number]) * 5000
        writer.append(len(written), data, 1000.0 + number, SMALL)
        written += data
    log = Log(tmp_path)
    assert 0 < log.oldest < log.end == len(written)
    pieces = list(log.pieces())
    assert pieces[0].offset == log.oldest
    assert whole(pieces) == written[log.oldest :]
    assert whole(log.pieces(offset=log.oldest + 7)) == written[log.oldest + 7 :]
    assert whole(log.pieces(since=1090.0)) == written[450_000:]
    writer.close()


def test_a_gap_shows_in_the_offsets(tmp_path: Path) -> None:
    segment(tmp_path, 0, b"abc", [(0, 1.0, *SMALL)])
    segment(tmp_path, 10, b"xyz", [(10, 2.0, *SMALL)])
    log = Log(tmp_path)
    assert [(one.offset, one.data) for one in log.pieces()] == [(0, b"abc"), (10, b"xyz")]
    assert [(one.offset, one.data) for one in log.pieces(offset=5)] == [(10, b"xyz")]
    assert log.end == 13


def test_half_a_record_at_the_end_is_none(tmp_path: Path) -> None:
    segment(tmp_path, 0, b"abcdef", [(0, 1.0, *SMALL), (3, 2.0, *SMALL)])
    times = tmp_path / f"{0:020}.times"
    times.write_bytes(times.read_bytes()[:-7])
    assert seen(Log(tmp_path)) == [(0, 1.0, SMALL, b"abcdef")]


def test_without_times_the_bytes_are_as_old_as_the_file(tmp_path: Path) -> None:
    segment(tmp_path, 0, b"abc", [(0, 1.0, *LARGE)])
    segment(tmp_path, 3, b"def", None)
    segment(tmp_path, 6, b"ghi", [])
    for start in (3, 6):
        os.utime(tmp_path / f"{start:020}.log", (50.0, 50.0))
    assert seen(Log(tmp_path)) == [
        (0, 1.0, LARGE, b"abc"), (3, 50.0, LARGE, b"def"), (6, 50.0, LARGE, b"ghi"),
    ]  # fmt: skip
    assert Log(tmp_path).offset_at(40.0) == 3


def test_an_empty_segment_is_no_piece(tmp_path: Path) -> None:
    segment(tmp_path, 5, b"", [(5, 1.0, *SMALL)])
    log = Log(tmp_path)
    assert (log.oldest, log.end, seen(log)) == (5, 5, [])


def test_a_record_that_is_ahead_of_its_bytes_waits_for_them(tmp_path: Path) -> None:
    segment(tmp_path, 0, b"abc", [(0, 1.0, *SMALL), (3, 2.0, *LARGE)])
    assert seen(Log(tmp_path)) == [(0, 1.0, SMALL, b"abc")]
    assert Log(tmp_path).offset_at(2.0) == 3


def test_of_two_records_at_an_offset_the_later_counts(tmp_path: Path) -> None:
    segment(tmp_path, 0, b"abc", [(0, 1.0, *SMALL), (1, 2.0, *LARGE), (1, 9.0, *LARGE)])
    assert seen(Log(tmp_path), joins=True) == [(0, 1.0, SMALL, b"a"), (1, 9.0, LARGE, b"bc")]


def test_a_time_that_is_none_does_no_harm(tmp_path: Path) -> None:
    segment(tmp_path, 0, b"abc", [(0, float("nan"), *SMALL), (2, float("inf"), *SMALL)])
    os.utime(tmp_path / f"{0:020}.log", (50.0, 50.0))
    assert [one.at for one in Log(tmp_path).pieces()] == [50.0, 50.0]


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    segment(tmp_path, 0, b"abc", [(0, 1.0, *SMALL)])
    for name in ("7.log", "x.log", f"{5:020}.log.new", f"{'٣' * 20}.log"):
        (tmp_path / name).write_bytes(b"no")
    assert whole(Log(tmp_path).pieces()) == b"abc"


@pytest.mark.parametrize("is_fifo", [True, False])
def test_what_is_no_plain_file_is_passed_over(tmp_path: Path, is_fifo: bool) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "log"
    folder.mkdir()
    segment(folder, 10, b"abc", [(10, 1.0, *LARGE)])
    segment(folder, 30, b"def", None)
    os.utime(folder / f"{30:020}.log", (50.0, 50.0))
    for name in (f"{0:020}.log", f"{20:020}.log", f"{30:020}.times", f"{40:020}.log"):
        if is_fifo:
            os.mkfifo(folder / name)
        else:
            (folder / name).symlink_to(tmp_path / "secret")
    (folder / f"{50:020}.log").mkdir()
    (folder / f"{'9' * 20}.log").write_bytes(b"far away")
    log = Log(folder)
    assert (log.oldest, log.end, log.offset_at(40.0)) == (10, 33, 30)
    assert seen(log) == [(10, 1.0, LARGE, b"abc"), (30, 50.0, LARGE, b"def")]


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    segment(tmp_path / "elsewhere", 0, b"secret", None)
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    assert seen(Log(tmp_path / "log")) == []


@pytest.mark.parametrize("done", [0, 1, 2])
def test_what_is_deleted_just_now_is_whole_or_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    """The reader has opened one of a segment's files when the writer begins to delete them."""
    writer = Writer(str(tmp_path / "log"), 1 << 20)
    writer.append(0, b"abc", 1.0, LARGE)
    writer.close()
    deleted: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda path, **_: deleted.append(os.path.basename(path)))
        writer._remove(writer.segments[0])
    assert len(deleted) == 2
    pieces = Log(tmp_path / "log").pieces()
    opened, open_it = [], os.open

    def open_and_delete(path: str | Path, *rest: int, **more: Any) -> int:
        fd = open_it(path, *rest, **more)
        opened.append(os.fspath(path))
        if len([name for name in opened if name.endswith((".log", ".times"))]) == 1:
            for name in deleted[:done]:
                (tmp_path / "log" / name).unlink(missing_ok=True)
        return fd

    monkeypatch.setattr(os, "open", open_and_delete)
    found = [(one.at, (one.columns, one.rows), one.data) for one in pieces]
    assert found in ([(1.0, LARGE, b"abc")], [])


def test_a_segment_that_is_open_is_read_to_its_end_though_it_is_deleted(tmp_path: Path) -> None:
    for start in (0, 3, 6):
        segment(tmp_path, start, b"abc", [(start, 1.0, *SMALL)])
    pieces = Log(tmp_path).pieces(limit=1)
    assert next(pieces).data == b"a"
    for start in (0, 3):
        for kind in ("times", "log"):
            (tmp_path / f"{start:020}.{kind}").unlink()
    assert [(one.offset, one.data) for one in pieces] == [
        (1, b"b"), (2, b"c"), (6, b"a"), (7, b"b"), (8, b"c"),
    ]  # fmt: skip


def test_it_ends_where_the_log_did_when_it_began(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path), 1 << 20)
    writer.append(0, b"abc", 1.0, SMALL)
    pieces = Log(tmp_path).pieces(limit=1)
    assert next(pieces).data == b"a"
    writer.append(3, b"def", 2.0, SMALL)
    assert whole(pieces) == b"bc"
    assert whole(Log(tmp_path).pieces(offset=3)) == b"def"
    writer.close()


def test_a_reader_beside_a_busy_writer_sees_only_what_was_written(tmp_path: Path) -> None:
    """Rotation and deletion go on all the time; a byte's value follows from its offset."""
    line = bytes(range(251)) * 40
    done = threading.Event()

    def write() -> None:
        writer = Writer(str(tmp_path), 400_000)
        for number in range(1500):
            writer.append(number * len(line), line, 1000.0 + number, SMALL)
        writer.close()
        done.set()

    log = Log(tmp_path)
    thread = threading.Thread(target=write)
    thread.start()
    read = 0
    while not done.is_set():
        position = log.oldest
        for piece in log.pieces(offset=position, joins=True):
            assert piece.offset >= position
            assert piece.data[0] == piece.offset % 251
            assert piece.data == (line * 30)[piece.offset % 251 :][: len(piece.data)]
            position = piece.end
            read += len(piece.data)
    thread.join()
    assert read
    assert log.end == 1500 * len(line)


def test_the_stream_has_what_the_pieces_have(log: Log) -> None:
    async def main() -> list[Piece]:
        return [piece async for piece in log.stream(offset=1, limit=2)]

    assert asyncio.run(main()) == list(log.pieces(offset=1, limit=2))


def test_a_stream_may_be_left_and_cancelled(tmp_path: Path) -> None:
    for start in range(0, 5_000_000, 1_000_000):
        segment(tmp_path, start, bytes(1_000_000), [(start, 1.0, *SMALL)])

    async def main() -> None:
        async for _ in Log(tmp_path).stream():
            break

        async def read() -> None:
            async for _ in Log(tmp_path).stream(limit=100):
                pass

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    files = len(os.listdir("/dev/fd"))
    asyncio.run(main())
    assert len(os.listdir("/dev/fd")) == files


Output = tuple[bytes, float, tuple[int, int], bool]
outputs = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=9),
        st.floats(0.0, 5.0),
        st.sampled_from([SMALL, LARGE]),
        st.booleans(),
    ),
    max_size=30,
)


def write_by_hand(folder: Path, outputs: Sequence[Output]) -> tuple[bytes, list[float]]:
    """Write a log with a record for each output, and a new segment where it says so.

    Returns the bytes and the time of each.
    """
    written, times, at, start = b"", [], 0.0, 0
    for number, (data, pause, size, begins) in enumerate(outputs):
        at += pause
        start = len(written) if begins or not number else start
        with (folder / f"{start:020}.times").open("ab") as records:
            records.write(RECORD.pack(len(written), at, *size))
        with (folder / f"{start:020}.log").open("ab") as file:
            file.write(data)
        written += data
        times += [at] * len(data)
    return written, times


@given(outputs, st.integers(0, 300), st.integers(1, 20), st.booleans(), st.floats(0, 150))
def test_every_byte_comes_once_in_order_with_its_size(
    outputs: list[Output], offset: int, limit: int, joins: bool, time: float
) -> None:
    sizes = [size for data, _, size, _ in outputs for _ in data]
    with tempfile.TemporaryDirectory() as name:
        written, times = write_by_hand(Path(name), outputs)
        log = Log(Path(name))
        pieces = list(log.pieces(offset=offset, limit=limit, joins=joins))
        assert whole(pieces) == written[offset:]
        for piece in pieces:
            assert 0 < len(piece.data) <= limit
            assert piece.at == times[piece.offset]
            assert set(sizes[piece.offset : piece.end]) == {(piece.columns, piece.rows)}
            assert joins or len(set(times[piece.offset : piece.end])) == 1
        late = next((n for n, at in enumerate(times) if at >= time), len(written))
        assert log.offset_at(time) == late
        assert whole(log.pieces(since=time, joins=joins)) == written[late:]
        before = bytes(byte for byte, at in zip(written, times, strict=True) if at <= time)
        assert whole(log.pieces(until=time, joins=joins)) == before
