"""The command line of `aish`: what is a verb, what is a CI, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aish.cli import _first_word, app
from backends.runtime import RESERVED
from tests.scenarios.replay import ReplayedCI, chunk, result


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `aish` as a module; its standard input is /dev/null."""
    return subprocess.run(
        [sys.executable, "-m", "aish", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def ci(tekton_home: Path) -> Iterator[ReplayedCI]:
    with ReplayedCI(tekton_home, {"": [chunk("x"), result()]}) as replayed:
        yield replayed


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["apollo", "hi"], "apollo"),
        (["-q", "apollo", "hi"], "apollo"),
        (["-m", "list", "apollo"], "apollo"),
        (["--model=list", "apollo"], "apollo"),
        (["--url", "unix:x", "--token-file", "t", "list"], "list"),
        (["-", "apollo"], "-"),
        (["--help"], None),
        (["--url", "unix:x"], None),
        ([], None),
    ],
)
def test_the_first_word_is_no_option_and_no_option_s_value(
    arguments: list[str], word: str | None
) -> None:
    index = _first_word(arguments)
    assert (None if index is None else arguments[index]) == word


def test_every_verb_is_reserved() -> None:
    verbs = {
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback
    }
    assert verbs
    assert verbs <= RESERVED


def test_help_opens_with_an_example_and_spells_ci_out() -> None:
    ran = run("--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.index('aish apollo "') < ran.stdout.index("Options")
    assert "CI (Companion Intelligence)" in ran.stdout
    assert run().stdout == ran.stdout or "Usage" in run().stderr + run().stdout


def test_help_of_a_prompt_names_every_option() -> None:
    shown = run("apollo", "--help").stdout
    for option in (
        "--model", "--system", "--attach", "--json", "--no-stream", "--timeout", "--no-stdin",
        "--quiet", "--verbose", "--url", "--token-file",
    ):  # fmt: skip
        assert option in shown


@pytest.mark.parametrize("word", ["status", "chat", "up"])
def test_a_word_that_aish_keeps_for_later_is_no_ci(word: str) -> None:
    ran = run(word, "hello")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(
        f"error: aish has no verb {word!r}\nhint: there are: history, list"
    )


def test_an_option_may_stand_before_the_verb() -> None:
    ran = run("--url", "unix:/nowhere/x.sock", "list")
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "/nowhere/x.sock" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["echo", "hi", "--timeout", "soon"],
        ["echo", "hi", "--timeout", "0"],
        ["echo", "hi", "--frobnicate"],
        ["history", "-n", "0"],
        ["list", "--url", "gopher://x"],
        [",", "hi"],
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(arguments: list[str]) -> None:
    ran = run(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Traceback" not in ran.stderr


def test_an_attachment_that_is_not_there(ci: ReplayedCI) -> None:
    ran = run("echo", "hi", "-a", "/nowhere/x.png")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr == "error: cannot read /nowhere/x.png: No such file or directory\n"
    assert not ci.received


def test_an_attachment_is_a_prompt_too(ci: ReplayedCI, tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("remember")
    assert run("echo", "-a", str(file)).stdout == "x\n"
    [sent] = ci.received[0]["params"]["attachments"]
    assert (sent["name"], sent["text"]) == ("notes", "remember")


def test_debug_shows_where_an_error_came_from() -> None:
    assert "Traceback" in run("nobody", "hi", "--debug").stderr
    assert "Traceback" not in run("nobody", "hi").stderr
