"""The page about performance: every sentence and every number in it comes from one run."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.figures import Count, Figure, Judged, Section
from tests.bench.machine import Machine

_HEAD = """\
# Performance

This page and its picture are written by `{command}`, which measures everything anew: its limits
are those that Tekton sets itself.
{verdict}

![A bar for each limit: how much of it is used](performance.svg)

## How it was measured

| | |
| --- | --- |
| Command | `{command}` |
| Date | {day} |
| Processor | {processor}, {cores} cores, {memory_gb:.0f} GB |
| System | {system} |
| Python | {python} |
| Tekton | {tekton}, installed by pip in a venv of its own, bytecode compiled |
| Packages | {packages} |
| Load before | {load:.1f} |

Servers run on the same machine, on loopback, and answer without a model. Each figure is the
median of its runs; where another value counts, the table says so. The spread is the smallest
value, the tenth and the ninetieth percentile, and the largest. What is held against a rival is
measured by turns with it, in the same minute. The ratio is the value as a multiple of the rival's,
or of the limit where there is no rival; behind it stands the largest ratio that is allowed.
"""

_TABLE = """\
| What | Value | Spread | Runs | Against | Ratio | |
| --- | ---: | ---: | ---: | --- | ---: | --- |
"""

_COUNTS = """\
| What has to be so | Found | Wanted | |
| --- | ---: | ---: | --- |
"""


def write_page(machine: Machine, sections: Mapping[str, Section]) -> str:
    """Compose the page."""
    known = {
        **vars(machine),
        "packages": ", ".join(f"{k} {v}" for k, v in machine.packages.items()),
    }
    head = _HEAD.format(**known, verdict=verdict(sections))
    return "\n".join([head, *map(_section, sections.values())])


def verdict(sections: Mapping[str, Section]) -> str:
    """Say in a sentence how many limits are kept, and name those that are not."""
    found = [one for section in sections.values() for one in section.found]
    judged = [one for one in found if isinstance(one, Count) or one.share is not None]
    missed = [one.what for one in found if not one.is_kept]
    if not missed:
        return f"Every one of the {len(judged)} limits is kept."
    kept = len(judged) - len(missed)
    return f"{kept} of {len(judged)} limits are kept; missed: {'; '.join(missed)}."


def _section(section: Section) -> str:
    text = f"## {section.title}\n\n{section.about}\n\n{_TABLE}" + "".join(
        f"| {' | '.join(_row(figure))} |\n" for figure in section.figures
    )
    if section.counts:
        text += f"\n{_COUNTS}" + "".join(
            f"| {count.what} | {count.found:,} | {count.wanted:,} | {_counted(count)} |\n"
            for count in section.counts
        )
    return text


def _row(figure: Figure) -> list[str]:
    word = "" if figure.judged is Judged.MEDIAN else f" ({figure.judged.value})"
    spread = " · ".join(number(value) for value in figure.spread)
    return [
        figure.what, f"{number(figure.value)} {figure.unit}{word}", spread, str(len(figure.values)),
        _against(figure), _ratio(figure), _word(figure),
    ]  # fmt: skip


def _against(figure: Figure) -> str:
    if figure.base is None:
        return ""
    return f"{figure.rival or 'limit'}: {number(figure.base)} {figure.unit}"


def _ratio(figure: Figure) -> str:
    if figure.ratio is None:
        return ""
    allowed = "" if figure.largest_ratio is None else f" of {figure.largest_ratio:g}"
    return f"{figure.ratio:.2f}{allowed}"


def _word(figure: Figure) -> str:
    if figure.share is None:
        return "for information"
    return "ok" if figure.is_kept else "**missed**"


def _counted(count: Count) -> str:
    return "ok" if count.is_kept else f"**missed** {count.details}".strip()


def number(value: float) -> str:
    """Write a number with three significant digits, and whole from a hundred on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
