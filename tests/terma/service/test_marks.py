"""The marks of prompts, titles and notices, found in output that is cut anywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terma.service.marks import Mark, MarkKind, MarkScanner

OUTPUT = (
    b"\x1b]0;a title\x07plain\x1b]133;A\x07$ \x1b]133;B\x07make\r\n\x1b]133;C\x07"
    b"\x1b]8;;https://example.org\x1b\\a link\x1b]8;;\x1b\\\x07"
    b"\x1b]133;D;2\x1b\\\x1b]2;t\xc3\xb6\x1b\\\x1b]9;4;1;50\x07\x1b]9;tests are done\x07"
    b"\x1b]777;notify;title;body\x07"
)
MARKS = [
    Mark(MarkKind.TITLE, "a title"),
    Mark(MarkKind.PROMPT),
    Mark(MarkKind.PROMPT),
    Mark(MarkKind.COMMAND),
    Mark(MarkKind.BELL),
    Mark(MarkKind.DONE, "2"),
    Mark(MarkKind.TITLE, "tö"),
    Mark(MarkKind.NOTICE, "tests are done"),
    Mark(MarkKind.NOTICE, "title: body"),
]


def test_marks_are_found_in_their_order() -> None:
    assert MarkScanner().scan(OUTPUT) == MARKS


@given(st.lists(st.integers(0, len(OUTPUT)), max_size=12))
def test_output_may_be_cut_anywhere(cuts: list[int]) -> None:
    scanner = MarkScanner()
    places = [0, *sorted(cuts), len(OUTPUT)]
    found = [
        mark
        for begin, end in itertools.pairwise(places)
        for mark in scanner.scan(OUTPUT[begin:end])
    ]
    assert found == MARKS


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_taken(parts: list[bytes]) -> None:
    scanner = MarkScanner()
    for part in parts:
        assert all(mark.kind in MarkKind for mark in scanner.scan(part))


def test_a_sequence_without_an_end_is_forgotten() -> None:
    scanner = MarkScanner()
    assert scanner.scan(b"\x1b]0;" + b"x" * 10_000) == []
    assert scanner.scan(b"\x1b]133;A\x07") == [Mark(MarkKind.PROMPT)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"a\nb", "a b"),
        ("\u202eevil".encode(), "evil"),
        (b"x" * 500, "x" * 200),
    ],
)
def test_what_a_mark_says_is_harmless(text: bytes, shown: str) -> None:
    (mark,) = MarkScanner().scan(b"\x1b]9;" + text + b"\x07")
    assert all(character.isprintable() for character in mark.text)
    assert mark.text.replace("\ufffd", "").strip() == shown
