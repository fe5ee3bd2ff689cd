"""Figures and counts: what was measured, against what, and whether that keeps the limit."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Judged(Enum):
    """Which of many values counts."""

    MEDIAN = "median"
    MAX = "max"
    MEAN = "mean"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One thing measured many times, and what it is held against.

    With `rival_values`, measured by turns with `values` and in the same unit, `limit` is a ratio
    of the two; without, it is a value in `unit`. Without a limit the figure is for information.
    """

    what: str
    unit: str
    values: tuple[float, ...]
    rival: str = ""
    rival_values: tuple[float, ...] = ()
    limit: float | None = None
    judged: Judged = Judged.MEDIAN

    @property
    def value(self) -> float:
        """The value that counts."""
        return _judge(self.values, self.judged)

    @property
    def base(self) -> float | None:
        """What the value is divided by: the rival's, else the limit."""
        return _judge(self.rival_values, self.judged) if self.rival_values else self.limit

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of the rival or of the limit."""
        return None if self.base is None else self.value / self.base

    @property
    def largest_ratio(self) -> float | None:
        """The ratio that still keeps the limit."""
        return self.limit if self.limit is None or self.rival_values else 1.0

    @property
    def share(self) -> float | None:
        """How much of what is allowed is used; above 1 the limit is missed."""
        if self.ratio is None or self.largest_ratio is None:
            return None
        return self.ratio / self.largest_ratio

    @property
    def is_kept(self) -> bool:
        """Whether the limit is kept; a figure for information keeps it always."""
        return self.share is None or self.share <= 1

    @property
    def spread(self) -> tuple[float, float, float, float]:
        """The smallest value, the two between which 80 % lie, and the largest."""
        if len(self.values) == 1:
            return (self.values[0],) * 4
        tenths = statistics.quantiles(self.values, n=10, method="inclusive")
        return min(self.values), tenths[0], tenths[-1], max(self.values)

    def as_json(self) -> dict[str, Any]:
        """Everything, every single value too."""
        derived = {"value": self.value, "ratio": self.ratio, "is_kept": self.is_kept}
        return {**asdict(self), "judged": self.judged.value, "spread": self.spread, **derived}


@dataclass(frozen=True, kw_only=True)
class Count:
    """Something that has to be exactly so; `details` tells what was found instead."""

    what: str
    found: int
    wanted: int
    details: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether it is so."""
        return self.found == self.wanted

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return {**asdict(self), "is_kept": self.is_kept}


@dataclass(frozen=True, kw_only=True)
class Section:
    """What one measurement found, with the text that explains it."""

    title: str
    about: str
    figures: tuple[Figure, ...]
    counts: tuple[Count, ...] = ()

    @property
    def found(self) -> list[Figure | Count]:
        """Everything."""
        return [*self.figures, *self.counts]

    @property
    def missed(self) -> list[Figure | Count]:
        """What does not keep its limit."""
        return [one for one in self.found if not one.is_kept]

    def as_json(self) -> dict[str, Any]:
        """Everything but the text."""
        return {
            "figures": [figure.as_json() for figure in self.figures],
            "counts": [count.as_json() for count in self.counts],
        }


def _judge(values: tuple[float, ...], judged: Judged) -> float:
    match judged:
        case Judged.MAX:
            return max(values)
        case Judged.MEAN:
            return statistics.fmean(values)
    return statistics.median(values)
