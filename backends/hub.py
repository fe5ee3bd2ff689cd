"""The process behind everything: it starts services, and ends them when it is told to.

Run as `python -m backends.hub`; `tekton up` and `tekton serve` do that.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import errno
import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.config import SERVICES, Config, load_config
from backends.console import complain
from backends.context import ProcessContext
from backends.errors import AlreadyRunning, ConfigError, NotFound, StorageError, TektonError
from backends.hub_record import hub_lock, write_hub_record
from backends.launchers import add_launchers, keep_launchers, remove_launchers
from backends.logs import configure_logs
from backends.paths import Paths, find_paths, private_folder
from backends.personas import load_personas
from backends.plugins import load_plugin, plugin_names
from backends.protocol.messages import Health
from backends.service.base import Gate, Service
from backends.service.guard import bearer_token, refusal
from backends.service.runner import Runner
from backends.tokens import TokenStore
from backends.transport.base import Peer
from backends.transport.listener import is_listening

if TYPE_CHECKING:
    from websockets.http11 import Request

log = logging.getLogger(__name__)

GROUP = "tekton.services"
_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK = 256 * 1024
_LOOK_EVERY_S = 1.0
_COMPLAIN_EVERY_S = 60.0


class Process:
    """The services of this process: all of them, or the one named."""

    def __init__(self, config: Config, paths: Paths, only: str | None = None) -> None:
        self._paths = paths
        self._only = only
        tokens = TokenStore(paths.tokens)

        async def guard(request: Request, peer: Peer) -> tuple[int, str] | None:
            refused = refusal(request, config.tcp)
            if refused is None and not await tokens.is_valid(bearer_token(request), peer.where):
                return 401, "the token is missing or not valid"
            return refused

        self._context = ProcessContext(config, paths)
        self._runner = Runner(self._context, Gate(tokens.is_valid, config.tcp.legacy), guard)
        self._context.runner = self._runner
        self._failed: dict[str, StorageError] = {}

    async def run(self, ready: int | None) -> None:
        """Start, tell the file descriptor `ready`, close it, and serve until SIGTERM or SIGINT."""
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, over.set)
        loop.set_exception_handler(_Complaints().handle)
        seen = _state_of(self._paths)
        try:
            await self._start()
            self._launch()
            self._context.on_ci = self._ci_changed
            gc.freeze()  # what is here now stays, so collections need not look at it
            failed = [f"{name} cannot start: {why.message}" for name, why in self._failed.items()]
            _tell(ready, {"ready": True, "pid": os.getpid(), "failed": failed})
            follow = asyncio.create_task(self._follow_personas(seen))
            await over.wait()
            follow.cancel()
        finally:
            await self._runner.stop_all(leaves_records=self._only is not None)
            for name in self._failed:
                self._context.registry.remove(name, is_ci=False)
            await self._context.close()

    async def _start(self) -> None:
        services = self._wanted()
        for service in services:
            record = self._context.registry.find(service.name, service.is_ci)
            if record and record.health is Health.ALIVE and is_listening(Path(record.socket)):
                if self._only:
                    raise AlreadyRunning(
                        f"{service.name} runs already, in process {record.pid}",
                        "`tekton status` shows all",
                    )
                log.info("%s is served by process %s", service.name, record.pid)
                continue
            try:
                await self._runner.start(service)
            except StorageError as error:
                if self._only:
                    raise
                self._go_on_without(service, error)

    def _go_on_without(self, service: Service, error: StorageError) -> None:
        """Leave a service dead whose file cannot be used: nobody else's answers depend on it."""
        log.error("%s cannot start: %s", service.name, error.message)
        now = self._context.now()
        self._context.registry.write(
            dataclasses.replace(
                service.record,
                health=Health.DEAD,
                reason=error.message,
                pid=os.getpid(),
                started_at=now,
                ended_at=now,
            )
        )
        self._failed[service.name] = error

    def _wanted(self) -> list[Service]:
        names = sorted(
            plugin_names(GROUP), key=lambda n: SERVICES.index(n) if n in SERVICES else len(SERVICES)
        )
        if self._only in names:
            names = [self._only]
        services = [service for name in names for service in self._make(name)]
        if self._only is None or self._only in names:
            return services
        wanted = [
            service
            for service in services
            if service.is_ci and service.name == self._only.removesuffix("-ci")
        ]
        if not wanted:
            load_personas(self._paths.personas, self._raise_own)
            every = ", ".join(sorted({service.name for service in services}))
            raise NotFound(f"no service or CI named {self._only!r}", f"there are: {every}")
        return wanted

    def _raise_own(self, name: str, error: ConfigError) -> None:
        if name == self._only:
            raise error

    def _make(self, name: str) -> list[Service]:
        made = load_plugin(GROUP, name)(self._context)
        return [made] if isinstance(made, Service) else list(made)

    async def _follow_personas(self, seen: dict[str, int]) -> None:
        """Start CIs whose persona appears, stop those whose persona goes, renew what changed.

        Args:
            seen: The state of the files before they were first read.
        """
        while self._only is None:
            await asyncio.sleep(_LOOK_EVERY_S)
            now = _state_of(self._paths)
            if now == seen:
                continue
            seen = now
            try:
                await self._renew(self._make("specialists"))
            except TektonError as error:
                log.error("the CIs are left as they are: %s", error.message)
            except Exception:
                log.exception("the CIs could not all be renewed; the next change is tried again")

    async def _renew(self, wanted: list[Service]) -> None:
        running = {
            service.name: service
            for service in self._runner.services
            if hasattr(service, "persona")
        }
        for service in wanted:
            before = running.pop(service.name, None)
            if before is None or getattr(before, "persona", None) != getattr(
                service, "persona", None
            ):
                if before is not None:
                    await self._runner.stop(before)
                await self._runner.start(service)
                self._launch(service.name)
        broken: set[str] = set()
        load_personas(self._paths.personas, lambda name, _: broken.add(name))
        for service in running.values():
            if service.name not in broken:  # it goes on as it was until its file is mended
                await self._runner.stop(service)
                self._ci_changed(service.name, is_up=False)

    def _ci_changed(self, name: str, is_up: bool) -> None:
        """Make or remove the commands of a CI."""
        if is_up:
            self._launch(name)
            return
        with _logged():
            remove_launchers(self._paths.launchers, name)

    def _launch(self, name: str | None = None) -> None:
        """Make the commands of one CI; or of all, which in the hub ends those of any other."""
        cis = {service.name for service in self._runner.services if service.is_ci}
        elsewhere = {record.name for record in self._context.registry.records() if record.is_ci}
        folder = self._paths.launchers
        with _logged():
            if name is None and self._only is None:
                taken = keep_launchers(folder, cis | elsewhere)
            else:
                taken = add_launchers(folder, cis if name is None else {name})
            for word in taken:
                log.warning("%s is left as it is: it is not a launcher of ours", folder / word)


