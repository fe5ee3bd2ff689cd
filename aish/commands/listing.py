"""`aish list`: every CI there is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aish.options import Debug, Json, TokenFile, Url
from backends.console import GREEN, RED, YELLOW, say, table

if TYPE_CHECKING:
    from backends.protocol.messages import ServiceInfo

_BUILTINS = frozenset(
    "alias begin bg bind break builtin case cd command complete continue declare dirs disown do "
    "done echo elif else end esac eval exec exit export false fc fg fi for function functions "
    "getopts hash help if in jobs kill let local logout not or and popd printf pushd pwd read "
    "return select set shift source string suspend switch test then time times trap true type "
    "typeset ulimit umask unalias unset until wait while".split()
)
"""Commands and words of bash, zsh or fish themselves, as far as a CI could have the name."""


def list_cis(
    url: Url = None, token_file: TokenFile = None, as_json: Json = False, debug: Debug = False
) -> None:
    """aish list: every CI, alive or dead, with its role and model."""
    from backends.client.blocking import BlockingTekton
    from backends.protocol import schema
    from backends.protocol.messages import Health, ListAll

    with BlockingTekton(url, token_file) as tekton:
        cis = [entry for entry in tekton.call(ListAll()).entries if entry.is_ci]
    clashes = find_clashes([entry.name for entry in cis], os.environ)
    if as_json:
        shown = [schema.encode(entry) | {"clash": clashes.get(entry.name)} for entry in cis]
        print(json.dumps(shown, indent=1))
        return
    rows = [["NAME", "STATE", "KIND", "ROLE", "MODEL"], *(_row(entry) for entry in cis)]
    print(table(rows, [None, *(_color(entry) for entry in cis)]))
    for name, what in clashes.items():
        say(f"in a shell {name} is taken ({what}); the CI is {name}-ci there")
    if any(entry.model is None and entry.health is Health.ALIVE for entry in cis):
        say("no model answers for some; `tekton doctor` tells how to get one")


def find_clashes(names: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return which names mean something else in a shell, where a CI's command comes last.

    The value is the path of a program, or `shell builtin`.
    """
    from aish.shell.start import which
    from backends.launchers import launcher_folder

    own = launcher_folder()
    folders = [one for one in environment.get("PATH", "").split(os.pathsep) if one != own]
    path = os.pathsep.join(folders)
    found = ((name, _meaning(name, which(name, path))) for name in names)
    return {name: what for name, what in found if what is not None}


def _meaning(name: str, program: str | None) -> str | None:
    return "shell builtin" if name in _BUILTINS else program


def _row(entry: ServiceInfo) -> list[str]:
    model = entry.model or "none"
    if entry.health.value != "alive":
        model = entry.reason or ""
    elif entry.model and entry.note:
        model = f"{entry.model} ({entry.note})"
    return [entry.name, entry.health.value, entry.kind, entry.role, model]


def _color(entry: ServiceInfo) -> str:
    if entry.health.value != "alive":
        return RED
    return GREEN if entry.model else YELLOW
