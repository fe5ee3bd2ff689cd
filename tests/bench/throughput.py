"""What the way through the hub costs at full speed, against a direct client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.bench import rival
from tests.bench.figures import Figure, Section
from tests.bench.stage import Hub, Server, Stage, rounds, take_turns
from tests.bench.timed import run

ABOUT = """\
10,000 tokens, sent as fast as they are read. The rival is a direct client in one process: for
Ollama `Client.chat` of its own package, for an OpenAI-compatible server httpx and `json`. Inside
one process, imports done and connections warm, the time goes from the prompt to the last token;
the other side is the client of `backends.client`, with the hub between. The whole processes are
a script that imports the package and prints what comes, and `aish`."""

_TOKENS = 10_000
_LIMIT = 1.3
_NAMES = {"ollama": "the `ollama` package", "openai": "httpx"}


def measure(stage: Stage, runs: int) -> Section:
    """Measure both ways, by turns."""
    figures: list[Figure] = []
    for provider, name in _NAMES.items():
        with (
            stage.server(provider, tokens=_TOKENS) as server,
            stage.hub({provider: server.url}) as hub,
        ):
            figures += [
                _inside(stage, hub, server, provider, runs, name),
                _whole(stage, hub, server, provider, runs, name),
            ]
    return Section(title="Throughput", about=ABOUT, figures=tuple(figures))


def _inside(stage: Stage, hub: Hub, server: Server, provider: str, runs: int, name: str) -> Figure:
    values, rival_values = [], []
    with _compared(stage, hub, server, provider) as process:
        turns = _turns(process)
        next(turns)  # warms both
        for _ in rounds(f"throughput: {provider}, inside a process", runs):
            direct_s, hub_s = next(turns)
            values.append(hub_s * 1000)
            rival_values.append(direct_s * 1000)
    return Figure(
        what=f"10,000 tokens, {provider}, prompt to last token", unit="ms", values=tuple(values),
        rival=f"{name}, directly", rival_values=tuple(rival_values), limit=_LIMIT,
    )  # fmt: skip


def _compared(stage: Stage, hub: Hub, server: Server, provider: str) -> subprocess.Popen[bytes]:
    command = [*_rival(stage, provider, server), f"--socket={hub.socket(provider)}"]
    return subprocess.Popen(
        command, env=hub.home.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def _turns(process: subprocess.Popen[bytes]) -> Iterator[tuple[float, float]]:
    assert process.stdin is not None
    assert process.stdout is not None
    while True:
        process.stdin.write(b"\n")
        process.stdin.flush()
        (direct_s, direct_size), (hub_s, hub_size) = json.loads(process.stdout.readline())
        if direct_size != hub_size or direct_size < _TOKENS:
            raise RuntimeError(f"{direct_size} characters directly, {hub_size} through the hub")
        yield direct_s, hub_s


def _whole(stage: Stage, hub: Hub, server: Server, provider: str, runs: int, name: str) -> Figure:
    command = _rival(stage, provider, server)

    def direct() -> float:
        return run(command, hub.home.environment).wall_s * 1000

    def through_hub() -> float:
        return hub.ask(provider).wall_s * 1000

    what = f"throughput: {provider}, whole processes"
    rival_values, values = take_turns(what, runs, [direct, through_hub])
    return Figure(
        what=f"10,000 tokens, {provider}, whole process", unit="ms", values=values,
        rival=f"{name} in a script", rival_values=rival_values, limit=_LIMIT,
    )  # fmt: skip


def _rival(stage: Stage, provider: str, server: Server) -> list[str]:
    # -P: the folder of the script holds names that others import from elsewhere.
    return [stage.python, "-P", str(Path(rival.__file__)), provider, server.url]
