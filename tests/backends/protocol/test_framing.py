"""Framing: however a stream of bytes is cut, the same messages come out of it."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.protocol.framing import MAX_MESSAGE, LineFramer, Oversized, frame

LIMIT = 8

streams = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"x" * LIMIT])).map(
    b"".join
)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    for start, end in pairwise(edges):
        yield data[start:end]


def expected(data: bytes) -> list[bytes | Oversized]:
    """What the words of the class say, for a stream that ends with a newline."""
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")[:-1]]
    return [line if len(line) <= LIMIT else Oversized(LIMIT) for line in lines if line]


@given(streams, st.lists(st.integers(0, 1000)))
@example(b"x" * LIMIT + b"\r\r", [LIMIT + 2])
@example(b"x" * (LIMIT + 1) + b"\r", [LIMIT + 1])
def test_messages_do_not_depend_on_where_the_stream_is_cut(data: bytes, places: list[int]) -> None:
    data += b"\n"
    framer = LineFramer(LIMIT)
    assert [found for part in cut(data, places) for found in framer.feed(part)] == expected(data)


@given(st.binary(max_size=100), st.lists(st.integers(0, 1000)))
def test_any_bytes_leave_the_stream_usable(data: bytes, places: list[int]) -> None:
    framer = LineFramer(LIMIT)
    for part in cut(data, places):
        framer.feed(part)
    framer.feed(b"\n")
    assert framer.feed(b"hello\n") == [b"hello"]


@given(st.lists(st.binary(min_size=1, max_size=LIMIT).filter(lambda b: not {10, 13} & {*b})))
def test_what_is_framed_comes_out_again(messages: list[bytes]) -> None:
    assert LineFramer(LIMIT).feed(b"".join(frame(message) for message in messages)) == messages


def test_a_message_of_exactly_the_limit_passes_with_either_line_end() -> None:
    assert LineFramer(LIMIT).feed(b"12345678\n12345678\r\n123456789\n") == [
        b"12345678",
        b"12345678",
        Oversized(LIMIT),
    ]


def test_an_oversized_message_is_reported_once_before_its_end_is_seen() -> None:
    framer = LineFramer(LIMIT)
    assert framer.feed(b"x" * LIMIT) == []
    assert framer.feed(b"xx") == [Oversized(LIMIT)]
    assert framer.feed(b"x" * 100) == []
    assert framer.feed(b"x\nhello\n") == [b"hello"]


def test_no_more_than_one_message_is_kept() -> None:
    piece = b"x" * 65536
    framer = LineFramer(len(piece))
    tracemalloc.start()
    try:
        for _ in range(256):
            framer.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(piece)


@pytest.mark.parametrize("limit", [MAX_MESSAGE, 10_000_000])
def test_a_long_line_in_small_pieces_takes_time_in_proportion_to_its_length(limit: int) -> None:
    """Looking at all that waits with each piece would take more than 10 s."""
    framer, piece, count = LineFramer(limit), b"0123456789abcdef" * 4, 190_000
    began = time.process_time()
    found = [message for _ in range(count) for message in framer.feed(piece)]
    found += framer.feed(b"\n")
    assert time.process_time() - began < 2.5
    is_over = count * len(piece) > limit
    assert found == [Oversized(limit) if is_over else piece * count]
