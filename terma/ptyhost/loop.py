"""The loop: who is ready to be read or written, and whose time has come; one thread."""

from __future__ import annotations

import heapq
import selectors
import sys
import time
from collections.abc import Callable

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

_MOST = 64 << 10
_LEAST = 4 << 10
_ALL = 512 << 10
_AFTER_MISTAKE_S = 0.1


class Loop:
    """Calls handlers; between two ticks it sleeps, for ever where nothing is pending."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._last: dict[Callable[[], None], None] = {}
        self.share = _MOST
        """Bytes that one source may take in this tick: few where many are ready."""
        self.is_over = False

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call the handler with the events for which a descriptor is ready; 0 forgets it."""
        if not events:
            if self._handlers.pop(fd, None):
                self._selector.unregister(fd)
        elif fd in self._handlers:
            self._handlers[fd] = handler
            self._selector.modify(fd, events, handler)
        else:
            self._selector.register(fd, events, handler)
            self._handlers[fd] = handler

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call once, after a time."""
        self._count += 1
        heapq.heappush(self._timers, (time.monotonic() + delay_s, self._count, call))

    def at_last(self, call: Callable[[], None]) -> None:
        """Call at the end of this tick, once however often it is asked for."""
        self._last[call] = None

    def run(self) -> None:
        """Run until `is_over`."""
        while not self.is_over:
            events = self._selector.select(self._patience_s())
            self.share = max(_LEAST, min(_MOST, _ALL // (len(events) or 1)))
            for key, ready in events:
                # An earlier handler of this tick may have closed it.
                handler = self._handlers.get(key.fd)
                if handler and handler == key.data:
                    _guarded(handler, ready)
            self._ring()
            calls, self._last = self._last, {}
            for call in calls:
                _guarded(call)

    def _patience_s(self) -> float | None:
        if self._last:
            return 0.0
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _ring(self) -> None:
        now = time.monotonic() if self._timers else 0.0
        while self._timers and self._timers[0][0] <= now:
            _guarded(heapq.heappop(self._timers)[2])


def _guarded(call: Callable[..., None], *arguments: object) -> None:
    """Call; a mistake of ours must not take every terminal down with it, and is written down."""
    try:
        call(*arguments)
    except Exception:  # noqa: BLE001
        sys.excepthook(*sys.exc_info())
        time.sleep(_AFTER_MISTAKE_S)  # it may come again at once, and the disk is not endless
