"""What real programs write to a terminal of 80 by 24, recorded once for all tests."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from terma.screen.bittty import BitttyEngine
from terma.screen.ghostty import GhosttyEngine
from tests.programs import needed
from tests.scenarios.terminal import Terminal

ENGINES = (GhosttyEngine, BitttyEngine)
PROGRAMS = ("vim", "less", "htop", "tmux", "bash")

_TEXT = "".join(
    f"{number} ünïcode 宽字符 e\u0301\ttabs {'x' * (number % 90)}\n" for number in range(300)
)
_STEPS: dict[str, tuple[list[str], Sequence[tuple[str, str]]]] = {
    # Each: what must be seen, and what is typed then.
    "vim": (
        ["-u", "NONE", "-N", "-i", "NONE", "text.txt"],
        [
            ("0 ünïcode", ":syntax on | set hlsearch number\r"),
            ("  1 0 ün", "/tabs\r"),
            ("/tabs", ":vsplit\r"),
            ("|  1 0 ün", "10jihello world\x1b:10,12d\r"),
            ("3 fewer lines", ""),
        ],
    ),
    "less": (["text.txt"], [("0 ünïcode", " "), ("40 ünï", "/xxxxxxxxxxxx\r"), (":", "")]),
    "htop": ([], [("F10", "t"), ("F5List", "")]),
    "tmux": (
        ["-f", "/dev/null", "new", "sh"],
        [
            ("[0]", "ls -la /; echo fir''st\r"),
            ("first", "\x02%"),
            ("│", "ls --color=always /bin; echo sec''ond\r"),
            ("second", '\x02"'),
            ("──", "printf '\\033[1;31mthi%s\\033[0m\\n' rd\r"),
            ("third", ""),
        ],
    ),
    "bash": (
        ["--norc"],
        [
            ("$" if os.getuid() else "#", "PS1='ready> '\r"),
            ("ready> ", "ls --color=always -la /; printf '%0200d\\n' 5\r"),
            ("00005", "printf '\\033]2;the title\\007'; echo do''ne\r"),
            ("done", ""),
        ],
    ),
}


@cache
def recording(program: str) -> bytes:
    """Return what a program has written while it was used a little."""
    path = needed(program)
    arguments, steps = _STEPS[program]
    with tempfile.TemporaryDirectory(prefix="tekton-") as home:
        folder = Path(home)
        (folder / "text.txt").write_text(_TEXT)
        if program == "tmux":
            arguments = ["-S", f"{home}/socket", *arguments]
        environment = {
            "TERM": "xterm-256color", "PATH": os.environ["PATH"], "HOME": home,
            "LANG": "C.UTF-8", "LESSHISTFILE": "-",
        }  # fmt: skip
        terminal = Terminal([path, *arguments], environment, folder)
        try:
            for awaited, typed in steps:
                terminal.wait_until(partial(_shows, terminal, awaited), awaited)
                terminal.type(typed)
        finally:
            terminal.close()
            if program == "tmux":
                kill = [path, "-S", f"{home}/socket", "kill-server"]
                subprocess.run(kill, check=False, capture_output=True)
    return terminal.shown


def _shows(terminal: Terminal, text: str) -> bool:
    return text in shown(terminal.shown)


def shown(data: bytes) -> str:
    """Return the text that output leaves on a screen."""
    engine = GhosttyEngine(80, 24, 0)
    engine.feed(data)
    lines = ["".join(run.text for run in row.runs) for row in engine.show().lines]
    engine.close()
    return "\n".join(lines)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return output with bytes changed, lost, moved, and sequences begun in the midst of it."""
    found = bytearray(data)
    starts = (b"\x1b[", b"\x1b]", b";", b"9999", b"\x1bP", b"\x1b[?", b"\xf0\x9f", b"\x1b_G")
    for _ in range(len(found) // 40):
        at, kind = chance.randrange(len(found)), chance.random()
        if kind < 0.4:
            found[at] = chance.randrange(256)
        elif kind < 0.6:
            del found[at : at + chance.randrange(8)]
        elif kind < 0.8:
            found[at:at] = chance.choice(starts)
        else:
            start = chance.randrange(len(found))
            found[at:at] = found[start : start + chance.randrange(40)]
    return bytes(found)
