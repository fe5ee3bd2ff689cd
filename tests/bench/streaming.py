"""How soon a token is seen, and what it costs to show three thousand of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.bench.figures import Figure, Section
from tests.bench.stage import CI_MODELS, Hub, Server, Stage, rounds, take_turns
from tests.model_servers import sample_tokens

ABOUT = """\
A model server in a process of its own streams a token every 10 ms. The delay begins when the
server sends its first token and ends when the first byte comes out of the pipe of `aish`: in
between lie the vendor's package, the hub, a socket and `aish` itself. Both read the clock of the
same machine. The cost of a terminal is the processor time of the whole `aish` process, its start
included, for an answer of 3,000 tokens of Markdown: once as fast as it comes, which joins tokens
on the way, and once with a pause of a millisecond after each, which makes every token a piece of
its own (four such answers at a time, since they mostly wait)."""

_TOKENS = 3000
_AT_ONCE = 4


def measure(stage: Stage, runs: int) -> Section:
    """Measure delay into a pipe and processor time on a terminal."""
    figures = [_delay(stage, runs, provider) for provider in CI_MODELS]
    with stage.server("ollama", tokens=_TOKENS) as server, stage.hub({"ollama": server.url}) as hub:
        (values,) = take_turns("streaming: terminal", runs, [lambda: _cpu_ms(hub)])
        figures.append(_cost("3,000 tokens to a terminal, at full speed", values))
    paced = stage.server("ollama", tokens=_TOKENS, delay_ms=1)
    with paced as server, stage.hub({"ollama": server.url}) as hub:
        figures.append(_cost("3,000 tokens to a terminal, one by one", _one_by_one(hub, runs)))
    return Section(title="Streaming", about=ABOUT, figures=tuple(figures))


def _delay(stage: Stage, runs: int, provider: str) -> Figure:
    with (
        stage.server(provider, tokens=5, delay_ms=10) as server,
        stage.hub({provider: server.url}) as hub,
    ):
        what = f"streaming: first byte, {provider}"
        (values,) = take_turns(what, runs, [lambda: _delay_ms(hub, server, provider)])
    what = f"first token to first byte in the pipe, {provider}"
    return Figure(what=what, unit="ms", values=values, limit=2)


def _delay_ms(hub: Hub, server: Server, provider: str) -> float:
    done = hub.ask(provider)
    return (done.first_byte_at - server.first_token_at()) * 1000


def _one_by_one(hub: Hub, runs: int) -> tuple[float, ...]:
    """Run several at once: they mostly wait."""
    values: list[float] = []
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        jobs = [threads.submit(_cpu_ms, hub) for _ in range(runs)]
        for number in rounds(f"streaming: terminal, paced, {_AT_ONCE} at once", runs):
            values.append(jobs[number].result())
    return tuple(values)


def _cpu_ms(hub: Hub) -> float:
    done = hub.ask("ollama", on_terminal=True)
    if done.output.count(b"A heading") != "".join(sample_tokens(_TOKENS)).count("A heading"):
        raise RuntimeError(f"the answer did not come whole: {done.output[-200:]!r}")
    return done.cpu_s * 1000


def _cost(what: str, values: tuple[float, ...]) -> Figure:
    return Figure(what=what, unit="ms CPU", values=values, limit=300)
