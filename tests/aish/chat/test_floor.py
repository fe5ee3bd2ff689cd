"""Who is shown when of several that answer at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aish.chat.floor import Floor


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, name: str) -> None:
        self.lines.append(f"{name}: ")

    def take(self, text: str) -> None:
        self.lines[-1] += text

    def end(self, note: str | None) -> None:
        self.lines[-1] += f" ({note})" if note else "."


def test_one_speaks_and_the_others_wait() -> None:
    heard = Heard()
    floor = Floor(heard)
    for name, text in [("a", "1"), ("b", "x"), ("a", "2"), ("c", "y")]:
        floor.take(name, text)
    assert heard.lines == ["a: 12"]
    floor.end("c")
    floor.end("a", "stopped")
    assert heard.lines == ["a: 12 (stopped)", "c: y.", "b: x"]
    floor.take("b", "z")
    floor.end("b")
    assert heard.lines[-1] == "b: xz."


def test_who_says_nothing_and_has_nothing_to_be_said_of_is_not_named() -> None:
    heard = Heard()
    floor = Floor(heard)
    floor.end("a")
    floor.take("b", "x")
    floor.end("c")
    floor.end("b")
    assert heard.lines == ["b: x."]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12|"))))
def test_every_answer_is_shown_once_and_whole(moves: list[tuple[str, str]]) -> None:
    heard = Heard()
    floor = Floor(heard)
    texts: dict[str, str] = {}
    ended: set[str] = set()
    for name, move in moves:
        if name in ended:
            continue
        if move == "|":
            ended.add(name)
            floor.end(name, "end")
        else:
            texts[name] = texts.get(name, "") + move
            floor.take(name, move)
    for name in "abc":
        if name not in ended:
            floor.end(name, "end")
    expected = {f"{name}: {texts.get(name, '')} (end)" for name in "abc"}
    assert sorted(heard.lines) == sorted(expected)
