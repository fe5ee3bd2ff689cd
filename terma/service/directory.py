"""Who is meant: names, roles and everybody, as people write them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

from backends.errors import NotFound, UsageError
from backends.protocol.terminals import PERSON
from backends.runtime import canonical
from terma.service.terminal import Terminal

ALL = "@all"

NameOfClosed = Callable[[str], str | None]
"""Returns the name of the closed terminal that a name or an id means, if there is one."""


def find_terminal(
    terminals: Iterable[Terminal], word: str, name_of_closed: NameOfClosed = lambda word: None
) -> Terminal:
    """Return the terminal of a name, `NAME-ci` or an id.

    Raises:
        NotFound: There is none; the hint suggests those with a name like it.
    """
    known = list(terminals)
    name = canonical(word)
    named = next((one for one in known if one.name == name), None)
    found = named or next((one for one in known if one.id == word), None)
    if found is None:
        former = name_of_closed(word) or name_of_closed(name)
        raise _closed(former) if former else no_terminal(name, known)
    return found


def _closed(name: str) -> NotFound:
    return NotFound(
        f"{name} is closed", f"`terma new {name}` makes a new one, `terma log {name}` shows its log"
    )


def no_terminal(name: str, known: Iterable[Terminal]) -> NotFound:
    """Return the error that tells there is no such terminal."""
    return NotFound(f"no terminal named {name!r}", _hint(name, [one.name for one in known]))


def resolve(
    words: Sequence[str],
    terminals: Iterable[Terminal],
    sender: str,
    name_of_closed: NameOfClosed = lambda word: None,
) -> list[str]:
    """Return the mailboxes that an address means, each once, in the order they were named.

    Args:
        words: Names, `@role`, `@all`, `user`.
        terminals: All there are.
        sender: The mailbox of who sends; a role and everybody leave it out.
        name_of_closed: Asked of a name that none of them has.

    Raises:
        NotFound: Nobody is called so, nobody has the role, or there is nobody else.
        UsageError: No address was given.
    """
    if not words:
        raise UsageError("nobody is named", "`terma message NAME TEXT`; `terma list` shows all")
    known = list(terminals)
    found: dict[str, None] = {}
    for word in words:
        found.update(dict.fromkeys(_meant(word, known, sender, name_of_closed)))
    return list(found)


def _meant(
    word: str, known: list[Terminal], sender: str, name_of_closed: NameOfClosed
) -> list[str]:
    if word.lower() == PERSON:
        return [PERSON]
    if not word.startswith("@"):
        return [find_terminal(known, word, name_of_closed).id]
    others = [one for one in known if one.id != sender]
    if word.lower() == ALL:
        if not others:
            raise NotFound("there is no other terminal", "`terma new NAME` makes one")
        return [one.id for one in others]
    role = word[1:].lower()
    having = [one.id for one in others if role in one.stored.roles]
    if not having:
        roles = sorted({f"@{role}" for one in others for role in one.stored.roles})
        raise NotFound(f"no other terminal has the role {role!r}", _hint(word, roles))
    return having


def _hint(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    words = f"did you mean {' or '.join(repr(one) for one in close)}? " if close else ""
    return f"{words}`terma list` shows all"
