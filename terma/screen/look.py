"""What a cell looks like, and the rows that are made of such cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from backends.cleaning import clean
from backends.protocol.rows import Row, Run

UNDERLINES = ("", "single", "double", "curly", "dotted", "dashed")
"""Kinds of underline by their number in SGR 4:N; the first is none."""

ATTRIBUTES = {
    "bold": "1",
    "faint": "2",
    "italic": "3",
    "underline": "4",
    "blink": "5",
    "inverse": "7",
    "invisible": "8",
    "strikethrough": "9",
    "overline": "53",
}
"""The attributes of a run, in their order there, each with its number in SGR (ECMA-48, xterm)."""

_SEEN_ON_BLANKS = frozenset({"underline", "inverse", "strikethrough", "overline"})
# A cell's own columns must stay, so what cleaning would drop from one becomes as many blanks.
_IN_CELLS = dict.fromkeys((*range(32), *range(127, 160)), "�") | {
    0xAD: "-",
    0x2028: " ",
    0x2029: " ",
    0x3164: "  ",
    0xFFA0: " ",
}


@dataclass(frozen=True, slots=True)
class Look:
    """How cells are shown; colours and attributes as in a `Run`, and what only a terminal needs."""

    foreground: str | None = None
    background: str | None = None
    attributes: tuple[str, ...] = ()
    link: str | None = None
    underline: int = 0
    underline_colour: str | None = None

    def sgr(self) -> str:
        """Return the sequence that makes a terminal write like this, whatever it did before."""
        codes = ["0"]
        for name in self.attributes:
            if name == "underline" and self.underline > 1:
                codes.append(f"4:{self.underline}")
            else:
                codes.append(ATTRIBUTES[name])
        codes += _colour(self.foreground, 30)
        rest = _colour(self.background, 40)
        if self.underline_colour is not None:
            rest.append(":".join(_colour(self.underline_colour, 50)))
        # Two, for terminals drop a sequence of more than about two dozen numbers.
        return f"\x1b[{';'.join(codes)}m" + (f"\x1b[{';'.join(rest)}m" if rest else "")


PLAIN = Look()


@lru_cache(maxsize=4096)
def on_blanks(look: Look) -> Look:
    """Return what can be seen of a look where there is no character."""
    attributes = tuple(name for name in look.attributes if name in _SEEN_ON_BLANKS)
    foreground = look.foreground if attributes else None
    return replace(look, attributes=attributes, foreground=foreground)


@dataclass(frozen=True, slots=True)
class CellRow:
    """A row as cells: text of one look after another, from the first column.

    `is_full`: its last column is taken, so that the row can go on in the next one.
    """

    spans: tuple[tuple[str, Look], ...] = ()
    wraps: bool = False
    is_full: bool = False

    def row(self) -> Row:
        """Return the row for readers: printable text only, no blanks at the end of a line."""
        runs: list[Run] = []
        last = PLAIN
        for text, look in self.spans if self.wraps else trimmed(self.spans):
            # What nobody can see of a blank differs between engines: it goes with what is before.
            blanks = len(text) - len(text.lstrip(" "))
            if blanks and on_blanks(look) == on_blanks(last):
                _add(runs, text[:blanks], last)
                text = text[blanks:]
            if text:
                _add(runs, text, look)
                last = look
        return Row(runs=tuple(runs), wraps=self.wraps)

    def text(self) -> str:
        """Return the row's printable text, without blanks at the end of a line."""
        text = printable("".join(text for text, _ in self.spans))
        return text if self.wraps else text.rstrip(" ")


def printable(text: str) -> str:
    """Return what cells hold without controls and hidden characters."""
    if text.isascii() and text.isprintable():
        return text
    return clean(text.translate(_IN_CELLS))


def trimmed(spans: Sequence[tuple[str, Look]]) -> Sequence[tuple[str, Look]]:
    """Return the spans without what cannot be seen at the end of the row."""
    kept = list(spans)
    while kept:
        text, look = kept[-1]
        if look.background is not None or not _SEEN_ON_BLANKS.isdisjoint(look.attributes):
            break
        kept.pop()
        if text := text.rstrip(" "):
            kept.append((text, look))
            break
    return kept


def joined(cells: Iterable[tuple[str, Look]]) -> tuple[tuple[str, Look], ...]:
    """Join neighbours of one look."""
    spans: list[tuple[str, Look]] = []
    texts: list[str] = []
    last: Look | None = None
    for text, look in cells:
        if last is not None and look != last:
            spans.append(("".join(texts), last))
            texts = []
        last = look
        texts.append(text)
    if last is not None:
        spans.append(("".join(texts), last))
    return tuple(spans)


def _colour(colour: str | None, base: int) -> list[str]:
    """Return a colour's codes; `base` is 30 for text, 40 for the background, 50 for underlines."""
    if colour is None:
        return []
    if colour.startswith("#"):
        parts = (str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
        return [f"{base + 8}:2::" + ":".join(parts)] if base == 50 else [f"{base + 8}", "2", *parts]
    number = int(colour)
    if base < 50 and number < 8:
        return [str(base + number)]
    if base < 50 and number < 16:
        return [str(base + 60 + number - 8)]
    return [str(base + 8), "5", colour]


def _add(runs: list[Run], text: str, look: Look) -> None:
    """Add text; of one look to a reader, it is one run."""
    shown = printable(text)
    if not shown:
        return
    link = printable(look.link) if look.link is not None else None
    if runs:
        before = runs[-1]
        if (before.foreground, before.background, before.attributes, before.link) == (
            look.foreground,
            look.background,
            look.attributes,
            link,
        ):
            shown = runs.pop().text + shown
    runs.append(
        Run(
            text=shown,
            foreground=look.foreground,
            background=look.background,
            attributes=look.attributes,
            link=link,
        )
    )
