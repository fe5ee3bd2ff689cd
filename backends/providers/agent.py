"""An installed coding agent as a model: its program answers, with the login that it has.

Each answer is a process of its own, in an empty folder and without tools, read through the
agent's JSON stream; when the answer ends or is cancelled, the whole group of processes ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shlex
import shutil
import stat
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backends.errors import AnswerTruncated, ConfigError, ModelError
from backends.providers.agent_events import AgentFault, Reader, shown
from backends.providers.agent_kinds import AGENTS, NESTING, Room
from backends.providers.agent_process import MAX_LINE, AgentProcess, LineTooLong
from backends.providers.base import Finish, KeySource, Notice, Probe, Prompt, Settings
from backends.providers.remote import check
from backends.registry import is_running

CONTEXT_TOKENS = 100_000
SILENCE_S = 600.0
"""How long an agent may print nothing: some think for minutes and tell nothing of it."""

_MALFORMED = (ValueError, LookupError, TypeError, AttributeError)
_KNOWN = tuple(
    "agent arguments command context_tokens folder model processes read_timeout_s tools".split()
)
_MODEL = re.compile(r"[A-Za-z0-9][\w.:/@\[\]-]{0,199}")
_IS_LOGIN = re.compile(r"\b401\b|/login|log ?in\b|logged in|authenticat|api key", re.IGNORECASE)
_IS_OLD = re.compile(r"unknown option|unexpected argument|unknown feature", re.IGNORECASE)

_ROOMS = "tekton-agent-"
"""Temporary folders begin so; the pid of the process that made one follows."""

log = logging.getLogger(__name__)

NumberT = TypeVar("NumberT", int, float)


@dataclass(frozen=True)
class _Run:
    """One answer on its way."""

    process: AgentProcess
    reader: Reader
    room: Path


class AgentProvider:
    """A coding agent; settings: `agent` (claude or codex), `command`, `model`, `arguments`,
    `tools`, `folder`, `processes`, `read_timeout_s`, `context_tokens`.

    What an agent may do is for the settings alone to say, never for a prompt.
    """  # noqa: D205

    def __init__(self, name: str, settings: Settings, get_key: KeySource) -> None:
        del get_key  # the agent has a login of its own
        self.name = name
        self._settings = settings
        for key in settings:
            if key not in (*_KNOWN, "type"):
                known = ", ".join(_KNOWN)
                raise self._bad(f"{key} is not a setting of an agent; there are: {known}")
        kind = self._text("agent") or name
        if kind not in AGENTS:
            raise self._bad(f"agent is {kind!r}, not one of: {', '.join(AGENTS)}")
        self._agent = AGENTS[kind]
        self._command = os.path.expanduser(self._text("command") or self._agent.program)
        self._model = self._text("model")
        self._arguments = self._texts("arguments")
        self._tools = self._texts("tools")
        for tool in self._tools:
            if not self._agent.tools.fullmatch(tool):
                raise self._bad(f"tools holds {tool!r}, which {kind} does not have")
        folder = self._text("folder")
        self._folder = Path(folder).expanduser() if folder else None
        if self._folder and not self._folder.is_absolute():
            raise self._bad(f"folder is {folder!r}, not a path from / or ~")
        self._processes = self._number("processes", 2, (int,))
        self._silence_s = self._number("read_timeout_s", SILENCE_S, (int, float))
        self.context_tokens = self._number("context_tokens", CONTEXT_TOKENS, (int,))
        self._slots = asyncio.Semaphore(self._processes)
        self._runs: set[_Run] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._version: str | None = None
        self._is_closed = False

    # -- the contract ----------------------------------------------------------------------

    async def probe(self, timeout_s: float) -> Probe:
        """Look whether the program is there and starts; nothing is sent, no login is tried."""
        program = shutil.which(self._command)
        if program is None:
            return Probe(reason=f"{self._command} is not installed", hint=self._install)
        if self._version is None:
            try:
                self._version = await _version_of(program, timeout_s)
            except TimeoutError:
                log.info("%s did not tell its version within %g s", program, timeout_s)
            except (OSError, ModelError) as error:
                return Probe(reason=f"{program} does not start: {error}", hint=self._install)
        chosen = self._model or self._agent.models[0]
        return Probe(models=tuple(dict.fromkeys([chosen, *self._agent.models])))

    async def stream(self, prompt: Prompt) -> AsyncGenerator[str | Notice | Finish, None]:
        """Start the agent and yield its answer; closing the iterator ends it at once."""
        check(prompt)
        if not _MODEL.fullmatch(prompt.model):
            raise ModelError(f"{prompt.model!r} cannot be the name of a model of {self.name}")
        if self._slots.locked():
            n = self._processes
            text = "1 answer of {} is" if n == 1 else f"{n} answers of {{}} are"
            yield Notice(text=f"waiting: {text.format(self.name)} under way")
        await self._slots.acquire()
        try:
            if self._is_closed:
                raise ModelError(f"{self.name} is not used any more: Tekton ends")
            run = await self._start(prompt)
        except BaseException:
            self._slots.release()
            raise
        is_finished = False
        try:
            async with aclosing(self._follow(run)) as items:
                async for item in items:
                    is_finished = isinstance(item, Finish) and item.reason == "stop"
                    yield item
        finally:
            self._runs.discard(run)
            ending = asyncio.ensure_future(self._end(run, at_once=not is_finished))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def close(self) -> None:
        """End every process, and wait until nothing is left of them."""
        self._is_closed = True
        await asyncio.gather(*(run.process.end(at_once=True) for run in self._runs))
        while self._endings:
            await asyncio.wait(self._endings)

    # -- one answer ------------------------------------------------------------------------

    async def _start(self, prompt: Prompt) -> _Run:
        program = shutil.which(self._command)
        if program is None:
            raise ModelError(f"{self._command} is not installed", self._install)
        room = self._room()
        try:
            flags = self._agent.arguments(prompt, self._tools, room)
            message = self._agent.message(prompt)
            argv = [program, *flags, *self._arguments]
            environment = _environment(self._agent.variables(prompt))
            process = await AgentProcess.start(argv, message, room.folder, environment)
        except BaseException as error:
            shutil.rmtree(room.files, ignore_errors=True)
            if isinstance(error, OSError):
                words = f"{self.name} cannot be started: {error.strerror}"
                raise ModelError(words, self._install) from error
            raise
        run = _Run(process, self._agent.reader(self.name, prompt.model), room.files)
        self._runs.add(run)
        return run

    def _room(self) -> Room:
        if self._folder and not self._folder.is_dir():
            raise ModelError(
                f"{self._folder}, where {self.name} is to work, is not there",
                f"`mkdir -p {shlex.quote(str(self._folder))}`, or `tekton config edit`",
            )
        _remove_left_rooms()
        files = Path(tempfile.mkdtemp(prefix=f"{_ROOMS}{os.getpid()}-"))  # of this user alone
        if self._folder:
            return Room(files, self._folder)
        (files / "empty").mkdir(mode=0o700)
        return Room(files, files / "empty")

    async def _follow(self, run: _Run) -> AsyncGenerator[str | Notice | Finish, None]:
        """Yield what the agent says, as far as its finish marker."""
        count = 0
        try:
            async with aclosing(run.process.lines(self._silence_s)) as lines:
                async for line in lines:
                    for item in run.reader.read(json.loads(line)):
                        count += len(item) if isinstance(item, str) else 0
                        yield item
                    if run.reader.finish:
                        yield run.reader.finish
                        return
            words = await self._last_words(run.process)
        except AgentFault as fault:
            words = shown(fault)
        except TimeoutError:
            words = f"nothing came for {self._silence_s:g} s (`read_timeout_s`)"
        except LineTooLong:
            words = f"it printed a line of more than {MAX_LINE:,} bytes"
        except _MALFORMED as error:
            words = f"malformed stream ({type(error).__name__}: {shown(error)})"
        raise self._broken(words, count)

    async def _last_words(self, process: AgentProcess) -> str:
        """Say how a process ended that has not finished its answer."""
        status = await process.status()
        if status is None:
            how = "it closed its output and goes on running"
        elif status < 0:
            how = f"it was ended by signal {-status}"
        else:
            how = f"it ended with status {status} before its answer was complete"
        lines = [line for line in process.errors.splitlines() if line.strip()]
        telling = [line for line in lines if line.lower().startswith("error")] or lines[-1:]
        return f"{how}: {shown(telling[0])}" if telling else how

    async def _end(self, run: _Run, at_once: bool) -> None:
        """End a process and let the next one begin."""
        try:
            await run.process.end(at_once)
        finally:
            self._slots.release()
            await asyncio.to_thread(shutil.rmtree, run.room, ignore_errors=True)

    def _broken(self, words: str, count: int) -> ModelError:
        hint = None
        if _IS_LOGIN.search(words):
            hint = self._agent.login
        elif _IS_OLD.search(words):
            hint = f"{self._version or 'it'} may be too old: {self._install}"
        if count:
            plural = "" if count == 1 else "s"
            message = f"the answer of {self.name} broke off after {count:,} character{plural}"
            return AnswerTruncated(f"{message}: {words}", hint)
        return ModelError(f"{self.name} did not answer: {words}", hint)

    @property
    def _install(self) -> str:
        return f"`npm install -g {self._agent.package}`"

    # -- settings --------------------------------------------------------------------------

    def _text(self, key: str) -> str | None:
        found = self._settings.get(key)
        if found is None or (isinstance(found, str) and found):
            return found
        raise self._bad(f"{key} is {found!r}, not a text")

    def _texts(self, key: str) -> tuple[str, ...]:
        found = self._settings.get(key, ())
        if isinstance(found, list | tuple) and all(isinstance(one, str) for one in found):
            return tuple(found)
        raise self._bad(f"{key} is {found!r}, not a list of texts")

    def _number(self, key: str, default: NumberT, kinds: tuple[type, ...]) -> NumberT:
        found = self._settings.get(key, default)
        if type(found) in kinds and found > 0:
            return found  # type: ignore[no-any-return]  # it is what the settings have
        raise self._bad(f"{key} is {found!r}, not a {'whole ' * (len(kinds) == 1)}number above 0")

    def _bad(self, what: str) -> ConfigError:
        return ConfigError(
            f"[providers.{self.name}] {what}", "`tekton config edit` opens the settings"
        )


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in NESTING}
    return {**kept, **added}


async def _version_of(program: str, timeout_s: float) -> str:
    """Ask a program for its version.

    Raises:
        OSError: It cannot be started.
        ModelError: It failed; the message has its words.
        TimeoutError: It took too long.
    """
    process = await AgentProcess.start([program, "--version"], b"", Path("/"), _environment({}))
    try:
        async with asyncio.timeout(timeout_s):
            async with aclosing(process.lines(timeout_s)) as lines:
                said = [line.decode(errors="replace") async for line in lines]
            status = await process.status()
    finally:
        await process.end(at_once=True)
    if status or not said:
        raise ModelError(f"status {status} {shown(process.errors)}".strip())
    return shown(said[0])


def _remove_left_rooms() -> None:
    """Remove the rooms of processes that were killed before they could do it themselves."""
    for room in Path(tempfile.gettempdir()).glob(f"{_ROOMS}*-*"):
        pid = room.name.removeprefix(_ROOMS).partition("-")[0]
        try:
            found = room.lstat()
        except OSError:
            continue
        is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if is_ours and pid.isdecimal() and len(pid) < 10 and not is_running(int(pid)):
            shutil.rmtree(room, ignore_errors=True)
