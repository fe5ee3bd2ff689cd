"""A picture of every limit and how much of it is used, as SVG.

It has no background, and its greys and colours are readable on white as on black.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.bench.figures import Figure

_ROW, _TOP, _BAR = 24, 34, 12
_LABELS, _WIDTH, _RIGHT = 330, 760, 90
_ROOM = 40
_END = 1.5
"""Longer bars are cut here: by how much a limit is missed stands beside them."""

_GREY, _KEPT, _MISSED = "#7d7d7d", "#3a8f5c", "#d4622a"


def draw(figures: Sequence[Figure]) -> str:
    """Draw a bar for each figure that has a limit."""
    shown = [(figure, figure.share) for figure in figures if figure.share is not None]
    height = _TOP + _ROW * len(shown) + 12
    limit = _x(1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<title>How much of each limit is used</title>",
        f'<text x="{limit}" y="16" text-anchor="middle" fill="{_GREY}">limit</text>',
        f'<line x1="{limit}" y1="22" x2="{limit}" y2="{height - 8}" stroke="{_GREY}" '
        'stroke-dasharray="3 3"/>',
    ]
    for number, (figure, share) in enumerate(shown):
        parts += _bar(figure, share, _TOP + number * _ROW)
    return "\n".join([*parts, "</svg>", ""])


def _bar(figure: Figure, share: float, top: int) -> list[str]:
    end = _x(min(share, _END))
    color = _KEPT if figure.is_kept else _MISSED
    word = f"{share:.0%}" if figure.is_kept else f"{share:.0%}, missed"
    middle = top + _BAR - 2
    is_close = end <= _x(1) < end + _ROOM  # the line would run through the words
    return [
        f'<text x="{_LABELS - 10}" y="{middle}" text-anchor="end" fill="{_GREY}">'
        f"{escape(figure.what.replace('`', ''))}</text>",
        f'<rect x="{_LABELS}" y="{top}" width="{max(end - _LABELS, 1)}" height="{_BAR}" '
        f'rx="2" fill="{color}"/>',
        f'<text x="{(_x(1) if is_close else end) + 6}" y="{middle}" fill="{_GREY}">{word}</text>',
    ]


def _x(share: float) -> int:
    return round(_LABELS + share / _END * (_WIDTH - _LABELS - _RIGHT))
