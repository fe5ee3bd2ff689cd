r"""A shell that `aish` started on a terminal, and a person who types into it.

    with UserShell("bash", tekton) as shell:
        assert shell.run("echo hi | mirror") == ("hi", 0)

What a line printed, and its status, are known by the marks that the integration sets.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.programs import needed
from tests.scenarios.tekton_process import BIN, TektonProcess
from tests.scenarios.terminal import Terminal

SHELLS = ("bash", "zsh", "fish")

START_FILES = {"bash": ".bashrc", "zsh": ".zshrc", "fish": ".config/fish/config.fish"}

PROMPT, TYPED, OUTPUT, DONE = (f"\x1b]133;{letter}".encode() for letter in "ABCD")
"""The beginnings of the marks; all but the last end in BEL at once."""

_STYLE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>])|[\r\x0e\x0f]")
_NO_NEWLINE = re.compile("[%#⏎] {20,}(?:⏎ )?")
"""What zsh and fish draw before a prompt, and wipe away where a line has ended."""


class UserShell:
    """One shell with a home folder of its own.

    Args:
        kind: One of `SHELLS`.
        tekton: Whose CIs it has.
        start_file: The text of the user's own start file.
        variables: Added to the environment; `None` takes one away.
        arguments: For `aish`.
        home: The user's home, a new one by default.
        program: Started instead of `aish`.
    """

    def __init__(
        self,
        kind: str,
        tekton: TektonProcess,
        start_file: str = "",
        variables: Mapping[str, str | None] | None = None,
        arguments: tuple[str, ...] = (),
        home: Path | None = None,
        program: str = str(BIN / "aish"),
    ) -> None:
        path = needed(kind)
        self._folder = tempfile.TemporaryDirectory(prefix="tks-home-", ignore_cleanup_errors=True)
        self.kind = kind
        self.home = home or Path(self._folder.name)
        file = self.home / START_FILES[kind]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(start_file, encoding="utf-8")
        # where this is missing, a fish that starts reads all manual pages for its completion
        (self.home / ".local/share/fish/generated_completions").mkdir(parents=True, exist_ok=True)
        changed = {"HOME": str(self.home), "SHELL": path} | dict(variables or {})
        environment = {
            name: value
            for name, value in (tekton.environment | changed).items()
            if value is not None
        }
        self.terminal = Terminal([program, *arguments], environment, self.home)

    def __enter__(self) -> Self:
        self.wait_for_prompt(1)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the shell, and remove its home."""
        self.terminal.close()
        self._folder.cleanup()

    def by(self, usual: str, fish: str) -> str:
        """Return what is written one way in bash and zsh, and another way in fish."""
        return fish if self.kind == "fish" else usual

    @property
    def prompts(self) -> int:
        """How many prompts have been drawn."""
        return self.terminal.shown.count(TYPED)

    def wait_for_prompt(self, count: int) -> None:
        """Wait until so many have been drawn."""
        while self.prompts < count:
            before = len(self.terminal.shown)
            self.terminal.wait_for_more(before)

    def run(self, line: str) -> tuple[str, int]:
        """Type a line and wait for the next prompt; returns what was printed, and the status."""
        begun = self.type(line)
        return self.result(begun)

    def type(self, line: str) -> int:
        """Type a line; returns where in all that is shown its output will be."""
        begun = len(self.terminal.shown)
        self.terminal.type(line + "\r")
        return begun

    def result(self, begun: int) -> tuple[str, int]:
        """Wait until the line that was typed there has ended, as `run`."""
        while True:
            shown = self.terminal.shown[begun:]
            done = shown.find(DONE)
            if done >= 0 and TYPED in shown[done:]:
                break
            self.terminal.wait_for_more(len(self.terminal.shown))
        status = re.match(rb"\x1b\]133;D;(\d+)\x07", shown[done:])
        assert status, shown
        output = shown[:done].partition(OUTPUT)[2].partition(b"\x07")[2]
        return plain(output), int(status[1])


def plain(shown: bytes) -> str:
    """Return what is left of a terminal's text without styles and marks."""
    return _NO_NEWLINE.sub("", _STYLE.sub("", shown.decode(errors="replace"))).strip("\n")
