"""Which conversation, and which of its turns, a user's word means."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from backends.engram.tables import sessions, storable, turns
from backends.engram.titles import shown
from backends.errors import NotFound, UsageError

_BEGINNING = re.compile(r"[0-9a-f]{4,32}")
_AMBIGUOUS = 5
_NEAR_AMONG = 500

ALL = "`aish session list` shows all"


def lookup(connection: Connection, word: str, ci: str | None) -> Row[Any] | None:
    """Return the session that is meant, `None` where there is none.

    It is the one with that id, else the one of that name, else the only one whose id begins so.

    Args:
        word: Any text.
        ci: Whose session is meant; `None` where that is not said.

    Raises:
        UsageError: Several are meant, or one of another CI.
    """
    word = storable(word)
    found = connection.execute(select(sessions).where(sessions.c.id.in_([word, word.lower()])))
    row = found.first()
    if row is None:
        row = _named(connection, word, ci)
    if row is None and _BEGINNING.fullmatch(word.lower()):
        row = _beginning(connection, word.lower(), ci)
    if row is not None and ci is not None and row.ci != ci:
        raise UsageError(
            f"conversation {shown(word)} is one of {row.ci}, not of {ci}",
            f"`aish {row.ci} --session {row.id[:12]}` goes on with it",
        )
    return row


def find(connection: Connection, word: str, ci: str | None) -> Row[Any]:
    """Return the session that is meant, as `lookup` does.

    Raises:
        NotFound: There is none; the hint has the nearest names.
        UsageError: Several are meant, or one of another CI.
    """
    row = lookup(connection, word, ci)
    if row is None:
        raise not_found(connection, word, ci)
    return row


def not_found(connection: Connection, word: str, ci: str | None) -> NotFound:
    """Return the error that names the nearest names."""
    import difflib

    of_ci = f" of {ci}" if ci else ""
    names = select(sessions.c.name).where(sessions.c.name.is_not(None))
    if ci is not None:
        names = names.where(sessions.c.ci == ci)
    newest = names.order_by(sessions.c.updated_at.desc()).limit(_NEAR_AMONG)
    known = list(dict.fromkeys(connection.execute(newest).scalars()))
    near = difflib.get_close_matches(word[:64], known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}? {ALL}" if near else ALL
    return NotFound(f"there is no conversation {shown(word)}{of_ci}", hint)


def find_turn(connection: Connection, session: str, word: str) -> str:
    """Return the id of the turn of a session that is meant: by its id, or how that begins.

    Raises:
        NotFound: There is none.
        UsageError: Several begin so.
    """
    word = storable(word)
    own = select(turns.c.id).where(turns.c.session == session)
    exact = connection.execute(own.where(turns.c.id == word)).scalar()
    if exact is not None:
        return str(exact)
    found: list[str] = []
    if _BEGINNING.fullmatch(word.lower()):
        begins = _begins(turns.c.id, word.lower())
        found = list(connection.execute(own.where(begins).limit(_AMBIGUOUS)).scalars())
    if not found:
        message = f"conversation {session[:12]} has no turn {shown(word)}"
        raise NotFound(message, f"`aish session show {session[:12]}` shows its turns")
    if len(found) > 1:
        raise UsageError(f"several turns begin with {shown(word)}", f"there are: {_listed(found)}")
    return found[0]


def _named(connection: Connection, name: str, ci: str | None) -> Row[Any] | None:
    named = select(sessions).where(sessions.c.name == name)
    if ci is not None:
        return connection.execute(named.where(sessions.c.ci == ci)).first()
    rows = connection.execute(named.order_by(sessions.c.ci)).all()
    if len(rows) > 1:
        choices = " or ".join(f"`--ci {row.ci}`" for row in rows)
        raise UsageError(
            f"{len(rows)} CIs have a conversation {shown(name)}", f"say whose: {choices}"
        )
    return rows[0] if rows else None


def _beginning(connection: Connection, word: str, ci: str | None) -> Row[Any] | None:
    beginning = select(sessions).where(_begins(sessions.c.id, word)).limit(_AMBIGUOUS)
    rows = connection.execute(beginning.where(sessions.c.ci == ci)).all() if ci else []
    rows = rows or connection.execute(beginning).all()
    if len(rows) > 1:
        choices = _listed([row.id for row in rows])
        raise UsageError(
            f"several conversations begin with {shown(word)}", f"there are: {choices}; {ALL}"
        )
    return rows[0] if rows else None


def _begins(column: ColumnElement[str], word: str) -> ColumnElement[bool]:
    return column.between(word, word + "g")  # the letter after the last hexadecimal digit


def _listed(ids: list[str]) -> str:
    more = ", …" if len(ids) == _AMBIGUOUS else ""
    return ", ".join(ids) + more
