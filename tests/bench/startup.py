"""How long a whole process takes, from its making to its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tests.bench.figures import Figure, Section
from tests.bench.stage import Hub, Stage, take_turns
from tests.bench.timed import run

ABOUT = """\
Whole processes, from `posix_spawn` until the system has told their end, by turns with an empty
Python of the same venv. `aish mirror hi` is a complete prompt: it goes to a hub that is warm,
`mirror` answers with its input, and the answer is read from a pipe. On a terminal the full client
takes over, which renders Markdown."""

_BARE = "bare Python (`python -c pass`)"


def measure(stage: Stage, runs: int) -> Section:
    """Measure commands against a bare Python."""
    with stage.server("ollama") as server, stage.hub({"ollama": server.url}) as hub:
        own = hub.home.environment
        rows: list[tuple[str, Callable[[], float], float | None]] = [
            ("`aish mirror hi`", partial(_ms, [stage.aish, "mirror", "hi"], own, b"hi\n"), 1.7),
            ("`aish --help`", partial(_ms, [stage.aish, "--help"], own), 8.0),
            ("`aish list`", partial(_ms, [stage.aish, "list"], own), 8.0),
            ("`tekton --help`", partial(_ms, [stage.tekton, "--help"], own), None),
            ("`aish mirror hi` on a terminal", partial(_ms_on_terminal, hub), None),
        ]
        rival: Callable[[], float] = partial(_ms, [stage.python, "-c", "pass"], own)
        contestants = [rival, *(contestant for _, contestant, _ in rows)]
        bare, *values = take_turns("startup: all by turns", runs, contestants)
    return Section(
        title="A command, from start to end",
        about=ABOUT,
        figures=tuple(
            Figure(
                what=what, unit="ms", values=found, rival=_BARE, rival_values=bare, limit=limit
            )
            for (what, _, limit), found in zip(rows, values, strict=True)
        ),
    )  # fmt: skip


def _ms(command: list[str], environment: dict[str, str], wanted: bytes | None = None) -> float:
    done = run(command, environment)
    if wanted is not None and done.output != wanted:
        raise RuntimeError(f"{command} answered {done.output!r}")
    return done.wall_s * 1000


def _ms_on_terminal(hub: Hub) -> float:
    return hub.ask("mirror", on_terminal=True).wall_s * 1000
