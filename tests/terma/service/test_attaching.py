"""What a window may do: it shows no terminal within itself, and its answers are no typing."""

from __future__ import annotations

import pytest

from backends.errors import NotFound, UsageError
from terma.service import attaching
from terma.service.attaching import attachment_of, check_no_loop
from terma.service.table import Table
from terma.service.terminal import Attachment
from tests.terma.service.test_directory import terminal


def attach(table: Table, name: str, viewer: str) -> None:
    shown = table.find(name)
    check_no_loop(table, shown, viewer)
    number = str(len(shown.attachments))
    shown.attachments[number] = Attachment(number, viewer, 80, 24, is_read_only=False)


@pytest.fixture
def table() -> Table:
    table = Table()
    for name in ("alice", "bob", "carol"):
        table.add(terminal(name))
    return table


def test_a_person_may_look_at_any(table: Table) -> None:
    for name in ("alice", "bob", "alice"):
        attach(table, name, "user")


def test_no_terminal_shows_itself(table: Table) -> None:
    with pytest.raises(UsageError, match="alice would show itself"):
        attach(table, "alice", "id-alice")


def test_nor_through_others(table: Table) -> None:
    attach(table, "bob", "id-alice")
    attach(table, "carol", "id-bob")
    attach(table, "carol", "user")
    with pytest.raises(UsageError, match="alice would show itself"):
        attach(table, "alice", "id-carol")
    attach(table, "carol", "id-alice")  # twice the same way is no loop


def test_an_attachment_that_is_over_is_told(table: Table) -> None:
    with pytest.raises(NotFound):
        attachment_of(table.find("alice"), "0")


@pytest.mark.parametrize(
    "said",
    [
        b"\x1b[?62;22c",
        b"\x1b[>1;10;0c",
        b"\x1b[24;80R",
        b"\x1b[0n",
        b"\x1b[?1u",
        b"\x1b[?2026;2$y",
        b"\x1b[I",
        b"\x1b]11;rgb:0000/0000/0000\x07",
        b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
        b"\x1bP1$r0m\x1b\\",
        b"\x1b[?62;22c\x1b[24;80R",
    ],
)
def test_what_a_window_says_by_itself_is_no_typing(said: bytes) -> None:
    assert attaching._ANSWERS.fullmatch(said)


@pytest.mark.parametrize(
    "typed",
    [
        b"x",
        b"\r",
        b"\x1b",
        b"\x1b[A",
        b"\x1b[97;5u",
        b"\x1b[200~hi\x1b[201~",
        b"\x1b[I x",
        b"\x1bOP",
    ],
)
def test_keys_are_typing(typed: bytes) -> None:
    assert not attaching._ANSWERS.fullmatch(typed)
