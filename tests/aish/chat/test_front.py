"""Small texts of a chat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.chat.front import shortened
from aish.layout import cells


@pytest.mark.parametrize(
    ("text", "expected"),
    [("short", "short"), ("two\nlines  here", "two lines here"), ("x" * 30, "x" * 19 + "…")],
)
def test_a_text_is_shortened_to_one_line(text: str, expected: str) -> None:
    assert shortened(text, 20) == expected


@given(st.text(alphabet="a漢 \n", max_size=300), st.integers(2, 60))
def test_a_shortened_text_fits(text: str, width: int) -> None:
    assert cells(shortened(text, width)) <= width


def test_a_very_long_text_is_not_read_to_its_end() -> None:
    assert shortened("a" + " " * 100_000 + "b", 20) == "a…"
