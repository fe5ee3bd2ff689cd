"""Prompting CIs: one, several by name, all with a role; each answer streamed to where it goes."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aish.output import HeldOutput, JsonSink, Output, PlainSink, TeamOutput, TerminalSink
from backends.cleaning import clean
from backends.client.discovery import PATIENCE_S, silent
from backends.client.tekton import Tekton
from backends.console import die_of, say
from backends.errors import NotFound, TektonError, TimedOut, UsageError
from backends.fast import silence_notice
from backends.protocol.messages import Answer, Chat, Health, ListAll, Piece, ServiceInfo
from backends.runtime import canonical

if TYPE_CHECKING:
    from aish.schema import Schema

_DRAW_EVERY_S = 1 / 30
EVERYONE = ("@all", "team-chat")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How answers are shown; `timeout_s` bounds each whole answer."""

    is_json: bool = False
    streams: bool = True
    timeout_s: float | None = None
    is_quiet: bool = False
    is_verbose: bool = False
    url: str | None = None
    token_file: Path | None = None
    schema: Schema | None = None
    """What each answer has to fit; it is shown when it does."""


async def ask(target: str, chat: Chat, options: Options) -> int:
    """Prompt whom the target names and show the answers.

    Args:
        target: A name, `@role`, `@all`, or names joined by commas.

    Returns:
        The exit status: 0, or that of the first CI that failed.

    Raises:
        TektonError: Nobody could be asked.
    """
    gather_s = _DRAW_EVERY_S if sys.stdout.isatty() else 0.0
    async with Tekton(options.url, options.token_file, gather_s=gather_s) as tekton:
        names = await members(tekton, target)
        silence = _Silence(names, options.is_quiet)
        try:
            if len(names) == 1 and not is_team(target):
                return await _ask_one(tekton, names[0], chat, options, _sink(options), silence)
            return await _ask_team(tekton, names, chat, options, silence)
        finally:
            silence.end()


class _Silence:
    """Tells once that nothing has come yet; ends with the first that comes."""

    def __init__(self, names: Sequence[str], is_quiet: bool) -> None:
        notice = silence_notice(", ".join(names))
        loop = asyncio.get_running_loop()
        self._timer = None if is_quiet else loop.call_later(PATIENCE_S, say, notice)

    def end(self) -> None:
        """Tell nothing any more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None


async def members(tekton: Tekton, target: str) -> list[str]:
    """Return the names of the CIs that a target means, each once.

    Raises:
        UsageError: It names nobody.
        NotFound: No CI has that role.
        TimedOut: Who knows the CIs is silent.
    """
    parts = [part.strip() for part in target.split(",") if part.strip()]
    if not parts:
        raise UsageError(f"{target!r} names no CI", "`aish list` shows all")
    cis: list[ServiceInfo] = []
    if any(part in EVERYONE or part.startswith("@") for part in parts):
        try:
            async with asyncio.timeout(PATIENCE_S):
                directory = await tekton.call(ListAll())
        except TimeoutError as error:
            raise silent("hermes", False, PATIENCE_S) from error
        cis = [entry for entry in directory.entries if entry.is_ci]
    names = [name for part in parts for name in _named(part, cis)]
    return list(dict.fromkeys(names))


def _named(part: str, cis: list[ServiceInfo]) -> list[str]:
    if part in EVERYONE:
        return [entry.name for entry in cis if entry.health is not Health.ENDED]
    if not part.startswith("@"):
        return [canonical(part)]
    role = part[1:].lower()
    found = [entry.name for entry in cis if role in _roles_of(entry)]
    if not found:
        known = ", ".join(sorted({f"@{_slug(entry.role)}" for entry in cis if entry.role}))
        raise NotFound(f"no CI has the role {role!r}", f"there are: @all, {known}")
    return found


async def _ask_one(
    tekton: Tekton, name: str, chat: Chat, options: Options, sink: Output, silence: _Silence
) -> int:
    answer: Answer | None = None
    failure: TektonError | None = None
    try:
        async with asyncio.timeout(options.timeout_s):
            chat = dataclasses.replace(chat, ci=name)
            async with aclosing(_items(tekton, chat, options.schema)) as items:
                async for item in items:
                    silence.end()
                    if isinstance(item, Answer):
                        answer = item
                    elif isinstance(item, Piece):
                        sink.take(_shown(item, options))
    except TimeoutError:
        failure = TimedOut(
            f"{name} did not finish within {options.timeout_s:g} s", "--timeout allows more"
        )
    except TektonError as error:
        failure = error
    sink.end(name, answer, failure)
    return failure.exit_status if failure else 0


def _items(tekton: Tekton, chat: Chat, schema: Schema | None) -> AsyncGenerator[Any, None]:
    if schema is None:
        return tekton.stream(chat)
    from aish.schema import fitting

    return fitting(tekton.stream, chat, schema)


def _shown(piece: Piece, options: Options) -> Piece:
    """Return a piece as its output takes it: JSON is not rendered, so it is cleaned here."""
    if options.schema is None or not sys.stdout.isatty():
        return piece
    return dataclasses.replace(piece, text=clean(piece.text))


async def _ask_team(
    tekton: Tekton, names: Sequence[str], chat: Chat, options: Options, silence: _Silence
) -> int:
    team = TeamOutput(lambda prefix: _sink(options, prefix), is_plain=options.is_json)
    statuses = await asyncio.gather(
        *(_ask_one(tekton, name, chat, options, team.member(name), silence) for name in names)
    )
    team.finish()
    return next((status for status in statuses if status), 0)


def _sink(options: Options, prefix: str = "") -> Output:
    if options.is_json:
        return JsonSink()
    is_rendered = sys.stdout.isatty() and options.schema is None
    kind = TerminalSink if is_rendered else PlainSink
    output = kind(options.is_quiet, options.is_verbose, prefix)
    return output if options.streams else HeldOutput(output)


def die_of_interrupt() -> None:
    """Let Ctrl-C end the process at once, with the terminal as it was; the hub cancels the rest."""

    def end(*_: object) -> None:
        if os.isatty(1):
            with suppress(OSError):
                os.write(1, b"\x1b[0m\n")  # `sys.stdout` may be in the middle of a write
        die_of(signal.SIGINT)

    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL):
        signal.signal(signal.SIGINT, end)


def is_team(target: str) -> bool:
    """Tell whether a target may mean several CIs."""
    return target.startswith("@") or "," in target or target in EVERYONE


def _roles_of(entry: ServiceInfo) -> set[str]:
    return (
        {_slug(entry.role), *entry.role.lower().split()}
        if entry.health is not Health.ENDED
        else set()
    )


def _slug(role: str) -> str:
    return role.lower().replace(" ", "-")
