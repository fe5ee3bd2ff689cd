"""Tests of `backends.providers.sse`."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.providers import sse
from backends.providers.sse import EventDecoder

# A payload may hold anything but the characters that end a line of the format.
payloads = st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8")), min_size=1)
noise = st.sampled_from(
    ["", ": comment\n", "event: x\n", "id: 1\n", "retry: 5\n", "\n", "dat: 1\n"]
)


@given(
    events=st.lists(st.tuples(noise, payloads)),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    space=st.sampled_from(["", " "]),
    cuts=st.lists(st.integers(0, 10_000)),
)
def test_events_survive_any_cutting(
    events: list[tuple[str, list[str]]], end: str, space: str, cuts: list[int]
) -> None:
    text = ""
    for before, lines in events:
        # Without the space, a line's own first space would be taken for it.
        sep = space or (" " if any(line.startswith(" ") for line in lines) else "")
        text += before + "".join(f"data:{sep}{line}\n" for line in lines) + "\n"
    stream = text.replace("\n", end).encode()
    decoder = EventDecoder()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    found: list[str] = []
    for start, stop in pairwise(edges):
        found += decoder.feed(stream[start:stop])
    assert found == ["\n".join(lines) for _, lines in events]


def test_an_event_counts_once_its_blank_line_has_come() -> None:
    decoder = EventDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\ndata: b") == ["a"]
    assert decoder.feed(b"\n\n") == ["b"]


def test_a_field_without_a_value_is_an_empty_line() -> None:
    assert EventDecoder().feed(b"data\ndata\n\n") == ["\n"]


def test_an_event_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    decoder = EventDecoder()
    for _ in range(5):  # many events are no large event
        assert decoder.feed(b"data: " + b"x" * 300 + b"\n\n") == ["x" * 300]
    decoder.feed(b"data: " + b"x" * 800)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        decoder.feed(b"x" * 800)


def test_what_is_not_utf_8_is_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        EventDecoder().feed(b"data: \xff\n\n")
