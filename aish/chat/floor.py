"""Who speaks: of several answers at once one is shown live, and the others wait their turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Stage(Protocol):
    """Where answers are shown, one after another."""

    def begin(self, name: str) -> None:
        """Tell whose answer follows."""

    def take(self, text: str) -> None:
        """Show the next piece of it."""

    def end(self, note: str | None) -> None:
        """Show that it has ended, and what is to be said of that."""


@dataclass
class _Waiting:
    texts: list[str] = field(default_factory=list)
    has_ended: bool = False
    note: str | None = None


class Floor:
    """Give the floor to the first to say something until it ends, then to those that wait.

    Those that have ended meanwhile are shown whole, in the order in which they began.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._speaker: str | None = None
        self._waiting: dict[str, _Waiting] = {}

    def take(self, name: str, text: str) -> None:
        """Show the next piece of somebody's answer, or keep it."""
        if self._speaker is None:
            self._give(name)
        if self._speaker == name:
            self._stage.take(text)
        else:
            self._waiting.setdefault(name, _Waiting()).texts.append(text)

    def end(self, name: str, note: str | None = None) -> None:
        """End somebody's answer; one that never came leaves nothing."""
        if self._speaker != name and note is None and name not in self._waiting:
            return
        if self._speaker is None:
            self._give(name)
        if self._speaker != name:
            kept = self._waiting.setdefault(name, _Waiting())
            kept.has_ended, kept.note = True, note
            return
        self._stage.end(note)
        self._speaker = None
        self._pass_on()

    def _pass_on(self) -> None:
        ended = [name for name, kept in self._waiting.items() if kept.has_ended]
        for name in [*ended, *(name for name in self._waiting if name not in ended)]:
            if self._speaker is not None:
                return
            kept = self._waiting.pop(name)
            self._give(name)
            for text in kept.texts:
                self._stage.take(text)
            if kept.has_ended:
                self._stage.end(kept.note)
                self._speaker = None

    def _give(self, name: str) -> None:
        self._speaker = name
        self._stage.begin(name)
