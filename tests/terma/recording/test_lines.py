"""Output as lines while it comes: as they stood when the terminal went on to the next."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terma.recording.lines import Lines


def lines(*pieces: bytes, columns: int = 80) -> list[str]:
    found = Lines()
    new = [line for piece in pieces for line in found.feed(piece, columns)]
    return [*new, *found.finish()]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"one\r\n\r\nrest", ["one", "", "rest"]),
        (b"10%\r50%\r100%\r\n", ["100%"]),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]52;c;x\x07end\r\n", ["red end"]),
        (b"$ ls -x\b\x1b[K\x08\x1b[Kl\r\n", ["$ ls l"]),
        (b"abc\x1b[2D\x1b[P\x1b[@-\r\n", ["a-c"]),
        (b"abc\r\x1b[C\x1b[2XZ\r\n", ["aZ"]),
        (b"abcdef\x1b[3GX\x1b[1K\r\n", ["    ef"]),
        (b"a\tb\r\n", ["a       b"]),
        ("grüße 漢字x\b\b\b!\r\n".encode(), ["grüße 漢!x"]),
        ("e\u0301t\r\n".encode(), ["e\u0301t"]),
        (b"old\x1b[H\x1b[2Jnew\r\n", ["old", "new"]),
        (b"before\r\n\x1b[?1049h\x1b[2Jvim\r\nvim\x1b[?1049lafter\r\n", ["before", "after"]),
        (b"\xff\r\n", ["\ufffd"]),
        (b"one\ntwo\r\n", ["one", "   two"]),
        (b"", []),
    ],
)
def test_a_line_is_as_it_stood(output: bytes, expected: list[str]) -> None:
    assert lines(output) == expected


def test_a_long_line_is_one_however_it_was_wrapped() -> None:
    assert lines(b"0123456789abc\r\n", columns=5) == ["0123456789abc"]
    # As readline wraps what is typed, goes back to its beginning, and on to its end.
    assert lines(b"$ abc \rdef\x1b[A\rX\x1b[B\r\nnext", columns=5) == ["X abcdef", "next"]


def test_a_wide_character_does_not_lie_across_two_rows() -> None:
    assert lines("abcd漢\r\n".encode(), columns=5) == ["abcd 漢"]


def test_a_line_that_never_ends_is_cut() -> None:
    found = lines(b"x" * 200_000, columns=80)
    assert "".join(found) == "x" * 200_000
    assert len(found) > 1


PARTS = st.one_of(
    st.binary(max_size=6),
    st.text(max_size=4).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(
        b"\r\n;gr\xc3\xbc\r\n;\x1b[1m;\r;\n;\b;\t;abc;\x1b[A;\x1b[B;\x1b[3C;\x1b[D;\x1b[K;\x1b[1K;\x1b[2K;\x1b[P;\x1b[@;\x1b[9X;"
        b"\x1b[H;\x1b[2J;\x1b[?1049h;\x1b[?1049l;\x1b[99999G".split(b";")
    ),
)


@given(
    st.lists(PARTS, max_size=25).map(b"".join),
    st.lists(st.integers(0, 150), max_size=6),
    st.integers(1, 10),
)
def test_any_output_is_lines_of_text_however_it_is_cut(
    output: bytes, cuts: list[int], columns: int
) -> None:
    places = sorted({0, *(min(cut, len(output)) for cut in cuts), len(output)})
    found = lines(*(output[begin:end] for begin, end in pairwise(places)), columns=columns)
    assert found == lines(output, columns=columns)
    assert all(line.isprintable() or not line.isascii() for line in found)
    assert not any(set(line) & {"\n", "\x1b", "\x9b"} for line in found)
