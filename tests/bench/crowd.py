"""Two hundred prompts at the same moment: does each get its answer, and what do they cost."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.bench import crowd_client
from tests.bench.figures import Count, Figure, Section
from tests.bench.stage import Hub, Stage, rounds

_SIZE = 200
_SETTLE_S = 2.0
_SAMPLE_S = 0.01

ABOUT = f"""\
{_SIZE} connections are open before the first prompt is sent; then all prompt at once, each with a
text of its own that the model server returns in pieces, one every 20 ms. An answer that is not
the prompt, to the letter, is mixed; one that fails or ends early is lost. The growth of the hub
is its memory (RSS, looked at every {_SAMPLE_S * 1000:g} ms) at the peak of each round, less what
it was after a single prompt. It is back if it is within 10 MB of what it was after the first,
unmeasured round, {_SETTLE_S:g} s after the last."""


def measure(stage: Stage, runs: int) -> Section:
    """Gather the crowd as many times as there are runs."""
    with stage.server("ollama", delay_ms=20) as server, stage.hub({"ollama": server.url}) as hub:
        hub.ask("ollama")
        memory = _Memory(hub.pid)
        before = memory.now()
        peaks, seconds, lost, mixed = [], [], 0, 0
        with _gathering(stage, hub) as turns:
            next(turns)
            warm = memory.now()
            for _ in rounds(f"crowd: {_SIZE} at once", runs):
                with memory.watched():
                    missing, wrong, took_s = next(turns)
                lost, mixed = lost + missing, mixed + wrong
                peaks.append(memory.peak - before)
                seconds.append(took_s)
        threading.Event().wait(_SETTLE_S)
        left = memory.now() - warm
    asked = _SIZE * runs
    return Section(
        title="A crowd",
        about=ABOUT,
        figures=(
            Figure(what="growth of the hub at the peak", unit="MB", values=tuple(peaks), limit=50),
            Figure(what="growth that is left afterwards", unit="MB", values=(left,), limit=10),
            Figure(what=f"{_SIZE} answers of 21 tokens", unit="s", values=tuple(seconds)),
        ),
        counts=(
            Count(what="prompts answered", found=asked - lost, wanted=asked),
            Count(what="answers that are another's, or not whole", found=mixed, wanted=0),
        ),
    )


@contextmanager
def _gathering(stage: Stage, hub: Hub) -> Iterator[Iterator[tuple[int, int, float]]]:
    command = [
        stage.python, "-P", str(Path(crowd_client.__file__)), hub.socket("ollama"), str(_SIZE)
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env=hub.home.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:  # it ends with its input
        yield _turns(process)


def _turns(process: subprocess.Popen[bytes]) -> Iterator[tuple[int, int, float]]:
    assert process.stdin is not None
    assert process.stdout is not None
    while True:
        process.stdin.write(b"\n")
        process.stdin.flush()
        lost, mixed, took_s = json.loads(process.stdout.readline())
        yield lost, mixed, took_s


class _Memory:
    """What a process has in memory, in MB."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.peak = 0.0

    def now(self) -> float:
        return float(self._process.memory_info().rss) / 1e6

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note the peak until the end of the block."""
        over = threading.Event()
        self.peak = self.now()

        def watch() -> None:
            while not over.wait(_SAMPLE_S):
                self.peak = max(self.peak, self.now())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
