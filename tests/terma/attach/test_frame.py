"""A screen in a window of another size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.protocol.screens import Row, Run, Screen
from terma.attach.frame import Frame, crop_row, find_part, width_of
from terma.screen.ghostty import GhosttyEngine


def screen_of(lines: list[str], columns: int, row: int = 0, column: int = 0) -> Screen:
    return Screen(
        offset=0, columns=columns, rows=len(lines), cursor_row=row, cursor_column=column,
        lines=tuple(Row(runs=(Run(text=line),)) for line in lines),
    )  # fmt: skip


def text_of(row: Row) -> str:
    return "".join(run.text for run in row.runs)


def shown(drawn: bytes, columns: int, rows: int) -> list[str]:
    engine = GhosttyEngine(columns, rows, 0)
    engine.feed(drawn)
    return [text_of(row).rstrip() for row in engine.show().lines]


def test_a_larger_window_has_the_screen_at_its_top_left() -> None:
    drawn = Frame(8, 4).draw(screen_of(["abc", ""], 5), "note")
    assert shown(drawn, 8, 4) == ["abc  ···", "     ···", " note ··", "········"]


def test_a_smaller_window_has_the_part_with_the_cursor_and_a_note() -> None:
    lines = [f"{number}123456789" for number in range(10)]
    drawn = Frame(6, 4).draw(screen_of(lines, 10, row=8, column=9), "part")
    rows = shown(drawn, 6, 4)
    assert rows[3] == " part"
    assert "8" in [row[0] for row in rows[:3]] or rows[1][-1] == "9"
    part = find_part(screen_of(lines, 10, row=8, column=9), 6, 4)
    assert part.top <= 8 < part.top + part.rows
    assert part.left <= 9 < part.left + part.columns


@given(
    st.integers(1, 200), st.integers(1, 100), st.integers(1, 200), st.integers(1, 100), st.data()
)
def test_the_part_always_has_the_cursor(
    columns: int, rows: int, inside_columns: int, inside_rows: int, data: st.DataObject
) -> None:
    column = data.draw(st.integers(0, inside_columns - 1))
    row = data.draw(st.integers(0, inside_rows - 1))
    part = find_part(screen_of([""] * inside_rows, inside_columns, row, column), columns, rows)
    assert part.left <= column < part.left + part.columns
    assert part.top <= row < part.top + part.rows
    assert part.left + part.columns <= inside_columns
    assert part.top + part.rows <= inside_rows
    assert part.columns <= columns
    assert part.rows <= rows


def test_only_rows_that_changed_are_drawn_again() -> None:
    frame = Frame(10, 3)
    frame.draw(screen_of(["one", "two", "three"], 10), "")
    drawn = frame.draw(screen_of(["one", "2", "three"], 10), "")
    assert b"2" in drawn
    assert b"one" not in drawn
    assert b"three" not in drawn


def test_a_hidden_cursor_stays_hidden() -> None:
    engine = GhosttyEngine(10, 3, 0)
    engine.feed(b"\x1b[?25l")
    assert b"\x1b[?25h" not in Frame(20, 5).draw(engine.show(), "")


def test_looks_are_drawn() -> None:
    engine = GhosttyEngine(20, 1, 0)
    engine.feed(b"\x1b[1;4;31mred\x1b[0m \x1b[38;2;1;2;3;48;5;200mrgb")
    copy = GhosttyEngine(30, 3, 0)
    copy.feed(Frame(30, 3).draw(engine.show(), ""))
    runs = copy.show().lines[0].runs
    assert (runs[0].text, runs[0].foreground) == ("red", "1")
    assert set(runs[0].attributes) == {"bold", "underline"}
    assert (runs[2].text, runs[2].foreground, runs[2].background) == ("rgb", "#010203", "200")


@pytest.mark.parametrize(
    ("left", "columns", "expected"),
    [(0, 6, "a漢字b"), (1, 4, "漢字"), (2, 4, " 字b"), (0, 2, "a "), (2, 1, " "), (6, 3, "   ")],
)
def test_a_row_is_cropped_by_columns(left: int, columns: int, expected: str) -> None:
    row = Row(runs=(Run(text="a漢"), Run(text="字b", foreground="1")))
    assert text_of(crop_row(row, left, columns)) == expected


@given(st.text(max_size=20), st.integers(0, 20), st.integers(1, 20))
def test_a_cropped_row_has_exactly_its_columns(text: str, left: int, columns: int) -> None:
    row = crop_row(Row(runs=(Run(text=text),)), left, columns)
    assert sum(width_of(character) for character in text_of(row)) == columns


def test_what_could_drive_the_terminal_is_not_drawn() -> None:
    drawn = Frame(20, 2).draw(screen_of(["a\x1b]52;c;AA\x07b", "\x9b5n"], 10), "")
    assert b"\x1b]" not in drawn
    assert b"\x07" not in drawn
    assert "\x9b".encode() not in drawn
