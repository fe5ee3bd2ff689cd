"""Names, roles and everybody."""

from __future__ import annotations

import pytest

from backends.errors import NotFound, TektonError, UsageError
from backends.protocol.terminals import TerminalState
from terma.service.directory import find_terminal, resolve
from terma.service.feed import Feed
from terma.service.state import Activity, Seen
from terma.service.store import StoredTerminal
from terma.service.terminal import Terminal


def terminal(name: str, *roles: str) -> Terminal:
    stored = StoredTerminal(
        id=f"id-{name}", name=name, kind="shell", roles=roles, command=("bash",), folder="/",
        worktree=None, columns=80, rows=24, is_recorded=True, started_at=0.0, ended_at=None,
        closed_at=None, exit_status=None, reason=None, token_hash="",
    )  # fmt: skip
    return Terminal(stored, Activity(Seen(TerminalState.IDLE, "output", 0.0)), Feed(0))


KNOWN = [terminal("alice", "coding", "test"), terminal("bob", "test"), terminal("carol")]


@pytest.mark.parametrize("word", ["alice", "Alice", "alice-ci", "id-alice"])
def test_a_terminal_is_found_by_each_of_its_names(word: str) -> None:
    assert find_terminal(KNOWN, word) is KNOWN[0]


def test_an_unknown_name_is_told_with_one_like_it() -> None:
    with pytest.raises(NotFound) as caught:
        find_terminal(KNOWN, "alise")
    assert caught.value.message == "no terminal named 'alise'"
    assert "did you mean 'alice'?" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("words", "sender", "found"),
    [
        (["alice"], "user", ["id-alice"]),
        (["alice", "bob", "alice"], "user", ["id-alice", "id-bob"]),
        (["@test"], "user", ["id-alice", "id-bob"]),
        (["@Test"], "id-alice", ["id-bob"]),
        (["@all"], "id-bob", ["id-alice", "id-carol"]),
        (["@all", "user"], "id-bob", ["id-alice", "id-carol", "user"]),
        (["alice"], "id-alice", ["id-alice"]),
    ],
)
def test_addresses_are_resolved(words: list[str], sender: str, found: list[str]) -> None:
    assert resolve(words, KNOWN, sender) == found


@pytest.mark.parametrize(
    ("words", "sender", "kind", "message"),
    [
        ([], "user", UsageError, "nobody is named"),
        (["@tets"], "user", NotFound, "no other terminal has the role 'tets'"),
        (["@coding"], "id-alice", NotFound, "no other terminal has the role 'coding'"),
        (["alice", "zed"], "user", NotFound, "no terminal named 'zed'"),
    ],
)
def test_an_address_of_nobody_is_refused(
    words: list[str], sender: str, kind: type[TektonError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        resolve(words, KNOWN, sender)
    assert caught.value.message == message


def test_everybody_is_nobody_where_one_is_alone() -> None:
    with pytest.raises(NotFound):
        resolve(["@all"], KNOWN[:1], "id-alice")


def test_a_role_like_it_is_suggested() -> None:
    with pytest.raises(NotFound) as caught:
        resolve(["@codin"], KNOWN, "user")
    assert "'@coding'" in str(caught.value.hint)


@pytest.mark.parametrize("word", ["dora", "Dora-ci", "id-dora"])
def test_one_that_is_closed_is_told_as_such(word: str) -> None:
    former = {"id-dora": "dora", "dora": "dora"}.get
    for find in (
        lambda: find_terminal(KNOWN, word, former),
        lambda: resolve(["alice", word], KNOWN, "user", former),
    ):
        with pytest.raises(NotFound) as caught:
            find()
        assert caught.value.message == "dora is closed"
        assert (
            caught.value.hint == "`terma new dora` makes a new one, `terma log dora` shows its log"
        )
    assert find_terminal(KNOWN, "alice", {"alice": "alice"}.get) is KNOWN[0]
