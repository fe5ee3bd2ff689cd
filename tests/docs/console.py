"""Sessions in the documentation: commands after `$`, each followed by what it printed.

    $ aish mirror hi
    hi

What differs from run to run counts by its form only: numbers, ids, tokens, the widths of columns.
A line `...` stands for any lines. ```` ```console jq ```` needs a program that may be missing.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import blocks
from tests.scenarios.tekton_process import TektonProcess

_MARK = "\x1e"

_FORMS = (
    (r"\b[0-9a-f]{32}\b", "ID"),
    (r"(?m)^[\w-]{43}$", "TOKEN"),
    (r"\bPORT\b", "0"),
    (r"\d+(?:[.,:-]\d+)*(?:e-?\d+)?", "0"),
    (r"\b0 [kMGT]B\b", "0 B"),
    (r"(?m) +$", ""),
    (r" +", " "),
)


@dataclass(frozen=True)
class Step:
    """A command and what it prints."""

    command: str
    output: str


def steps(page: Path) -> list[Step]:
    """Return what is shown in the `console` blocks of a page; `> ` goes on with a command."""
    found: list[Step] = []
    for block in blocks(page):
        is_missing = bool(block.name) and shutil.which(block.name) is None
        if block.language != "console" or is_missing:
            continue
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            first, *lines = part.removesuffix("\n").split("\n")
            while lines and lines[0].startswith("> "):
                first += "\n" + lines.pop(0)[2:]
            found.append(Step(first, "\n".join(lines)))
    return found


def play(commands: list[str], tekton: TektonProcess) -> list[str]:
    """Run commands one after another in one shell, as a reader would; return what each printed."""
    script = [f"mark() {{ local status=$?; printf '{_MARK}'; return $status; }}", "exec 2>&1"]
    for command in commands:
        script += ["mark", command]
    ran = tekton.shell("\n".join(script), timeout_s=50)
    printed = ran.out.decode().split(_MARK)[1:]
    return [text.removesuffix("\n") for text in printed]


def form(text: str, tekton: TektonProcess | None = None) -> str:
    """Reduce an output to what every run has in common; the folders of its home get usual names."""
    if tekton is not None:
        for folder, usual in (
            ("config", "/home/you/.config/tekton"),
            ("state", "/home/you/.local/state/tekton"),
            ("run", "/run/user/1000/tekton"),
        ):
            text = text.replace(f"{tekton.home}/{folder}", usual)
        text = text.replace(str(tekton.home), "/home/you")
    for pattern, replacement in _FORMS:
        text = re.sub(pattern, replacement, text)
    return text


def is_like(shown: str, printed: str) -> bool:
    """Tell whether an output has the form that is shown."""
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(form(line)) + "\n"
        for line in shown.split("\n")
    ]
    return re.fullmatch("".join(lines), printed + "\n") is not None
