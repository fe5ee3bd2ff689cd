"""How much later the first prompt comes with CIs in the shell, and what a launcher costs."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial
from pathlib import Path

from tests.bench.figures import Figure, Section
from tests.bench.stage import Home, Hub, Stage, take_turns
from tests.bench.timed import run
from tests.scenarios.terminal import Terminal

ABOUT = """\
From the start of a process on a terminal until its first prompt is there, by turns: the user's own
shell as it starts by itself, and `aish`, which becomes the same shell with the CIs in it. The
start files hold a prompt and nothing else. A launcher is the command that `aish` puts on the PATH
for each CI."""

_READY = "READY>"
_START_FILES = {
    "bash": (".bashrc", f"PS1='{_READY} '\n"),
    "zsh": (".zshrc", f"PS1='{_READY} '\n"),
    "fish": (
        ".config/fish/config.fish",
        f"set -g fish_greeting\nfunction fish_prompt; echo -n '{_READY} '; end\n",
    ),
}


def measure(stage: Stage, runs: int) -> Section:
    """Measure each shell that is here, then a launcher against `aish`."""
    with stage.hub() as hub:
        figures = [
            figure
            for shell in _START_FILES
            if (program := shutil.which(shell))
            for figure in _first_prompt(stage, hub, shell, program, runs)
        ]
        figures.append(_launcher(stage, hub, runs))
    return Section(title="The shell", about=ABOUT, figures=tuple(figures))


def _first_prompt(stage: Stage, hub: Hub, shell: str, program: str, runs: int) -> list[Figure]:
    name, text = _START_FILES[shell]
    file = hub.home.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    own, ours = take_turns(
        f"shell: {shell}",
        runs,
        [
            partial(_until_ready, [program], hub.home, program),
            partial(_until_ready, [stage.aish], hub.home, program),
        ],
    )
    later = tuple(with_cis - plain for plain, with_cis in zip(own, ours, strict=True))
    return [
        Figure(what=f"`{shell}` to its first prompt", unit="ms", values=own),
        Figure(what=f"`aish`: so much later than `{shell}`", unit="ms", values=later, limit=60),
    ]


def _until_ready(command: list[str], home: Home, shell: str) -> float:
    environment = {**home.environment, "SHELL": shell, "TERM": "xterm-256color"}
    began = time.perf_counter()
    terminal = Terminal(command, environment, Path(home.folder))
    try:
        terminal.wait_for(_READY.encode())
        return (time.perf_counter() - began) * 1000
    finally:
        terminal.close()


def _launcher(stage: Stage, hub: Hub, runs: int) -> Figure:
    launcher = hub.home.folder / "state" / "bin" / "mirror"
    rival, ours = take_turns(
        "shell: launcher",
        runs * 2,  # ten milliseconds each, of which a tenth counts
        [
            partial(_answer_ms, [stage.aish, "mirror", "hi"], hub),
            partial(_answer_ms, [os.fspath(launcher), "hi"], hub),
        ],
    )
    return Figure(
        what="`mirror hi` by its launcher", unit="ms", values=ours,
        rival="`aish mirror hi`", rival_values=rival, limit=1.1,
    )  # fmt: skip


def _answer_ms(command: list[str], hub: Hub) -> float:
    done = run(command, hub.home.environment)
    if done.output != b"hi\n":
        raise RuntimeError(f"{command} answered {done.output!r}")
    return done.wall_s * 1000
