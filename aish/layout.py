"""One finished Markdown block laid out as rows for a terminal.

Colours are the terminal's own sixteen and no background is set, so that any theme stays readable.
Without colour the source's own signs stay where they carry meaning: `#` and backticks.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING

from aish.blocks import Block, Kind, split_row
from backends.cleaning import clean

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_INLINE = 8 * 1024
"""Characters; longer paragraphs and cells are shown as they are, to bound the time."""

_BOLD, _DIM, _ITALIC, _STRUCK = "1", "2", "3", "9"
_CODE, _LINK, _TARGET, _PREFIX, _ADDED, _REMOVED = "36", "94", "4;34", "36", "32", "31"
_HEADINGS = ("1;4;35", "1;35", "1;35", "1", "1", "1")
_MARKS = {"strong": _BOLD, "em": _ITALIC, "s": _STRUCK}
_SGR = re.compile(r"\x1b\[[0-9;]*m")
_NARROWEST = 8
# A text without any of these has nothing to parse.
_INLINE = re.compile(r"[\\`*_\[<&~]")
_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff"
_WORD = re.compile(f" +|[{_WIDE}][、。，．：；！？）」』】〉》]*|[^ {_WIDE}]+")


@dataclass(slots=True)
class _Styled:
    """Text and the stretches of it that have a style: start, end, SGR parameters."""

    text: str = ""
    spans: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, text: str, style: str) -> None:
        """Append text that came out of a parser: entities may have become controls."""
        text = clean(text)
        if style and text:
            self.spans.append((len(self.text), len(self.text) + len(text), style))
        self.text += text

    def extend(self, other: _Styled) -> None:
        """Append another text with its styles."""
        start = len(self.text)
        self.spans += [(a + start, b + start, style) for a, b, style in other.spans]
        self.text += other.text


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def bare(row: str) -> str:
    """Return a row without its styles."""
    return _SGR.sub("", row)


def wrap(text: str, width: int) -> list[tuple[int, int]]:
    """Return start and end of each row of at most `width` columns; breaks and spaces fall out.

    Rows break at spaces and beside wide characters; a longer word is cut. All rows but the last
    stay the same when text is appended.
    """
    rows: list[tuple[int, int]] = []
    start = 0
    for line in text.split("\n"):
        if cells(line) <= width:
            rows.append((start, start + len(line)))
        else:
            rows.extend((start + a, start + b) for a, b in _wrap_line(line, width))
        start += len(line) + 1
    return rows


def _wrap_line(line: str, width: int) -> Iterator[tuple[int, int]]:
    start = end = used = 0
    for match in _WORD.finditer(line):
        word = match[0]
        size = cells(word)
        if word[0] != " ":
            if used + size > width and used:
                if end > start:
                    yield start, end
                start, used = match.start(), 0
            for piece in _chop(word, width) if size > width else ():
                yield start, start + len(piece)
                start += len(piece)
            if size > width:
                size = cells(line[start : match.end()])
            end = match.end()
        used += size
    yield start, len(line)


def _chop(word: str, width: int) -> list[str]:
    """Return the pieces of a word that fill whole rows, without the last."""
    if word.isascii():
        return [word[at : at + width] for at in range(0, len(word) - width, width)]
    from rich.cells import chop_cells

    return chop_cells(word, width)[:-1]


class Layout:
    """Lay out blocks for one terminal."""

    def __init__(self, color: bool) -> None:
        self._color = color

    def rows(self, block: Block, width: int) -> list[str]:
        """Return the rows of a block, at most `width` columns wide apart from code and HTML."""
        if block.kind is Kind.CODE or block.kind is Kind.HTML:
            rows = [self._verbatim(block)]
        else:
            room = max(width - cells(block.rest), 1)
            rows = list(self._flowing(block, room))
        first, rest = (self._paint(prefix, _PREFIX) for prefix in (block.first, block.rest))
        rows = [(rest if i else first) + row for i, row in enumerate(rows)]
        if block.gap is not None:
            rows.insert(0, self._paint(block.gap, _PREFIX))
        return rows if self._color else [row.rstrip() for row in rows]

    def _flowing(self, block: Block, room: int) -> Iterator[str]:
        if block.kind is Kind.RULE:
            yield self._paint("─" * room, _DIM)
        elif block.kind is Kind.TABLE:
            yield from self._table(block.text, room)
        elif block.kind is Kind.HEADING:
            mark = "" if self._color else "#" * block.level + " "
            yield from self._wrapped(mark + block.text, room, _HEADINGS[block.level - 1])
        else:
            yield from self._wrapped(block.text, room)

    def _verbatim(self, block: Block) -> str:
        if block.kind is Kind.HTML:
            return self._paint(block.text, _DIM)
        if not self._color:
            return "    " + block.text
        style = _CODE
        if block.info in ("diff", "patch"):
            style = {"+": _ADDED, "-": _REMOVED, "@": _CODE}.get(block.text[:1], "")
        return self._paint(block.text, style)

    def _wrapped(self, source: str, room: int, style: str = "") -> Iterator[str]:
        yield from self._split(self._inline(source, style), room)

    def _inline(self, source: str, style: str = "") -> _Styled:
        styled = _Styled()
        if len(source) > MAX_INLINE or not _INLINE.search(source):
            styled.add(source, style)
        else:
            self._walk(_parser().parseInline(source)[0].children or [], styled, style)
        return styled

    def _walk(self, tokens: list[Token], styled: _Styled, style: str) -> None:
        """Append the text of inline tokens in their styles."""
        styles = [style]
        link = 0
        for token in tokens:
            if token.type == "link_open":
                styles.append(f"{styles[-1]};{_LINK}".lstrip(";"))
                link = len(styled.text)
                href = str(token.attrs.get("href", ""))
            elif token.type == "link_close":
                styles.pop()
                self._target(styled, link, href, styles[-1])
            elif token.nesting == 1:
                styles.append(f"{styles[-1]};{_MARKS.get(token.tag, '')}".strip(";"))
            elif token.nesting == -1:
                styles.pop()
            elif token.type == "image":
                link = len(styled.text)
                styled.add(token.content, styles[-1])
                self._target(styled, link, str(token.attrs.get("src", "")), styles[-1])
            elif token.type == "code_inline":
                code = token.content if self._color else f"`{token.content}`"
                styled.add(code, f"{styles[-1]};{_CODE}".lstrip(";"))
            else:
                styled.add("\n" if token.tag == "br" else token.content, styles[-1])

    def _target(self, styled: _Styled, start: int, href: str, style: str) -> None:
        """Append where a link leads, unless its text says just that."""
        shown = styled.text[start:]
        if href not in (shown, f"mailto:{shown}"):
            styled.add(" (" if shown else "(", style)
            styled.add(href, _TARGET)
            styled.add(")", style)

    def _split(self, styled: _Styled, room: int) -> Iterator[str]:
        """Wrap styled text; a style that goes on is closed and reopened at each row."""
        spans = deque(styled.spans)
        for start, end in wrap(styled.text, room):
            end = start + len(styled.text[start:end].rstrip())
            parts: list[str] = []
            while spans and spans[0][0] < end:
                first, last = max(spans[0][0], start), min(spans[0][1], end)
                parts.append(styled.text[start : max(first, start)])
                parts.append(self._paint(styled.text[first:last], spans[0][2]))
                start = max(last, start)
                if spans[0][1] > end:
                    break
                spans.popleft()
            parts.append(styled.text[start:end])
            yield "".join(parts)

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._color and style and text.strip() else text

    def _table(self, source: str, room: int) -> Iterator[str]:
        heading, ruler, *lines = source.split("\n")
        names = [self._inline(name, _BOLD) for name in split_row(heading)]
        rows = [[self._inline(cell) for cell in _as_wide(split_row(line), names)] for line in lines]
        widths: list[int] = []
        if 3 * len(names) <= room:  # a hostile table may have far too many columns to measure
            sizes = [map(_width, row) for row in (names, *rows)]
            widths = _fit([max(column) for column in zip_longest(*sizes, fillvalue=0)], room)
        if widths:
            yield from self._columns([names, *rows], widths, list(map(_side, split_row(ruler))))
        else:
            yield from self._stacked(names, rows, room)

    def _columns(
        self, table: list[list[_Styled]], widths: list[int], sides: list[str]
    ) -> Iterator[str]:
        lines: list[list[str]] = []
        for row in table:
            missing = [_Styled()] * (len(widths) - len(row))
            columns = map(list, map(self._split, [*row, *missing], widths))
            pieces = zip_longest(*columns, fillvalue="")
            lines.append(
                ["  ".join(map(_align, piece, widths, sides)).rstrip() for piece in pieces]
            )
        ruler = self._paint("  ".join("─" * width for width in widths), _DIM)
        between = [""] if any(len(row) > 1 for row in lines[1:]) else []
        for number, row_lines in enumerate(lines):
            yield from row_lines
            yield from [ruler] if number == 0 else between if number < len(lines) - 1 else []

    def _stacked(self, names: list[_Styled], rows: list[list[_Styled]], room: int) -> Iterator[str]:
        """Show a table that is too wide: a line for each cell, an empty one between rows."""
        for number, row in enumerate(rows or [names]):
            if number:
                yield ""
            for name, cell in zip(names, row, strict=False):
                both = _Styled(name.text, name.spans.copy())
                both.add(": ", "")
                both.extend(cell)
                yield from self._split(both if rows else name, room)


def warm_up() -> None:
    """Load what the first inline mark needs, for those who have time to spare before it."""
    _parser()


@cache
def _parser() -> MarkdownIt:
    """Make the parser of inline marks; importing it takes some 25 ms."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("strikethrough")


def _as_wide(row: list[str], names: Sequence[object]) -> list[str]:
    """Keep what a row has too much in its last cell."""
    last = len(names) - 1
    return [*row[:last], " | ".join(row[last:])] if len(row) > last else row


def _side(rule: str) -> str:
    if rule.endswith(":"):
        return "center" if rule.startswith(":") else "right"
    return "left"


def _width(styled: _Styled) -> int:
    return max(map(cells, styled.text.split("\n")))


def _fit(widths: list[int], room: int) -> list[int]:
    """Narrow the widest columns until all fit with two spaces between; empty if they cannot."""
    free = room - 2 * (len(widths) - 1)
    limit = min(max(widths), room)
    while sum(min(width, limit) for width in widths) > free:
        limit -= 1
        if limit < min(_NARROWEST, max(widths)):
            return []
    return [max(min(width, limit), 1) for width in widths]


def _align(row: str, width: int, side: str) -> str:
    space = width - cells(bare(row))
    left = {"right": space, "center": space // 2}.get(side, 0)
    return " " * left + row + " " * (space - left)
