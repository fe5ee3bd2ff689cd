"""What stands above the input area, whatever the screen and wherever on it the area is."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.layout import HSplit, Layout, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.output.vt100 import Vt100_Output

from aish.chat.above import Area, ChatApplication, chunks, drawing, height_of
from tests.aish.chat.emulator import Emulator

COLUMNS = 20
ROWS = 12

TEXT = st.lists(st.sampled_from(["a", "b", " ", "漢", "e\u0301"]), max_size=9).map("".join)
LONG = st.text(alphabet="xy漢", max_size=90)


def begun(area: Area, above: int, rows: int = ROWS) -> Emulator:
    """A screen with an area below some rows, its cursor where it belongs."""
    emulator = Emulator(COLUMNS, rows)
    lines = [f"above {n}" for n in range(above)] + [f"area {n}" for n in range(area.height)]
    emulator.feed("\r\n".join(lines))
    emulator.feed("\r" + "\x1b[A" * (area.height - 1 - area.row) + "\x1b[C" * area.column)
    return emulator


def area_of(height: int, row: int, column: int) -> Area:
    return Area(height, min(row, height - 1), column)


AREAS = st.builds(area_of, st.integers(1, 4), st.integers(0, 3), st.integers(0, COLUMNS - 1))


@given(AREAS, st.integers(0, 30), st.lists(st.tuples(st.lists(TEXT, max_size=3), st.booleans())))
def test_rows_come_between_what_is_there_and_the_area(
    area: Area, above: int, changes: list[tuple[list[str], bool]]
) -> None:
    emulator = begun(area, above)
    finished = [f"above {n}" for n in range(above)]
    tail: list[str] = []
    for rows, is_finished in changes:
        new = rows if not is_finished else [*rows, "ended"]
        emulator.feed(drawing(area, COLUMNS, tail, new))
        finished, tail = ([*finished, *new], []) if is_finished else (finished, new)
        expected = [*finished, *tail, *(f"area {n}" for n in range(area.height))]
        assert emulator.shown == [row.rstrip() for row in expected]
        top = len(expected) - area.height - len(emulator.gone)
        assert (emulator.row, emulator.column) == (top + area.row, area.column)


@given(AREAS, st.integers(0, 20), st.lists(LONG, max_size=6))
def test_rows_that_are_too_wide_are_wrapped_by_the_terminal(
    area: Area, above: int, rows: list[str]
) -> None:
    emulator = begun(area, above)
    for chunk in chunks(rows, COLUMNS, ROWS - area.height):
        assert height_of(chunk, COLUMNS) <= ROWS - area.height
        emulator.feed(drawing(area, COLUMNS, [], chunk))
    plain = Emulator(COLUMNS, ROWS)
    plain.feed("".join(f"above {n}\r\n" for n in range(above)))
    plain.feed("".join(f"{row}\r\n" for row in rows))
    plain.feed("\r\n".join(f"area {n}" for n in range(area.height)))
    assert emulator.shown == plain.shown


def test_a_row_that_grows_is_not_written_again() -> None:
    text = drawing(Area(2, 0, 5), COLUMNS, ["one", "two"], ["one", "two three"])
    assert " three" in text
    assert "two" not in text


def test_nothing_is_written_where_nothing_has_changed() -> None:
    assert drawing(Area(2, 0, 5), COLUMNS, ["one"], ["one"]) == ""


@pytest.mark.parametrize("width", [1, 2, 19, 20, 21, 40, 41])
def test_a_row_higher_than_the_screen_is_cut(width: int) -> None:
    rows = ["z" * (width * ROWS)]
    parts = list(chunks(rows, COLUMNS, 3))
    assert all(height_of(part, COLUMNS) <= 3 for part in parts)
    assert "".join(row for part in parts for row in part) == rows[0]


class Stage:
    """A real application that draws on an emulated terminal."""

    def __init__(self, columns: int, rows: int) -> None:
        self.emulator = Emulator(columns, rows)
        self.size = Size(rows, columns)
        self._written = io.StringIO()
        self.buffer = Buffer(multiline=True)
        self.status = "status"

    async def run(self, play: Callable[[ChatApplication], Awaitable[None]]) -> None:
        output = Vt100_Output(
            self._written, lambda: self.size, term="xterm", enable_bell=False, enable_cpr=False
        )
        layout = Layout(
            HSplit(
                [
                    Window(BufferControl(self.buffer), dont_extend_height=True),
                    Window(FormattedTextControl(lambda: self.status), height=1),
                ]
            )
        )
        with create_pipe_input() as keys:
            app = ChatApplication(
                layout=layout, output=output, input=keys, erase_when_done=True,
                include_default_pygments_style=False,
            )  # fmt: skip
            done: list[Any] = []

            async def played() -> None:
                try:
                    await play(app)
                except BaseException as error:  # noqa: BLE001 - it is raised below
                    done.append(error)
                app.exit(result=0)

            def begin() -> None:
                app.create_background_task(played())

            await app.run_async(pre_run=begin)
        if done:
            raise done[0]

    def look(self) -> list[str]:
        """What the terminal shows now."""
        text = self._written.getvalue()
        self._written.seek(0)
        self._written.truncate()
        self.emulator.feed(text)
        return self.emulator.shown


def played(
    play: Callable[[ChatApplication, Stage], Awaitable[None]], columns: int = 30, rows: int = 10
) -> Stage:
    stage = Stage(columns, rows)
    asyncio.run(stage.run(lambda app: play(app, stage)))
    return stage


def test_an_answer_streams_above_the_input() -> None:
    async def play(app: ChatApplication, stage: Stage) -> None:
        app._redraw()
        app.above.draw([], ["unfin"])
        assert stage.look() == ["unfin", "", "status"]
        stage.buffer.insert_text("typed")
        app._redraw()
        app.above.draw(["done"], ["unfinished"])
        assert stage.look() == ["done", "unfinished", "typed", "status"]
        app.above.draw([f"row {n}" for n in range(30)], ["tail"])
        rows = stage.look()
        assert rows[:3] == ["done", "row 0", "row 1"]
        assert rows[-4:] == ["row 29", "tail", "typed", "status"]
        assert len(stage.emulator.gone) + 10 == len(rows)

    played(play)


def test_the_input_stays_where_it_is_while_the_tail_gets_shorter() -> None:
    async def play(app: ChatApplication, stage: Stage) -> None:
        app._redraw()
        app.above.draw([], ["one", "two", "three"])
        app.above.draw([], ["one"])
        assert stage.look() == ["one", "", "", "", "status"]
        app.above.draw(["end"], [], is_steady=False)
        assert stage.look() == ["end", "", "status"]

    played(play)


def test_the_area_grows_and_shrinks_below_what_streams() -> None:
    async def play(app: ChatApplication, stage: Stage) -> None:
        app._redraw()
        app.above.draw(["done"], ["tail"])
        stage.buffer.insert_text("a\nb\nc\nd")
        app._redraw()
        app.above.draw([], ["tail, longer"])
        assert stage.look() == ["done", "tail, longer", "a", "b", "c", "d", "status"]
        stage.buffer.reset()
        app._redraw()
        app.above.draw(["more"], ["tail, longer"])
        assert stage.look() == ["done", "more", "tail, longer", "", "status"]

    played(play)


def test_an_area_as_high_as_the_screen_lets_rows_pass() -> None:
    async def play(app: ChatApplication, stage: Stage) -> None:
        stage.buffer.insert_text("a\nb\nc\nd\ne\nf\ng")
        app._redraw()
        app.above.draw(["done"], ["never shown"])
        rows = stage.look()
        assert rows[0] == "done"
        assert rows.count("done") == 1
        assert rows[-1] == "status"

    played(play, rows=5)


def test_a_resize_keeps_what_is_finished_and_draws_the_rest_anew() -> None:
    async def play(app: ChatApplication, stage: Stage) -> None:
        app._redraw()
        app.above.draw(["finished"], ["not", "yet"])
        stage.look()
        stage.size = Size(10, 40)
        stage.emulator = wider(stage.emulator, 40)
        app._on_resize()
        assert stage.look() == ["finished", "", "status"]
        app.above.draw(["not yet"], [])
        assert stage.look() == ["finished", "not yet", "", "status"]

    played(play)


def wider(old: Emulator, columns: int) -> Emulator:
    new = Emulator(columns, old.rows)
    new.feed("\r\n".join(old.screen))
    new.row, new.column = old.row, old.column
    return new
