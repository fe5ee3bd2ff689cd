"""Commands that start, end and watch processes: up, down, status, serve, logs, events, clean."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer

from backends.cleaning import clean_line
from backends.commands import terminals
from backends.commands.hub_process import become, end_hub, spawn
from backends.commands.options import Json
from backends.console import GREEN, RED, YELLOW, ago, paint, say, table
from backends.errors import CannotConnect, TektonError
from backends.hub_record import is_locked
from backends.paths import Paths, find_paths
from backends.protocol.messages import Health, ServiceInfo

Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error; log everything.")
]
Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Where: unix:PATH, tcp://…, ws://… or wss://…"),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="File with the token for --url."),
]

Foreground = Annotated[
    bool, typer.Option("--foreground", help="Stay in the foreground, log to stderr.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing when it works.")]

_LOOK_MS = 100


def up(
    foreground: Foreground = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """tekton up: start the hub with all services and CIs; list them."""
    paths = find_paths()
    flags = ["--debug"] if debug else []
    if foreground:
        become([*flags, "--stderr"])
    pid = spawn(paths, flags)
    _tell_broken(paths)
    if quiet:
        return
    from backends.client.blocking import BlockingTekton
    from backends.protocol.messages import ListAll

    with BlockingTekton(paths=paths, is_local=True) as tekton:
        entries = list(tekton.call(ListAll()).entries)
    if as_json:
        print(json.dumps({"pid": pid, **_shown(entries)}, indent=1))
        return
    print(f"hub is up, pid {pid}\n")
    _print_services(entries)
    _hint_at_models(entries)


def down(
    everything: Annotated[
        bool, typer.Option("--all", help="End every terminal, too, and all that runs in it.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """tekton down: end the hub and what it started, but no terminal.

    With --all nothing of Tekton is left: the terminals are closed first, and what hangs is killed.
    """
    paths = find_paths()
    if everything and terminals.is_within(paths):
        raise typer.Exit(terminals.leave_and_end())
    found = None
    if everything:
        _close_terminals(paths)
    elif is_locked(paths):
        found = terminals.ask(paths)
    pid = end_hub(paths, kills=everything)
    if everything:
        terminals.end_rest(paths)
    if quiet:
        return
    say("no hub is running" if pid is None else f"hub is down (it was pid {pid})")
    if not everything and (living := terminals.living(paths, found)):
        say(living)


def _close_terminals(paths: Paths) -> None:
    """Close every terminal, by a hub that is started for it where none runs."""
    if not is_locked(paths):
        if terminals.host_pid(paths) is None:
            return
        try:
            spawn(paths, [])
        except TektonError as error:
            say(f"no hub can be started to close the terminals: {error.message}")
            return
    terminals.close_all(paths)


def restart(
    foreground: Foreground = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """tekton restart: down and up, with the settings of now.

    Without a hub it is `tekton up`. A hub that runs is left alone where the settings are not valid.
    """
    from backends.config import load_config

    paths = find_paths()
    load_config(paths.config_file, os.environ)
    end_hub(paths)
    up(foreground, quiet, as_json, debug)


def status(
    as_json: Json = False, url: Url = None, token_file: TokenFile = None, debug: Debug = False
) -> None:
    """tekton status: what runs, with which model; the last errors."""
    from backends.client.blocking import BlockingTekton
    from backends.hub_record import read_hub_record
    from backends.protocol.messages import ListAll, Measure

    paths = find_paths()
    is_elsewhere = bool(url or os.environ.get("TEKTON_URL"))
    with BlockingTekton(url, token_file, paths) as tekton:
        try:
            entries = list(tekton.call(ListAll()).entries)
        except CannotConnect as error:
            last = read_hub_record(paths)
            if not url and "ended_at" in last and not is_locked(paths):
                ended = _when(float(last["ended_at"]))
                error.message += f"; the last one ran as pid {last['pid']} and ended {ended}"
            if not is_elsewhere and (living := terminals.living(paths, None)):
                error.message += f"; {living}"
            raise
        try:
            facts = tekton.call(Measure())
        except TektonError as error:
            say(f"numa does not measure: {error.message}")
            facts = None
    hub = next(
        (entry for entry in entries if entry.name == "hermes" and not entry.is_ci), entries[0]
    )
    if as_json:
        host = None if is_elsewhere else terminals.host_pid(paths)
        known = {"pid": hub.pid, "started_at": hub.started_at, **_shown(entries)}
        known |= {"ptyhost": {"pid": host}} if host else {}
        if facts:
            known |= {"uptime_s": facts.uptime_s, "memory": facts.hub_memory}
        print(json.dumps(known, indent=1))
        return
    line = (
        f"hub: pid {hub.pid}, up {ago(time.time() - hub.started_at)}, since {_when(hub.started_at)}"
    )
    line += f", {facts.hub_memory / 1e6:.0f} MB" if facts else ""
    print("\n".join([line, *_notes(entries)]) + "\n")
    _print_services(entries)
    _hint_at_models(entries)
    if not is_elsewhere:
        _tell_broken(paths)


def serve(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A service (hermes, engram, rhetor, numa, specialists) or a CI."
        ),
    ],
    debug: Debug = False,
) -> None:
    """tekton serve engram: one service or CI alone, until Ctrl-C."""
    become(["--only", name, "--stderr", *(["--debug"] if debug else [])])


def logs(
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come.")] = False,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, help="So many of the last lines.")
    ] = 50,
    component: Annotated[
        str, typer.Option("--component", metavar="NAME", help="Only lines of this component.")
    ] = "",
    debug: Debug = False,
) -> None:
    """tekton logs -f: the hub's log."""
    file = find_paths().logs / "hub.log"
    if not file.exists():
        raise CannotConnect(f"there is no log yet: {file}", "`tekton up` starts a hub, and its log")

    def wanted(text: str) -> list[str]:
        return [
            line
            for line in text.splitlines()
            if not component or f".{component}" in line or f" {component} " in line
        ]

    def show(text: str) -> None:
        for line in wanted(text):
            print(clean_line(line), flush=True)

    stream = file.open(encoding="utf-8", errors="replace")
    show("\n".join(wanted(stream.read())[-lines:] if lines else []))
    if follow:
        _follow(file, stream, show)


