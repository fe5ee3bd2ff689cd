"""Markdown taken apart as it streams: each line is read once, each block handed over once.

This is the first phase of CommonMark's parsing strategy (CommonMark 0.31, appendix "A parsing
strategy"): every line is first matched against the open quotes and list items, then against what
may start a block; what remains continues the open leaf. Only the leaf is remembered, so an answer
of any length costs one pass. Three liberties serve text from models: a list nested by two spaces
is nested under a number too, a line end inside a paragraph stays one, and link definitions are
ordinary text, because what uses them may be out already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

MAX_DEPTH = 8
"""Quotes and lists nested deeper than this are shown as text."""

_TAB_STOP = 4
_MARKER = re.compile(r"([-+*]|(\d{1,9})[.)])( +|$)")
_HTML = re.compile(r"<(?:!--|[?!]|/?([A-Za-z][A-Za-z0-9-]*)(?=[\s/>]|$))")
_BAR = re.compile(r"(?<!\\)\|")
_RULER = re.compile(r":?-+:?")
_HTML_BLOCKS = frozenset(
    "address article aside blockquote body center details dialog div dl dt dd fieldset figure"
    " footer form h1 h2 h3 h4 h5 h6 head header hr html iframe li link main menu nav ol option p"
    " pre script section style summary table tbody td textarea tfoot th thead title tr ul".split()
)
_HTML_ENDS = {"pre": "</pre>", "script": "</script>", "style": "</style>", "!--": "-->"}


class Kind(Enum):
    """What a block is."""

    PARAGRAPH = "paragraph"
    HEADING = "heading"
    TABLE = "table"
    RULE = "rule"
    CODE = "code"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Block:
    """A finished piece: a whole leaf block, or one line of code or HTML.

    Attributes:
        text: Markdown source without the marks of its containers; code and HTML as they are.
        first: Shown before the first row: bullets, numbers and bars of the containers.
        rest: Shown before each further row.
        gap: A row that separates this block from the one before; None for no separation.
        level: 1 to 6 for a heading.
        info: The language that a fence names.
    """

    kind: Kind
    text: str
    first: str = ""
    rest: str = ""
    gap: str | None = None
    level: int = 0
    info: str = ""


@dataclass(slots=True, eq=False)
class _Container:
    """An open quote (offset 0) or list item; columns count from the parent's content."""

    first: str
    rest: str
    group: object
    offset: int = 0
    indent: int = 0
    mark: str = ""
    number: int = 0
    is_shown: bool = False


@dataclass(slots=True)
class _Leaf:
    """The open leaf; `lines` belong to a paragraph or table, `fence` and `end` to code and HTML."""

    kind: Kind
    lines: list[str]
    fence: str = ""
    end: str = ""
    indent: int = 0
    info: str = ""
    is_started: bool = False


def split_row(line: str) -> list[str]:
    """Return the cells of a table row; an escaped bar belongs to its cell."""
    line = line.strip().removeprefix("|")
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return [cell.strip().replace("\\|", "|") for cell in _BAR.split(line)]


