"""Which blocks are found in a stream of lines, and what is told of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from aish.blocks import MAX_DEPTH, Block, BlockSplitter, Kind, split_row


def split(source: str) -> list[Block]:
    splitter = BlockSplitter()
    blocks = [block for line in source.split("\n") for block in splitter.feed(line)]
    return blocks + splitter.finish()


LETTERS = {
    Kind.PARAGRAPH: "p",
    Kind.HEADING: "h",
    Kind.TABLE: "t",
    Kind.RULE: "r",
    Kind.CODE: "c",
    Kind.HTML: "x",
}


def outline(source: str) -> list[str]:
    return [f"{LETTERS[block.kind]} {block.first}{block.text}" for block in split(source)]


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("one\ntwo\n\nthree", ["p one\ntwo", "p three"]),
        ("# One\n## Two ##\n### #", ["h One", "h Two", "h "]),
        ("#hash\n####### seven", ["p #hash\n####### seven"]),
        ("One\ntwo\n===\nthree\n---", ["h One two", "h three"]),
        ("---\n***\n_ _ _", ["r ", "r ", "r "]),
        ("```py\na\n\nb\n```\nc", ["c a", "c ", "c b", "p c"]),
        ("~~~\n```\n~~\n~~~~\nb", ["c ```", "c ~~", "p b"]),
        ("````\n```\na\n```\n````", ["c ```", "c a", "c ```"]),
        ("  ```\n    a\n b\n```", ["c   a", "c b"]),
        ("``` not`fence\na", ["p ``` not`fence\na"]),
        ("a\n\n    b\n\n      c\n\nd", ["p a", "c b", "c ", "c   c", "p d"]),
        ("    a\n\n\nb\n\n    c", ["c a", "p b", "c c"]),
        ("a\n    b", ["p a\nb"]),
        ("\tcode\n- \titem", ["c code", "p  • item"]),
        ("- a\n- b\n* c", ["p  • a", "p  • b", "p  • c"]),
        ("- a\n  - b\n    - c", ["p  • a", "p     • b", "p        • c"]),
        ("- - a", ["p  •  • a"]),
        ("-\n- a", ["p  • ", "p  • a"]),
        ("- a\nlazy\n\nout", ["p  • a\nlazy", "p out"]),
        ("- a\n\n  b\n\n      c", ["p  • a", "p    b", "c    c"]),
        ("1. a\n   ```sh\n   b\n   ```\n   c", ["p  1. a", "c     b", "p     c"]),
        ("> a\n> b\nlazy\n\nc", ["p ▌ a\nb\nlazy", "p c"]),
        ("> > a\n> b", ["p ▌ ▌ a\nb"]),
        ("> - a\n>   b\n> ```\n> c\nd", ["p ▌  • a\nb", "c ▌ c", "p d"]),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |\n\nc", ["t | a | b |\n|---|:-:|\n| 1 | 2 |", "p c"]),
        ("text\n a|b\n -|-\n 1|2", ["p text", "t a|b\n-|-\n1|2"]),
        ("a | b\n---|---|---", ["p a | b\n---|---|---"]),
        ("<div>\n**a**\n</div>\n\nb", ["x <div>", "x **a**", "x </div>", "p b"]),
        ("<!-- a\n\nb --> c\nd", ["x <!-- a", "x ", "x b --> c", "p d"]),
        ("<b>a</b> **b**\n<https://a.example>", ["p <b>a</b> **b**\n<https://a.example>"]),
        ("[a]: http://b.example", ["p [a]: http://b.example"]),
    ],
)
def test_each_kind_of_block_is_found(source: str, blocks: list[str]) -> None:
    assert outline(source) == blocks


@pytest.mark.parametrize(
    ("source", "markers"),
    [
        ("1. a\n2. b\n3. c", [" 1. ", " 2. ", " 3. "]),
        ("1. a\n1. b\n1. c", [" 1. ", " 2. ", " 3. "]),
        ("9. a\n10. b", [" 9. ", "10. "]),
        ("100. a\n101. b", ["100. ", "101. "]),
        ("1. a\n\n2. b", [" 1. ", " 2. "]),
        ("1. a\n  2. b", [" 1. ", " 2. "]),
        ("1. a\n\n   more\n2. b", [" 1. ", "    ", " 2. "]),
        ("1. a\n   - x\n   - y\n2. b", [" 1. ", "     • ", "     • ", " 2. "]),
        ("1. a\n\ntext\n\n2. b", [" 1. ", "", " 2. "]),
        ("1. a\n1) b", [" 1. ", " 1. "]),
        ("0. a\n1. b", [" 0. ", " 1. "]),
    ],
)
def test_ordered_lists_count_on(source: str, markers: list[str]) -> None:
    assert [block.first for block in split(source)] == markers


def test_a_list_indented_by_two_is_nested_under_a_number() -> None:
    source = "1. a\n  - x\n  - y\n2. b"
    assert [block.first for block in split(source)] == [" 1. ", "     • ", "     • ", " 2. "]


def test_a_number_that_begins_a_line_of_prose_starts_no_list() -> None:
    assert outline("It was in\n1984. Then") == ["p It was in\n1984. Then"]


@pytest.mark.parametrize(
    ("source", "gaps"),
    [
        ("a\n\n\n\nb", [None, ""]),
        ("# a\nb\n# c", [None, "", ""]),
        ("a\n- b\n- c\nd", [None, "", None]),
        ("- a\n\n- b\n\n\n- c", [None, "", ""]),
        ("- a\n  - b\n- c\n\nd", [None, None, None, ""]),
        ("- a\n* b", [None, ""]),
        ("```\na\n\nb\n```\n```\nc\n```", [None, None, None, ""]),
        ("> a\n>\n> b\n>\n> > c\n\n> d", [None, "▌", "▌", ""]),
        ("\n\na", [None]),
    ],
)
def test_blocks_are_parted_by_one_row_and_lists_as_in_the_source(
    source: str, gaps: list[str | None]
) -> None:
    assert [block.gap for block in split(source)] == gaps


def test_heading_levels_and_languages_are_told() -> None:
    assert [block.level for block in split("# a\n###### b\nc\n===\nd\n---")] == [1, 6, 1, 2]
    assert [block.info for block in split("``` Python x=1\na\n```")] == ["python"]


def test_lines_of_code_are_handed_over_at_once() -> None:
    splitter = BlockSplitter()
    assert splitter.feed("```") == []
    assert [block.text for block in splitter.feed("a")] == ["a"]
    assert [block.text for block in splitter.feed("b")] == ["b"]
    assert splitter.pending == []


def test_the_unfinished_source_is_known() -> None:
    splitter = BlockSplitter()
    seen = []
    for line in ("", "- a", "  b", "", "a | b", "-|-", ""):
        splitter.feed(line)
        seen.append((list(splitter.pending), splitter.is_gap_due))
    assert seen == [
        ([], False),
        (["- a"], False),
        (["- a", "  b"], False),
        ([], True),
        (["a | b"], True),
        (["a | b", "-|-"], True),
        ([], True),
    ]


def test_only_the_heading_row_of_a_table_is_taken_from_a_paragraph() -> None:
    splitter = BlockSplitter()
    splitter.feed("text")
    splitter.feed("a | b")
    assert [block.text for block in splitter.feed("-|-")] == ["text"]
    assert splitter.pending == ["a | b", "-|-"]


def test_nesting_is_bounded() -> None:
    (block,) = split(">" * 1000 + " a")
    assert block.first == "▌ " * MAX_DEPTH
    assert len(block.text) > 900


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ("| a | b |", ["a", "b"]),
        ("a|b", ["a", "b"]),
        (r"| a \| b | c \|", ["a | b", "c |"]),
        ("||", [""]),
        ("| a | |", ["a", ""]),
    ],
)
def test_a_row_is_split_at_its_bars(line: str, cells: list[str]) -> None:
    assert split_row(line) == cells


LINES = st.sampled_from(
    [
        "one", "two words", "", "", "# H", "## H ##", "---", "***", "- a", "- b", "+ c", "   + n",
        "    - deep", "1. one", "2. two", "   in item", "  in item", "      deeper", "  1. x",
        "> quote", "> - a", ">", "> ```", "```", "```py", "   ```", "~~~", "<div>", "-->",
        "a | b", "| a | b |", "|---|---|",
    ]
)  # fmt: skip


def ours(source: str) -> list[tuple[str, int, str]]:
    return [
        (block.kind.value, block.rest.count("▌"), "" if block.kind is Kind.TABLE else block.text)
        for block in split(source)
    ]


def theirs(source: str) -> list[tuple[str, int, str]]:
    kinds = {"fence": "code", "code_block": "code", "html_block": "html", "hr": "rule"}
    found: list[tuple[str, int, str]] = []
    depth = 0
    is_table = False
    for token in MarkdownIt("commonmark").enable("table").parse(source):
        depth += token.nesting if token.type.startswith("blockquote") else 0
        if token.type.startswith("table"):
            is_table = token.nesting == 1
            found += [("table", depth, "")] if is_table else []
        elif token.type in kinds:
            lines = [line.rstrip() for line in token.content.split("\n")]
            found.append((kinds[token.type], depth, "\n".join(lines).strip()))
        elif token.type in ("paragraph_open", "heading_open"):
            found.append((token.tag, depth, ""))
        elif token.type == "inline" and not is_table:
            lines = [line.strip() for line in token.content.split("\n")]
            is_heading = found[-1][0] != "p"
            text = (" " if is_heading else "\n").join(lines)
            found[-1] = ("heading" if is_heading else "paragraph", depth, text)
    return found


def joined(blocks: list[tuple[str, int, str]]) -> list[tuple[str, int, list[str]]]:
    """Make one block of adjacent code, as we get it by lines; empty code and text do not count."""
    found: list[tuple[str, int, list[str]]] = []
    for kind, depth, text in blocks:
        if not text.strip() and kind in ("code", "html", "paragraph"):
            continue
        if kind in ("code", "html") and found and found[-1][:2] == (kind, depth):
            found[-1][2].extend(text.split())
        else:
            found.append((kind, depth, text.split()))
    return found


@given(st.lists(LINES, min_size=1, max_size=8).map("\n".join))
def test_the_reference_parser_finds_the_same_blocks(source: str) -> None:
    assert joined(ours(source)) == joined(theirs(source))
