"""Characters that come at once are a paste."""

from __future__ import annotations

import pytest
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys

from aish.chat.burst import LARGE, LEAST, merged

LINE = "x" * LEAST


def keys_of(text: str) -> list[KeyPress]:
    keys: list[KeyPress] = []
    Vt100Parser(keys.append).feed(text)
    return keys


def pastes_in(text: str) -> list[str]:
    return [key.data for key in merged(keys_of(text)) if key.key is Keys.BracketedPaste]


@pytest.mark.parametrize(
    ("text", "pastes"),
    [
        (LINE, [LINE]),
        (LINE[1:], []),
        (f"{LINE}\r\r", [LINE]),
        (f"a\rb\tc{LINE}\r", [f"c{LINE}"]),
        ("a\r\tb" * LARGE + "\r", ["a\n\tb" * LARGE]),
        ("one\rtwo\r", []),
        (f"{LINE}\x03{LINE}", [LINE, LINE]),
        ("漢" * LEAST, ["漢" * LEAST]),
        (f"\x1b[200~{LINE}\x1b[201~", [LINE]),
    ],
)
def test_a_long_run_is_a_paste_without_the_breaks_around_it(text: str, pastes: list[str]) -> None:
    assert pastes_in(text) == pastes


@pytest.mark.parametrize(
    "text", ["\x1b\r", "\x1bb", "\x1b[A" * 40, "\x01\x05", "\r" * 40, "short\r", "\t" * 40]
)
def test_keys_stay_keys(text: str) -> None:
    assert list(merged(keys_of(text))) == keys_of(text)


def test_nothing_is_lost_around_a_paste() -> None:
    keys = list(merged(keys_of(f"\x1bf{LINE}\r")))
    assert [key.key for key in keys] == [Keys.Escape, "f", Keys.BracketedPaste, Keys.ControlM]
