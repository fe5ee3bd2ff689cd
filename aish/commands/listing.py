"""`aish list`: every CI there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aish.options import Debug, Json, TokenFile, Url
from backends.console import GREEN, RED, YELLOW, say, table

if TYPE_CHECKING:
    from backends.protocol.messages import ServiceInfo


def list_cis(
    url: Url = None, token_file: TokenFile = None, as_json: Json = False, debug: Debug = False
) -> None:
    """aish list: every CI, alive or dead, with its role and model."""
    from backends.client.blocking import BlockingTekton
    from backends.protocol import schema
    from backends.protocol.messages import Health, ListAll

    with BlockingTekton(url, token_file) as tekton:
        cis = [entry for entry in tekton.call(ListAll()).entries if entry.is_ci]
    if as_json:
        print(json.dumps([schema.encode(entry) for entry in cis], indent=1))
        return
    rows = [["NAME", "STATE", "KIND", "ROLE", "MODEL"], *(_row(entry) for entry in cis)]
    print(table(rows, [None, *(_color(entry) for entry in cis)]))
    if any(entry.model is None and entry.health is Health.ALIVE for entry in cis):
        say("no model answers for some; `tekton doctor` tells how to get one")


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
