"""Completion on TAB in real shells, and where `aish completion` puts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aish.commands.completion import PROGRAMS, SCRIPTS, SHELLS
from terma.cli import SHORT
from tests.programs import missing, needed
from tests.scenarios.tekton_process import clean_environment
from tests.scenarios.terminal import Terminal

# Stands for `aish`, `tekton`, `terma` and every launcher: tells what it was given.
_PROGRAM = """#!/bin/sh
case "$*" in
"session list --for-completion --ci athena") printf 'review\\tathena: the review\\n' ;;
"session list --for-completion"*) printf '%s\\tapollo: the plan: b\\n' plan 3f2a91bc ;;
"list --for-completion")
    printf '%s\\tshell, idle\\n' alice bob-2; printf '@coding\\talice\\n@review\\talice bob-2\\n' ;;
*) printf 'GOT:'; printf '<%s>' "${0##*/}" "$@"; echo ;;
esac
"""

CASES = [
    ("aish li", "aish list"),
    ("aish apo", "aish apollo"),
    ("aish apollo,ath", "aish apollo,athena"),
    ("aish @a", "aish @all"),
    ("aish apollo,@a", "aish apollo,@all"),
    ("aish -m x apo", "aish -m x apollo"),
    ("aish --url unix:x apo", "aish --url unix:x apollo"),
    ("true | aish apo", "aish apollo"),
    ("aish session sh", "aish session show"),
    ("aish session list --se", "aish session list --search"),
    ("aish session list --ci ath", "aish session list --ci athena"),
    ("aish session show pl", "aish session show plan"),
    ("aish session show 3f", "aish session show 3f2a91bc"),
    ("aish session show --ci athena re", "aish session show --ci athena review"),
    ("aish athena --session re", "aish athena --session review"),
    ("aish session export plan --format js", "aish session export plan --format json"),
    ("aish session export plan --format=js", "aish session export plan --format=json"),
    ("aish session export plan -o no", "aish session export plan -o notes.txt"),
    ("aish apollo --att", "aish apollo --attach"),
    ("aish apollo --attach no", "aish apollo --attach notes.txt"),
    ("aish apollo no", "aish apollo notes.txt"),
    ("aish ./no", "aish ./notes.txt"),
    ("aish completion install fi", "aish completion install fish"),
    ("apollo --att", "apollo --attach"),
    ("apollo no", "apollo notes.txt"),
    ("apollo --session 3f", "apollo --session 3f2a91bc"),
    ("tekton sta", "tekton status"),
    ("tekton ci ed", "tekton ci edit"),
    ("tekton ci show apo", "tekton ci show apollo"),
    ("tekton serve num", "tekton serve numa"),
    ("tekton config set models.d", "tekton config set models.default"),
    ("tekton logs --comp", "tekton logs --component"),
    ("terma att", "terma attach"),
    ("terma attach al", "terma attach alice"),
    ("terma attach --read", "terma attach --read-only"),
    ("terma close alice bo", "terma close alice bob-2"),
    ("terma close --for", "terma close --forget"),
    ("terma role bo", "terma role bob-2"),
    ("terma message al", "terma message alice"),
    ("terma message @co", "terma message @coding"),
    ("terma message @al", "terma message @all"),
    ("terma message alice,bo", "terma message alice,bob-2"),
    ("terma message bob-2,@rev", "terma message bob-2,@review"),
    ("terma new zoe --cwd no", "terma new zoe --cwd notes.txt"),
    ("terma new zoe -- cat no", "terma new zoe -- cat notes.txt"),
    ("terma send alice --signal TE", "terma send alice --signal TERM"),
    ("aish completion show --for ter", "aish completion show --for terma"),
    # nothing is known here, so that nothing is put in
    ("aish -m no", "aish -m no"),
    ("aish session rename plan no", "aish session rename plan no"),
    ("aish apollo,ai", "aish apollo,ai"),
    ("aish nobod", "aish nobod"),
    ("tekton ci show ter", "tekton ci show ter"),
    ("terma attach @co", "terma attach @co"),
    ("terma new al", "terma new al"),
    ("terma attach nobod", "terma attach nobod"),
]
"""What is typed before TAB, and the command that it becomes."""


class Place:
    """A home with two CIs, and programs that tell what they are given."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.environment = clean_environment(self.home / "tekton")
        launchers = self.home / "tekton" / "state" / "bin"
        programs = folder / "bin"
        for file in [
            *(launchers / name for name in ("apollo", "apollo-ci", "athena", "aish", "terma")),
            *(programs / name for name in PROGRAMS),
        ]:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_PROGRAM)
            file.chmod(0o755)
        (self.home / "notes.txt").touch()
        path = f"{programs}:{os.environ['PATH']}:{launchers}"
        self.environment |= {"HOME": str(self.home), "PATH": path, "TERM": "xterm"}

    def completion(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `aish completion`."""
        return subprocess.run(
            [sys.executable, "-m", "aish", "completion", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env=self.environment | variables, timeout=30,
        )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, place: Place, command: list[str], setup: str) -> None:
        self._terminal = Terminal([needed(command[0]), *command[1:]], place.environment, place.home)
        self.type(f"{setup}\necho REA''DY\n")
        self._terminal.wait_for(b"READY\r\n")

    def type(self, text: str) -> None:
        self._terminal.shown = b""
        self._terminal.type(text)

    def complete(self, typed: str) -> str:
        """Type something and TAB; returns the command that Enter runs then."""
        self.type(f"{typed}\t\n")
        self._terminal.wait_for(b"GOT:")
        self._terminal.wait_for(b">\r\n")
        [found] = re.findall(r"GOT:<(.*)>\r", self._terminal.shown.decode())
        return " ".join(found.split("><"))

    def wait_for(self, text: bytes) -> None:
        self._terminal.wait_for(text)

    def close(self) -> None:
        self._terminal.close()


_LAUNCHERS = {
    "bash": "complete -o default -F _aish_complete_ci apollo athena",
    "zsh": "compdef _aish_complete_ci apollo athena",
    "fish": "_aish_complete_ci apollo athena",
}
_BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")


def _start(kind: str, place: Place) -> Shell:
    if kind == "bash":
        scripts = "; ".join(f"source {SCRIPTS / f'{program}.bash'}" for program in PROGRAMS)
        options = "set -u; shopt -s failglob; IFS=:"  # what a user may have set
        return Shell(place, ["bash", "--norc"], f"{scripts}; {_LAUNCHERS['bash']}; {options}")
    if kind == "bash-completion":
        if not _BASH_COMPLETION.exists():
            missing("the package bash-completion is not installed")
        assert place.completion("install", "bash").returncode == 0
        # the launchers need what the first completion of `aish` loads
        setup = f"source {_BASH_COMPLETION}; _completion_loader aish; {_LAUNCHERS['bash']}"
        return Shell(place, ["bash", "--norc"], setup)
    if kind == "zsh":
        assert place.completion("install", "zsh").returncode == 0
        (place.home / ".zshrc").write_text(
            "fpath=(~/.local/share/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u\n"
        )
        setup = f"source {SCRIPTS / 'aish.zsh'}; {_LAUNCHERS['zsh']}"
        return Shell(place, ["zsh", "--no-globalrcs"], setup)
    assert place.completion("install", "fish").returncode == 0
    setup = f"source {SCRIPTS / 'aish.fish'}; {_LAUNCHERS['fish']}"
    return Shell(place, ["fish"], setup)


@pytest.fixture
def shell(request: pytest.FixtureRequest, place: Place) -> Iterator[Shell]:
    started = _start(request.param, place)
    yield started
    started.close()


@pytest.mark.parametrize("shell", ["bash", "bash-completion", "zsh", "fish"], indirect=True)
def test_tab_completes_commands_options_and_values(shell: Shell) -> None:
    found = {typed: shell.complete(typed) for typed, _ in CASES}
    assert found == dict(CASES)


@pytest.mark.parametrize(
    ("shell", "unset"),
    [("bash", "unset"), ("zsh", "unset"), ("fish", "set -e")],
    indirect=["shell"],
)
def test_without_a_folder_of_its_own_cis_come_from_the_platform_s(
    shell: Shell, place: Place, unset: str
) -> None:
    for folder, name in [(".local/state", "zeus"), ("elsewhere", "hera")]:
        launchers = place.home / folder / "tekton" / "bin"
        launchers.mkdir(parents=True)
        (launchers / name).touch()
    shell.type(f"{unset} TEKTON_HOME XDG_STATE_HOME\n")
    assert shell.complete("aish zeu") == "aish zeus"
    export = "set -gx XDG_STATE_HOME" if unset == "set -e" else "export XDG_STATE_HOME="
    shell.type(f"{export}{' ' * export.endswith('HOME')}$HOME/elsewhere\n")
    assert shell.complete("aish her") == "aish hera"
    assert shell.complete("aish zeu") == "aish zeu"


# -- the command -----------------------------------------------------------------------------

_INSTALLED = {
    "bash": [f".local/share/bash-completion/completions/{program}" for program in PROGRAMS],
    "zsh": [f".local/share/zsh/site-functions/_{program}" for program in PROGRAMS],
    "fish": [f".config/fish/completions/{program}.fish" for program in PROGRAMS],
}


@pytest.mark.parametrize("shell_name", SHELLS)
def test_it_is_installed_once_and_removed_again(place: Place, shell_name: str) -> None:
    files = [place.home / file for file in _INSTALLED[shell_name]]
    ran = place.completion("install", shell_name)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr.startswith("".join(f"written: {file}\n" for file in files))
    for file, program in zip(files, PROGRAMS, strict=True):
        assert file.read_bytes() == (SCRIPTS / f"{program}.{shell_name}").read_bytes()
    again = place.completion("install", "", SHELL=f"/opt/bin/{shell_name}")
    assert again.stderr.startswith(f"the completion of {shell_name} is current\n")
    files[0].write_text("an older one")
    assert place.completion("install", shell_name).stderr.startswith(f"written: {files[0]}\n")
    assert not list(files[0].parent.glob(".*"))
    ran = place.completion("uninstall", shell_name)
    assert ran.stderr == "".join(f"removed: {file}\n" for file in files)
    assert not any(file.exists() for file in files)
    ran = place.completion("uninstall", shell_name)
    assert (ran.returncode, ran.stderr) == (0, f"no completion of {shell_name} is installed\n")


@pytest.mark.parametrize(
    ("shell_name", "variable", "file"),
    [
        ("bash", "BASH_COMPLETION_USER_DIR", "completions/aish"),
        ("bash", "XDG_DATA_HOME", "bash-completion/completions/aish"),
        ("fish", "XDG_CONFIG_HOME", "fish/completions/aish.fish"),
    ],
)
def test_it_goes_where_the_user_keeps_such_files(
    place: Place, shell_name: str, variable: str, file: str
) -> None:
    folder = place.home / "elsewhere"
    place.completion("install", shell_name, **{variable: str(folder)})
    assert (folder / file).is_file()
    place.completion("install", shell_name, **{variable: "not/from/the/root"})
    assert (place.home / _INSTALLED[shell_name][0]).is_file()


def test_a_folder_that_cannot_be_made_is_told(place: Place) -> None:
    (place.home / ".config").write_text("no folder")
    ran = place.completion("install", "fish")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"error: cannot write {place.home}/.config/fish/completions/aish")
    assert "hint: `aish completion show`" in ran.stderr


@pytest.mark.parametrize(("given", "variable"), [("tcsh", "/bin/bash"), ("", "/bin/tcsh")])
def test_a_shell_without_completion_is_refused(place: Place, given: str, variable: str) -> None:
    for command in ("show", "install", "uninstall"):
        ran = place.completion(command, *([given] if given else []), SHELL=variable)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr.startswith("error: no completion for the shell 'tcsh'\nhint: ")


def test_the_script_is_shown(place: Place) -> None:
    every = "".join((SCRIPTS / f"{program}.bash").read_text() for program in PROGRAMS)
    assert place.completion("show", "bash").stdout == every
    one = place.completion("show", "fish", "--for", "tekton").stdout
    assert one == (SCRIPTS / "tekton.fish").read_text()
    assert place.completion("show", "bash", "--for", "emacs").returncode == 2


def test_a_command_is_described_as_in_the_list_of_all() -> None:
    fish, zsh = ((SCRIPTS / f"terma.{shell}").read_text() for shell in ("fish", "zsh"))
    for verb, about in SHORT.items():
        told = about[:1].upper() + about[1:]
        assert f"-a {verb} -d '{told}'\n" in fish.replace("\\'", "'")
        assert f"'{verb}:{told}'\n" in zsh.replace("'\\''", "'")


def test_zsh_is_told_where_to_look_and_with_consent_that_is_done(place: Place) -> None:
    told = place.completion("install", "zsh").stderr
    line = told.splitlines()[-1].strip()
    assert line.startswith("fpath=(~/.local/share/zsh/site-functions ")
    zshrc = place.home / ".zshrc"
    assert not zshrc.exists()
    zshrc.write_text("# mine")
    for answer, after in [("n", "# mine"), ("y", f"# mine\n{line}\n")]:
        command = [sys.executable, "-m", "aish", "completion", "install", "zsh"]
        terminal = Terminal(command, place.environment, place.home)
        terminal.wait_for(b"Add it? [y/N] ")
        terminal.type(f"{answer}\n")
        assert terminal.wait() == 0
        terminal.close()
        assert zshrc.read_text() == after
    assert "add this line" not in place.completion("install", "zsh").stderr


def test_zsh_completes_with_that_line_alone(place: Place) -> None:
    line = place.completion("install", "zsh").stderr.splitlines()[-1].strip()
    (place.home / ".zshrc").write_text(f"{line}\n")
    shell = Shell(place, ["zsh", "--no-globalrcs"], "")
    assert shell.complete("tekton sta") == "tekton status"
    shell.close()