class BlockSplitter:
    """Split a stream of Markdown lines into blocks."""

    def __init__(self) -> None:
        self._containers: list[_Container] = []
        self._leaf: _Leaf | None = None
        self._last: list[_Container] | None = None
        self._skipped = 0
        self._out: list[Block] = []
        self._source: list[str] = []
        self._is_blank = False

    @property
    def pending(self) -> Sequence[str]:
        """The source lines of the block that is not finished."""
        return self._source

    @property
    def is_gap_due(self) -> bool:
        """Whether an empty line stands between the last block and what follows."""
        return self._is_blank and self._last is not None

    def feed(self, line: str) -> list[Block]:
        """Return the blocks that this line, given without its line feed, finishes."""
        line = line.expandtabs(_TAB_STOP)
        depth, rest = self._match(line)
        leaf = self._leaf
        is_inside = depth == len(self._containers)
        if leaf and is_inside and leaf.fence:
            self._fenced(leaf, rest)
        elif leaf and is_inside and leaf.kind is Kind.HTML and (leaf.end or rest.strip()):
            self._html(leaf, rest)
        elif not rest.strip():
            self._empty(depth)
        else:
            self._start(depth, rest, line)
        return self._take()

    def finish(self) -> list[Block]:
        """Close everything and return what was open."""
        self._close(0)
        return self._take()

    def _take(self) -> list[Block]:
        taken, self._out = self._out, []
        return taken

    def _match(self, line: str) -> tuple[int, str]:
        """Return how many containers the line continues, and the rest of the line."""
        for depth, container in enumerate(self._containers):
            indent = _indent(line)
            if not container.offset:
                if indent > 3 or line[indent : indent + 1] != ">":
                    return depth, line
                line = line[indent + 1 :].removeprefix(" ")
            elif indent >= container.offset:
                line = line[container.offset :]
            elif indent == len(line):
                line = ""
            else:
                return depth, line
        return len(self._containers), line

    def _empty(self, depth: int) -> None:
        if self._leaf and self._leaf.kind is Kind.CODE and depth == len(self._containers):
            self._skipped += 1  # part of indented code only if more follows
        else:
            self._close(depth)
        self._is_blank = True

    def _start(self, depth: int, rest: str, source: str) -> None:
        """Open the containers and the leaf that a line with text starts, or continue the leaf."""
        while _indent(rest) < 4:
            body = rest.lstrip(" ")
            if self._underline(depth, body):
                return
            opened = None if _is_rule(body) else self._container(depth, rest, body)
            if opened is None:
                if self._leaf_start(depth, body, _indent(rest)):
                    return
                break
            depth, rest = opened
            if not rest.strip():
                return
        self._text(depth, rest, source)

    def _underline(self, depth: int, body: str) -> bool:
        """Turn the open paragraph into a heading if this line underlines it."""
        leaf, mark = self._leaf, body.rstrip()
        if not leaf or leaf.kind is not Kind.PARAGRAPH or depth < len(self._containers):
            return False
        if set(mark) not in ({"="}, {"-"}):
            return False
        self._leaf = None
        self._emit(Kind.HEADING, " ".join(leaf.lines), level=1 if mark[0] == "=" else 2)
        return True

    def _container(self, depth: int, rest: str, body: str) -> tuple[int, str] | None:
        """Open a quote or list item; return the new depth and the rest of the line."""
        if depth >= MAX_DEPTH:
            return None
        if body[0] == ">":
            self._close(depth)
            self._containers.append(_Container("▌ ", "▌ ", object(), is_shown=True))
            return depth + 1, body[1:].removeprefix(" ")
        marker = _MARKER.match(body)
        if not marker:
            return None
        old = self._containers[depth] if depth < len(self._containers) else None
        if old and old.offset and old.mark != marker[1][-1] and _indent(rest) >= old.indent + 2:
            old.offset = _indent(rest)
            return depth + 1, body
        content = body[marker.end() :]
        in_paragraph = old is None and self._leaf and self._leaf.kind is Kind.PARAGRAPH
        if in_paragraph and (not content or int(marker[2] or 1) != 1):
            return None  # a number at the start of a line of prose
        self._close(depth)
        spaces = len(marker[3]) if content and len(marker[3]) <= 4 else 1
        offset = _indent(rest) + len(marker[1]) + spaces
        self._containers.append(_item(marker, old, _indent(rest), offset))
        return depth + 1, body[len(marker[1]) + spaces :]

    def _leaf_start(self, depth: int, body: str, indent: int) -> bool:
        """Handle a line that is a rule or a heading, or opens a fence or HTML."""
        if _is_rule(body):
            self._close(depth)
            self._emit(Kind.RULE, "")
            return True
        level = len(body) - len(body.lstrip("#"))
        if 1 <= level <= 6 and body[level : level + 1] in ("", " "):
            self._close(depth)
            self._emit(Kind.HEADING, _heading_text(body[level:]), level=level)
            return True
        mark = body[: len(body) - len(body.lstrip(body[0]))]
        info = body[len(mark) :].strip()
        if mark[:3] == "~~~" or (mark[:3] == "```" and "`" not in info):
            self._close(depth)
            language = info.split(" ")[0].lower()
            self._leaf = _Leaf(Kind.CODE, [], fence=mark, indent=indent, info=language)
            return True
        in_paragraph = self._leaf is not None and self._leaf.kind is Kind.PARAGRAPH
        end = _html_end(body, in_paragraph)
        if end is None:
            return False
        self._close(depth)
        self._leaf = _Leaf(Kind.HTML, [], end=end)
        self._html(self._leaf, body)
        return True

    def _text(self, depth: int, rest: str, source: str) -> None:
        """Continue the open leaf with a line of text, or open one."""
        leaf = self._leaf
        if leaf is None or leaf.kind is not Kind.PARAGRAPH:
            if depth < len(self._containers):
                self._close(depth)
            leaf = self._leaf
            if _indent(rest) >= 4:
                self._indented(leaf, rest[4:])
                return
            if leaf is None or leaf.kind is not Kind.TABLE:
                self._close(depth)
                leaf = self._leaf = _Leaf(Kind.PARAGRAPH, [])
        elif depth == len(self._containers) and _is_table_start(leaf.lines[-1], rest):
            leaf = self._table(leaf)
        leaf.lines.append(rest.strip())
        self._source.append(source)

    def _table(self, paragraph: _Leaf) -> _Leaf:
        """Part the heading row of a table from the paragraph before it."""
        heading, source = paragraph.lines.pop(), self._source[-1]
        self._close(len(self._containers))
        self._source = [source]
        self._leaf = _Leaf(Kind.TABLE, [heading])
        return self._leaf

    def _indented(self, leaf: _Leaf | None, line: str) -> None:
        if leaf is None or leaf.kind is not Kind.CODE:
            self._close(len(self._containers))
            leaf = self._leaf = _Leaf(Kind.CODE, [])
        for _ in range(self._skipped):
            self._line(leaf, "")
        self._skipped = 0
        self._line(leaf, line)

    def _fenced(self, leaf: _Leaf, rest: str) -> None:
        mark = rest.strip()
        closes = len(mark) >= len(leaf.fence) and set(mark) == {leaf.fence[0]}
        if closes and _indent(rest) < 4:
            self._leaf = None
        else:
            self._line(leaf, rest[min(leaf.indent, _indent(rest)) :])

    def _html(self, leaf: _Leaf, line: str) -> None:
        self._line(leaf, line)
        if leaf.end and leaf.end in line.lower():
            self._leaf = None

    def _line(self, leaf: _Leaf, line: str) -> None:
        self._emit(leaf.kind, line.rstrip(), info=leaf.info, is_next=leaf.is_started)
        leaf.is_started = True

    def _close(self, depth: int) -> None:
        """Close the leaf and the containers from a depth on."""
        leaf, self._leaf = self._leaf, None
        self._skipped = 0
        if leaf and leaf.lines:
            self._emit(leaf.kind, "\n".join(leaf.lines))
        while len(self._containers) > depth:
            if not self._containers[-1].is_shown:
                self._emit(Kind.PARAGRAPH, "")
            self._containers.pop()

    def _emit(
        self, kind: Kind, text: str, *, level: int = 0, info: str = "", is_next: bool = False
    ) -> None:
        gap = None if is_next else self._gap()
        first = "".join(c.rest if c.is_shown else c.first for c in self._containers)
        rest = "".join(c.rest for c in self._containers)
        for container in self._containers:
            container.is_shown = True
        self._out.append(Block(kind, text, first, rest, gap, level, info))
        self._last = self._containers.copy()
        self._is_blank = False
        self._source = []

    def _gap(self) -> str | None:
        """Separate as the source does inside one list or quote, and always between others."""
        if self._last is None:
            return None
        together = self._last and self._containers
        if together and not self._is_blank and self._last[0].group is self._containers[0].group:
            return None
        shared = ""
        for before, now in zip(self._last, self._containers, strict=False):
            if before is not now:
                break
            shared += now.rest
        return shared.rstrip()


