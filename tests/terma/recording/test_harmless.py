"""What of a recording reaches the terminal of a person who watches it."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terma.recording.harmless import ENTER, LEAVE, MAX_STRING, Harmless


def shown(*pieces: bytes) -> bytes:
    harmless = Harmless()
    return b"".join(harmless.feed(piece) for piece in pieces)


@pytest.mark.parametrize(
    "output",
    [
        b"plain text\r\n\ttab\b\x07",
        "grüße 😀 \u200d".encode(),
        b"\x1b[1;31mred\x1b[m \x1b[38;2;1;2;3m \x1b[4:3m \x1b[48:5:9m",
        b"\x1b[2J\x1b[H\x1b[10;20H\x1b[3A\x1b[K\x1b[0J\x1b[5L\x1b[2M\x1b[4P\x1b[@\x1b[3X\x1b[7b",
        b"\x1b[2;10r\x1b[5S\x1b[2T\x1b[?6h\x1b[?7l\x1b[?25l\x1b[?5h\x1b[?2026h\x1b[4h\x1b[4l",
        b"\x1b7\x1b8\x1bD\x1bE\x1bM\x1b(0lqk\x1b(B\x0e\x0f\x1b)0\x1b#8\x1b[s\x1b[u",
        b"\x1b[4 q\x1b[!p\x1b[?2K\x1b[?J",
    ],
)
def test_what_writes_colours_and_moves_passes(output: bytes) -> None:
    assert shown(output) == output


@pytest.mark.parametrize(
    "output",
    [
        b"\x1b]52;c;ZXZpbA==\x07",  # the clipboard
        b"\x1b]52;c;?\x1b\\",
        b"\x1b]0;title\x07", b"\x1b]2;title\x1b\\", b"\x1b[21t", b"\x1b[18t", b"\x1b[8;50;100t",
        b"\x1b[22;0t", b"\x1b[c", b"\x1b[0c", b"\x1b[>c", b"\x1b[=c", b"\x1bZ", b"\x05",
        b"\x1b[5n", b"\x1b[6n", b"\x1b[?6n", b"\x1b[?25$p", b"\x1b[4$p", b"\x1b[x", b"\x1b[>q",
        b"\x1bP$qm\x1b\\", b"\x1bP+q544e\x1b\\", b"\x1b]10;?\x07", b"\x1b]11;?\x07",
        b"\x1b]4;1;?\x07", b"\x1b]11;#fff\x07", b"\x1b]104\x07",
        b"\x1b]8;;http://x\x07", b"\x1b]9;hi\x07", b"\x1b]777;notify;a\x07", b"\x1b]7;file:///\x07",
        b"\x1b]133;A\x07", b"\x1b]1337;File=:A\x07", b"\x1bPq#0~\x1b\\", b"\x1b_Ga=q;A\x1b\\",
        b"\x1b^pm\x1b\\", b"\x1bXsos\x1b\\", b"\x1bktitle\x1b\\",
        b"\x1b[?1000h", b"\x1b[?1006h", b"\x1b[?1h", b"\x1b=", b"\x1b>", b"\x1b[?2004h",
        b"\x1b[?1004h", b"\x1b[?9001h",
        b"\x1b[>4;2m", b"\x1b[>1u", b"\x1b[=1u", b"\x1b[?u", b"\x1b[2h", b"\x1b[20h",
        b"\x1b[3J", b"\x1b[i", b"\x1b[5i", b"\x1b[?3h", b"\x1b[?1002s", b"\x1b[?1002r", b"\x1b[3q",
        b"\x1b[62\"p", b"\x1b[1;1;2;2;1;1*y", b"\x1b[1;2;3;4;5T", b"\x1b[3g", b"\x1bH", b"\x1b%G",
        b"\x1b F", b"\x1bn", b"\x1b|", b"\x00\x01\x02\x11\x13\x18\x1a\x7f",
        "\x9b6n \x9d52;c;?\x9c \x90$qm\x9c \x9a \x84"[:-2].replace(" ", "").encode(),
    ],
)  # fmt: skip
def test_what_asks_sets_or_sends_does_not(output: bytes) -> None:
    assert shown(b"a" + output + b"b") == b"ab"
    assert shown(b"a", *(bytes([byte]) for byte in output), b"b") == b"ab"


def test_of_several_modes_the_harmless_pass() -> None:
    assert shown(b"\x1b[?1000;25;1006l") == b"\x1b[?25l"


def test_a_full_screen_program_stays_on_the_screen_of_the_replay() -> None:
    played = shown(b"\x1b[?1049hvim\x1b[?1049l\x1b[?47h\x1b[?1047l\x1bc")
    assert not re.search(rb"\x1b\[\?(47|1047|1048|1049)", played)
    assert b"\x1bc" not in played
    assert b"\x1b7" in played
    assert b"\x1b8" in played


def test_8_bit_controls_come_as_7_bit_ones() -> None:
    assert shown("\x9b31mred\x84".encode()) == b"\x1b[31mred\x1bD"


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert shown(b"a\x9b6nb\xff") == "a\ufffd6nb\ufffd".encode()


def test_a_sequence_may_be_cut_anywhere() -> None:
    assert (
        shown(b"\x1b", b"[3", b"1", b"mred\x1b[", b"0m\xc3", b"\xbc")
        == "\x1b[31mred\x1b[0mü".encode()
    )


def test_a_sequence_within_a_string_ends_it() -> None:
    assert shown(b"\x1b]0;x\x1b[6n\x1b[31mred") == b"\x1b[31mred"
    assert shown(b"\x1bP1;2\x18a\x1b]0;\x1ab") == b"ab"


def test_a_string_without_an_end_hides_only_so_much() -> None:
    output = b"\x1b]" + b"x" * MAX_STRING + b"then"
    assert shown(output) == b"then"
    assert shown(output[:100], output[100:-2], output[-2:]) == b"then"


def test_a_long_sequence_is_none() -> None:
    output = b"\x1b[" + b"1" * 300 + b"m"
    assert (
        shown(output) == shown(*(output[n : n + 1] for n in range(len(output)))) == b"1" * 44 + b"m"
    )


def test_what_it_enters_it_leaves() -> None:
    assert ENTER.count(b"\x1b[?1049h") == LEAVE.count(b"\x1b[?1049l") == 1
    assert LEAVE.endswith(b"\x1b[23;0t")


PARTS = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=5).map(lambda text: text.encode("utf-8", "replace")),
    st.sampled_from(
        b"\x1b \x1b[ \x1b] \x1bP \x1b\\ \x07 \x9b \xc2\x9b \xc2\x9d \xc2\x9c \x18 ? > ; 6n 1049h c "
        b"52;c;? $ q ! p 31m 2J 3J \x1bc \x1b[?1000;25h \x1b[?1049l".split(b" ")
    ),
)
STREAMS = st.lists(PARTS, max_size=20).map(b"".join)

_SAFE = re.compile(
    rb"(?: [\x07-\x0f] | [ -~] | [\x80-\xff]"
    rb"| \x1b[78DEM] | \x1b[()*+\-./][0-~] | \x1b\#[34568]"
    rb"| \x1b\[[0-9:;]*[@ABCDEFGHIJKLMPSTXZ`abdefmrsu] | \x1b\[4[hl]"
    rb"| \x1b\[\?(?:5|6|7|12|25|69|2026)[hl] | \x1b\[\?[012]?[JK]"
    rb"| \x1b\[[0-9:;]*\ q | \x1b\[[0-9:;]*!p | \x1b\[[0-9:;]*\"q )*",
    re.VERBOSE,
)


@given(STREAMS)
def test_nothing_else_than_what_is_known_comes_out(output: bytes) -> None:
    played = shown(output)
    assert _SAFE.fullmatch(played), played
    assert not re.search("[\x80-\x9f]", played.decode())
    assert b"\x1b[3J" not in played


@given(STREAMS, st.lists(st.integers(0, 120), max_size=8))
def test_where_it_is_cut_makes_no_difference(output: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(min(cut, len(output)) for cut in cuts), len(output)})
    pieces = [output[begin:end] for begin, end in pairwise(places)]
    assert shown(*pieces) == shown(output)


@given(STREAMS)
def test_what_has_passed_passes_again(output: bytes) -> None:
    played = shown(output)
    assert shown(played) == played
