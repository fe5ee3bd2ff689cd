"""How many turns fit into one message."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from backends.protocol.conversations import Turn

MAX_TEXT = 2_000_000
"""Characters; JSON needs up to six bytes for each."""

_ENVELOPE = 200
"""Characters that stand for all the rest of a turn."""


def fitting(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Keep as many turns as fit into one message, and of the first its beginning at least."""
    size = 0
    kept: list[Turn] = []
    for turn in turns:
        size += _ENVELOPE + sum(map(len, _texts(turn).values()))
        if size > MAX_TEXT:
            return tuple(kept) or (_beginning(turn),)
        kept.append(turn)
    return tuple(kept)


def _texts(turn: Turn) -> dict[str, str]:
    texts = {"prompt": turn.prompt, "answer": turn.answer, "system": turn.system}
    texts["error"] = turn.error
    return {name: text for name, text in texts.items() if text is not None}


def _beginning(turn: Turn) -> Turn:
    texts = _texts(turn)
    room = (MAX_TEXT - _ENVELOPE) // len(texts)
    changes = {name: text[:room] for name, text in texts.items()}
    return dataclasses.replace(turn, **changes)  # type: ignore[arg-type]
