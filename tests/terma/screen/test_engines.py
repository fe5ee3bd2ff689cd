"""Both engines on what real programs write: they agree, and what one paints the other shows."""

from __future__ import annotations

import dataclasses
import gc
import random
import re
from typing import Any

import pytest

from backends.protocol.screens import Screen
from terma.screen.base import MAX_ANSWERS, ScreenEngine
from terma.screen.bittty import BitttyEngine
from terma.screen.ghostty import GhosttyEngine
from tests.terma.screen.recorded import ENGINES, PROGRAMS, mutated, recording

# What nobody would paint over: modes, margins and character sets that some program has left.
_LEFT = (
    b"\x1b[?1049h\x1b[?69h\x1b[5;20s\x1b[3;7r\x1b[?6h\x1b[4hjunk\x1b(0\x1b[?7l\x1b[>1u\x1b[?1003h"
    b"\x1b[?25l\x1b[?2004h\x1b[31;7m\x1b]8;;http://left.example\x1b\\x"
)
_MODES = (1, 5, 6, 7, 25, 45, 66, 69, 1000, 1002, 1003, 1004, 1006, 2004)
# The two of one kind: an engine may keep apart what the other has in one place.
_KINDS = [pytest.param(kind, id=kind.NAME) for kind in ENGINES]


def fed(kind: type[Any], data: bytes, columns: int = 80, rows: int = 24) -> Any:
    engine = kind(columns, rows, 500)
    engine.feed(data)
    return engine


def seen(engine: ScreenEngine, scrollback: int = 0) -> Screen:
    """Return what is shown; how many rows are kept above is up to an engine."""
    return dataclasses.replace(engine.show(scrollback), engine="", scrollback_rows=0)


def modes(engine: Any) -> list[int]:
    return [mode for mode in _MODES if engine._mode(mode)]


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_engines_agree_at_every_point(program: str) -> None:
    data = recording(program)
    one, other = GhosttyEngine(80, 24, 500), BitttyEngine(80, 24, 500)
    for start in range(0, len(data), 499):
        one.feed(data[start : start + 499])
        other.feed(data[start : start + 499])
        assert seen(one) == seen(other)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", _KINDS)
