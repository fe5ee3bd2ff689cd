"""The command line of `aish`: what is a verb, what is a CI, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from aish.cli import VERBS, _first_word, make_app
from aish.commands.history import history
from backends.client.blocking import BlockingTekton
from backends.protocol.conversations import History, Turn, Turns, TurnStatus
from backends.runtime import RESERVED
from backends.version import VERSION
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
    assert VERBS.keys() <= RESERVED
    app = typer.main.get_command(make_app())
    assert app.commands.keys() == VERBS.keys()  # type: ignore[attr-defined]


def test_help_opens_with_an_example_and_spells_ci_out() -> None:
    ran = run("--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.index('aish apollo "') < ran.stdout.index("Options")
    assert "CI (Companion Intelligence)" in ran.stdout


def test_help_of_a_prompt_names_every_option() -> None:
    shown = run("apollo", "--help").stdout
    for option in (
        "--model", "--system", "--attach", "--json", "--no-stream", "--timeout", "--no-stdin",
        "--quiet", "--verbose", "--url", "--token-file",
    ):  # fmt: skip
        assert option in shown


@pytest.mark.parametrize("word", ["status", "messages", "up"])
def test_a_word_that_aish_keeps_for_later_is_no_ci(word: str) -> None:
    ran = run(word, "hello")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(
        f"error: aish has no verb {word!r}\nhint: there are: chat, completion, do, history, list, "
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


# -- help ------------------------------------------------------------------------------------


def test_the_help_has_an_example_on_each_line_of_a_narrow_terminal() -> None:
    shown = run("--help").stdout.splitlines()
    for example in (
        'aish apollo "where', 'git diff | aish athena "review', "git diff | aish athena | aish",
        'aish @all "ship',
    ):  # fmt: skip
        assert [line for line in shown if line.startswith(f"  {example}")], example
    assert max(map(len, shown)) <= 80


def test_a_bad_option_points_to_the_help_that_has_the_good_ones() -> None:
    err = run("apollo", "--bad").stderr
    assert err.startswith("Usage: aish NAME [OPTIONS] [PROMPT]...\nTry 'aish NAME --help'")
    assert "--timeout" in run("apollo", "-h").stdout
    assert "range>" not in run("history", "--help").stdout + run("apollo", "--help").stdout


def test_the_version() -> None:
    ran = run("--version")
    assert (ran.returncode, ran.stdout) == (0, f"aish {VERSION}\n")


# -- who is asked ----------------------------------------------------------------------------


def test_a_name_is_looked_for_before_a_prompt_is(ci: ReplayedCI) -> None:
    ran = run("nosuch")
    assert (ran.returncode, ran.stderr) == (
        3, "error: no CI named 'nosuch'\nhint: `aish list` shows all\n",
    )  # fmt: skip
    ran = run("lst")
    assert ran.stderr == (
        "error: no CI named 'lst'\nhint: did you mean `aish list`? `aish list` shows all CIs\n"
    )
    assert (run("echo").returncode, run("@all").returncode) == (2, 3)
    assert not ci.received


def test_a_name_that_is_no_utf8_is_shown_as_it_can_be(ci: ReplayedCI) -> None:
    ran = run(os.fsdecode(b"caf\xff"), "hi")
    assert ran.returncode == 3
    assert "'caf\ufffd'" in ran.stderr
    assert "--\ufffd" in run("echo", os.fsdecode(b"--\xff")).stderr


def test_an_argument_that_is_no_utf8_is_warned_of(ci: ReplayedCI) -> None:
    warning = "warning: an argument is not UTF-8; what could not be read is replaced by U+FFFD\n"
    for more in ([], ["--timeout", "60"]):
        assert run("echo", os.fsdecode(b"caf\xff"), *more).stderr == warning
        assert run("echo", os.fsdecode(b"caf\xff"), "-q", *more).stderr == ""


@pytest.mark.parametrize("arguments", [["echo", "hi"], ["list"]])
def test_a_home_beside_a_folder_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    monkeypatch.setenv("TEKTON_HOME", "home")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    script = f'mkdir "{tmp_path}/gone" && cd "{tmp_path}/gone" && rmdir "{tmp_path}/gone" && "$@"'
    ran = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, os.path.abspath("aish/aish"), *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: TEKTON_HOME is 'home', but the current folder is gone\n")


# -- history ---------------------------------------------------------------------------------


def turns(monkeypatch: pytest.MonkeyPatch, *found: Turn) -> list[History]:
    """Let the history hold these; returns what it is asked."""
    asked: list[History] = []

    def call(self: BlockingTekton, request: History) -> Turns:
        asked.append(request)
        return Turns(turns=found)

    monkeypatch.setattr(BlockingTekton, "call", call)
    return asked


def test_nothing_found_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turns(monkeypatch)
    history()
    assert capsys.readouterr() == ("", "no turns found\n")
    history(as_json=True)
    assert capsys.readouterr() == ("[]\n", "")


@pytest.mark.parametrize("name", ["Mirror", "mirror-ci", "mirror"])
def test_the_history_knows_a_ci_by_each_of_its_names(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked = turns(monkeypatch)
    history(ci=name)
    assert asked[0].ci == "mirror"


@pytest.mark.parametrize("time", [1e300, float("nan"), float("inf"), -1e18])
def test_a_time_that_no_calendar_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], time: float
) -> None:
    turn = Turn(
        id="t", session="s", ci="mirror", status=TurnStatus.COMPLETE, prompt="hi", started_at=time
    )
    turns(monkeypatch, turn)
    history()
    assert capsys.readouterr().out.splitlines()[1].startswith("-  ")


# -- Ctrl-C ----------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [["-m", "aish"], ["aish/aish"]])
def test_ctrl_c_during_the_imports_ends_the_program(tmp_path: Path, program: list[str]) -> None:
    """The first import that both make stands still, as on a slow disk, and is interrupted."""
    slow = tmp_path / "backends"
    slow.mkdir()
    (slow / "__init__.py").write_text(
        "import sys\nprint('importing', flush=True)\nsys.stdin.read()\n"
    )
    script = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"sys.argv = ['aish', 'list']\n"
        + (
            "runpy.run_module('aish', run_name='__main__', alter_sys=True)\n"
            if program[0] == "-m"
            else "runpy.run_path('aish/aish', run_name='__main__')\n"
        )
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT
        assert process.stderr.read() == b""
