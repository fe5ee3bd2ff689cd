"""The status line, and what keeps output off it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.protocol.terminals import TerminalInfo, TerminalState
from terma.attach.status import Guard, status_text


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b"\x1b[r", b"\x1b[1;9r"),
        (b"\x1b[;r", b"\x1b[1;9r"),
        (b"\x1b[3;7r", b"\x1b[3;7r"),
        (b"\x1b[3r", b"\x1b[3;9r"),
        (b"\x1b[1;10r", b"\x1b[1;9r"),
        (b"\x1b[999;1H", b"\x1b[9;1H"),
        (b"\x1b[10f", b"\x1b[9f"),
        (b"\x1b[12d", b"\x1b[9d"),
        (b"\x1b[5;70H", b"\x1b[5;70H"),
        (b"\x1b[?1r", b"\x1b[?1r"),
        (b"plain\r\n\x1b[31mred", b"plain\r\n\x1b[31mred"),
    ],
)
def test_output_is_kept_off_the_last_row(output: bytes, shown: bytes) -> None:
    assert Guard(9).feed(output) == shown


@pytest.mark.parametrize("output", [b"\x1b[2J", b"\x1b[J", b"\x1b[?1049h", b"\x1bc", b"\x1b[!p"])
def test_what_clears_the_row_is_noticed(output: bytes) -> None:
    guard = Guard(9)
    guard.is_cleared = False
    guard.feed(b"x" + output[:-1])
    assert not guard.is_cleared
    assert guard.feed(output[-1:]).startswith(output)
    assert guard.is_cleared


def test_a_reset_is_followed_by_the_region() -> None:
    assert Guard(9).feed(b"\x1bcx") == b"\x1bc\x1b7\x1b[1;9r\x1b8x"


@given(st.binary(max_size=60), st.integers(1, 59))
def test_where_output_is_cut_makes_no_difference(output: bytes, at: int) -> None:
    whole, cut = Guard(9), Guard(9)
    assert cut.feed(output[:at]) + cut.feed(output[at:]) == whole.feed(output)


def test_the_words_tell_name_state_and_what_waits() -> None:
    info = TerminalInfo(
        name="alice", id="a", state=TerminalState.WAITING, detail="Bash", unread=1, attached=2
    )
    assert status_text("alice", info) == " alice | waiting: Bash | 1 unread | 1 other attached"
    assert status_text("alice", info, is_read_only=True).startswith(" alice | read-only | waiting")
    assert status_text("alice", None, is_read_only=True) == " alice | read-only"
    assert status_text("alice", None, "no\x1b漢") == " alice | no??"
