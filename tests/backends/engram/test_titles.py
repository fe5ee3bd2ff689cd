"""Titles and names of conversations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.engram.titles import check_name, fork_title, is_name, own_title, title_of
from backends.errors import UsageError


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("Hello", "Hello"),
        ("\n \t\r\n  What   is\tthis?  \nmore", "What is this?"),
        ("\x1b]0;owned\x07\nreal", "real"),
        ("\u202e\u200b\nreal", "real"),
        ("", ""),
        (" \n ", ""),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
        ("a " * 40, "a " * 29 + "a…"),
        ("\n" * 300_000 + "late", "late"),
    ],
)
def test_the_title_is_the_first_line_that_says_something(prompt: str, title: str) -> None:
    assert title_of(prompt) == title


@given(st.text())
def test_any_prompt_gives_one_short_printable_line(prompt: str) -> None:
    title = title_of(prompt)
    assert len(title) <= 60
    assert len(title.splitlines()) <= 1
    assert "\x1b" not in title
    assert title == title.strip()
    title.encode()


def test_a_title_of_ones_own_may_be_longer_but_not_endless() -> None:
    assert own_title(" a\nlong  way \x1b[1mhome ") == "a long way home"
    assert len(own_title("x" * 100_000)) == 200


def test_a_fork_is_marked_once() -> None:
    assert fork_title("plan") == "plan (fork)"
    assert fork_title(fork_title("plan")) == "plan (fork)"
    assert len(fork_title("x" * 200)) == 200


@pytest.mark.parametrize(
    "name", ["plan", "a", "abc", "9", "2026-11", "cafe-1", "x" * 64, "a.b_c-D"]
)
def test_a_name_is_made_of_letters_digits_and_marks(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["cafe", "DEADBEEF", "2026", "0" * 32, "a" * 40])
def test_what_looks_like_an_id_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="beginning of an id") as raised:
        check_name(name)
    suggestion = str(raised.value.hint).split("`")[1]
    check_name(suggestion)


@pytest.mark.parametrize(
    "name", ["", "-x", ".x", "_x", "a b", "x" * 65, "über", "a/b", "plan\n", "a\0", "\ud800", "٣"]
)
def test_anything_else_is_refused_with_the_rule(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(UsageError, match="no conversation can be named") as raised:
        check_name(name)
    assert "64 letters" in str(raised.value.hint)
