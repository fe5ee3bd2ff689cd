"""The shell that `aish` starts: what is asked for, which one it is, and what it is given."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aish.commands.listing import find_clashes
from aish.shell import start
from aish.shell.environment import KINDS, environment_text
from aish.shell.request import is_script, read_request
from aish.shell.start import environment_of, find_shell, kind_of, which
from backends.errors import NotFound, UsageError
from backends.launchers import launcher_folder
from backends.paths import find_paths
from tests.programs import needed

AISH = Path(start.__file__).parents[1] / "aish"


def run(
    *arguments: str, stdin: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `aish` as its script does."""
    return subprocess.run(
        [sys.executable, str(AISH), *arguments],
        input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True,
        text=True, check=False, timeout=20,
        env=os.environ | {"PYTHONPATH": str(AISH.parents[1])} | variables,
    )  # fmt: skip


# -- what is asked for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "shell", "line", "file", "arguments"),
    [
        ("", None, None, None, []),
        ("-c LINE", None, "LINE", None, []),
        ("-c LINE -c --help -- x", None, "LINE", None, ["-c", "--help", "--", "x"]),
        ("-c --help", None, "--help", None, []),
        ("./a --help", None, None, "./a", ["--help"]),
        ("a.ai -c x", None, None, "a.ai", ["-c", "x"]),
        ("shell", None, None, None, []),
        ("shell --shell zsh", "zsh", None, None, []),
        ("shell --shell=/bin/zsh -c LINE --x", "/bin/zsh", "LINE", None, ["--x"]),
        ("shell --shell zsh a --json", "zsh", None, "a", ["--json"]),
        ("shell -- -a -b", None, None, "-a", ["-b"]),
    ],
)
def test_what_is_asked_of_the_shell(
    words: str, shell: str | None, line: str | None, file: str | None, arguments: list[str]
) -> None:
    found = read_request(words.split())
    assert found is not None
    assert (found.shell, found.line, found.file) == (shell, line, file)
    assert found.arguments == arguments


@pytest.mark.parametrize(
    "words",
    ["-c", "list", "apollo hi", "--help", "shell --help", "shell -c", "shell --shell", "shell --",
     "@all what.now", "-m a.b apollo"],
)  # fmt: skip
def test_what_is_for_the_full_program(words: str) -> None:
    assert read_request(words.split()) is None


def test_a_file_that_is_called_like_a_ci_is_never_run_in_its_stead() -> None:
    assert [word for word in ("apollo", "apollo-ci", "@all", "-x.y", "") if is_script(word)] == []
    assert all(map(is_script, ("./apollo", "a.ai", "/bin/ls", ".profile")))


# -- which shell -----------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name in ("bash", "zsh", "mysh"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "plain").write_text("")
    return tmp_path


def test_the_shell_is_the_one_that_is_asked_for_else_the_user_s_own(programs: Path) -> None:
    path = {"PATH": str(programs), "SHELL": f"{programs}/zsh"}
    asked = path | {"AISH_SHELL": "mysh"}
    assert find_shell("bash", asked, is_script=False) == f"{programs}/bash"
    assert find_shell(None, asked, is_script=False) == f"{programs}/mysh"
    assert find_shell(None, path, is_script=False) == f"{programs}/zsh"
    assert find_shell(f"{programs}/zsh", {"PATH": ""}, is_script=False) == f"{programs}/zsh"


def test_a_script_does_not_depend_on_its_reader_s_shell(programs: Path, tmp_path: Path) -> None:
    path = {"PATH": str(programs), "SHELL": f"{programs}/zsh"}
    assert find_shell(None, path, is_script=True) == f"{programs}/bash"
    assert find_shell(None, {"PATH": "/nowhere"}, is_script=True) == "/bin/sh"
    assert find_shell(None, path | {"AISH_SHELL": "zsh"}, is_script=True) == f"{programs}/zsh"


