"""A conversation as text: Markdown of one path through its tree, or JSON of the whole tree."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from backends.cleaning import clean_line
from backends.errors import StorageError
from backends.protocol import schema
from backends.protocol.conversations import SessionInfo, Turn, TurnStatus

SHORT = 8
"""Characters of an id that are shown; the beginning of one is enough wherever one is asked for."""

_NEXT = "next"
_OPENS = re.compile(r"```|~~~|<[!?a-zA-Z]")
_FENCE = re.compile(r"^[ >*+.\d-]*(`{3,}|~{3,})", re.MULTILINE)
_ENDS = ("-->", "?>", "]]>", ">", "</pre>", "</script>", "</style>", "</textarea>")


def short(identifier: str) -> str:
    """Return as much of an id as a person needs."""
    return clean_line(identifier)[:SHORT]


def title_of(session: SessionInfo) -> str:
    """Return what a conversation is called, on one line."""
    return clean_line(session.title) or clean_line(session.name or "") or "untitled"


def path_to(turns: Sequence[Turn], head: str | None) -> list[Turn]:
    """Return the turns that lead to one of them, by default the newest, oldest first.

    A turn whose parent is not among them begins the path.
    """
    by_id = {turn.id: turn for turn in turns}
    turn = by_id.get(head or "") or (turns[-1] if turns else None)
    path: list[Turn] = []
    while turn is not None:
        path.append(turn)
        parent = turn.parent or ""
        del by_id[turn.id]  # so that a circle ends
        turn = by_id.get(parent)
    return path[::-1]


def to_json(session: SessionInfo, turns: Sequence[Turn]) -> str:
    """Return the whole conversation: `session`, and `turns` oldest first, those of every branch."""
    return json.dumps({"session": schema.encode(session), "turns": schema.encode(turns)}, indent=1)


def to_markdown(session: SessionInfo, turns: Sequence[Turn], shown: Sequence[Turn]) -> str:
    """Return some of a conversation's turns as a document."""
    return "\n\n".join([heading(session), *sections(turns, shown)]) + "\n"


def heading(session: SessionInfo) -> str:
    """Return the beginning of the document: its title, and which conversation it is."""
    name = f"`{clean_line(session.name)}`" if session.name else None
    facts = [clean_line(session.ci), name, f"`{short(session.id)}`", when(session.started_at)]
    if session.forked_from:
        facts.append(f"copied from `{short(session.forked_from)}`")
    return f"# {title_of(session)}\n\n{' · '.join(fact for fact in facts if fact)}"


def sections(turns: Sequence[Turn], shown: Sequence[Turn]) -> Iterator[str]:
    """Yield each turn that is shown, what was asked as a quotation and the answer as it is.

    What a turn follows is told where that is not the one shown before it, and where others
    follow the same one.
    """
    followers = Counter(turn.parent for turn in turns)
    before: str | None = None
    for number, turn in enumerate(shown):
        is_next = turn.parent == before and (number == 0 or before is not None)
        others = followers[turn.parent] - 1
        yield _section(turn, is_next, others)
        before = turn.id


def _section(turn: Turn, is_next: bool, others: int) -> str:
    facts = [f"**you** · turn `{short(turn.id)}`", when(turn.started_at)]
    if not is_next:
        facts.append(f"follows `{short(turn.parent)}`" if turn.parent else "a beginning of its own")
    if others:
        facts.append(f"{others} other{'s' if others > 1 else ''} in its place")
    lines = [" · ".join(fact for fact in facts if fact), _quoted(turn.prompt)]
    model = f" · {clean_line(turn.model)}" if turn.model else ""
    lines.append(f"**{clean_line(turn.ci)}**{model}")
    if turn.answer.strip():
        lines.append(_closed(turn.answer.strip("\n")))
    if turn.status is not TurnStatus.COMPLETE:
        reason = f": {clean_line(turn.error)}" if turn.error else ""
        lines.append(f"*{turn.status.value}{reason}*")
    return "\n\n".join(lines)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip("\n").split("\n"))


def _closed(text: str) -> str:
    """Close a block of code or HTML that is left open, which would take in all that follows."""
    if not _OPENS.search(text):
        return text
    fences = dict.fromkeys(found[1] for found in _FENCE.finditer(text))
    for end in ("", *(f"\n{end}" for end in (*reversed(fences), *_ENDS))):
        if _is_closed(text + end):
            return text + end
    return text


def _is_closed(text: str) -> bool:
    from markdown_it import MarkdownIt

    tokens = MarkdownIt().parse(f"{text}\n\n{_NEXT}")
    return len(tokens) > 2 and tokens[-3].level == 0 and tokens[-2].content == _NEXT


def when(at: float) -> str:
    """Return a time as people write it here, nothing where no calendar has it."""
    from datetime import datetime

    try:
        return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M") if at else ""
    except (OverflowError, ValueError, OSError):
        return ""


def is_there(file: Path) -> StorageError:
    """Return the error of a file that is not to be replaced unasked."""
    return StorageError(f"{str(file)!r} is there already", "--force replaces it")


def write_file(file: Path, text: str, replaces: bool) -> None:
    """Write a file that only its owner may read; nothing is left where it cannot be written.

    Raises:
        StorageError: It is there already, and is not to be replaced; or it cannot be written.
    """
    new = file.with_name(f".{file.name}.{os.getpid()}") if replaces else file
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(new, flags, 0o600)
    except FileExistsError as error:
        raise is_there(new) from error
    except OSError as error:
        raise StorageError(f"cannot write {str(file)!r}: {error.strerror}") from error
    try:
        with open(descriptor, "wb") as stream:
            stream.write(text.encode("utf-8", "replace"))
        if replaces:
            new.replace(file)
    except OSError as error:
        new.unlink()
        raise StorageError(f"cannot write {str(file)!r}: {error.strerror}") from error
