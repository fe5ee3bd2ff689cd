"""Screens as text: what stands there, in which colours, and nothing that drives the terminal."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.protocol.screens import ChangedRow, Row, Run, Screen, ScreenChange
from terma.look import change, draw, row_in_color, row_in_text, title, to_text


def row(*texts: str) -> Row:
    return Row(runs=tuple(Run(text=text) for text in texts))


def screen(*lines: Row, **more: Any) -> Screen:
    fields: dict[str, Any] = {"offset": 0, "columns": 80, "rows": len(lines), "lines": lines}
    return Screen(**fields | more)


def test_plain_text_has_the_rows_up_to_the_last_that_shows_anything() -> None:
    shown = screen(
        row("one"), row(), row("two", " three  "), row(), row(), scrollback=(row("zero"),)
    )
    assert to_text(shown, has_color=False) == "zero\none\n\ntwo three\n"
    assert to_text(screen(row(), row()), has_color=False) == ""


def test_an_empty_row_in_colour_is_shown_in_colour() -> None:
    bar = Row(runs=(Run(text="  ", background="4"),))
    assert to_text(screen(bar, row()), has_color=True) == "\x1b[0;44m  \x1b[0m\n"


@pytest.mark.parametrize(
    ("look", "codes"),
    [
        ({"foreground": "1"}, "31"), ({"foreground": "9"}, "91"), ({"background": "2"}, "42"),
        ({"background": "10"}, "102"), ({"foreground": "208"}, "38;5;208"),
        ({"background": "16"}, "48;5;16"), ({"foreground": "#ff8000"}, "38;2;255;128;0"),
        ({"background": "#000001"}, "48;2;0;0;1"),
        ({"attributes": ("bold", "underline", "inverse")}, "1;4;7"),
        ({"attributes": ("overline",), "foreground": "7"}, "53;37"),
    ],
)  # fmt: skip
def test_a_look_is_sgr(look: dict[str, Any], codes: str) -> None:
    assert row_in_color(Row(runs=(Run(text="x", **look),))) == f"\x1b[0;{codes}mx\x1b[0m"


@pytest.mark.parametrize(
    "color", ["", "red", "256", "-1", "1;5", "#ff", "1\x1b[5n", "٣", "#gg0000"]
)
def test_a_colour_that_is_none_is_none(color: str) -> None:
    look = Run(text="x", foreground=color, background=color, attributes=("wild",))
    assert row_in_color(Row(runs=(look,))) == "x"


def test_a_look_ends_where_the_next_begins() -> None:
    runs = (Run(text="a"), Run(text="b", foreground="1"), Run(text="c"), Run(text="d"))
    assert row_in_color(Row(runs=runs)) == "a\x1b[0;31mb\x1b[0mcd"


def test_where_a_link_leads_is_not_shown() -> None:
    runs = (Run(text="here", link="https://example.com/\x1b]52;c;x\x07"),)
    assert row_in_text(Row(runs=runs)) == row_in_color(Row(runs=runs)) == "here"


RUNS = st.builds(
    Run,
    text=st.text(max_size=8),
    foreground=st.none() | st.text(max_size=8),
    background=st.sampled_from([None, "3", "#102030", "200"]),
    attributes=st.lists(st.sampled_from(["bold", "blink", "\x1b[6n"]), max_size=3).map(tuple),
    link=st.none() | st.text(max_size=8),
)


@given(st.lists(RUNS, max_size=6))
def test_only_sequences_of_ours_come_out(runs: list[Run]) -> None:
    drawn = row_in_color(Row(runs=tuple(runs)))
    rest = re.sub(r"\x1b\[[0-9;]*m", "", drawn)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", rest)
    assert rest.rstrip() == row_in_text(Row(runs=tuple(runs)))


def test_a_change_replaces_rows() -> None:
    first = change(None, ScreenChange(offset=1, screen=screen(row("a"), row("b"), row("c"))))
    news = ScreenChange(
        offset=9, rows=(ChangedRow(index=1, row=row("B")), ChangedRow(index=7, row=row("no"))),
        cursor_column=3, cursor_row=2, cursor_is_visible=False, title="vim", warning="hm",
    )  # fmt: skip
    shown = change(first, news)
    assert shown
    assert to_text(shown, has_color=False) == "a\nB\nc\n"
    assert (shown.offset, shown.title, shown.warning) == (9, "vim", "hm")
    assert (shown.cursor_column, shown.cursor_row, shown.cursor_is_visible) == (3, 2, False)


def test_rows_of_no_screen_are_nothing() -> None:
    assert change(None, ScreenChange(offset=1, rows=(ChangedRow(index=0, row=row("a")),))) is None


def test_it_is_drawn_row_by_row_with_the_cursor_in_its_place() -> None:
    drawn = draw(screen(row("one"), row("two"), cursor_column=2, cursor_row=1), 80, 24)
    assert "\x1b[1;1H\x1b[0mone\x1b[K\x1b[2;1H\x1b[0mtwo\x1b[K" in drawn
    assert drawn.endswith("\x1b[2;3H\x1b[?25h\x1b[?2026l")


def test_a_cursor_that_is_hidden_stays_so() -> None:
    assert "\x1b[?25h" not in draw(screen(row("one"), cursor_is_visible=False), 80, 24)


def test_of_a_screen_that_is_too_high_the_part_with_the_cursor_is_drawn() -> None:
    lines = [row(f"line{n}") for n in range(10)]
    top = draw(screen(*lines, cursor_row=0, cursor_column=80), 40, 3)
    assert "line0" in top
    assert "line3" not in top
    assert "\x1b[1;40H" in top
    below = draw(screen(*lines, cursor_row=6), 40, 3)
    assert re.findall(r"line\d", below) == ["line4", "line5", "line6"]
    assert "\x1b[3;1H\x1b[?25h" in below


def test_a_title_is_one_sequence_whatever_is_in_it() -> None:
    assert title("alice", screen()) == "\x1b]2;alice\x1b\\"
    evil = screen(title="vim\x07\x1b]52;c;x\x07\n")
    assert title("alice", evil) == "\x1b]2;alice: vim\x1b\\"
