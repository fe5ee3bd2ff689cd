"""The search among turns: by words through the full-text index, by marks through the text."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Select,
    func,
    literal_column,
    select,
    table,
)

from backends.engram.tables import storable, turns

_CANDIDATES = 2000


def newest_found(query: Select[Any], search: str, ci: str | None, limit: int) -> Select[Any]:
    """Narrow a selection of turns, newest first, to those that a search finds."""
    words, literals = _parse(search)
    if words:
        return query.where(turns.c.number.in_(_numbers(words, literals, ci, limit)))
    return _filtered(query, literals, ci).limit(limit)


def sessions_with(search: str) -> Select[Any] | None:
    """Select the sessions of all turns that a search finds, `None` for any."""
    words, literals = _parse(search)
    if not words and not literals:
        return None
    query = _filtered(select(turns.c.session), literals, None)
    if words:
        rowid, is_match = _match(words, None)
        query = query.where(turns.c.number.in_(select(rowid).select_from(_INDEX).where(is_match)))
    return query


def _numbers(words: list[str], literals: list[str], ci: str | None, limit: int) -> Select[Any]:
    """Select the numbers of the newest turns that the full-text index finds.

    The index gives its rows in the order of their numbers and stops when enough are found;
    sorting all of them by time would read every turn that has a common word. So the last ones
    stored are sorted by time: the two orders differ only for turns that were stored late.
    """
    rowid, is_match = _match(words, ci)
    candidates = (
        _filtered(select(turns.c.number, turns.c.started_at), literals, ci)
        .select_from(_INDEX.join(turns, turns.c.number == rowid))
        .where(is_match)
        .order_by(rowid.desc())
        .limit(max(_CANDIDATES, limit))
        .subquery()
    )
    newest = (candidates.c.started_at.desc(), candidates.c.number.desc())
    return select(candidates.c.number).order_by(*newest).limit(limit)


_INDEX = table("turns_search")


def _match(words: list[str], ci: str | None) -> tuple[ColumnClause[int], ColumnElement[bool]]:
    rowid: ColumnClause[int] = literal_column("turns_search.rowid")
    match = f"{{prompt answer}} : ({' '.join(words)})"
    if ci is not None:
        match = f"ci : {_quoted(ci)} AND {match}"
    return rowid, literal_column("turns_search").match(match)


def _filtered(query: Select[Any], literals: list[str], ci: str | None) -> Select[Any]:
    if ci is not None:
        query = query.where(turns.c.ci == ci)
    if literals:  # as one parameter: a condition for each could be too many for SQLite
        literal = func.json_each(json.dumps(literals)).table_valued("value").c.value
        is_absent = [func.instr(text, literal) == 0 for text in (turns.c.prompt, turns.c.answer)]
        query = query.where(~select(1).where(*is_absent).correlate(turns).exists())
    return query


_SYMBOLS = re.compile(r"[^\w\s\x00-\x7f]+")


def _parse(search: str) -> tuple[list[str], list[str]]:
    """Split a search into quoted words for the full-text index and what it cannot find.

    The index knows letters and digits only.
    """
    words: list[str] = []
    literals: list[str] = []
    pieces = storable(search).replace("\0", " ").split()
    for piece in pieces:
        if any(character.isalnum() for character in piece):
            words.append(_quoted(piece))
            literals += filter(_has_symbol, _SYMBOLS.findall(piece))
        else:
            literals.append(piece)
    if words and words[-1] == _quoted(pieces[-1]):
        words[-1] += " *"
    return list(dict.fromkeys(words)), list(dict.fromkeys(literals))


def _has_symbol(text: str) -> bool:
    return any(unicodedata.category(character).startswith("S") for character in text)


def _quoted(word: str) -> str:
    """Quote a word as a string of the index's query language, where nothing else is special."""
    return '"' + word.replace('"', '""') + '"'
