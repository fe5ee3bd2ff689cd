"""What of a conversation goes to the model with a prompt: as much of its end as there is room."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from backends.protocol.conversations import Turn
from backends.providers.base import Exchange, Prompt

_BYTES_PER_TOKEN = 3
"""Of UTF-8; on the safe side for prose, about right for code and for Chinese."""

_FRAME_TOKENS = 8
"""What a server adds to each message: its role, and where it begins and ends."""

_ANSWER_SHARE = 4


def with_history(prompt: Prompt, turns: Sequence[Turn], room: int) -> tuple[Prompt, int]:
    """Put before a prompt what went before it, the newest exchanges first, whole ones only.

    Turns without an answer are passed over; what came of one that broke off counts.

    Args:
        prompt: The prompt, without a history.
        turns: The conversation, oldest first.
        room: Tokens that a request may hold; its answer needs some of them, too.

    Returns:
        The prompt, and how many turns did not fit.
    """
    left = room - _reserved(prompt, room) - tokens(prompt.text) - tokens(prompt.system or "")
    if prompt.schema is not None:
        left -= tokens(json.dumps(prompt.schema))
    said = [Exchange(prompt=t.prompt, answer=t.answer) for t in turns if t.prompt and t.answer]
    kept: list[Exchange] = []
    for exchange in reversed(said):
        left -= tokens(exchange.prompt) + tokens(exchange.answer)
        if left < 0:
            break
        kept.append(exchange)
    return dataclasses.replace(prompt, history=tuple(reversed(kept))), len(said) - len(kept)


def tokens(text: str) -> int:
    """Estimate the tokens of a message; no tokenizer is right for every model."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN) + _FRAME_TOKENS


def _reserved(prompt: Prompt, room: int) -> int:
    """Return the tokens that are kept free for the answer."""
    return min(prompt.max_tokens or room, room // _ANSWER_SHARE)
