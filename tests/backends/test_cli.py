"""The help of `tekton`: what a terminal of 80 columns shows of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from backends.cli import HELP, app
from tests.backends.commands.running import done


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")


def test_each_example_has_a_line() -> None:
    examples = [line for line in HELP.splitlines() if line.startswith("  tekton")]
    assert examples
    shown = done(app, "--help").out.splitlines()
    for line in examples:
        assert line.strip() in [found.strip() for found in shown]


@pytest.mark.parametrize("group", [[], ["config"], ["ci"], ["key"], ["token"]])
def test_no_summary_of_a_command_is_cut(group: list[str]) -> None:
    shown = done(app, *group, "--help").out
    commands = shown.partition("Commands:\n")[2].splitlines()
    assert commands
    for line in commands:
        assert not line.endswith("..."), line
        assert "tekton" in line, "an example comes first, and each summary takes one line"
        assert len(line) <= 80


@pytest.mark.parametrize(
    "module",
    ["typer", "backends.commands.settings", "backends.version", "backends.client.blocking"],
)
def test_an_interrupt_while_it_starts_ends_it_without_a_word(module: str) -> None:
    """Whatever it imports at that moment, at its start or for a command."""
    code = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv = ['tekton', 'events']\n"
        "from backends.cli import main\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (-signal.SIGINT, b"")


def test_who_imports_it_keeps_a_handler_of_their_own() -> None:
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "import backends.cli\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
