"""What restores a person's terminal, and where something of ours may stand."""

from __future__ import annotations

import re

import pytest

from terma.attach.modes import ORIGIN_OFF, UNSURE, at_bottom, is_between, make_room, reset
from terma.screen.ghostty import GhosttyEngine

SET = [1, 5, 6, 9, 45, 66, 69, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031]


@pytest.fixture
def engine() -> GhosttyEngine:
    return GhosttyEngine(40, 10, 100)


def test_every_mode_is_undone(engine: GhosttyEngine) -> None:
    engine.feed(b"first\r\nsecond")
    for mode in SET:
        engine.feed(b"\x1b[?%dh" % mode)
    engine.feed(
        b"\x1b[?25l\x1b[?7l\x1b[4h\x1b[20h\x1b=\x1b[>31u\x1b[>4;2m\x1b[2;5r\x1b(0\x1b[7;31m"
    )
    engine.feed(reset(None) + ORIGIN_OFF)
    assert [mode for mode in SET if engine._mode(mode)] == []
    assert engine._mode(25)
    assert engine._mode(7)
    assert not engine._mode(4, is_ansi=True)
    assert not engine._mode(20, is_ansi=True)
    engine.feed(b"\x1b[10;1Hqx\n\n")
    run = engine.show().lines[7].runs[0]
    assert (run.text, run.foreground, run.attributes) == ("qx", None, ())
    assert b"u" not in b"".join(re.findall(rb"\x1b\[[=>][^a-z]*u", engine._control()))


@pytest.mark.parametrize("how", [None, UNSURE])
def test_the_cursor_stays_on_the_main_screen(how: int | None, engine: GhosttyEngine) -> None:
    engine.feed(b"\x1b7\x1b[4;10H")
    engine.feed(reset(how))
    screen = engine.show()
    assert (screen.cursor_row, screen.cursor_column) == (3, 9)


@pytest.mark.parametrize("mode", [1049, 1047, 47])
def test_the_alternate_screen_is_left(mode: int, engine: GhosttyEngine) -> None:
    engine.feed(b"main\r\n\x1b[?%dh\x1b[Hfull" % mode)
    engine.feed(reset(mode))
    screen = engine.show()
    assert not screen.is_alternate
    assert screen.lines[0].runs[0].text == "main"


@pytest.mark.parametrize("cut", [b"\x1b]0;title", b"\x1b[38;5", b"\x1bPq#0", b"\x1b", b"\xe2\x82"])
def test_a_sequence_that_was_cut_swallows_nothing(cut: bytes, engine: GhosttyEngine) -> None:
    engine.feed(b"\x1b[?1003h" + cut)
    engine.feed(reset(None) + b"text")
    assert not engine._mode(1003)
    assert "text" in "".join(run.text for run in engine.show().lines[0].runs)


def test_what_was_shown_is_scrolled_away_and_kept(engine: GhosttyEngine) -> None:
    engine.feed(b"mine 1\r\nmine 2\r\n" + make_room(10) + b"\x1b[H\x1b[2J")
    screen = engine.show(scrollback=100)
    above = ["".join(run.text for run in row.runs) for row in screen.scrollback]
    assert above[:2] == ["mine 1", "mine 2"]


def test_a_line_at_the_bottom_leaves_cursor_and_look(engine: GhosttyEngine) -> None:
    engine.feed(b"\x1b[3;5H\x1b[31m" + at_bottom("words", 40, 10) + b"x")
    screen = engine.show()
    assert screen.lines[9].runs[0].text.rstrip() == "words"
    assert "inverse" in screen.lines[9].runs[0].attributes
    assert screen.lines[2].runs[-1].text == "x"
    assert screen.lines[2].runs[-1].foreground == "1"


@pytest.mark.parametrize("length", [39, 40, 41, 200])
def test_a_long_line_at_the_bottom_scrolls_nothing(length: int, engine: GhosttyEngine) -> None:
    engine.feed(b"top\x1b[1;4H" + at_bottom("w" * length, 40, 10))
    screen = engine.show()
    assert screen.lines[0].runs[0].text == "top"
    assert screen.lines[9].runs[0].text.startswith("w" * min(length, 39))


@pytest.mark.parametrize(
    "shown",
    [
        b"", b"text", b"\x1b[31m", b"\x1b]0;t\x07", b"\x1b]0;t\x1b\\", b"\xe2\x82\xac", b"\x1b(B",
        b"\x1bM", b"\x1b]0;t\x07\x1b[0m\xc3\xa9",
    ],
)  # fmt: skip
def test_between_sequences_something_may_stand(shown: bytes) -> None:
    assert is_between(shown)


@pytest.mark.parametrize(
    "shown",
    [
        b"\x1b", b"\x1b[", b"\x1b[31;", b"\x1b[?25", b"\x1b]0;title", b"\x1bPq", b"\x1b_Gf=",
        b"\x1b(", b"\xe2", b"\xe2\x82", b"\xf0\x9f\x98", b"a\x1b]0;t\x07\x1b]2;u", b"\x1b]0;t\x1b",
    ],
)  # fmt: skip
def test_within_one_nothing_may(shown: bytes) -> None:
    assert not is_between(shown)
