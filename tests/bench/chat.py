"""A chat: how soon it is there, how soon a key shows, and what a long answer costs."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import quantiles

import psutil

from tests.bench.figures import Figure, Section
from tests.bench.stage import Hub, Stage, rounds, take_turns
from tests.scenarios.terminal import Terminal

ABOUT = """\
`aish CI` on a terminal of its own. The first frame is there when the prompt can be seen. A key is
typed every 50 ms while an answer streams at 100 tokens a second, and has come back when the
terminal has its character; a value is the median, or the 99th percentile, of a hundred keys. The
cost of an answer of 3,000 tokens of Markdown is the processor time of the chat from the prompt to
the answer's end, its start not included: once as fast as it comes, once at 100 tokens a second
(four at a time, since they mostly wait)."""

_TOKENS = 3000
_KEYS = 100
_KEY = "\u03a9"
"""It is in no answer."""

_AT_ONCE = 4
_FIRST_WORDS = "A heading"
_SILENCE_S = 3.0
"""Longer than anything a chat that streams waits for."""


def measure(stage: Stage, runs: int) -> Section:
    """Measure the first frame, keys and cost."""
    with stage.hub() as hub:
        (first,) = take_turns("chat: first frame", runs, [partial(_first_frame_ms, stage, hub)])
    with stage.server("ollama", tokens=_TOKENS) as server, stage.hub({"ollama": server.url}) as hub:
        (cost,) = take_turns("chat: 3,000 tokens", runs, [partial(_cost_ms, stage, hub)])
    paced = stage.server("ollama", tokens=_TOKENS, delay_ms=10)
    with paced as server, stage.hub({"ollama": server.url}) as hub:
        keys = [_keys_ms(stage, hub) for _ in rounds("chat: keys while it streams", runs)]
        slow_cost = _side_by_side(stage, hub, runs)
    return Section(
        title="The chat",
        about=ABOUT,
        figures=(
            Figure(what="first frame", unit="ms", values=first, limit=350),
            Figure(what="a key, median", unit="ms", values=tuple(one[0] for one in keys)),
            Figure(what="a key, p99", unit="ms", values=tuple(one[1] for one in keys), limit=20),
            Figure(what="3,000 tokens at full speed", unit="ms CPU", values=cost, limit=300),
            Figure(what="3,000 tokens, 100 a second", unit="ms CPU", values=slow_cost, limit=300),
        ),
    )


class _Chat:
    """A chat on a terminal."""

    def __init__(self, stage: Stage, hub: Hub, ci: str) -> None:
        self._prompt = f"{ci}>".encode()
        self._terminal = Terminal(
            [stage.aish, "chat", ci, "--new"], hub.home.environment, Path(hub.home.folder), rows=40
        )
        self._terminal.wait_for(self._prompt)

    def __enter__(self) -> _Chat:
        return self

    def __exit__(self, *_: object) -> None:
        self._terminal.close()

    @property
    def cpu_ms(self) -> float:
        times = psutil.Process(self._terminal.pid).cpu_times()
        return (times.user + times.system) * 1000

    def type(self, text: str) -> None:
        self._terminal.type(text)

    def wait_for(self, text: str) -> None:
        self._terminal.wait_for(text.encode())

    def read_for(self, seconds: float) -> None:
        """Take what the chat writes."""
        self._terminal.read_for(seconds)

    def forget(self) -> None:
        """Wait only for what comes from now on."""
        self._terminal.shown = b""


def _first_frame_ms(stage: Stage, hub: Hub) -> float:
    began = time.perf_counter()
    with _Chat(stage, hub, "mirror"):
        return (time.perf_counter() - began) * 1000


def _cost_ms(stage: Stage, hub: Hub) -> float:
    with _Chat(stage, hub, "on-ollama") as chat:
        _settle(chat)
        before = chat.cpu_ms
        chat.type("go\r")
        chat.wait_for(_FIRST_WORDS)
        _settle(chat, _SILENCE_S)
        return chat.cpu_ms - before


def _side_by_side(stage: Stage, hub: Hub, runs: int) -> tuple[float, ...]:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        jobs = [threads.submit(_cost_ms, stage, hub) for _ in range(runs)]
        return tuple(jobs[number].result() for number in rounds("chat: 3,000 tokens, paced", runs))


def _keys_ms(stage: Stage, hub: Hub) -> tuple[float, float]:
    with _Chat(stage, hub, "on-ollama") as chat:
        _settle(chat)
        chat.type("go\r")
        chat.wait_for(_FIRST_WORDS)
        found = []
        for _ in range(_KEYS):
            time.sleep(0.05)
            chat.forget()
            began = time.perf_counter()
            chat.type(_KEY)
            chat.wait_for(_KEY)
            found.append((time.perf_counter() - began) * 1000)
    steps = quantiles(found, n=100)
    return steps[49], steps[98]


def _settle(chat: _Chat, quiet_s: float = 0.5) -> None:
    """Wait until the chat has had nothing to do for a while; reading on, or it could not write."""
    before, since = -1.0, time.monotonic()
    while time.monotonic() - since < quiet_s:
        chat.read_for(0.1)
        if (now := chat.cpu_ms) != before:
            before, since = now, time.monotonic()
