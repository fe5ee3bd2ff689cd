"""What is taken out of untrusted text, and what stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.cleaning import MAX_SEQUENCE, Cleaner, clean, clean_line

FORBIDDEN = (
    {chr(code) for code in range(0x20) if chr(code) not in "\n\t"}
    | {chr(code) for code in range(0x7F, 0xA0)}
    | set("\u061c\u200b\u200e\u200f\u2060\ufeff\u2028\u2029")
    | {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
    | {chr(code) for code in range(0xE0000, 0xE0080)}
    | {chr(code) for code in range(0xD800, 0xE000)}
)

PIECES = st.sampled_from(
    [
        "\x1b", "[", "]", "P", "\\", "(", "8;;", "52;c;", "31", "m", "\x07", "\x9b", "\x9c", "\x9d",
        "\x90", "\x98", "\x18", "\r", "\n", "\t", "a", "é", "漢", "👩", "\u200d", "\ufe0f",
        "\u202e", "\x1b]", "\x1b[", "\x1b\\", "\udcff", "\x7f", "\u200b", "\U000e0041", "ب",
        "\u200c",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=[])), st.lists(PIECES, max_size=40).map("".join)
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0mb", "aredb"),
        ("a\x1b[?1049hb", "ab"),
        ("a\x1b[1;2 qb", "ab"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]0;title\x1b\\b", "ab"),
        ("a\x1b]8;;http://evil.example\x1b\\good\x1b]8;;\x1b\\b", "agoodb"),
        ("a\x1b]52;c;cm0gLXJmIH4=\x07b", "ab"),
        ("a\x1bP+q544e\x1b\\b", "ab"),
        ("a\x1b_Gi=1;AAAA\x1b\\b", "ab"),
        ("a\x1b^private\x1b\\b", "ab"),
        ("a\x1bXstring\x1b\\b", "ab"),
        ("a\x1b(0b", "ab"),
        ("a\x1b#8b", "ab"),
        ("a\x1b%Gb", "ab"),
        ("a\x1bcb", "ab"),
        ("a\x1b7b\x1b8c", "abc"),
        ("a\x1b\x1b[31mb", "ab"),
        ("a\x9b31mb", "ab"),
        ("a\x9d0;title\x9cb", "ab"),
        ("a\x90payload\x9cb", "ab"),
        ("a\x9d0;title\x1b\\b", "ab"),
        ("a\x85b\x80c\x9cd", "abcd"),
        ("a\x00\x08\x0b\x0c\x7fb", "ab"),
        ("a\r\nb\rc", "a\nbc"),
        ("a\tb\nc", "a\tb\nc"),
        ("user\u202egpj.exe", "usergpj.exe"),
        ("a\u2066b\u2069\u200e\u200f\u061cc", "abc"),
        ("a\u200bb\u2060c\ufeffd\u00ade", "abcde"),
        ("a\U000e0041\U000e0042b", "ab"),
        ("a\U000e0101b", "ab"),
        ("a\u2028b\u2029c", "a\nb\nc"),
        ("a\ud800b", "a\ufffdb"),
    ],
)
def test_what_drives_or_deceives_a_terminal_is_removed(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b", "a"),
        ("a\x1b[3", "a"),
        ("a\x1b]0;title", "a"),
        ("a\x1b]0;tit\nle\x07b", "a\nleb"),
        ("a\x1b[3\n1mb", "a\n1mb"),
        ("a\x1b\nb", "a\nb"),
        ("a\x1b]0;title\x18b", "ab"),
        ("a\x1b[3\x1ab", "ab"),
        ("a\x1b]0;title\x1b[31mb", "ab"),
        ("a\x1bP1\x07hidden\x1b\\b", "ab"),
        ("a\x1b[3漢b", "a漢b"),
        ("a\x1béb", "aéb"),
        ("a\x1b[3\x9d0;t\x07b", "ab"),
        ("a\x1b[\x08\x7f31mb", "ab"),
    ],
)
def test_a_broken_sequence_ends_where_it_cannot_go_on(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain ASCII, \"quotes\" and 'apostrophes'",
        "漢字、かな　全角",
        "👩\u200d👩\u200d👧 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3 👍🏽",
        "می\u200cخواهم",
        "e\u0301 \u00a0 ﬁ \ue0b0 😀",
        "لا إله",
    ],
)
def test_what_scripts_and_emoji_need_stays(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pass\u200dword", "password"),
        ("👩\u200d\u200d\u200c\u200d👧", "👩\u200d👧"),
        ("a\ufe0f\ufe00\ufe01b", "a\ufe0fb"),
        ("\ufe0f\u200da", "a"),
        ("a \ufe0fb", "a b"),
    ],
)
def test_joiners_and_selectors_cannot_pile_up_to_hide_something(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(TEXTS, st.data())
def test_the_pieces_a_text_comes_in_make_no_difference(text: str, data: st.DataObject) -> None:
    cleaner = Cleaner()
    shown, start = "", 0
    while start < len(text):
        end = data.draw(st.integers(start + 1, len(text)))
        shown += cleaner.feed(text[start:end])
        start = end
    assert shown + cleaner.finish() == clean(text)


@given(TEXTS)
def test_nothing_forbidden_comes_through(text: str) -> None:
    shown = clean(text)
    assert not FORBIDDEN & set(shown)
    shown.encode()  # a lone surrogate would raise


@given(TEXTS)
def test_what_is_clean_stays_as_it_is(text: str) -> None:
    assert clean(clean(text)) == clean(text)


def test_clean_text_is_not_even_copied() -> None:
    for text in ("word", "two words, 漢字 and ünïcode"):
        assert clean(text) is text


@pytest.mark.parametrize("start", ["\x1b]", "\x1bP", "\x9d", "\x1b["])
def test_a_sequence_without_end_hides_a_bounded_stretch(start: str) -> None:
    cleaner = Cleaner()
    assert cleaner.feed("a" + start) == "a"
    assert cleaner.feed("0" * MAX_SEQUENCE) == ""
    assert cleaner.feed("shown" * 2).endswith("shown")


def test_finish_forgets_an_unfinished_sequence() -> None:
    cleaner = Cleaner()
    assert cleaner.feed("a\x1b]0;title") + cleaner.finish() == "a"
    assert cleaner.feed("title\x07b") == "titleb"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one line", "one line"),
        ("two\nlines", "two lines"),
        ("a\r\n\tb\n\n", "a b"),
        ("\n\ta", "a"),
        ("two  spaces", "two  spaces"),
        ("a\x1b[31m\nb", "a b"),
        ("a\u2028b", "a b"),
        ("", ""),
    ],
)
def test_a_line_has_spaces_for_breaks_and_tabs(text: str, line: str) -> None:
    assert clean_line(text) == line


@given(TEXTS)
def test_a_line_is_one_line(text: str) -> None:
    assert not (FORBIDDEN | {"\n", "\t"}) & set(clean_line(text))
    assert len(clean_line(text).splitlines()) <= 1


def test_importing_it_costs_next_to_nothing() -> None:
    source = "import sys; before = set(sys.modules); import backends.cleaning; "
    source += "print(*sorted(set(sys.modules) - before))"
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-S", "-c", source],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(found.stdout.split()) <= {"__future__", "backends", "backends.cleaning", "itertools"}
