"""Tokens of remote clients: made once, shown once, stored as hashes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from backends.errors import InvalidMessage, NotFound, StorageError, UsageError
from backends.paths import private_folder
from backends.protocol import schema

_BYTES = 32
_FREE_FAILURES = 5
_WINDOW_S = 60.0
_SLOW_DOWN_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token as it is stored: `hash` is SHA-256 of the token, in hexadecimal."""

    name: str
    hash: str
    created_at: float


@dataclass(frozen=True, kw_only=True)
class _File:
    tokens: tuple[Token, ...] = ()


class TokenStore:
    """The file of tokens, 0600; a change counts at the next use, in every process.

    After 5 wrong tokens within a minute every further answer to a wrong one takes a second.
    """

    def __init__(
        self,
        file: Path,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._file = file
        self._clock = clock
        self._sleep = sleep
        self._failures: list[float] = []
        self._one_at_a_time = asyncio.Lock()

    def create(self, name: str, now: float) -> str:
        """Make a token of 256 bits and return it; only its hash is kept.

        Raises:
            UsageError: The name is taken.
            StorageError: The file cannot be read or written.
        """
        tokens = self.list()
        if any(token.name == name for token in tokens):
            raise UsageError(
                f"there is a token named {name!r} already",
                f"choose another name, or `tekton token revoke {name}` first",
            )
        secret = secrets.token_urlsafe(_BYTES)
        self._write((*tokens, Token(name=name, hash=_hash(secret), created_at=now)))
        return secret

    def list(self) -> tuple[Token, ...]:
        """Return every token, oldest first.

        Raises:
            StorageError: The file cannot be read.
        """
        try:
            return schema.decode(_File, json.loads(self._file.read_bytes())).tokens
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, InvalidMessage) as error:
            raise StorageError(f"cannot read {self._file}: {error}") from error

    def revoke(self, name: str) -> None:
        """Remove a token; connections that it opened go on until they end.

        Raises:
            NotFound: No token has that name.
        """
        tokens = self.list()
        kept = tuple(token for token in tokens if token.name != name)
        if len(kept) == len(tokens):
            raise NotFound(f"no token named {name!r}", "`tekton token list` shows all")
        self._write(kept)

    async def is_valid(self, secret: str, who: str) -> bool:
        """Tell whether a token is one of ours, in constant time; slow for whoever guesses."""
        found = _hash(secret)
        matches = [
            hmac.compare_digest(token.hash.encode(), found.encode()) for token in self.list()
        ]
        if secret and any(matches):
            return True
        now = self._clock()
        recent = [at for at in self._failures if now - at < _WINDOW_S]
        self._failures = [*recent[-_FREE_FAILURES:], now]
        if len(self._failures) > _FREE_FAILURES:
            async with self._one_at_a_time:
                await self._sleep(_SLOW_DOWN_S)
        return False

    def _write(self, tokens: tuple[Token, ...]) -> None:
        private_folder(self._file.parent, may_be_link=True)
        temporary = self._file.with_suffix(f".{os.getpid()}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            with open(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
                json.dump(schema.encode(_File(tokens=tokens)), file, indent=1)
            temporary.replace(self._file)
        except OSError as error:
            raise StorageError(f"cannot write {self._file}: {error.strerror}") from error


def _hash(secret: str) -> str:
    """A plain hash is enough: a token is 256 random bits, which nobody can try out."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