@pytest.mark.parametrize("shell", ["/nowhere/zsh", "zsh", "/usr/bin/aish", "", "{}/plain"])
def test_a_login_shell_that_cannot_be_used_has_a_stand_in(
    programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    monkeypatch.setattr(start, "_shell_of_user", lambda: "/bin/sh")
    login = shell.format(programs)
    assert find_shell(None, {"PATH": str(programs), "SHELL": login}, is_script=False) == "/bin/sh"
    told = capsys.readouterr().err
    assert ("takes its place" in told) == (login not in ("", "/usr/bin/aish"))


@pytest.mark.parametrize(("wanted", "where"), [("nosh", "--shell"), (None, "AISH_SHELL")])
def test_a_shell_that_is_not_there(wanted: str | None, where: str) -> None:
    with pytest.raises(NotFound, match=rf"^no shell 'nosh', which {where} asks for$"):
        find_shell(wanted, {"PATH": "/bin", "AISH_SHELL": "nosh"}, is_script=False)


def test_only_programs_are_found(programs: Path) -> None:
    (programs / "folder").mkdir()
    path = f":/nowhere:{programs}"
    assert which("bash", path) == f"{programs}/bash"
    assert which("plain", path) is which("folder", path) is which("none", path) is None


@pytest.mark.parametrize(
    ("shell", "kind"),
    [("/bin/bash", "bash"), ("-zsh", "zsh"), ("bash-5.2", "bash"), ("zsh5", "zsh"), ("sh", "sh")],
)
def test_the_kind_of_a_shell(shell: str, kind: str) -> None:
    assert kind_of(shell) == kind


# -- what it is given ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/a:/b", "/a:/b:/own"),
        ("/own:/a:/own:/own", "/a:/own"),
        ("/a::/b", "/a::/b:/own"),
        ("/owner:/own/er", "/owner:/own/er:/own"),
    ],
)
def test_the_launchers_come_last_on_the_path(before: str, after: str) -> None:
    assert environment_of({"PATH": before}, "/own")["PATH"] == after


def test_a_home_that_is_relative_stays_the_same_in_another_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert environment_of({"TEKTON_HOME": "home"}, "/own")["TEKTON_HOME"] == f"{tmp_path}/home"


def test_without_a_path_there_is_the_usual_one() -> None:
    assert environment_of({}, "/own")["PATH"].endswith("/usr/bin:/bin:/usr/sbin:/sbin:/own")