def _item(marker: re.Match[str], old: _Container | None, indent: int, offset: int) -> _Container:
    """Make the container of a list item, the next of its list if the old item is of the kind."""
    mark = marker[1][-1]
    number = int(marker[2] or 0)
    group: object = object()
    if old and old.mark == mark:
        group, number = old.group, old.number + 1
    first = f"{number}. ".rjust(4) if marker[2] else " • "
    return _Container(first, " " * len(first), group, offset, indent, mark, number)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _is_rule(body: str) -> bool:
    marks = body.replace(" ", "")
    return len(marks) >= 3 and marks[0] in "*-_" and not marks.strip(marks[0])


def _is_table_start(heading: str, line: str) -> bool:
    if "|" not in heading or line.strip("|:- "):
        return False
    rules = split_row(line)
    return all(map(_RULER.fullmatch, rules)) and len(rules) == len(split_row(heading))


def _heading_text(text: str) -> str:
    text = text.strip()
    opened = text.rstrip("#")
    return opened.rstrip() if not opened or opened.endswith(" ") else text


def _html_end(body: str, in_paragraph: bool) -> str | None:
    """Return what ends the HTML that starts here, "" for an empty line, None if none starts."""
    start = _HTML.match(body)
    if not start:
        return None
    tag = (start[1] or start[0][1:]).lower()
    is_alone = body.rstrip().find(">") == len(body.rstrip()) - 1
    if not start[1] or tag in _HTML_BLOCKS or (is_alone and not in_paragraph):
        return _HTML_ENDS.get(tag, "")
    return None