def events(
    subject: Annotated[
        str,
        typer.Option(
            "--subject", metavar="PATTERN", help="'*' stands for one word, '>' for all that follow."
        ),
    ] = ">",
    count: Annotated[
        int, typer.Option("-n", "--count", metavar="N", help="End after so many; 0 never ends.")
    ] = 0,
    as_json: Json = False,
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
) -> None:
    """tekton events --subject 'ci.>': what happens, until Ctrl-C."""
    from backends.client.blocking import BlockingTekton
    from backends.protocol import schema
    from backends.protocol.messages import Event, Subscribe

    with BlockingTekton(url, token_file) as tekton:
        for seen, event in enumerate(tekton.stream(Subscribe(subject=subject)), 1):
            if not isinstance(event, Event):
                return
            if as_json:
                print(json.dumps(schema.encode(event)), flush=True)
            else:
                _print_event(event.at, event.subject, event.data, event.dropped)
            if seen == count:
                return


def clean(debug: Debug = False) -> None:
    """tekton clean: remove what dead processes left.

    These are records, sockets and temporary files.
    """
    from backends.registry import Registry, checked

    paths = find_paths()
    registry = Registry(paths.registry)
    removed = 0
    for record in registry.records():
        if checked(record).health is not Health.ALIVE:
            registry.remove(record.name, record.is_ci)
            Path(record.socket).unlink(missing_ok=True)
            say(f"removed {record.name}: {checked(record).reason}")
            removed += 1
    for leftover in [*paths.registry.glob("*.tmp"), *paths.state.glob("*.tmp")]:
        leftover.unlink(missing_ok=True)
        removed += 1
    say(f"{removed} removed" if removed else "nothing to remove")


