"""Measure, and write docs/explanation/performance.md: `make bench`, or `python -m tests.bench`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from tests.bench import (
    chat,
    crowd,
    life,
    shell,
    startup,
    store,
    streaming,
    terminals,
    throughput,
)
from tests.bench.figures import Figure, Section
from tests.bench.install import ROOT, make_venv
from tests.bench.machine import Machine
from tests.bench.page import number, verdict, write_page
from tests.bench.picture import draw
from tests.bench.stage import Stage

MEASUREMENTS: Mapping[str, Callable[[Stage, int], Section]] = {
    "startup": startup.measure,
    "shell": shell.measure,
    "streaming": streaming.measure,
    "chat": chat.measure,
    "throughput": throughput.measure,
    "crowd": crowd.measure,
    "hub": life.measure,
    "store": store.measure,
    "terminals": terminals.measure,
}
FEWEST_RUNS = 20
PAGE = ROOT / "docs" / "explanation" / "performance.md"


def main() -> None:
    """Measure what is asked for; write the page where that is everything."""
    given = _parse()
    names = given.only or list(MEASUREMENTS)
    machine = Machine.here("make bench")
    began = time.monotonic()
    # Short, because a socket's path must be; Tekton's own temporary folders are elsewhere.
    with tempfile.TemporaryDirectory(prefix="tekton-bench-", dir="/tmp") as folder:
        say("installing in a new venv")
        stage = Stage(Path(folder), make_venv(Path(folder) / "venv"))
        sections = {name: _measure(name, stage, given.runs) for name in names}
    for section in sections.values():
        _print(section)
    say(f"{verdict(sections)} ({time.monotonic() - began:.0f} s)")
    if given.json:
        found = {name: section.as_json() for name, section in sections.items()}
        text = json.dumps({"machine": asdict(machine), "runs": given.runs, **found}, indent=1)
        given.json.write_text(text + "\n", encoding="utf-8")
    if given.only or given.runs < FEWEST_RUNS:
        say(f"{PAGE.name} is left as it is: it takes every measurement, of {FEWEST_RUNS} runs")
    else:
        _write(machine, sections)
    if given.check and any(section.missed for section in sections.values()):
        sys.exit(1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=MEASUREMENTS, metavar="NAME",
        help=f"measure this alone, may be repeated: {', '.join(MEASUREMENTS)}",
    )  # fmt: skip
    parser.add_argument("--runs", type=int, default=FEWEST_RUNS, help="of each measurement")
    parser.add_argument("--check", action="store_true", help="fail where a limit is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value")
    given = parser.parse_args()
    if given.runs < 2:
        parser.error("--runs must be at least 2")
    return given


def _measure(name: str, stage: Stage, runs: int) -> Section:
    say(name)
    return MEASUREMENTS[name](stage, runs)


def _print(section: Section) -> None:
    print(f"\n{section.title}")
    for found in section.found:
        what = found.what.replace("`", "")
        if isinstance(found, Figure):
            value = f"{number(found.value)} {found.unit}"
            ratio = "" if found.ratio is None else f"{found.ratio:.2f}"
            allowed = "" if found.largest_ratio is None else f"of {found.largest_ratio:g}"
        else:
            value, ratio, allowed = f"{found.found}", "", f"of {found.wanted}"
        word = "" if found.is_kept else f"MISSED {getattr(found, 'details', '')}".strip()
        print(f"  {what:<52} {value:>16} {ratio:>6} {allowed:<8} {word}".rstrip(), flush=True)


def _write(machine: Machine, sections: Mapping[str, Section]) -> None:
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    figures = [figure for section in sections.values() for figure in section.figures]
    PAGE.with_suffix(".svg").write_text(draw(figures), encoding="utf-8")
    PAGE.write_text(write_page(machine, sections), encoding="utf-8")
    say(f"written: {PAGE.relative_to(ROOT)} and its picture")


def say(line: str) -> None:
    """Tell how far it has come."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    main()
