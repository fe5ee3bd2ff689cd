"""What a person types, and the key that lets go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.errors import UsageError
from terma.attach.keys import DOUBLE_S, Key, Keys, parse_key

BRACKET = Key("]")
ENCODINGS = [
    b"\x1d",
    b"\x1b[93;5u",
    b"\x1b[93;5:1u",
    b"\x1b[93;69u",  # with Caps Lock
    b"\x1b[93;133u",  # with Num Lock
    b"\x1b[1098::93;5u",  # the key that is ] on the layout that it has in Latin letters
    b"\x1b[27;5;93~",
]


def test_keys_pass_at_once() -> None:
    keys = Keys(BRACKET)
    assert keys.feed(b"ls\r", 0.0) == b"ls\r"
    assert keys.feed(b"\x1b[A\x1bOP\x1b[1;5C\x1b[<0;10;20M", 0.0) == (
        b"\x1b[A\x1bOP\x1b[1;5C\x1b[<0;10;20M"
    )
    assert keys.deadline is None


@pytest.mark.parametrize("press", ENCODINGS)
def test_one_press_detaches(press: bytes) -> None:
    keys = Keys(BRACKET)
    assert keys.feed(b"ls" + press, 10.0) == b"ls"
    assert not keys.is_detached
    assert keys.deadline == 10.0 + DOUBLE_S
    assert keys.expire(10.0 + DOUBLE_S) == b""
    assert keys.is_detached


@pytest.mark.parametrize("press", ENCODINGS)
def test_two_presses_send_one_through(press: bytes) -> None:
    keys = Keys(BRACKET)
    assert keys.feed(press, 0.0) + keys.feed(press, 0.1) + keys.feed(b"x", 0.2) == press + b"x"
    assert not keys.is_detached
    assert keys.deadline is None


def test_two_presses_in_one_read_send_one_through() -> None:
    assert Keys(BRACKET).feed(b"a\x1d\x1db", 0.0) == b"a\x1db"


def test_another_key_after_the_press_detaches_and_is_not_typed() -> None:
    keys = Keys(BRACKET)
    assert keys.feed(b"\x1d", 0.0) == b""
    assert keys.feed(b"ls", 0.1) == b""
    assert keys.is_detached


def test_letting_go_of_the_keys_is_no_other_key() -> None:
    keys = Keys(BRACKET)
    keys.feed(b"\x1b[93;5u", 0.0)
    assert keys.feed(b"\x1b[93;5:3u\x1b[57442;5:3u", 0.05) == b""
    assert not keys.is_detached
    assert keys.feed(b"\x1b[57442;5u\x1b[93;5u", 0.1) == b"\x1b[93;5u"


@pytest.mark.parametrize(
    "other",
    [
        b"]",
        b"\x1b[93u",
        b"\x1b[93;6u",
        b"\x1b[93;5:3u",
        b"\x1b[27;6;93~",
        b"\x1b[92;5u",
        b"\x1b[5~",
    ],
)
def test_other_keys_do_not_detach(other: bytes) -> None:
    keys = Keys(BRACKET)
    assert keys.feed(other, 0.0) == other
    assert keys.deadline is None


@pytest.mark.parametrize("press", ENCODINGS)
def test_within_a_bracketed_paste_the_key_is_text(press: bytes) -> None:
    keys = Keys(BRACKET)
    pasted = b"\x1b[200~ab" + press + press + b"\x1b[201~"
    assert keys.feed(pasted, 0.0) == pasted
    assert keys.feed(press, 0.0) == b""
    keys.expire(1.0)
    assert keys.is_detached


def test_in_a_burst_without_marks_the_byte_is_text_but_for_the_last() -> None:
    keys = Keys(BRACKET)
    burst = b"x" * 40 + b"\x1d" + b"y" * 40
    assert keys.feed(burst, 0.0) == burst
    assert keys.feed(burst + b"\x1d", 0.0) == burst
    keys.expire(1.0)
    assert keys.is_detached


def test_a_lone_escape_passes_at_once_and_may_begin_a_paste() -> None:
    keys = Keys(BRACKET)
    assert keys.feed(b"\x1b", 0.0) == b"\x1b"
    assert keys.deadline is None
    assert keys.feed(b"[200~\x1d", 0.0) == b"[200~\x1d"
    assert keys.feed(b"\x1b", 0.0) + keys.feed(b"[201~", 0.0) == b"\x1b[201~"
    assert keys.feed(b"\x1d", 0.0) == b""


def test_a_sequence_in_parts_is_held_for_a_moment_only() -> None:
    keys = Keys(BRACKET)
    assert keys.feed(b"\x1b[93", 0.0) == b""
    assert keys.feed(b";5u", 0.01) == b""
    assert keys.feed(b"\x1b[93;5u", 0.02) == b"\x1b[93;5u"
    assert keys.feed(b"\x1b[", 1.0) == b""
    deadline = keys.deadline
    assert deadline is not None
    assert keys.expire(deadline) == b"\x1b["
    assert keys.deadline is None
    assert keys.feed(b"A", 2.0) == b"A"


def test_the_key_whose_first_byte_has_gone_on_is_known_all_the_same() -> None:
    keys = Keys(BRACKET)
    assert keys.feed(b"\x1b", 0.0) == b"\x1b"
    assert keys.feed(b"[93;5u", 0.0) == b""
    assert keys.expire(1.0) == b""
    assert keys.is_detached


@given(st.lists(st.binary(max_size=50).filter(lambda data: b"\x1d" not in data), max_size=12))
def test_whatever_is_typed_without_the_key_arrives_whole(reads: list[bytes]) -> None:
    keys = Keys(BRACKET)
    out = b"".join(keys.feed(data, 0.0) for data in reads) + keys.expire(1.0)
    assert out == b"".join(reads)


@given(
    st.lists(st.sampled_from([b"\x1b", b"[", b"200~", b"201~", b"9", b"3;5", b"a"]), max_size=20)
)
def test_sequences_in_any_parts_arrive_whole(reads: list[bytes]) -> None:
    keys = Keys(Key("a"))
    out = b"".join(keys.feed(data, 0.0) for data in reads) + keys.expire(1.0)
    assert out == b"".join(reads)


@pytest.mark.parametrize(
    ("text", "byte"), [("ctrl-]", b"\x1d"), ("C-a", b"\x01"), ("^]", b"\x1d"), ("Ctrl+\\", b"\x1c")]
)
def test_a_key_is_read_as_people_write_it(text: str, byte: bytes) -> None:
    assert parse_key(text).byte == byte


@pytest.mark.parametrize("text", ["", "]", "ctrl-[", "ctrl-m", "ctrl-i", "ctrl-5", "alt-x"])
def test_what_cannot_be_the_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be the key"):
        parse_key(text)
