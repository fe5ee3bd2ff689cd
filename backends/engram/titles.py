"""What a conversation is called: its title, and the name that a user gives it."""

from __future__ import annotations

import re

from backends.cleaning import clean, clean_line
from backends.errors import UsageError

_TITLE = 60
_OWN_TITLE = 200
_LOOKED_AT = 2000
_FORK = " (fork)"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEX = re.compile(r"[0-9A-Fa-f]{4,}")

NAMES = "a name has at most 64 letters, digits, `-`, `_` and `.`, and begins with a letter or digit"
"""The rule for names, to be told."""


def title_of(prompt: str) -> str:
    """Return the first line of a prompt that says something, short and fit to be shown."""
    lines = clean(prompt.lstrip()[:_LOOKED_AT]).splitlines()
    return cut(next(filter(None, map(_spaced, lines)), ""), _TITLE)


def own_title(title: str) -> str:
    """Return a title that a user chose, fit to be shown; a very long one is cut."""
    return cut(_spaced(clean_line(title)), _OWN_TITLE)


def fork_title(title: str) -> str:
    """Return the title of a copy; that of a copy's copy is the same."""
    return cut(title.removesuffix(_FORK), _OWN_TITLE - len(_FORK)) + _FORK


def cut(text: str, size: int) -> str:
    """Return a text of at most so many characters; one that was longer ends with an ellipsis."""
    return text if len(text) <= size else f"{text[: size - 1].rstrip()}…"


def shown(word: str) -> str:
    """Return a word of the user's, quoted for a message."""
    return repr(cut(clean_line(word), 40))


def is_id_like(word: str) -> bool:
    """Tell whether a word would be taken for an id, or the beginning of one."""
    return _HEX.fullmatch(word) is not None


def is_name(word: str) -> bool:
    """Tell whether a conversation can be named so."""
    return _NAME.fullmatch(word) is not None and not is_id_like(word)


def check_name(word: str) -> None:
    """Refuse a word that cannot name a conversation.

    Raises:
        UsageError: With the rule.
    """
    if is_id_like(word):
        raise UsageError(
            f"no conversation can be named {shown(word)}: that looks like the beginning of an id",
            f"add something that is no digit and no letter from a to f: `{word[:32]}-x`",
        )
    if not is_name(word):
        raise UsageError(f"no conversation can be named {shown(word)}", NAMES)


def _spaced(line: str) -> str:
    return " ".join(line.split())