def test_a_repaint_brings_any_terminal_to_that_state(program: str, kind: type[Any]) -> None:
    data = recording(program)
    whole = {other: fed(other, data) for other in ENGINES}
    for cut in (len(data) // 3, len(data) // 2, len(data) - 7, len(data)):
        source = fed(kind, data[:cut])
        for other in ENGINES:
            painted = fed(other, _LEFT)
            painted.feed(source.repaint())
            assert seen(painted) == seen(source)
            if cut == len(data):
                assert modes(painted) == modes(source)
            # What follows is understood as if nothing had happened, within a sequence too.
            painted.feed(data[cut:])
            assert seen(painted) == seen(whole[other])


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("other", _KINDS)
def test_a_repaint_brings_modes_cursor_and_the_screen_behind(
    kind: type[Any], other: type[Any]
) -> None:
    source = fed(
        kind,
        b"behind\r\n\x1b[5;9Hhere\x1b[?1049h\x1b[Hfront\x1b[?1h\x1b=\x1b[?2004h\x1b[?1002h\x1b[?1006h"
        b"\x1b[?1004h\x1b[3;9r\x1b[?6h\x1b[2;4H\x1b[5 q\x1b[1;35;44m\x1b]2;a title\x07\x1b[>5u"
        b"\x1b(0\x1b[?25l",
    )
    painted = fed(other, _LEFT)
    painted.feed(source.repaint())
    assert seen(painted) == seen(source)
    assert modes(painted) == modes(source)
    for engine in (source, painted):
        engine.feed(b"q")  # a line, in the pen's look, within the scroll region
        engine.feed(b"\n" * 8)
    assert seen(painted) == seen(source)
    for engine in (source, painted):
        engine.feed(b"\x1b[?1049l")
    assert seen(painted) == seen(source)
    assert painted.show().lines[0].runs[0].text == "behind"


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("glyph", ["x", "宽", "e\u0301"])
def test_a_cursor_that_waits_to_wrap_still_does(kind: type[Any], glyph: str) -> None:
    width = 2 if glyph == "宽" else 1
    source = fed(kind, b"\x1b[3;%dH" % (81 - width) + glyph.encode())
    assert source.show().cursor_column == 80
    for other in ENGINES:
        painted = fed(other, _LEFT)
        painted.feed(source.repaint())
        painted.feed(b"next")
        assert seen(painted) == seen(
            fed(other, b"\x1b[3;%dH" % (81 - width) + glyph.encode() + b"next")
        )


@pytest.mark.parametrize("kind", _KINDS)
def test_output_may_be_cut_anywhere(kind: type[Any]) -> None:
    data = "ünï 宽字 e\u0301 \x1b[1;38;2;9;8;7mred\x1b[m\x1b]2;t\u00eftle\x1b\\\x1b]8;;http://a\x07l\x1b]8;;\x07".encode()
    whole = seen(fed(kind, data))
    for cut in range(len(data)):
        engine = fed(kind, data[:cut])
        thawed = kind(80, 24, 500)
        thawed.load(engine.dump())
        engine.feed(data[cut:])
        thawed.feed(data[cut:])
        assert seen(engine) == whole
        assert seen(thawed) == whole


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("kind", _KINDS)
def test_a_dump_is_the_whole_state(program: str, kind: type[Any]) -> None:
    lines = b"".join(b"line %d\r\n" % number for number in range(200))
    data = lines + recording(program)
    for cut in (len(data) // 2, len(data) - 3, len(data)):
        engine, thawed = fed(kind, data[:cut]), kind(20, 5, 500)
        thawed.load(engine.dump())
        assert seen(thawed, 50) == seen(engine, 50)
        assert thawed.repaint() == engine.repaint()
        thawed.feed(data[cut:])
        assert seen(thawed, 50) == seen(fed(kind, data), 50)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("state", [b"", b"x", b"{}\n", b"\xff\xff", b"[1]\n\x1b[m"])
def test_what_is_no_dump_is_refused(kind: type[Any], state: bytes) -> None:
    engine = kind(80, 24, 10)
    with pytest.raises(ValueError, match="snapshot"):
        engine.load(state)
    with pytest.raises(ValueError, match="snapshot"):
        engine.load(fed(GhosttyEngine, b"abc").dump()[:-20])


@pytest.mark.parametrize("kind", _KINDS)
def test_rows_that_only_have_a_background_are_shown(kind: type[Any]) -> None:
    row = fed(kind, b"\x1b[2;1H\x1b[44m\x1b[K").show().lines[1]
    assert [(len(run.text), run.background) for run in row.runs] == [(80, "4")]


@pytest.mark.parametrize("kind", _KINDS)
def test_links_and_titles_are_text_without_controls(kind: type[Any]) -> None:
    screen = fed(
        kind, b"\x1b]8;;http://a.example/x\x1b\\see\x1b]8;;\x1b\\ it\x1b]2;a \xe2\x80\xaeb\x07"
    ).show()
    assert [(run.text, run.link) for run in screen.lines[0].runs] == [
        ("see", "http://a.example/x"),
        (" it", None),
    ]
    assert screen.title == "a b"


@pytest.mark.parametrize("kind", _KINDS)
def test_lines_wrap_anew_with_another_width(kind: type[Any]) -> None:
    engine = fed(kind, b"x" * 100 + b"\r\nend")
    assert [row.wraps for row in engine.show().lines[:3]] == [True, False, False]
    engine.resize(120, 24)
    lines = engine.show().lines
    assert (lines[0].runs[0].text, lines[0].wraps) == ("x" * 100, False)
    assert lines[1].runs[0].text == "end"


@pytest.mark.parametrize("kind", _KINDS)
def test_a_lower_screen_keeps_where_the_cursor_is(kind: type[Any]) -> None:
    engine = fed(kind, b"".join(b"%d\r\n" % number for number in range(23)) + b"prompt")
    engine.resize(80, 10)
    screen = engine.show(scrollback=99)
    assert screen.lines[screen.cursor_row].runs[0].text == "prompt"
    assert [row.runs[0].text for row in screen.scrollback][-1] == "13"


def test_a_wide_character_that_a_new_size_cuts_is_a_blank() -> None:
    for prefix, suffix in ((b"\x1b[?1049h", b""), (b"\x1b[?1049h", b"\x1b[?1049l")):
        engine = fed(GhosttyEngine, prefix + b"\x1b[3;39H" + "宽".encode() + suffix + b"\x1b[2;2H")
        engine.resize(39, 24)
        thawed = GhosttyEngine(80, 24, 10)
        thawed.load(engine.dump())
        assert seen(thawed) == seen(engine)
        assert (engine.show().cursor_row, engine.show().cursor_column) == (1, 1)


@pytest.mark.parametrize("kind", _KINDS)
def test_a_sequence_without_end_does_not_grow_for_ever(kind: type[Any]) -> None:
    engine = fed(kind, b"\x1b]0;")
    for _ in range(20):
        engine.feed(b"x" * 100_000)
    assert len(engine.dump()) < 3_000_000
    engine.feed(b"\x07\x1bcfine")
    assert engine.show().lines[0].runs[0].text == "fine"


def test_the_simple_engine_survives_mutated_recordings() -> None:
    chance = random.Random(4)
    engine = BitttyEngine(80, 24, 200)
    for _ in range(40):
        engine.feed(mutated(recording(chance.choice(PROGRAMS)), chance))
        if chance.random() < 0.2:
            engine.resize(chance.randrange(2, 150), chance.randrange(2, 50))
        engine.repaint()
    thawed = BitttyEngine(80, 24, 200)
    thawed.load(engine.dump())
    assert (thawed.show().columns, thawed.show().rows) == (
        engine.show().columns,
        engine.show().rows,
    )


@pytest.mark.parametrize("kind", _KINDS)
def test_a_program_cannot_change_the_size(kind: type[Any]) -> None:
    screen = fed(kind, b"\x1b[8;50;132t\x1b[?40h\x1b[?3h" + b"x" * 90).show()
    assert (screen.columns, screen.rows, len(screen.lines)) == (80, 24, 24)


def test_what_one_engine_dumps_another_loads() -> None:
    for one, other in (ENGINES, ENGINES[::-1]):
        source = fed(one, b"".join(b"line %d\r\n" % number for number in range(99)) + b"\x1b[7mend")
        loaded = other(10, 5, 500)
        loaded.load(source.dump())
        assert seen(loaded, 50) == seen(source, 50)


def test_lines_above_keep_links_and_what_goes_on() -> None:
    source = fed(
        GhosttyEngine, b"\x1b]8;;http://a.example\x1b\\linked\x1b]8;;\x1b\\\r\n" + b"w" * 99
    )
    source.feed(b"\r\n" * 40)
    loaded = GhosttyEngine(80, 24, 500)
    loaded.load(source.dump())
    above = loaded.show(scrollback=99).scrollback
    assert above == source.show(scrollback=99).scrollback
    assert above[0].runs[0].link == "http://a.example"
    assert above[1].wraps


@pytest.mark.parametrize("kind", _KINDS)
def test_what_a_program_asks_is_answered(kind: type[Any]) -> None:
    engine = fed(kind, b"text\x1b[3;7H\x1b[?2004h\x1b[6n\x1b[5n")
    assert engine.answers() == b"\x1b[3;7R\x1b[0n"
    assert engine.answers() == b""
    engine.feed(b"\x1b[?2004$")
    assert engine.answers() == b""
    engine.feed(b"p")
    assert engine.answers() == b"\x1b[?2004;1$y"
    engine.resize(100, 30)
    engine.answers()
    engine.feed(b"\x1b[18t")
    assert engine.answers() == b"\x1b[8;30;100t"
    engine.feed(b"\x1b[c")
    assert re.fullmatch(rb"\x1b\[\?[\d;]+c", engine.answers())


@pytest.mark.parametrize("kind", _KINDS)
def test_a_state_that_was_loaded_answers_from_there(kind: type[Any]) -> None:
    state = fed(kind, b"asked before\x1b[6n\x1b[9;9H\x1b[6").dump()
    engine = kind(80, 24, 500)
    engine.load(state)
    gc.collect()
    assert engine.answers() == b""
    engine.feed(b"n")
    assert engine.answers() == b"\x1b[9;9R"


@pytest.mark.parametrize("kind", _KINDS)
def test_of_many_answers_only_so_many_are_kept(kind: type[Any]) -> None:
    engine = fed(kind, b"\x1b[5n" * 50_000)
    assert MAX_ANSWERS <= len(engine.answers()) < MAX_ANSWERS + 100
    engine.feed(b"\x1b[5n")
    assert engine.answers() == b"\x1b[0n"
