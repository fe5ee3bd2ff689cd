"""The event bus inside one process: subjects, patterns, subscribers."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import AsyncIterator

from backends.errors import UsageError
from backends.protocol.messages import Event

_MAX_WAITING = 1000


class Bus:
    """Hands each event to every subscriber whose pattern matches.

    A subscriber that reads too slowly loses its oldest events, and the next one that it gets
    says how many; nobody else notices.
    """

    def __init__(self) -> None:
        self._subscriptions: set[_Subscription] = set()

    def publish(self, event: Event) -> None:
        """Hand out an event; never waits."""
        for subscription in self._subscriptions:
            if matches(subscription.words, event.subject):
                subscription.put(event)

    async def subscribe(self, pattern: str) -> AsyncIterator[Event]:
        """Yield each event that matches, from now on, until the iterator is closed.

        Raises:
            UsageError: The pattern has an empty word, or `>` before its end.
        """
        subscription = _Subscription(words_of(pattern))
        self._subscriptions.add(subscription)
        try:
            while True:
                yield await subscription.get()
        finally:
            self._subscriptions.discard(subscription)


class _Subscription:
    def __init__(self, words: list[str]) -> None:
        self.words = words
        self._waiting: deque[Event] = deque()
        self._dropped = 0
        self._filled = asyncio.Event()

    def put(self, event: Event) -> None:
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(event)
        self._filled.set()

    async def get(self) -> Event:
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        event = self._waiting.popleft()
        dropped, self._dropped = self._dropped, 0
        return dataclasses.replace(event, dropped=dropped) if dropped else event


def words_of(pattern: str) -> list[str]:
    """Split a pattern into its words.

    Raises:
        UsageError: The pattern has an empty word, or `>` before its end.
    """
    words = pattern.split(".")
    if not all(words) or ">" in words[:-1]:
        raise UsageError(
            f"{pattern!r} is not a pattern of subjects",
            "words joined by dots; '*' is one word, '>' at the end all that follow: 'ci.>'",
        )
    return words


def matches(words: list[str], subject: str) -> bool:
    """Tell whether a subject fits the words of a pattern."""
    found = subject.split(".")
    if words[-1] == ">":
        words = words[:-1]
        if len(found) <= len(words):
            return False
        found = found[: len(words)]
    return len(found) == len(words) and all(
        w in ("*", f) for w, f in zip(words, found, strict=True)
    )
