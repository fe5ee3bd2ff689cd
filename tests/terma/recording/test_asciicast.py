"""Recordings as asciicasts, which the real asciinema plays back byte for byte."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from terma.recording.asciicast import Cast
from tests.programs import needed
from tests.scenarios.terminal import Terminal

Taken = tuple[int, float, tuple[int, int], bytes]

SMALL = (80, 24)
LARGE = (120, 40)
ENVIRONMENT = {"TERM": "xterm-256color", "SHELL": "/bin/zsh"}


def made(*taken: Taken) -> tuple[Cast, str]:
    cast = Cast("alice", ENVIRONMENT)
    lines = [line for one in taken for line in cast.take(*one)]
    return cast, "".join([*lines, *cast.finish()])


def parsed(text: str) -> tuple[dict[str, Any], list[list[Any]]]:
    header, *events = [json.loads(line) for line in text.splitlines()]
    return header, events


def test_the_header_tells_what_was_recorded() -> None:
    _, text = made((0, 1_795_000_000.25, SMALL, b"hi"))
    header, events = parsed(text)
    assert header == {
        "version": 2, "width": 80, "height": 24, "timestamp": 1_795_000_000, "title": "alice",
        "env": ENVIRONMENT,
    }  # fmt: skip
    assert events == [[0.0, "o", "hi"]]


def test_events_have_their_times_and_sizes_theirs() -> None:
    _, text = made((0, 5.0, SMALL, b"a"), (1, 6.5, LARGE, b"b"), (2, 7.0, LARGE, b"c"))
    assert parsed(text)[1] == [
        [0.0, "o", "a"], [1.5, "r", "120x40"], [1.5, "o", "b"], [2.0, "o", "c"],
    ]  # fmt: skip


def test_a_clock_that_was_set_back_does_not_turn_time_around() -> None:
    _, text = made((0, 5.0, SMALL, b"a"), (1, 9.0, SMALL, b"b"), (2, 2.0, SMALL, b"c"))
    assert [event[0] for event in parsed(text)[1]] == [0.0, 4.0, 4.0]


def test_a_character_in_two_pieces_is_one() -> None:
    cast, text = made((0, 5.0, SMALL, b"x\xc3"), (2, 6.0, SMALL, b"\xbcy"))
    assert parsed(text)[1] == [[0.0, "o", "x"], [1.0, "o", "üy"]]
    assert cast.invalid == 0


def test_bytes_that_are_no_text_are_counted() -> None:
    cast, text = made((0, 5.0, SMALL, b"a\xff\xfeb\xc3"))
    assert [event[2] for event in parsed(text)[1]] == ["a\ufffd\ufffdb", "\ufffd"]
    assert cast.invalid == 3


def test_a_character_does_not_reach_over_a_gap() -> None:
    cast, text = made((0, 5.0, SMALL, b"a\xc3"), (9, 6.0, SMALL, b"\xbc"))
    assert "".join(event[2] for event in parsed(text)[1]) == "a\ufffd\ufffd"
    assert (cast.invalid, cast.missing) == (2, 7)


def test_the_file_itself_drives_no_terminal() -> None:
    _, text = made((0, 5.0, SMALL, "\x1b]0;x\x07 \u202e \x9b".encode()))
    assert text.isascii()
    assert text.replace("\n", "").isprintable()


def test_a_recording_of_nothing_is_a_header() -> None:
    _, text = made()
    header, events = parsed(text)
    assert (header["width"], header["height"], events) == (80, 24, [])


@given(st.text(), st.lists(st.integers(0, 200)))
def test_text_comes_back_however_it_was_cut(text: str, cuts: Sequence[int]) -> None:
    data = text.encode("utf-8", "replace")
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    taken = [(begin, float(begin), SMALL, data[begin:end]) for begin, end in pairwise(places)]
    cast, written = made(*taken)
    assert "".join(event[2] for event in parsed(written)[1]).encode() == data
    assert cast.invalid == 0


def test_asciinema_plays_it_byte_for_byte(tmp_path: Path) -> None:
    program = needed("asciinema")
    output = "\x1b[31mgrüße\x1b[0m 😀\r\n\x00\x07\t\x1b]0;t\x07%s \\n \u2028\x85".encode()
    output += bytes(range(128)) * 300
    cut = output.index(b"\xf0") + 2  # within a character
    _, text = made(
        (0, 5.0, SMALL, output[:cut]),
        (cut, 6.0, LARGE, output[cut:9000]),
        (9000, 7.0, SMALL, output[9000:]),
    )
    file = tmp_path / "alice.cast"
    file.write_text(text, encoding="utf-8")
    played = tmp_path / "played"
    command = f"exec {program} cat {file.name} >{played.name}"  # some versions need a terminal
    terminal = Terminal(["/bin/sh", "-c", command], os.environ | {"LC_ALL": "C.UTF-8"}, tmp_path)
    try:
        assert terminal.wait() == 0, terminal.shown
    finally:
        terminal.close()
    assert played.read_bytes() == output
