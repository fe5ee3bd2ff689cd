"""Characters that hide are shown for what they are, and the cursor stays where it belongs."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text.utils import fragment_list_to_text
from prompt_toolkit.layout.processors import Transformation, TransformationInput

from aish.chat.hidden import ShowHidden


def shown(text: str) -> Transformation:
    given_ = TransformationInput(
        cast(Any, None), Document(text), 0, lambda n: n, [("", text)], 80, 24
    )
    return ShowHidden().apply_transformation(given_)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("漢字 é e\u0301", "漢字 é e\u0301"),
        ("a\u202eb", "a<202e>b"),
        ("a\u200bb\u2066", "a<200b>b<2066>"),
        ("pass\u200dword", "pass<200d>word"),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("\U000e0041", "<e0041>"),
        ("\u2028", "<2028>"),
        ("\udcff", "<dcff>"),
    ],
)
def test_what_hides_is_shown_as_its_number(text: str, expected: str) -> None:
    assert fragment_list_to_text(shown(text).fragments) == expected


@given(st.text(alphabet="ab漢\u202e\u200b\u200d", max_size=20))
def test_the_cursor_is_where_it_belongs(text: str) -> None:
    line = shown(text)
    width = len(fragment_list_to_text(line.fragments))
    for position in range(len(text) + 3):
        there = line.source_to_display(position)
        assert line.display_to_source(there) == position
        before = fragment_list_to_text(shown(text[:position]).fragments)
        assert there == len(before) + max(position - len(text), 0)
    assert line.source_to_display(len(text)) == width
