"""Tables that fit a terminal, and programs that end as they have earned."""

from __future__ import annotations

import pytest

from backends.console import cells, table

ROWS = [
    ["NAME", "STATE", "SOCKET", "LAST ERROR"],
    ["apollo", "alive", "/run/user/1000/tekton/ci/apollo.sock", ""],
    ["athena", "dead", "/run/user/1000/tekton/ci/athena.sock", "it was killed by somebody else"],
]


def test_a_table_that_is_not_on_a_terminal_stays_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print(table(ROWS))
    shown = capsys.readouterr().out
    assert "athena.sock  it was killed by somebody else" in shown
    assert "…" not in shown


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_row_is_wider_than_the_terminal(width: int) -> None:
    lines = table(ROWS, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert "…" in lines[2]
    assert lines[2].startswith("athena  dead ")


def test_what_fits_is_not_cut() -> None:
    assert table(ROWS, width=200) == table(ROWS)


def test_a_column_may_be_named_that_is_cut_before_others() -> None:
    rows = table(ROWS, width=60, cut_first=[2]).splitlines()
    assert rows[2].endswith("…  it was killed by somebody else")
    assert max(map(len, rows)) <= 60


def test_a_terminal_narrower_than_any_table_wraps_it() -> None:
    assert table(ROWS, width=10).splitlines()[2] == "athena  dead   /run/…  it wa…"
    assert table([["A"], ["x" * 100_000]], width=20).splitlines() == ["A", "x" * 19 + "…"]


@pytest.mark.parametrize("width", [17, 18, 19, 40])
def test_a_wide_character_takes_two_columns(width: int) -> None:
    rows = [["NAME", "TITLE", "AGE"], ["日本", "構築する🚀のだ", "1 s"], ["e\u0301", "x", "2 s"]]
    lines = table(rows, width=width).splitlines()
    assert max(map(cells, lines)) <= width
    at = {
        cells(line[: line.index(age)]) for line, age in zip(lines[1:], ["1 s", "2 s"], strict=True)
    }
    assert at == {cells(lines[0][: lines[0].index("AGE")])}
