"""What a terminal shows while an answer streams in, and what is left when it ends."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aish.blocks import Block
from aish.layout import Layout, cells
from aish.render import (
    REFRESH_S,
    TAIL_ROWS,
    MarkdownWriter,
    terminal_height,
    terminal_size,
    terminal_width,
)

ANSWER = """\
# Title

A paragraph with **bold**, `code` and a [link](http://a.example), long enough to be wrapped
over several rows of a terminal, whatever its width is.
Second line.

1. one
2. two
   - nested
     ```sh
     run --this
     ```

         indented code
3. three

> quoted
> > twice

| a | b |
|---|--:|
| 1 | 2 |

Heading
-------

~~~python
def f():

\treturn "```"
~~~
***
<div>
<b>raw</b>
</div>

![alt](i.png) 漢字 e\u0301 👩\u200d👧
"""

SHOWN = """\
# Title

A paragraph with bold, `code` and a link
(http://a.example), long enough to be
wrapped
over several rows of a terminal,
whatever its width is.
Second line.

 1. one
 2. two
     • nested
           run --this

           indented code
 3. three

▌ quoted
▌ ▌ twice

a  b
─  ─
1  2

## Heading

    def f():

        return "```"

────────────────────────────────────────

<div>
<b>raw</b>
</div>

alt (i.png) 漢字 e\u0301 👩\u200d👧
"""


TICK_S = REFRESH_S * 1.5


class Screen(io.StringIO):
    """A terminal that knows what the writer may use and refuses everything else.

    A row that leaves the top can never be reached again, as on a real terminal.
    """

    _TOKEN = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|\x1b|[\r\n]|[^\x1b\r\n]+")

    def __init__(self, height: int = 24) -> None:
        super().__init__()
        self.height = height
        self.rows = [""]
        self.row = 0
        self.column = 0
        self.style = ""

    def write(self, text: str) -> int:
        for token in self._TOKEN.finditer(text):
            if token[2]:
                self._control(token[1], token[2])
            elif token[0] == "\r":
                self.column = 0
            elif token[0] == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            else:
                assert token[0] != "\x1b"
                self._print(token[0])
        return len(text)

    def _control(self, number: str, letter: str) -> None:
        if letter == "m":
            self.style = "" if number == "0" else number
        elif letter == "A":
            top = max(len(self.rows) - self.height, 0)
            self.row = max(self.row - int(number), top)
        elif letter == "B":
            self.row += 1
            assert self.row < len(self.rows)
        else:
            assert (letter, number, self.column) == ("K", "", 0)
            self.rows[self.row] = ""

    def _print(self, text: str) -> None:
        assert cells(self.rows[self.row]) == self.column, "only an end of a row is written to"
        self.rows[self.row] += text
        self.column += cells(text)

    def text(self) -> str:
        while len(self.rows) > self.row + 1 and not self.rows[-1]:
            self.rows.pop()
        return "\n".join(row.rstrip() for row in self.rows)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cut(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def render(pieces: Iterator[str] | list[str], width: int = 41, color: bool = False) -> str:
    out = io.StringIO()
    writer = MarkdownWriter(out, width, color=color, live=False)
    for piece in pieces:
        writer.feed(piece)
    writer.finish()
    return out.getvalue()


def live(
    screen: Screen, width: int = 41, clock: Clock | None = None, color: bool = False
) -> MarkdownWriter:
    return MarkdownWriter(
        screen, width, color=color, live=True, height=screen.height, clock=clock or Clock()
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_an_answer_with_every_kind_of_block(size: int) -> None:
    assert render(cut(ANSWER, size)) == SHOWN
    assert render(cut(ANSWER.replace("\n", "\r\n"), size)) == SHOWN


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("", ""),
        ("\n \n\n", ""),
        ("word", "word\n"),
        ("word\n\n\n\n\n", "word\n"),
        ("```\ncode", "    code\n"),
        ("```\ncode\n", "    code\n"),
        ("- ", " •\n"),
        ("| a |\n|---|", "a\n─\n"),
        ("a\n-", "## a\n"),
        ("a\tb\n\n\tcode\tx", "a   b\n\n    code    x\n"),
    ],
)
def test_finish_closes_what_is_open(source: str, shown: str) -> None:
    assert render([source]) == shown


SNIPPETS = [
    "word ", "**", "`", "[a](b)", "漢字", "\n", "\n\n", "\r\n", "# ", "- ", "1. ", "> ", "```",
    "```py\n", "~~~", "---\n", "| a | b |\n", "|---|---|\n", "    ", "<div>", "\t", "\x1b[31m",
    "\x1b]8;;x\x07", "\x9b", "&#27;", "\u202e", "👩\u200d👧", "<!--", "-->",
]  # fmt: skip
MARKDOWN = st.one_of(
    st.lists(st.sampled_from(SNIPPETS), max_size=30).map("".join),
    st.text(max_size=60),
    st.just(ANSWER),
)


@given(MARKDOWN, st.data(), st.booleans(), st.sampled_from([1, 20, 80]))
def test_the_pieces_an_answer_comes_in_make_no_difference(
    source: str, data: st.DataObject, color: bool, width: int
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(source)), max_size=20)))
    pieces = [source[a:b] for a, b in zip([0, *cuts], [*cuts, len(source)], strict=True)]
    assert render(pieces, width, color) == render([source], width, color)


@given(MARKDOWN, st.integers(1, 30), st.booleans())
def test_nothing_but_our_own_styles_reaches_the_terminal(
    source: str, size: int, color: bool
) -> None:
    shown = render(cut(source, size), color=color)
    if color:
        shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert all(c == "\n" or (c.isprintable() or ord(c) > 0xFF or c == "\xa0") for c in shown)
    assert not set("\u202e\u200b\u2066\ufeff") & set(shown)


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b]8;;http://evil.example\x1b\\good\x1b]8;;\x1b\\",
        "\x1b]52;c;cm0gLXJmIH4=\x07good",
        "\x1b]0;title\x07good",
        "\x1b[2J\x1b[Hgood",
        "\x9b2Jgood",
        "\x9d0;title\x9cgood",
        "\x1bP$q\x1b\\good",
        "`\x1b[31mgood`",
        "&#27;]0;good",
        "```\n\x1b]0;title\x07good\n```",
        "[good](\x1b]8;;x\x07y)",
    ],
)
def test_hostile_sequences_never_reach_the_terminal(hostile: str) -> None:
    for size in (1, 2, 3, 100):
        screen = Screen()
        for writer in (live(screen), MarkdownWriter(screen, 80, color=True, live=False)):
            for piece in cut(hostile, size):
                writer.feed(piece)
                writer.refresh()
            writer.finish()
        assert "good" in screen.text()
        assert not {"title", "52;c", "evil"} & set(re.split(r"\W", screen.text()))


def test_every_block_is_laid_out_once_and_code_line_by_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    rows = Layout.rows

    def counted(self: Layout, block: Block, width: int) -> list[str]:
        seen.append(block.text)
        return rows(self, block, width)

    monkeypatch.setattr(Layout, "rows", counted)
    clock = Clock()
    screen = Screen()
    writer = live(screen, clock=clock)
    for piece in cut("one\n\n```\na\nb\n```\n\n- two\n- three\n", 1):
        writer.feed(piece)
        clock.now += TICK_S
    assert seen == ["one", "a", "b", "two"]
    writer.finish()
    assert seen == ["one", "a", "b", "two", "three"]


def test_a_line_of_code_is_written_when_it_is_complete() -> None:
    out = io.StringIO()
    writer = MarkdownWriter(out, 80, color=False, live=False)
    writer.feed("```\nfirst\nsec")
    assert out.getvalue() == "    first\n"
    writer.feed("ond\n")
    assert out.getvalue() == "    first\n    second\n"


@given(MARKDOWN, st.integers(1, 9), st.sampled_from([3, 5, 24]), st.sampled_from([8, 41]))
@example(ANSWER, 1, 24, 41)
@example("long words in one paragraph " * 40 + "\n\n" + "- item\n" * 20, 5, 5, 20)
def test_live_ends_with_the_same_rows(source: str, size: int, height: int, width: int) -> None:
    screen = Screen(height)
    clock = Clock()
    writer = live(screen, width, clock)
    for number, piece in enumerate(cut(source, size)):
        writer.feed(piece)
        clock.now += TICK_S * (number % 3)
    writer.finish()
    expected = render([source], width)
    assert screen.text() == "\n".join(row.rstrip() for row in expected.split("\n"))
    assert (screen.row, screen.column, screen.style) == (len(screen.rows) - 1, 0, "")


def test_live_shows_every_token_at_once() -> None:
    clock, screen = Clock(), Screen()
    writer = live(screen, clock=clock)
    for piece, shown in [("Hel", "Hel"), ("lo **wo", "Hello **wo"), ("rld**", "Hello **world**")]:
        writer.feed(piece)
        assert screen.text() == shown
        clock.now += TICK_S
    writer.feed("\n\n- ne")
    assert screen.text() == "Hello world\n\n- ne"
    clock.now += TICK_S
    writer.feed("xt")
    assert screen.text() == "Hello world\n\n- next"
    writer.finish()
    assert screen.text() == "Hello world\n\n • next\n"


def test_live_only_appends_while_a_line_grows() -> None:
    out = io.StringIO()
    clock = Clock()
    writer = MarkdownWriter(out, 12, color=False, live=True, height=24, clock=clock)
    for piece in ("one", " two", " three", " four"):
        writer.feed(piece)
        clock.now += TICK_S
    assert out.getvalue() == "one two" + "\n" + "three four"
    writer.feed("teen")
    assert out.getvalue().endswith("\r\x1b[Kthree\nfourteen")


def test_live_draws_a_row_anew_when_its_last_character_may_have_grown() -> None:
    out = io.StringIO()
    clock = Clock()
    writer = MarkdownWriter(out, 12, color=False, live=True, height=24, clock=clock)
    for piece in ("👩", "\u200d👧"):
        writer.feed(piece)
        clock.now += TICK_S
    assert out.getvalue() == "👩\r\x1b[K👩\u200d👧"


def test_live_draws_at_most_so_often_and_refresh_shows_the_rest() -> None:
    clock, screen = Clock(), Screen()
    writer = live(screen, clock=clock)
    writer.feed("one")
    clock.now += REFRESH_S / 2
    writer.feed(" two")
    assert screen.text() == "one"
    writer.refresh()
    assert screen.text() == "one two"
    writer.feed(" three\n\n")
    assert screen.text() == "one two three\n", "what is finished does not wait"


def test_live_shows_the_last_rows_of_a_long_paragraph() -> None:
    clock, screen = Clock(), Screen()
    writer = live(screen, width=6, clock=clock)
    for number in range(100):
        writer.feed(f"w{number:03} ")
        clock.now += TICK_S
    assert screen.text().split("\n") == [f"w{number:03}" for number in range(90, 100)]
    assert TAIL_ROWS == 10


def test_live_takes_fewer_rows_on_a_low_terminal() -> None:
    clock, screen = Clock(), Screen(height=4)
    writer = live(screen, width=6, clock=clock)
    for number in range(10):
        writer.feed(f"w{number:03} ")
        clock.now += TICK_S
    assert screen.text() == "w007\nw008\nw009"


def test_live_leaves_its_rows_where_the_width_has_changed() -> None:
    screen, clock = Screen(), Clock()
    width = 12
    writer = MarkdownWriter(screen, lambda: width, color=False, live=True, height=24, clock=clock)
    writer.feed("one two three")
    width = 30
    clock.now += TICK_S
    writer.feed(" four")
    assert screen.text() == "one two\nthree\none two three four"
    width = 9
    writer.feed("\n\n")
    assert screen.text() == "one two\nthree\none two three four\none two\nthree\nfour\n"
    writer.finish()
    assert screen.text().endswith("\none two\nthree\nfour\n")


def test_live_leaves_its_rows_where_they_may_have_scrolled_away() -> None:
    screen, clock = Screen(), Clock()
    height = 24
    writer = MarkdownWriter(screen, 6, color=False, live=True, height=lambda: height, clock=clock)
    writer.feed("one two four")
    height = screen.height = 2
    writer.finish()
    assert screen.text() == "one\ntwo\nfour\none\ntwo\nfour\n"


def test_hide_makes_room_for_other_output() -> None:
    screen, clock = Screen(), Clock()
    writer = live(screen, clock=clock)
    writer.feed("one two")
    writer.hide()
    assert screen.text() == ""
    screen.write("notice\n")
    clock.now += TICK_S
    writer.feed(" three")
    assert screen.text() == "notice\none two three"
    writer.finish()
    assert screen.text() == "notice\none two three\n"


def test_a_writer_can_take_another_answer() -> None:
    screen = Screen()
    writer = live(screen)
    for _ in range(2):
        writer.feed("# a\nb")
        writer.finish()
        writer.finish()
    assert screen.text() == "# a\n\nb\n# a\n\nb\n"


def test_a_terminal_of_unknown_width_counts_as_80_columns() -> None:
    assert render(["word " * 20], width=0) == render(["word " * 20], width=80)


def test_the_size_of_no_terminal_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert terminal_size() == (80, 24)


def test_the_size_is_asked_of_the_terminal_behind_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    with open(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        termios.tcsetwinsize(slave, (30, 100))
        assert (terminal_width(), terminal_height()) == (100, 30)
        termios.tcsetwinsize(slave, (0, 0))
        assert (terminal_width(), terminal_height()) == (80, 24)
    os.close(master)


def test_a_plain_answer_needs_no_parser() -> None:
    source = (
        "import sys, io, aish.render as r; w = r.MarkdownWriter(io.StringIO(), 80, True, True); "
    )
    source += "w.feed('Hello there.\\n\\n- one\\n- two\\n'); w.finish(); "
    source += "print({'rich', 'markdown_it', 'pygments'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", source], cwd=root, capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"
