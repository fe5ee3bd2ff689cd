"""What runs in a terminal: real shells with our integration, and what they are told."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from aish.shell.start import environment_of
from backends.errors import NotFound
from terma.shell import PROGRAM, SHELL, encoded, environment_for, own_environment, program_of
from tests.programs import needed
from tests.scenarios.tekton_process import TektonProcess
from tests.scenarios.user_shell import DONE, PROMPT, SHELLS, TYPED, UserShell, plain

NOTICE = "2 messages from bob"

# Stands for `terma`: tells what waits, as the service does with a shell that asks.
_TERMA = f"""#!/bin/sh
echo "$*" >> "$CALLS"
[ "$*" = "inbox --notice" ] || exit 9
echo "{NOTICE}"
echo "not for a prompt" >&2
cat
: > "$TERMA_MAIL"
exit 3
"""


@pytest.fixture(scope="module")
def home() -> Iterator[TektonProcess]:
    with TektonProcess() as tekton:
        yield tekton


@pytest.fixture(params=SHELLS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Mail:
    """The flag file of a terminal, and a `terma` that notes how it is called."""

    def __init__(self, folder: Path) -> None:
        self.flag = folder / "mail file"
        self.flag.touch()
        self.calls = folder / "calls"
        program = folder / "bin" / "terma"
        program.parent.mkdir()
        program.write_text(_TERMA)
        program.chmod(0o755)
        self.variables = {
            "TERMA_TERMINAL": "alice",
            "TERMA_MAIL": str(self.flag),
            "CALLS": str(self.calls),
            "PATH": f"{program.parent}:{os.environ['PATH']}",
        }

    def comes(self) -> None:
        """Have messages wait."""
        self.flag.write_text("1\n")


@pytest.fixture
def mail(tmp_path: Path) -> Mail:
    return Mail(tmp_path)


def shell_in_terminal(
    kind: str,
    home: TektonProcess,
    words: tuple[str, ...] = (),
    file: str = "",
    variables: Mapping[str, str] | None = None,
) -> UserShell:
    """Start what `terma new` has started, with what a terminal tells it of itself."""
    terminal = {"TERMA_TERMINAL": "alice"} | dict(variables or {})
    given = home.environment | {"SHELL": needed(kind)} | terminal
    command, environment, _ = program_of(words, given)
    environment.pop("HOME")
    return UserShell(kind, home, file, terminal | environment, command[1:], program=command[0])


# -- which program ---------------------------------------------------------------------------


def test_the_user_s_shell_is_run_at_once_and_marks_its_prompts(
    kind: str, home: TektonProcess
) -> None:
    command, environment, found = program_of([], home.environment | {"SHELL": needed(kind)})
    assert (command[0], found) == (needed(kind), SHELL)
    assert environment["AISH_LEVEL"] == "1"
    with shell_in_terminal(kind, home) as shell:
        assert shell.run(shell.by("echo $PPID", "echo hi"))[1] == 0
        assert shell.terminal.shown.count(PROMPT) == shell.terminal.shown.count(TYPED)
        assert shell.run("sh -c 'exit 7'") == ("", 7)


def test_a_shell_that_is_named_has_the_integration_too(kind: str, home: TektonProcess) -> None:
    for word in (kind, needed(kind)):
        command, environment, found = program_of([word], home.environment | {"SHELL": "/bin/sh"})
        assert (command[0], found) == (needed(kind), SHELL)
        assert environment["SHELL"] == needed(kind)
    with shell_in_terminal(kind, home, (kind,), variables={"SHELL": "/bin/sh"}) as shell:
        assert shell.run("echo on") == ("on", 0)


@pytest.mark.parametrize(
    "words",
    [
        ("htop", "-d", "5"),
        ("bash", "-c", "echo hi"),
        ("bash", "-l"),
        ("bash", "--norc", "-x"),
        ("zsh", "-f"),
        ("nothing-of-this-name",),
        ("/nowhere/bash",),
        ("sh",),
    ],
)
def test_anything_else_is_a_program_and_stays_as_it_is(words: tuple[str, ...]) -> None:
    given = {"PATH": "/usr/bin:/bin", "HOME": "/h", "PROMPT_COMMAND": "x=1", "ZDOTDIR": "/z"}
    command, environment, kind = program_of(words, given)
    assert (command, kind) == (words, PROGRAM)
    assert environment == given | {"TERM": "xterm-256color"}


def test_a_shell_without_marks_is_a_program() -> None:
    command, environment, kind = program_of([], {"PATH": "/usr/bin:/bin"}, "sh")
    assert (os.path.basename(command[0]), kind) == ("sh", PROGRAM)
    assert environment["PATH"].startswith("/usr/bin:/bin:")


def test_another_program_of_the_user_s_own_kind_of_shell_stays_theirs() -> None:
    given = {"PATH": "/usr/bin:/bin", "SHELL": "/opt/bin/sh"}
    assert program_of([], given, "sh")[1]["SHELL"] == "/opt/bin/sh"


def test_a_shell_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="no shell 'nosh'"):
        program_of([], {"PATH": "/bin"}, "nosh")


def test_bash_without_start_files_reads_none_and_has_the_integration(home: TektonProcess) -> None:
    words = ("bash", "--norc")
    variables = {"PROMPT_COMMAND": "own=$((own + 1))", "PS1": "own> "}
    with shell_in_terminal("bash", home, words, "BASHRC=read\nPS1='rc> '", variables) as shell:
        assert plain(shell.terminal.shown).endswith("alice own> ")
        assert shell.run("echo ${BASHRC-none} $own ${#PROMPT_COMMAND[@]}") == ("none 1 3", 0)
        assert shell.run("sh -c 'exit 5'") == ("", 5)
        assert shell.run("echo $? $own") == ("5 3", 0)
        told = shell.run("env | grep -c -e AISH_PROMPT_COMMAND -e norc.bash")
        assert told == ("0", 1), "nothing of ours reaches a shell within"
        assert shell.terminal.shown.count(PROMPT) == shell.terminal.shown.count(TYPED)


# -- what it is told -------------------------------------------------------------------------


def test_what_tells_of_another_terminal_is_left_out() -> None:
    kept = {"PATH": "/bin", "COLORTERM": "truecolor", "LANG": "C", "TEKTON_HOME": "/t", "TERMX": ""}
    gone = (
        "TMUX TMUX_PANE STY WINDOWID TERM_PROGRAM TERM_PROGRAM_VERSION VTE_VERSION KITTY_PID "
        "WEZTERM_PANE ALACRITTY_LOG GHOSTTY_BIN_DIR ITERM_PROFILE LC_TERMINAL LC_TERMINAL_VERSION "
        "KONSOLE_VERSION WT_SESSION INSIDE_EMACS COLUMNS LINES TERMA_TERMINAL TERMA_TOKEN_FILE "
        "AISH_LEVEL"
    )
    given = kept | {"TERM": "screen"} | dict.fromkeys(gone.split(), "1")
    assert own_environment(given) == kept | {"TERM": "xterm-256color"}


def test_an_environment_of_any_bytes_is_carried_whole() -> None:
    name = os.fsdecode(b"\xff=\n")
    assert base64.b64decode(encoded({"A": name, "B": ""})) == b"A=\xff=\n\0B=\0"


def test_a_shell_that_is_run_anew_gets_the_same(kind: str, home: TektonProcess) -> None:
    given = home.environment | {"SHELL": needed(kind)}
    words = [(), ("bash", "--norc")] if kind == "bash" else [()]
    for one in words:
        command, environment, _ = program_of(one, given)
        again = given | {"TERMA_TERMINAL": "bob", "AISH_LEVEL": "3", "SHELL": "/bin/sh"}
        assert environment_for(command, again) == environment
    assert (
        environment["AISH_LAUNCHERS"] in environment_of({}, environment["AISH_LAUNCHERS"])["PATH"]
    )


def test_the_prompt_has_the_name_of_the_terminal(kind: str, home: TektonProcess) -> None:
    file = "function fish_prompt; echo 'own> '; end" if kind == "fish" else "PS1='own> '"
    with shell_in_terminal(kind, home, file=file) as shell:
        assert plain(shell.terminal.shown).endswith("alice own> ")
    with shell_in_terminal(kind, home, file=file, variables={"AISH_PROMPT": "mine "}) as shell:
        assert plain(shell.terminal.shown).endswith("mine own> ")


def test_the_prompt_follows_another_name_of_the_terminal(
    kind: str, home: TektonProcess, mail: Mail
) -> None:
    file = "function fish_prompt; echo 'own> '; end" if kind == "fish" else "PS1='own> '"
    name = mail.flag.parent / "name"
    with shell_in_terminal(kind, home, file=file, variables=mail.variables) as shell:
        for text, shown in (("bob\n", "bob"), ("bob\n", "bob"), ("", "bob"), ("a-b\n", "a-b")):
            name.write_text(text)
            begun = shell.type("echo on")
            assert shell.result(begun) == ("on", 0)
            prompt = shell.terminal.shown[begun:].rpartition(PROMPT)[2]
            assert plain(prompt[1:]) == f"{shown} own> "
        for text in ("$(echo evil)\n", "%~\n", "a b\n"):
            name.write_text(text)
            assert shell.run("echo on") == ("on", 0)
            assert plain(shell.terminal.shown).endswith("a-b own> ")
        assert shell.run("sh -c 'echo $TERMA_TERMINAL; exit 5'") == ("a-b", 5)
        assert not mail.calls.exists()


def test_a_prompt_of_one_s_own_stays_where_the_terminal_has_another_name(
    kind: str, home: TektonProcess, mail: Mail
) -> None:
    (mail.flag.parent / "name").write_text("bob\n")
    variables = mail.variables | {"AISH_PROMPT": "mine "}
    with shell_in_terminal(kind, home, variables=variables) as shell:
        assert shell.run("sh -c 'echo $TERMA_TERMINAL'") == ("bob", 0)
        assert b"mine " in shell.terminal.shown.rpartition(PROMPT)[2]
        assert b"bob" not in shell.terminal.shown.rpartition(PROMPT)[2]


# -- messages that wait ----------------------------------------------------------------------


def test_a_message_is_told_once_before_the_next_prompt(
    kind: str, home: TektonProcess, mail: Mail
) -> None:
    with shell_in_terminal(kind, home, variables=mail.variables) as shell:
        assert shell.run("echo on") == ("on", 0)
        assert not mail.calls.exists(), "nothing is run while nothing waits"
        mail.comes()
        begun = shell.type("sh -c 'printf unfinished; exit 5'")
        assert shell.result(begun)[1] == 5
        shown = shell.terminal.shown[begun:]
        before, told, after = shown.partition(NOTICE.encode())
        assert told
        assert before.partition(b"unfinished")[2].partition(DONE)[0].endswith(b" \r") or (
            before.endswith(b" \r")
        ), "it has a line of its own"
        assert after.startswith(b"\r\n")
        assert DONE in before
        assert PROMPT in after
        assert shown.count(NOTICE.encode()) == 1
        assert b"not for a prompt" not in shown
        assert shown.count(PROMPT) == shown.count(TYPED) == shown.count(DONE) == 1
        assert NOTICE not in shell.run(shell.by("echo $?", "echo $status"))[0]
        assert mail.calls.read_text() == "inbox --notice\n"


def test_a_message_that_waits_is_told_before_the_first_prompt(
    kind: str, home: TektonProcess, mail: Mail
) -> None:
    mail.comes()
    with shell_in_terminal(kind, home, variables=mail.variables) as shell:
        shown = shell.terminal.shown
        assert shown.count(NOTICE.encode()) == 1
        assert shown.index(NOTICE.encode()) < shown.index(PROMPT)
        assert shell.run("echo on") == ("on", 0)


def test_outside_of_terminals_the_person_s_own_messages_are_told(
    kind: str, home: TektonProcess, mail: Mail
) -> None:
    waits = home.home / "state" / "user.mail"
    waits.parent.mkdir(mode=0o700, exist_ok=True)
    variables = {"PATH": mail.variables["PATH"], "CALLS": str(mail.calls), "TERMA_MAIL": "/other"}
    with UserShell(kind, home, variables=variables) as shell:
        assert shell.run("echo on") == ("on", 0)
        assert not mail.calls.exists()
        waits.write_text("1\n")
        begun = shell.type("sh -c 'exit 5'")
        assert shell.result(begun) == ("", 5)
        shown = shell.terminal.shown[begun:]
        assert shown.count(NOTICE.encode()) == 1
        assert shown.index(NOTICE.encode()) < shown.index(PROMPT)
        assert shell.run("echo on") == ("on", 0)
        assert mail.calls.read_text() == "inbox --notice\n"


def test_in_a_terminal_only_the_messages_of_the_terminal_are_told(
    kind: str, home: TektonProcess, mail: Mail
) -> None:
    variables = mail.variables | {"TERMA_INSTANCE": "a" * 32}
    with UserShell(kind, home, variables=variables) as shell:
        assert shell.run("sh -c 'echo $TERMA_MAIL'") == (str(mail.flag), 0)


_OWN = {
    "bash": [
        "PROMPT_COMMAND='PS1=\"one\\ntwo $?> \"'",
        "mine() { s=$?; PS1=\"$(printf 'one\\ntwo %s> ' $s)\"; }; PROMPT_COMMAND=mine; set -o vi",
        "set -u; PS1='one\\ntwo $?> '; shopt -u checkwinsize",
    ],
    "zsh": [
        "PS1=$'one\\ntwo %?> '",
        "mine() { PS1=$'one\\ntwo '\"$?> \"; }; precmd_functions+=(mine); bindkey -v",
    ],
    "fish": [
        "function fish_prompt; printf 'one\\ntwo %s> ' $status; end",
        "fish_vi_key_bindings\nfunction fish_mode_prompt; end\n"
        "function fish_prompt; set -l s $status; echo one; echo -n \"two $s> \"; end",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "file"), [(kind, file) for kind in _OWN for file in _OWN[kind]])
def test_a_message_leaves_the_user_s_own_prompt_as_it_is(
    kind: str, home: TektonProcess, mail: Mail, file: str
) -> None:
    with shell_in_terminal(kind, home, file=file, variables=mail.variables) as shell:
        mail.comes()
        begun = shell.type("sh -c 'exit 5'")
        assert shell.result(begun) == ("", 5)
        shown = shell.terminal.shown[begun:]
        prompt = plain(shown[shown.index(PROMPT) :].partition(TYPED)[0])
        assert prompt == "alice one\ntwo 5> "
        assert shown[: shown.index(PROMPT)].count(NOTICE.encode()) == 1


def test_without_terma_nothing_is_told_and_nothing_breaks(
    kind: str, home: TektonProcess, mail: Mail
) -> None:
    mail.comes()
    path = f"{Path(needed(kind)).parent}:/usr/bin:/bin"
    with shell_in_terminal(kind, home, variables=mail.variables | {"PATH": path}) as shell:
        begun = shell.type("sh -c 'exit 5'")
        assert shell.result(begun)[1] == 5
        assert b"terma" not in shell.terminal.shown[begun:]