def _print_services(entries: list[ServiceInfo]) -> None:
    services = [entry for entry in entries if entry.is_service]
    cis = [entry for entry in entries if entry.is_ci]
    rows = [["SERVICE", "STATE", "PID", "STARTED", "STOPPED", "LAST ERROR", "SOCKET"]]
    rows += [
        [entry.name, entry.health.value, str(entry.pid),
         _when(entry.started_at), _when(entry.ended_at),
         entry.reason or entry.last_error or "-", " ".join([entry.socket, *entry.urls])]
        for entry in services
    ]  # fmt: skip
    print(table(rows, [None, *map(_color, services)], cut_first=(6, 5)) + "\n")
    rows = [["CI", "STATE", "ROLE", "MODEL", "LAST ERROR", "SOCKET"]]
    rows += [
        [entry.name, entry.health.value, entry.role, entry.model or "none",
         entry.reason or entry.last_error or "-", " ".join([entry.socket, *entry.urls])]
        for entry in cis
    ]  # fmt: skip
    print(table(rows, [None, *map(_color, cis)], cut_first=(5, 4)))


def _notes(entries: list[ServiceInfo]) -> list[str]:
    """Return what the services say of themselves; what CIs say is for those who prompt them."""
    return [
        f"{entry.name}: {clean_line(entry.note)}"
        for entry in entries
        if entry.is_service and not entry.is_ci and entry.note
    ]


def _tell_broken(paths: Paths) -> None:
    """Tell of each CI that is left out, as its file cannot be used."""
    from backends.personas import load_personas

    load_personas(
        paths.personas,
        lambda name, error: say(f"{name} is left out: {error.message}; `tekton doctor` tells more"),
    )


def _hint_at_models(entries: list[ServiceInfo]) -> None:
    without = [
        entry.name
        for entry in entries
        if entry.is_ci and not entry.model and entry.health is Health.ALIVE
    ]
    if without:
        say(f"no model answers for {', '.join(without)}; `tekton doctor` tells how to get one")


def _color(entry: ServiceInfo) -> str:
    if entry.health is not Health.ALIVE:
        return RED
    return YELLOW if entry.is_ci and not entry.model else GREEN


def _shown(entries: list[ServiceInfo]) -> dict[str, object]:
    from backends.protocol import schema

    return {
        "services": [schema.encode(entry) for entry in entries if entry.is_service],
        "cis": [schema.encode(entry) for entry in entries if entry.is_ci],
    }


def _when(at: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else "-"


def _print_event(at: float, subject: str, data: Any, dropped: int) -> None:
    if dropped:
        say(f"{dropped} events were lost here: this reader is too slow")
    details = " ".join(f"{key}={value}" for key, value in data.items())
    word = paint(subject, RED if subject.endswith(("failed", "died")) else GREEN)
    print(
        f"{time.strftime('%H:%M:%S', time.localtime(at))} {word} {clean_line(details)}", flush=True
    )


def _follow(file: Path, stream: TextIO, show: Callable[[str], None]) -> NoReturn:
    """Show what is appended from here on, also after the file was rotated."""
    rest = ""
    reader = select.poll()
    reader.register(sys.stdout.fileno(), 0)
    while True:
        is_rotated = file.exists() and file.stat().st_ino != os.fstat(stream.fileno()).st_ino
        text = stream.read()
        *lines, rest = (rest + text).split("\n")
        show("\n".join(lines))
        if is_rotated:  # and read to its end
            stream.close()
            stream = file.open(encoding="utf-8", errors="replace")
        elif not text and reader.poll(_LOOK_MS):
            raise BrokenPipeError  # whoever read this is gone, and no line may come to tell
