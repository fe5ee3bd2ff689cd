"""`tekton doctor`: a check-up of everything, with the command that mends what is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from backends.commands.options import Debug, Json
from backends.console import BOLD, GREEN, RED, YELLOW, paint
from backends.paths import Paths, find_paths

if TYPE_CHECKING:
    from backends.commands.checks import Check

_WITHOUT_SETTINGS = frozenset({"disk", "hub", "services"})
_BLIND = " (judged by the defaults, as the settings cannot be read)"
_SIGNS = {"ok": ("✓", "+", GREEN), "warning": ("!", "!", YELLOW), "problem": ("✗", "x", RED)}


def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """tekton doctor: check everything, name the command that mends it.

    Works with and without a hub. Exit status 1 where there is a problem, 0 otherwise.
    """
    checks = list(_check_all(find_paths()))
    count = {state: sum(check.state.value == state for check in checks) for state in _SIGNS}
    if as_json:
        shown = [
            {"name": one.name, "state": one.state.value, "message": one.message, "fix": one.fix}
            for one in checks
        ]
        known = {"problems": count["problem"], "warnings": count["warning"], "checks": shown}
        print(json.dumps(known, indent=1))
    else:
        _print(checks)
        words = [f"{n} {word}{'s' * (n != 1)}" for word, n in count.items() if word != "ok" and n]
        print(f"\n{', '.join(reversed(words)) or 'all is well'}")
    if count["problem"]:
        raise typer.Exit(1)


def _check_all(paths: Paths) -> Iterator[Check]:
    from backends.commands import checks
    from backends.commands.probes import ask_all

    config, settings = checks.check_settings(paths, os.environ)
    yield checks.check_program()
    yield settings
    yield from checks.check_personas(paths)
    yield from checks.check_folders(paths)
    yield from checks.check_secrets(paths)
    by_settings = [*checks.check_store(paths, config), *checks.check_tcp(paths, config)]
    by_settings += [checks.check_hub(paths), *ask_all(paths, config)]
    is_broken = settings.state is checks.State.PROBLEM
    for check in by_settings:
        is_judged = is_broken and check.name not in _WITHOUT_SETTINGS
        yield dataclasses.replace(check, message=check.message + _BLIND) if is_judged else check


def _print(checks: list[Check]) -> None:
    from backends.cleaning import clean_line

    width = max(len(check.name) for check in checks)
    is_plain = not _can_write("✓✗→")
    for check in checks:
        sign, plain, color = _SIGNS[check.state.value]
        head = paint(f"{plain if is_plain else sign} {check.state.value:7}", color)
        print(f"{head}  {paint(f'{check.name:{width}}', BOLD)}  {clean_line(check.message)}")
        if check.fix:
            print(f"{'':{width + 13}}{'->' if is_plain else '→'} {clean_line(check.fix)}")


def _can_write(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
