"""What a shell that runs already has to evaluate to know the CIs: `eval "$(aish shellenv)"`."""

from __future__ import annotations

import os
import sys

from aish.shell.start import FOLDER, kind_of, quoted_for_fish
from backends.launchers import safe_folder

KINDS = ("bash", "zsh", "fish", "sh", "dash", "ksh", "ash")
"""The shells that can evaluate it; the first three get completion and `aish do` as well."""


def print_environment(shell: str = "") -> None:
    """Print it for a shell, by default the one that this process was started from.

    Raises:
        UsageError: Nothing can be printed for this shell.
    """
    text = environment_text(kind_of(shell) if shell else _kind_around(), safe_folder())
    sys.stdout.buffer.write(os.fsencode(text))
    sys.stdout.flush()


def environment_text(kind: str, folder: str) -> str:
    """Return what a kind of shell has to evaluate.

    Raises:
        UsageError: The kind is not among `KINDS`.
    """
    if kind in ("bash", "zsh"):
        return f"AISH_LAUNCHERS={_quoted(folder)}\n. {_quoted(f'{FOLDER}/aish.{kind}')}\n"
    if kind == "fish":
        file = quoted_for_fish(f"{FOLDER}/aish.fish")
        return f"set -g AISH_LAUNCHERS {quoted_for_fish(folder)}\nsource {file}\n"
    if kind in KINDS:
        word = _quoted(folder)
        return f'case ":$PATH:" in *:{word}:*) ;; *) PATH="$PATH:"{word}; export PATH ;; esac\n'
    from backends.errors import UsageError

    raise UsageError(
        f"no shell environment for {kind!r}", f"name one: aish shellenv {' | '.join(KINDS[:3])}"
    )


def _quoted(text: str) -> str:
    """Quote a text for shells of Bourne's family."""
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"


def _kind_around() -> str:
    """Return the kind of the shell that started this process, else that of `$SHELL`."""
    kind = kind_of(_parent())
    return kind if kind in KINDS else kind_of(os.environ.get("SHELL", "sh"))


def _parent() -> str:
    """Return the name of the parent process (proc(5), ps(1))."""
    parent = os.getppid()
    try:
        with open(f"/proc/{parent}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        pass  # there is no /proc everywhere
    import subprocess

    command = ["/bin/ps", "-o", "comm=", "-p", str(parent)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return ran.stdout.strip()
