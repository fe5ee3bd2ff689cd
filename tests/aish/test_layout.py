"""How one block is laid out: wrapping, styles, links, tables."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.blocks import Block, Kind
from aish.layout import MAX_INLINE, Layout, cells, wrap

SGR = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: str, width: int = 79, kind: Kind = Kind.PARAGRAPH) -> list[str]:
    return Layout(color=False).rows(Block(kind, text), width)


def colored(text: str, width: int = 79, kind: Kind = Kind.PARAGRAPH, **more: str) -> list[str]:
    return Layout(color=True).rows(Block(kind, text, **more), width)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("exactly8 x", ["exactly8", "x"]),
        ("a\n\nb", ["a", "", "b"]),
        ("abcdefghijklmnopqrs t", ["abcdefgh", "ijklmnop", "qrs t"]),
        ("ab cdefghijkl", ["ab", "cdefghij", "kl"]),
        ("a          b", ["a", "b"]),
        ("  a", ["  a"]),
        ("漢字漢字漢字", ["漢字漢字", "漢字"]),
        ("漢字漢字。字", ["漢字漢", "字。字"]),
        ("use 漢字漢字", ["use 漢字", "漢字"]),
        ("e\u0301" * 9, ["e\u0301" * 8, "e\u0301"]),
        ("👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧", ["👩‍👩‍👧" * 4, "👩‍👩‍👧"]),
    ],
)
def test_text_is_wrapped_by_the_cells_it_takes(text: str, rows: list[str]) -> None:
    assert [text[start:end].rstrip() for start, end in wrap(text, 8)] == rows


WRAPPED = st.text(st.sampled_from("ab   \n漢字。é👩ー-"), max_size=60)


@given(WRAPPED, st.integers(2, 12))
def test_no_row_is_too_wide_and_no_character_lost(text: str, width: int) -> None:
    rows = [text[start:end] for start, end in wrap(text, width)]
    assert max(cells(row.rstrip()) for row in rows) <= width
    assert "".join(rows).replace(" ", "") == re.sub(r"[ \n]", "", text)


@given(WRAPPED, WRAPPED, st.integers(2, 12))
def test_more_text_changes_the_last_row_only(text: str, more: str, width: int) -> None:
    rows = wrap(text, width)[:-1]
    assert wrap(text + more, width)[: len(rows)] == rows


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("a **b** *c* ~~d~~ ***e***", "a b c d e"),
        ("a `b*c*` d", "a `b*c*` d"),
        (r"\*a\* 2 * 3 * 4 snake_case_name", "*a* 2 * 3 * 4 snake_case_name"),
        ("[text](http://a.example)", "text (http://a.example)"),
        ('[text](http://a.example "title")', "text (http://a.example)"),
        ("[http://good.example](http://evil.example)", "http://good.example (http://evil.example)"),
        ("[**b** c](x)", "b c (x)"),
        ("[](http://a.example)", "(http://a.example)"),
        ("<http://a.example> <me@a.example>", "http://a.example me@a.example"),
        ("[http://a.example](http://a.example)", "http://a.example"),
        ("![alt](http://a.example/i.png)", "alt (http://a.example/i.png)"),
        ("[![alt](i.png)](http://a.example)", "alt (i.png) (http://a.example)"),
        ("![](i.png)", "(i.png)"),
        ("[a][b] [c]", "[a][b] [c]"),
        ("a <b>c</b> <!-- d --> &lt;e&gt; &amp; &copy;", "a <b>c</b> <!-- d --> <e> & ©"),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
    ],
)
def test_marks_inside_a_paragraph(source: str, shown: str) -> None:
    assert plain(source) == [shown]


def test_line_ends_in_a_paragraph_stay() -> None:
    assert plain("one\ntwo *three\nfour*\\\nfive") == ["one", "two three", "four", "five"]


@pytest.mark.parametrize(
    "source",
    [
        "a&#27;[31mb",
        "a&#x9b;31mb",
        "a&#13;b",
        "a&#x202e;b &rlm; &ZeroWidthSpace;",
        "<http://a.example/%1b]0;title%07%e2%80%ae>",
        "[a](http://a.example/&#x202e;\u202e)",
        "[a](<http://a.example/\u009b31m>)",
        "![a&#x202e;](x)",
        "`a\u202e\u200b`",
        "| &#x202e; | &#13; |\n|---|---|\n| &rlm; | <http://a.example/%1bc> |",
    ],
)
def test_entities_and_escaped_addresses_bring_no_controls_back(source: str) -> None:
    for kind in (Kind.PARAGRAPH, Kind.HEADING, Kind.TABLE):
        if (kind is Kind.TABLE) == source.startswith("|"):
            shown = "".join(plain(source, kind=kind))
            assert not set("\x1b\x07\r\x9b\u202e\u200f\u200b") & set(shown)


def test_styles_are_closed_on_each_row() -> None:
    assert colored("a **b c** `d`", 3) == ["a \x1b[1mb\x1b[0m", "\x1b[1mc\x1b[0m \x1b[36md\x1b[0m"]


def test_styles_add_up() -> None:
    assert colored("***a*** **`b`**") == ["\x1b[3;1ma\x1b[0m \x1b[1;36mb\x1b[0m"]


def test_no_link_is_hidden_behind_its_text() -> None:
    (row,) = colored("[a](http://b.example)")
    assert SGR.sub("", row) == "a (http://b.example)"
    assert "\x1b]" not in row


@given(st.text(st.sampled_from("ab *_`~[]()<>!\\&;#|\n漢"), max_size=60), st.integers(1, 30))
def test_colour_changes_nothing_but_styles(source: str, width: int) -> None:
    rows = colored(source, width)
    for row in rows:
        assert row.count("\x1b[0m") * 2 == row.count("\x1b[")
    shown = [SGR.sub("", row) for row in rows]
    if "`" not in source:
        assert [row.rstrip() for row in shown] == plain(source, width)
    assert max(map(cells, shown)) <= max(width, 2)


def test_a_heading_keeps_its_level_where_there_is_no_style() -> None:
    block = Block(Kind.HEADING, "One *two*", level=3)
    assert Layout(color=False).rows(block, 79) == ["### One two"]
    assert Layout(color=True).rows(block, 79) == ["\x1b[1;35mOne \x1b[0m\x1b[1;35;3mtwo\x1b[0m"]


def test_prefixes_stand_before_first_and_further_rows() -> None:
    block = Block(Kind.PARAGRAPH, "one two three", first=" 1. ", rest="    ", gap="")
    assert Layout(color=False).rows(block, 12) == ["", " 1. one two", "    three"]
    quote = Block(Kind.PARAGRAPH, "one two", first="▌ ", rest="▌ ", gap="▌")
    assert Layout(color=False).rows(quote, 6) == ["▌", "▌ one", "▌ two"]


def test_code_is_indented_or_coloured_and_never_broken() -> None:
    line = "x = 1  # " + "long " * 30
    assert plain(line, 20, Kind.CODE) == ["    " + line.rstrip()]
    assert colored(line, 20, Kind.CODE) == [f"\x1b[36m{line}\x1b[0m"]


def test_a_diff_shows_what_is_added_and_removed() -> None:
    rows = [colored(text, kind=Kind.CODE, info="diff")[0] for text in ("+a", "-b", " c", "")]
    assert rows == ["\x1b[32m+a\x1b[0m", "\x1b[31m-b\x1b[0m", " c", ""]


def test_html_is_text() -> None:
    assert plain("<a href='x'>**b**</a>", kind=Kind.HTML) == ["<a href='x'>**b**</a>"]


TABLE = """| Name | Value | Note |
|:-----|------:|:----:|
| alpha | 1 | `x` |
| b | 22 | **middle** |
| 漢字 | 3 |
| c | 4 | d | e |"""


def test_a_table_has_aligned_columns() -> None:
    assert plain(TABLE, kind=Kind.TABLE) == [
        "Name   Value   Note",
        "─────  ─────  ──────",
        "alpha      1   `x`",
        "b         22  middle",
        "漢字       3",
        "c          4  d | e",
    ]


def test_a_wide_table_wraps_its_widest_cells() -> None:
    source = "| a | b |\n|---|---|\n| one two three four five | x |\n| y | z |"
    assert plain(source, 16, Kind.TABLE) == [
        "a              b",
        "─────────────  ─",
        "one two three  x",
        "four five",
        "",
        "y              z",
    ]


def test_a_table_too_wide_for_columns_is_shown_cell_by_cell() -> None:
    source = "| first | second | third |\n|---|---|---|\n| one | two | three |\n| a | b | c |"
    assert plain(source, 15, Kind.TABLE) == [
        "first: one",
        "second: two",
        "third: three",
        "",
        "first: a",
        "second: b",
        "third: c",
    ]
    assert plain("| first | second |\n|---|---|", 10, Kind.TABLE) == ["first", "second"]


@given(
    st.lists(
        st.lists(st.sampled_from(["", "a", "漢字", "two words", "**b**", "x" * 30]), max_size=5)
    ),
    st.integers(1, 40),
)
def test_any_table_fits(rows: list[list[str]], width: int) -> None:
    source = "\n".join(["|a|bb|c|", "|-|-:|:-:|", *("|" + "|".join(row) + "|" for row in rows)])
    shown = [SGR.sub("", row) for row in colored(source, width, Kind.TABLE)]
    assert max(map(cells, shown)) <= max(width, 2)


def test_a_huge_paragraph_is_shown_without_parsing() -> None:
    text = "*a* " * MAX_INLINE
    assert "".join(plain(text, 80)).count("*a*") == MAX_INLINE


@pytest.mark.timeout(6)
def test_a_table_of_hostile_size_is_not_measured_column_by_column() -> None:
    source = "|".join("a" * 50_000) + "\n" + "|".join("-" * 50_000) + "\n|x|" * 20_000
    assert len(plain(source, 80, Kind.TABLE)) == 2 * 20_000 - 1