@pytest.mark.parametrize("variables", [{}, {"LC_CTYPE": "C.UTF-8"}, {"LC_CTYPE": "C"}])
def test_the_locale_stays_the_user_s(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    ran = run("-c", "echo ${LC_CTYPE-unset}", SHELL="/bin/bash", **variables)
    assert ran.stdout.strip() == variables.get("LC_CTYPE", "unset")


def test_the_folder_of_launchers_is_the_same_for_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert launcher_folder() == str(find_paths().launchers)
    monkeypatch.delenv("TEKTON_HOME")
    for name, value in (
        ("HOME", str(tmp_path)),
        ("XDG_STATE_HOME", f"{tmp_path}/state/"),
        ("XDG_STATE_HOME", "relative"),
        ("XDG_STATE_HOME", ""),
    ):
        monkeypatch.setenv(name, value)
        assert launcher_folder() == str(find_paths().launchers)


# -- in a shell that runs already ------------------------------------------------------------

HOMES = ["plain", "it's", 'a "b" c', "$HOME", "back\\slash", "`x`", "*", "ü~!"]


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish", "sh"])
@pytest.mark.parametrize("home", HOMES)
def test_the_environment_can_be_evaluated_whatever_the_path_is(
    tmp_path: Path, kind: str, home: str
) -> None:
    folder = f"{tmp_path}/{home}/state/bin"
    text = environment_text(kind, folder) * 2
    line = 'printf "%s\\n" $PATH[-1]' if kind == "fish" else 'printf "%s\\n" "${PATH##*:}"'
    options = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"], "sh": []}[kind]
    ran = subprocess.run(
        [needed(kind), *options, "-c", text + line],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (ran.stdout, ran.stderr) == (folder + "\n", "")


@pytest.mark.parametrize(
    ("shell", "kind"), [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish"), ("sh", "sh")]
)
def test_the_shell_that_asks_is_known_by_its_process(shell: str, kind: str) -> None:
    line = f"{sys.executable} {AISH} shellenv; true"
    ran = subprocess.run(
        [needed(shell), "-c", line], capture_output=True, text=True, check=False, timeout=20,
        env=os.environ | {"PYTHONPATH": str(AISH.parents[1]), "SHELL": "/bin/nonsense"},
    )  # fmt: skip
    known = {kind, "dash"} if kind == "sh" else {kind}
    assert ran.stdout in {environment_text(one, launcher_folder()) for one in known}


def test_elsewhere_the_login_shell_counts() -> None:
    assert run("shellenv", SHELL="/usr/bin/fish").stdout.startswith("set -g AISH_LAUNCHERS ")


def test_a_shell_that_cannot_evaluate_it() -> None:
    with pytest.raises(UsageError, match="no shell environment for 'tcsh'"):
        environment_text("tcsh", "/own")
    ran = run("shellenv", "tcsh")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.endswith("hint: name one: aish shellenv bash | zsh | fish\n")
    assert all(environment_text(kind, "/own") for kind in KINDS)


# -- a line or a file ------------------------------------------------------------------------


def test_a_line_is_run_by_the_user_s_own_shell() -> None:
    for shell in ("bash", "sh", "zsh"):
        ran = run("-c", 'echo "$1|$2"; exit 7', "name", "--help", "-c", SHELL=needed(shell))
        assert (ran.stdout, ran.returncode) == ("--help|-c\n", 7)
    ran = run("-c", "echo $argv; exit 7", "--help", SHELL=needed("fish"))
    assert (ran.stdout, ran.returncode) == ("--help\n", 7)


def test_a_shell_has_the_signals_that_programs_expect() -> None:
    assert run("-c", "yes | head -1; echo ${PIPESTATUS[0]}", SHELL="/bin/bash").stdout == "y\n141\n"
    assert run("-c", "kill -TERM $$", SHELL="/bin/bash").returncode == -15


def test_a_start_file_does_not_take_the_launchers_from_a_line(tmp_path: Path) -> None:
    (tmp_path / ".zshenv").write_text("path=(/usr/bin /bin)")
    (tmp_path / ".config/fish").mkdir(parents=True)
    (tmp_path / ".config/fish/config.fish").write_text("set -gx PATH /usr/bin /bin")
    for shell in ("zsh", "fish"):
        ran = run("-c", "sh -c 'echo $PATH'", SHELL=needed(shell), HOME=str(tmp_path))
        assert ran.stdout == f"/usr/bin:/bin:{launcher_folder()}\n", ran.stderr


def test_a_file_is_a_script_and_its_arguments_are_its_own(tmp_path: Path) -> None:
    script = tmp_path / "a script.ai"
    script.write_text('#!/usr/bin/env aish\necho "$*" ${BASH_VERSION:+bash}; exit 3\n')
    for arguments in ((str(script),), ("shell", str(script)), ("shell", "--", str(script))):
        ran = run(*arguments, "--help", "-c", "x", SHELL="/usr/bin/fish")
        assert (ran.stdout, ran.returncode) == ("--help -c x bash\n", 3)
    ran = run("shell", "--shell", "sh", str(script))
    assert (ran.stdout, ran.returncode) == ("\n", 3)


def test_a_line_on_standard_input_is_read_by_the_shell() -> None:
    ran = run(stdin="echo $((40 + 2))\nexit 5\n", SHELL="/bin/bash")
    assert (ran.stdout, ran.stderr, ran.returncode) == ("42\n", "", 5)


def test_a_file_that_cannot_be_run(tmp_path: Path) -> None:
    ran = run("./nothing.ai")
    assert (ran.returncode, ran.stderr) == (3, "error: no file './nothing.ai' to run\n")
    ran = run(str(tmp_path))
    assert (ran.returncode, ran.stderr) == (
        2, f"error: '{tmp_path}' is a folder, so it cannot be run\n",
    )  # fmt: skip
    ran = run("shell", "--shell", "nosh", "./nothing.ai")
    assert ran.returncode == 3
    assert "no shell 'nosh'" in ran.stderr


def test_a_shell_that_cannot_be_started(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/interpreter\n")
    broken.chmod(0o755)
    ran = run("shell", "--shell", str(broken))
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"error: cannot run the shell {broken}: No such file")


def test_help_and_slips_are_for_the_full_program() -> None:
    ran = run("shell", "--help")
    assert ran.returncode == 0
    assert "aish shell --shell zsh" in ran.stdout
    assert run("shell", "--bad").returncode == run("-c").returncode == 2
    assert "eval" in run("shellenv", "--help").stdout
    assert run("--debug", "shell", "-c", "exit 4").returncode == 4


# -- how fast --------------------------------------------------------------------------------

HEAVY = {"typing", "typer", "pathlib", "re", "enum", "dataclasses", "subprocess", "platformdirs"}


@pytest.mark.parametrize(
    "arguments", [("-c", "true"), ("shellenv", "bash"), ("shell", "--shell", "sh", "-c", "true")]
)
def test_a_shell_starts_without_heavy_imports(arguments: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-SEX", "importtime", "-c", _STARTED, str(AISH.parents[1]), *arguments],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=20,
    )  # fmt: skip
    imported = set(re.findall(r"\| +([\w.]+)$", ran.stderr, re.MULTILINE))
    assert "aish.shell.start" in imported
    assert imported & HEAVY == set()


_STARTED = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from aish.start import main
main()
"""


# -- names that are taken --------------------------------------------------------------------


def test_a_name_that_means_something_else_in_a_shell(programs: Path) -> None:
    own = launcher_folder()
    Path(own).mkdir(parents=True)
    (Path(own) / "apollo").write_text("")
    (Path(own) / "apollo").chmod(0o755)
    path = {"PATH": f"{own}:{programs}:{own}"}
    assert find_clashes(["apollo", "mysh", "plain", "test"], path) == {
        "mysh": f"{programs}/mysh",
        "test": "shell builtin",
    }
