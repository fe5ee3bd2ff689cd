"""The command line of `terma`: its verbs, what it does with a word that is none, its help."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
import typer.main

from backends.version import VERSION
from terma.cli import SHORT, VERBS, make_app
from tests.terma.scripted import run


def test_every_verb_is_there_and_its_help_opens_with_an_example() -> None:
    app = typer.main.get_command(make_app())
    commands = app.commands  # type: ignore[attr-defined]
    assert commands.keys() == VERBS.keys()
    for verb, command in commands.items():
        assert re.match(rf"terma {verb}\b[^\n]*: \S", command.help), verb


def test_help_shows_examples_and_every_verb() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        shown = run(*arguments)
        assert "terma new alice --role coding" in shown.text + shown.err
        for verb in VERBS:
            assert re.search(rf"^  {verb}\b", shown.text + shown.err, re.MULTILINE), verb


def test_no_verb_s_description_is_cut() -> None:
    assert SHORT.keys() == VERBS.keys()
    lines = run("--help", variables={"COLUMNS": "80"}).text.splitlines()
    for verb, said in SHORT.items():
        assert any(re.fullmatch(rf"  {verb} +{re.escape(said)}", line) for line in lines), verb


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("kill", "did you mean `terma close`? `terma --help` shows all"),
        ("rm", "did you mean `terma close`? `terma --help` shows all"),
        ("ls", "did you mean `terma list`? `terma --help` shows all"),
        ("a", "did you mean `terma attach`? `terma --help` shows all"),
        ("help", "`terma --help` shows all"),
        ("detach", "Ctrl-] detaches, typed into the terminal that is attached"),
    ],
)
def test_what_others_call_a_verb_leads_to_ours(word: str, hint: str) -> None:
    ran = run(word, "alice")
    assert (ran.status, ran.err.splitlines()[1]) == (2, f"hint: {hint}")


def test_the_version_is_told() -> None:
    ran = run("--version")
    assert (ran.status, ran.text) == (0, f"terma {VERSION}\n")


def test_a_word_that_is_no_verb_is_told_with_the_nearest_one() -> None:
    ran = run("atach", "alice")
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.splitlines() == [
        "error: terma has no verb 'atach'",
        "hint: did you mean `terma attach`? `terma --help` shows all",
    ]
    assert run("xyzzy").err.splitlines()[1] == "hint: `terma --help` shows all"


@pytest.mark.parametrize("verb", ["list", "rename", "diff"])
def test_one_verb_loads_no_other_s_module(verb: str) -> None:
    code = (
        f"import sys; sys.argv = ['terma', {verb!r}, '--help']\n"
        "import terma.cli as cli\n"
        "try: cli._run(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*sorted(name for name in sys.modules if name.startswith('terma.commands.')))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == VERBS[verb].partition(":")[0]


@pytest.mark.parametrize("module", ["typer", "terma.short", "backends.console"])
def test_an_interrupt_while_it_starts_ends_it_without_a_word(module: str) -> None:
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"  # as the script does
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.argv = ['terma', 'list']\n"
        "from terma.cli import main\n"
        "main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (-signal.SIGINT, b"")
