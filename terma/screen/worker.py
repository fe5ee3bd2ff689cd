"""A screen worker: it emulates many terminals for a hub, one request after another.

Hostile output may abort this process, so it holds nothing that the hub could not have it work out
again. It ends with its hub: at the end of its standard input, which is the socket to it.
"""

from __future__ import annotations

import json
import socket
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

from backends.protocol.rows import Screen
from terma.screen import wire
from terma.screen.base import ScreenEngine
from terma.screen.rendering import KEPT_ROWS, Lines, Renderer
from terma.screen.search import Search, TooSlow

MAX_MEMORY = 2 << 30
"""Bytes of address space: an engine that goes mad must not take the machine with it."""

MAX_STATE = 512 << 20
"""Bytes of a state once unpacked."""

_COMPRESSION = 1


class Terminal:
    """An emulated terminal and what its watchers have seen of it."""

    def __init__(self, engine: ScreenEngine, size: tuple[int, int], scrollback: int) -> None:
        self.engine = engine
        self.size = size
        self.scrollback = scrollback
        self.seen: dict[int, Screen] = {}
        self.renderer: Renderer | None = None
        self.search = Search(None, False, 0)

    def resize(self, columns: int, rows: int) -> bool:
        """Take a size; tell whether it is another one."""
        if self.size == (columns, rows):
            return False
        self.engine.resize(columns, rows)
        self.size = (columns, rows)
        return True


class Worker:
    """The terminals of a worker by id, and how each request is answered."""

    def __init__(self) -> None:
        self._terminals: dict[str, Terminal] = {}
        self._answers: dict[
            str, Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]]
        ] = {
            name: getattr(self, f"_{name}")
            for name in "prepare load feed show changes forget repaint dump drop lines".split()
        }

    def answer(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Answer a request; an engine that raises starts anew, and the answer says so."""
        try:
            return self._answers[head["do"]](head, data)
        except Exception as error:  # noqa: BLE001  # an engine raises what it likes
            reason = f"{type(error).__name__}: {error}"
            terminal = self._terminals.pop(head["id"], None)
            if terminal is not None:
                terminal.engine.close()
            return {"failed": reason[:500]}, b""

    def _prepare(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Have all that takes a while done before anybody waits for it."""
        new_engine("ghostty", 2, 2, 0).close()
        return {}, b""

    def _load(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        self._drop(head, b"")
        columns, rows, scrollback = head["columns"], head["rows"], head["scrollback"]
        if head.get("is_log"):
            scrollback = KEPT_ROWS
        engine = new_engine(head["engine"], columns, rows, scrollback)
        if data:
            try:
                engine.load(_unpacked(data))
            except ValueError as error:
                engine.close()
                return {"broken": str(error)[:500]}, b""
        terminal = Terminal(engine, (columns, rows), scrollback)
        if head.get("is_log"):
            terminal.renderer = Renderer(engine, rows)
            terminal.search = Search(head["pattern"], head["ignores_case"], head["limit"])
        self._terminals[head["id"]] = terminal
        return {"engine": engine.NAME}, b""

    def _feed(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Read output; return what the terminal answers to that from `asked` on.

        And how many processor seconds it took.
        """
        terminal = self._terminals[head["id"]]
        terminal.resize(head["columns"], head["rows"])
        engine, asked = terminal.engine, head["asked"]
        begun = time.process_time()
        if asked:
            engine.feed(data[:asked])
            engine.answers()  # which were given when it came
        if asked < len(data):
            engine.feed(data[asked:])
        return {"took": time.process_time() - begun}, engine.answers()

    def _show(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        screen = self._terminals[head["id"]].engine.show(head["scrollback"])
        return {"screen": wire.pack_screen(screen)}, b""

    def _changes(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        terminal = self._terminals[head["id"]]
        before = terminal.seen.get(head["watcher"])
        now = terminal.seen[head["watcher"]] = terminal.engine.show()
        if before is None or _shape(before) != _shape(now):
            return {"screen": wire.pack_screen(now)}, b""
        rows = [
            [index, wire.pack_row(row)]
            for index, (row, old) in enumerate(zip(now.lines, before.lines, strict=True))
            if row is not old and row != old
        ]
        if not rows and wire.pack_cursor(before) == wire.pack_cursor(now):
            return {}, b""
        return {"rows": rows, **wire.pack_cursor(now)}, b""

    def _forget(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        terminal = self._terminals.get(head["id"])
        if terminal is not None:
            terminal.seen.pop(head["watcher"], None)
        return {}, b""

    def _repaint(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        return {}, self._terminals[head["id"]].engine.repaint()

    def _dump(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        terminal = self._terminals[head["id"]]
        state = zlib.compress(terminal.engine.dump(), _COMPRESSION)
        columns, rows = terminal.size
        return {"columns": columns, "rows": rows, "engine": terminal.engine.NAME}, state

    def _drop(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        terminal = self._terminals.pop(head["id"], None)
        if terminal is not None:
            terminal.engine.close()
        return {}, b""

    def _lines(self, head: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        terminal = self._terminals[head["id"]]
        renderer = terminal.renderer
        assert renderer is not None  # nosec B101
        found: list[Lines] = []
        begun = time.process_time()
        if head["is_last"]:
            found += renderer.finish()
        else:
            if terminal.size != (size := (head["columns"], head["rows"])):
                terminal.size = size
                found += renderer.resize(*size)
            found += renderer.feed(head["parts"], data)
        took = time.process_time() - begun
        try:
            wanted, over = terminal.search.pick(found)
        except TooSlow:
            return {"too_slow": True}, b""
        return {
            "lines": [(at, end, "\n".join(texts)) for at, end, texts in wanted],
            "over": over,
            "took": took,
        }, b""


def new_engine(name: str, columns: int, rows: int, scrollback: int) -> ScreenEngine:
    """Return an engine; where ghostty is not installed, bittty's."""
    if name == "ghostty":
        try:
            from terma.screen.ghostty import GhosttyEngine
        except (ImportError, OSError):  # no wheel for this machine, or its library does not load
            pass
        else:
            return GhosttyEngine(columns, rows, scrollback)
    from terma.screen.bittty import BitttyEngine

    return BitttyEngine(columns, rows, scrollback)


def serve(connection: socket.socket) -> None:
    """Answer requests until the hub is gone."""
    worker = Worker()
    with connection, connection.makefile("rb") as requests:
        while len(lengths := requests.read(wire.LENGTHS.size)) == wire.LENGTHS.size:
            head_size, data_size = wire.LENGTHS.unpack(lengths)
            head, data = json.loads(requests.read(head_size)), requests.read(data_size)
            if len(data) < data_size:
                break
            connection.sendall(wire.frame(*worker.answer(head, data)))


def limit() -> None:
    """Leave no core, take no more memory than we should, and die with the hub."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    except (OSError, ValueError):
        pass  # macOS refuses it; the limit is a second net only
    if sys.platform == "linux":
        import ctypes

        # prctl(2): PR_SET_PDEATHSIG is 1. It reaches a worker that an engine keeps busy for ever.
        ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)


def _shape(screen: Screen) -> tuple[int, int, bool]:
    return screen.columns, screen.rows, screen.is_alternate


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        state = unpacker.decompress(data, MAX_STATE)
    except zlib.error as error:
        raise ValueError(f"a broken snapshot: {error}") from error
    if not unpacker.eof:
        raise ValueError("a broken snapshot: it is cut off or too long")
    return state


if __name__ == "__main__":
    limit()
    serve(socket.socket(fileno=0))
