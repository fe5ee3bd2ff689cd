"""What runs in a terminal: the user's shell with `aish` in it, or a program; its environment."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence

from aish.shell.request import Request
from aish.shell.start import INTEGRATED, given_environment, kind_of, prepared, which

SHELL, PROGRAM = "shell", "program"
"""The kinds of terminals: a shell marks its prompts, so that its state is known from them."""

TERM = "xterm-256color"
"""What our screens understand."""

_ELSEWHERE = frozenset(
    "TMUX TMUX_PANE STY WINDOW TERMCAP WINDOWID TERM_PROGRAM TERM_PROGRAM_VERSION TERM_SESSION_ID "
    "TERMINAL_EMULATOR VTE_VERSION WT_SESSION WT_PROFILE_ID INSIDE_EMACS GPG_TTY COLUMNS LINES "
    "AISH_LEVEL _ PWD OLDPWD".split()
)
_ELSEWHERE_TOO = (
    *("TERMA_", "KITTY_", "WEZTERM_", "ALACRITTY_", "GHOSTTY_", "ITERM_", "LC_TERMINAL"),
    *("KONSOLE_", "ZELLIJ"),
)
"""Variables, and beginnings of such, that tell of the place that somebody asks from."""


def program_of(
    words: Sequence[str], environment: Mapping[str, str], shell: str | None = None
) -> tuple[tuple[str, ...], dict[str, str], str]:
    """Return the command for a terminal, the environment that it needs, and its kind.

    Args:
        words: The program and its arguments, or none for a shell. `bash`, `zsh` or `fish` alone,
            and `bash --norc`, are shells too.
        environment: Of the one who asks.
        shell: Which shell, where no words are given; `None` leaves it to the environment.

    Raises:
        NotFound: The shell is not there.
    """
    own = own_environment(environment)
    if words and not _is_shell(words, own):
        return tuple(words), own, PROGRAM
    wanted = words[0] if words else shell
    path, arguments, own = _prepared(wanted, own, reads_files=len(words) < 2)
    return (path, *arguments), own, SHELL if kind_of(path) in INTEGRATED else PROGRAM


def environment_for(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that a command of `program_of` needs when it is run anew.

    Args:
        command: What `program_of` returned for a terminal of the kind `SHELL`.
        environment: Of the one who asks.

    Raises:
        NotFound: The shell is not there any more.
    """
    own = own_environment(environment)
    return _prepared(command[0], own, reads_files="--norc" not in command)[2]


def _prepared(
    shell: str | None, own: Mapping[str, str], reads_files: bool
) -> tuple[str, list[str], dict[str, str]]:
    """Return a shell's path, arguments and environment; `SHELL` is of the kind that runs."""
    path, arguments, environment = prepared(
        Request(shell), own, is_interactive=True, reads_files=reads_files
    )
    if kind_of(environment.get("SHELL", "")) != kind_of(path):
        environment["SHELL"] = os.path.abspath(path)
    return path, arguments, environment


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what it says of another terminal."""
    kept = {
        name: value
        for name, value in given_environment(environment).items()
        if name not in _ELSEWHERE and not name.startswith(_ELSEWHERE_TOO)
    }
    return kept | {"TERM": TERM}


def encoded(environment: Mapping[str, str]) -> str:
    """Return an environment as a request carries it."""
    joined = "".join(f"{name}={value}\0" for name, value in environment.items())
    return base64.b64encode(os.fsencode(joined)).decode("ascii")


def _is_shell(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Tell whether words name a shell that takes our integration, and nothing more."""
    kind = kind_of(words[0])
    is_plain = len(words) == 1 or (kind == "bash" and list(words[1:]) == ["--norc"])
    is_there = which(words[0], environment.get("PATH", "")) is not None
    return kind in INTEGRATED and is_plain and is_there