class _Complaints:
    """What asyncio has to say of failures that nobody else catches."""

    def __init__(self) -> None:
        self._told_at = -_COMPLAIN_EVERY_S

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log it; where no file can be opened any more, every listener says so each second."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif loop.time() - self._told_at >= _COMPLAIN_EVERY_S:
            self._told_at = loop.time()
            log.error("no connection can be accepted: %s", error.strerror)


def main() -> None:
    """Run the hub, or with `--only NAME` one service, in the foreground of this process."""
    parser = argparse.ArgumentParser(prog="python -m backends.hub", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="run this service or CI alone")
    parser.add_argument("--ready", metavar="FD", type=int, help="file descriptor to report to")
    parser.add_argument("--debug", action="store_true", help="log everything")
    parser.add_argument("--stderr", action="store_true", help="log to stderr, not to the file")
    options = parser.parse_args()
    os.umask(0o077)
    _give_memory_back()
    paths = find_paths()
    lock = ExitStack()  # never closed: who sees the lock free may count on the process being gone
    try:
        config = load_config(paths.config_file, os.environ)
        log_file = None if options.stderr else paths.logs / f"{options.only or 'hub'}.log"
        debug = "all" if options.debug else os.environ.get("TEKTON_DEBUG", "")
        configure_logs(log_file, config.logs.level, config.logs.max_bytes, debug)
        for folder in (paths.runtime, paths.state):
            private_folder(folder)
        with nullcontext() if options.only else _recorded(paths, lock):
            asyncio.run(_run(config, paths, options.only, options.ready))
    except TektonError as error:
        if options.ready is None:
            complain(error)
        else:
            log.error("%s", error.message)
        _tell(options.ready, {"kind": error.kind, "message": error.message, "hint": error.hint})
        sys.exit(error.exit_status)
    logging.shutdown()
    os._exit(0)  # a vendor's thread that hangs must not keep a hub alive that has said goodbye


async def _run(config: Config, paths: Paths, only: str | None, ready: int | None) -> None:
    await Process(config, paths, only).run(ready)


@contextmanager
def _recorded(paths: Paths, lock: ExitStack) -> Iterator[None]:
    """Take the hub's lock, and keep its record true: who runs, since when, until when."""
    lock.enter_context(hub_lock(paths))
    record = {
        "pid": os.getpid(),
        "started_at": time.time(),
        "runtime": os.fspath(paths.runtime),
    }
    write_hub_record(paths, record)
    try:
        yield
    finally:
        write_hub_record(paths, {**record, "ended_at": time.time()})


@contextmanager
def _logged() -> Iterator[None]:
    """Log what goes wrong with the launchers: a CI answers without them too."""
    try:
        yield
    except TektonError as error:
        log.error("%s", error.message)


def _give_memory_back() -> None:
    """Have large blocks of memory returned to the system when they are freed, where glibc is used.

    Otherwise it raises its own threshold with each large message, and keeps what they took
    (mallopt(3), M_MMAP_THRESHOLD).
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


def _tell(ready: int | None, message: dict[str, object]) -> None:
    if ready is None:
        return
    with suppress(OSError):  # whoever waited has given up
        os.write(ready, json.dumps(message).encode() + b"\n")
        os.close(ready)


def _state_of(paths: Paths) -> dict[str, int]:
    with suppress(OSError):
        return {file.name: file.stat().st_mtime_ns for file in paths.personas.glob("*.toml")}
    return {}


if __name__ == "__main__":
    main()
