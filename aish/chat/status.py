"""The last line of a chat: whom one talks to, and how it stands."""

from __future__ import annotations

from aish.chat.conversation import Conversation, money
from aish.chat.front import shortened
from backends.cleaning import clean_line

_TITLE = 30


def status_line(kept: Conversation, seconds: int | None, width: int) -> str:
    """Return the line.

    Args:
        kept: The conversation.
        seconds: How long the answer has been under way; `None` where none is.
        width: Most columns that it may take.
    """
    parts = [clean_line(kept.target), ", ".join(map(clean_line, kept.models))]
    titles = [thread.title for thread in kept.threads if thread.title]
    parts.append(shortened(clean_line(titles[0]), _TITLE) if len(titles) == 1 else "")
    spent = kept.spent
    if spent.turns:
        tokens = spent.input_tokens + spent.output_tokens
        parts.append(f"{tokens} tokens" if tokens else "")
        parts.append(money(spent.cost_usd) if spent.cost_usd else "")
    waiting = len(kept.attachments) + len(kept.outputs)
    parts.append(f"+{waiting} with the next" if waiting else "")
    if kept.is_editing:
        parts.insert(0, "editing")
    if seconds is not None:
        parts.insert(0, f"answering… {seconds} s · Ctrl-C stops")
    return shortened(" · ".join(part for part in parts if part), width)
