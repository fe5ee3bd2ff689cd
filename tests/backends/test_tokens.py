"""Tokens: kept as hashes, checked in every process, slow for whoever guesses."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from backends.errors import NotFound, StorageError, UsageError
from backends.tokens import TokenStore


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asleep = 0
        self.most_asleep = 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.asleep += 1
        self.most_asleep = max(self.asleep, self.most_asleep)
        await asyncio.sleep(0)
        self.now += seconds
        self.asleep -= 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "tokens.json"


def is_valid(store: TokenStore, secret: str) -> bool:
    return asyncio.run(store.is_valid(secret, "tcp 127.0.0.1:1"))


def test_a_token_is_shown_once_and_kept_as_a_hash(file: Path) -> None:
    store = TokenStore(file)
    secret = store.create("laptop", 5.0)
    assert len(secret) >= 43  # 256 bits in base64
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [(token.name, token.created_at) for token in store.list()] == [("laptop", 5.0)]
    assert is_valid(store, secret)


def test_tokens_differ(file: Path) -> None:
    store = TokenStore(file)
    assert len({store.create(f"t{number}", 0.0) for number in range(20)}) == 20
    assert [token.name for token in store.list()] == [f"t{number}" for number in range(20)]


def test_a_name_stands_for_one_token(file: Path) -> None:
    store = TokenStore(file)
    store.create("laptop", 0.0)
    with pytest.raises(UsageError, match="there is a token named 'laptop' already"):
        store.create("laptop", 0.0)


def test_a_revoked_token_counts_no_more_in_any_process(file: Path) -> None:
    store, other = TokenStore(file), TokenStore(file)
    kept, gone = store.create("kept", 0.0), store.create("gone", 0.0)
    assert is_valid(other, gone)
    store.revoke("gone")
    assert not is_valid(other, gone)
    assert is_valid(other, kept)
    with pytest.raises(NotFound, match="no token named 'gone'"):
        store.revoke("gone")


@pytest.mark.parametrize("secret", ["", "wrong", "x" * 100_000, "ü", "\udcff", "\0"])
def test_what_is_no_token_is_refused(file: Path, secret: str) -> None:
    store = TokenStore(file)
    assert not is_valid(store, secret)
    store.create("laptop", 0.0)
    assert not is_valid(store, secret)


def test_guessing_becomes_slow_one_at_a_time_and_a_right_token_does_not(file: Path) -> None:
    async def work() -> None:
        time = Time()
        store = TokenStore(file, time.clock, time.sleep)
        secret = store.create("laptop", 0.0)
        for _ in range(5):
            assert not await store.is_valid("wrong", "a")
        assert time.now == 0
        guesses = [asyncio.create_task(store.is_valid("wrong", "b")) for _ in range(10)]
        await asyncio.sleep(0)
        assert await store.is_valid(secret, "c")
        assert time.now == 0
        assert await asyncio.gather(*guesses) == [False] * 10
        assert time.now == 10
        assert time.most_asleep == 1

    asyncio.run(work())


def test_failures_are_forgotten_after_a_minute(file: Path) -> None:
    async def work() -> None:
        time = Time()
        store = TokenStore(file, time.clock, time.sleep)
        for _ in range(6):
            await store.is_valid("wrong", "a")
        assert time.now == 1
        time.now += 60
        for _ in range(5):
            await store.is_valid("wrong", "a")
        assert time.now == 61

    asyncio.run(work())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"tokens": 5}', '{"tokens": [{}]}', "\xff", '{"tokens": [{"name":1}]}']
)
def test_a_broken_file_is_told_and_lets_nobody_in(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_bytes(text.encode("latin-1"))
    store = TokenStore(file)
    for act in (store.list, lambda: store.create("a", 0.0), lambda: is_valid(store, "a")):
        with pytest.raises(StorageError, match=r"cannot read .*tokens\.json"):
            act()
    assert file.read_bytes() == text.encode("latin-1")


def test_a_hash_that_is_none_matches_nothing(file: Path) -> None:
    file.parent.mkdir()
    tokens = [{"name": "a", "hash": found, "created_at": 0} for found in ("", "ü", "wrong")]
    file.write_text(json.dumps({"tokens": tokens}), encoding="utf-8")
    assert not is_valid(TokenStore(file), "wrong")
    assert not is_valid(TokenStore(file), "")


def test_a_link_in_place_of_the_new_file_is_not_followed(file: Path, tmp_path: Path) -> None:
    store = TokenStore(file)
    store.create("a", 0.0)
    target = tmp_path / "target"
    target.write_text("untouched")
    file.with_suffix(f".{os.getpid()}.tmp").symlink_to(target)
    with pytest.raises(StorageError, match=r"cannot write .*symbolic links"):
        store.create("b", 0.0)
    assert target.read_text() == "untouched"
