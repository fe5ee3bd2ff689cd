"""What output has left on a person's terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terma.attach.traces import Traces

PARTS = [
    b"\x1b", b"[?", b"1049", b"h", b"l", b";", b"1003", b"[>1u", b"[<u", b"]4;1;x\x07", b"]11;",
    b"#fff\x07", b"]111\x07", b"text", b"c", b"[22;2t", b"[23", b"t",
]  # fmt: skip


def state(output: bytes) -> tuple[int | None, bool, bytes, bytes]:
    traces = Traces()
    traces.feed(output)
    return traces.alternate, traces.has_reports, traces.colors_off, traces.titles_off


@pytest.mark.parametrize(
    ("output", "alternate", "has_reports"),
    [
        (b"text", None, False),
        (b"\x1b[?1049h", 1049, False),
        (b"\x1b[?47hx\x1b[?25l", 47, False),
        (b"\x1b[?1049hfull\x1b[?1049l", None, False),
        (b"\x1b[?1;1047;1003h", 1047, True),
        (b"\x1b[?1049h\x1b[?1000h\x1bc", None, False),
        (b"\x1b[?1000;1004h\x1b[?1000l", None, True),
        (b"\x1b[>1u", None, True),
        (b"\x1b[>1u\x1b[<u", None, False),
        (b"\x1b[=3;1u\x1b[=0;1u", None, False),
        (b"\x1b[?u\x1b[>0u", None, False),
        (b"\x1b[?2004h\x1b[?25l", None, False),
    ],
)
def test_screens_and_reports_are_followed(
    output: bytes, alternate: int | None, has_reports: bool
) -> None:
    assert state(output)[:2] == (alternate, has_reports)


@pytest.mark.parametrize(
    ("output", "off"),
    [
        (b"\x1b]4;17;#ff0000\x1b\\", b"\x1b]104\x1b\\"),
        (b"\x1b]10;red\x07\x1b]12;rgb:0/0/0\x07", b"\x1b]110\x1b\\\x1b]112\x1b\\"),
        (b"\x1b]4;17;?\x07\x1b]11;?\x07", b""),
        (b"\x1b]11;red\x07\x1b]111\x07", b""),
        (b"\x1b]4;1;red\x07\x1b]104;1\x07", b"\x1b]104\x1b\\"),
        (b"\x1b]0;4;17;red\x07\x1b]2;title\x07", b""),
    ],
)
def test_colours_that_were_changed_are_known(output: bytes, off: bytes) -> None:
    assert state(output)[2] == off


@given(st.lists(st.sampled_from(PARTS), max_size=20), st.integers(1, 100))
def test_where_output_is_cut_makes_no_difference(parts: list[bytes], at: int) -> None:
    output = b"".join(parts)
    cut = Traces()
    cut.feed(output[:at])
    cut.feed(output[at:])
    assert (cut.alternate, cut.has_reports, cut.colors_off, cut.titles_off) == state(output)


def test_titles_that_were_put_away_are_fetched_back_in_turn() -> None:
    traces = Traces()
    traces.feed(b"\x1b[22;2t\x1b[22;1t\x1b[22t\x1b[23;0;0t\x1b[22;")
    traces.feed(b"0t")
    assert traces.titles_off == b"\x1b[23;0t\x1b[23;1t\x1b[23;2t"
    traces.feed(b"\x1b[23;0t\x1b[23;1t\x1b[23;2t\x1b[23;1t")
    assert traces.titles_off == b""
    assert not traces.has_taken_title
    traces.feed(b"\x1b[23;2t")
    assert traces.has_taken_title
