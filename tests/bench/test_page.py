"""The rules of the bench: what keeps a limit, and what the page says of it."""

from __future__ import annotations

import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

from tests.bench.figures import Count, Figure, Judged, Section
from tests.bench.machine import Machine
from tests.bench.page import number, write_page
from tests.bench.picture import draw
from tests.bench.timed import run

KEPT = Figure(what="`quick` <one>", unit="ms", values=(1.0, 2.0, 9.0), limit=4.0)
MISSED = Figure(
    what="slow", unit="ms", values=(30.0, 40.0), rival="bare", rival_values=(10.0, 10.0), limit=3.0
)
INFORMATION = Figure(what="seen", unit="s", values=(1.0, 3.0))


def _section(*counts: Count) -> Section:
    return Section(
        title="A title", about="A text.", figures=(KEPT, MISSED, INFORMATION), counts=counts
    )


def test_a_value_is_held_against_its_limit() -> None:
    assert (KEPT.value, KEPT.ratio, KEPT.share, KEPT.is_kept) == (2.0, 0.5, 0.5, True)


def test_a_limit_beside_a_rival_is_a_ratio() -> None:
    assert (MISSED.ratio, MISSED.largest_ratio, MISSED.is_kept) == (3.5, 3.0, False)


def test_a_figure_without_limit_cannot_miss_it() -> None:
    assert (INFORMATION.ratio, INFORMATION.share, INFORMATION.is_kept) == (None, None, True)


@pytest.mark.parametrize(
    ("judged", "value"), [(Judged.MEDIAN, 2.0), (Judged.MAX, 9.0), (Judged.MEAN, 4.0)]
)
def test_what_counts_can_be_chosen(judged: Judged, value: float) -> None:
    assert Figure(what="", unit="", values=(1.0, 2.0, 9.0), judged=judged).value == value


def test_the_spread_of_a_single_value_is_itself() -> None:
    assert Figure(what="", unit="", values=(5.0,)).spread == (5.0, 5.0, 5.0, 5.0)


def test_a_count_has_to_be_exact() -> None:
    section = _section(Count(what="lost", found=1, wanted=0), Count(what="all", found=2, wanted=2))
    assert [one.what for one in section.missed] == ["slow", "lost"]


def test_the_page_names_what_is_missed() -> None:
    page = write_page(Machine.here("make bench"), {"one": _section()})
    assert "1 of 2 limits are kept; missed: slow." in page
    rows = [line for line in page.splitlines() if line.startswith("| slow")]
    assert rows == [
        "| slow | 35 ms | 30 · 31 · 39 · 40 | 2 | bare: 10 ms | 3.50 of 3 | **missed** |"
    ]


def test_the_page_says_so_where_all_is_kept() -> None:
    section = Section(title="", about="", figures=(KEPT, INFORMATION))
    assert "Every one of the 1 limits is kept." in write_page(Machine.here(""), {"one": section})


def test_the_picture_has_a_bar_for_each_limit() -> None:
    picture = xml.etree.ElementTree.fromstring(draw([KEPT, MISSED, INFORMATION]))
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["limit", "quick <one>", "50%", "slow", "117%, missed"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.123456, "0.123"), (12.345, "12.3"), (1234.5, "1,234")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_process_that_fails_is_no_measurement(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('it broke')"]
    with pytest.raises(RuntimeError, match="it broke"):
        run(command, {"TMPDIR": str(tmp_path)})


@pytest.mark.parametrize("on_terminal", [False, True])
def test_a_run_has_the_output_and_its_cost(tmp_path: Path, on_terminal: bool) -> None:
    command = [sys.executable, "-c", "import sys; print(sys.stdout.isatty(), end='')"]
    done = run(command, {"TMPDIR": str(tmp_path)}, on_terminal=on_terminal)
    assert done.output == str(on_terminal).encode()
    assert done.wall_s > 0
    assert done.first_byte_at > 0
