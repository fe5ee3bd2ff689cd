"""`aish` alone: the user's own shell on a terminal, where every CI is a command."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.scenarios.tekton_process import BIN, TektonProcess, wait_for
from tests.scenarios.user_shell import OUTPUT, PROMPT, SHELLS, TYPED, UserShell, plain

BOURNE = ("bash", "zsh")


@pytest.fixture(scope="module")
def tekton() -> Iterator[TektonProcess]:
    with TektonProcess('[models]\ndefault = "echo/echo"\n') as home:
        home.add_persona("test", 'role = "clash"\n')
        home.start()
        yield home


@pytest.fixture(params=SHELLS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def shell(kind: str, tekton: TektonProcess) -> Iterator[UserShell]:
    with UserShell(kind, tekton) as user_shell:
        yield user_shell


# -- it is the real shell --------------------------------------------------------------------


def test_a_ci_is_a_command_like_any_other(shell: UserShell) -> None:
    assert shell.run("printf 'a\\nb\\n' | mirror | tail -1") == ("b", 0)
    assert shell.run("echo hi | xargs mirror | cat") == ("hi", 0)
    assert shell.run("echo hi > one.x; cat *.x | mirror-ci | mirror > out; cat out") == ("hi", 0)
    function = shell.by(
        'f() { mirror "$@" | tr a-z A-Z; }; f yo',
        "function f; mirror $argv | tr a-z A-Z; end; f yo",
    )
    assert shell.run(function) == ("YO", 0)
    (shell.home / "Makefile").write_text("all:\n\t@echo made | mirror\n")
    assert shell.run("make -s | cat") == ("made", 0)


@pytest.mark.parametrize("kind", BOURNE)
def test_process_substitution_and_here_documents(shell: UserShell) -> None:
    shell.run("echo both | tee >(mirror > side) > main")
    side = shell.home / "side"
    wait_for(lambda: side.exists() and side.read_text() == "both\n", "the side of the tee")
    assert shell.run("cat <(echo hi | mirror)") == ("hi", 0)
    assert shell.run("mirror <<X | cat\nhere\nX")[0].endswith("here")


def test_a_status_is_the_command_s_own(shell: UserShell) -> None:
    assert shell.run("sh -c 'exit 7'") == ("", 7)
    assert shell.run(shell.by("echo $?", "echo $status")) == ("7", 0)
    assert shell.run("nobody-has-this-name 2>&1 | cat")[0]
    assert shell.run("nobody-has-this-name")[1] == 127
    if shell.kind == "fish":
        assert shell.run("sh -c 'exit 3' | true; echo $pipestatus") == ("3 0", 0)
    else:
        assert shell.run("set -o pipefail; sh -c 'exit 3' | cat") == ("", 3)


def test_folder_and_variables_stay_as_they_are_left(shell: UserShell) -> None:
    shell.run("cd /usr")
    shell.run(shell.by("export X=1", "set -gx X 1"))
    assert shell.run("pwd; sh -c 'echo $X'; pwd | mirror | cat") == ("/usr\n1\n/usr", 0)


def test_jobs_stop_and_go_on(shell: UserShell) -> None:
    begun = shell.type("cat | mirror | cat")
    shell.terminal.wait_until(
        lambda: shell.terminal.is_lent and len(_programs(shell)) == 3, "the pipeline"
    )
    shell.terminal.type("\x1a")
    shell.result(begun)
    assert "cat | mirror" in shell.run("jobs")[0]
    begun = shell.type("fg")
    shell.terminal.wait_until(lambda: shell.terminal.is_lent, "the pipeline")
    shell.terminal.type("hello\r\x04")
    assert shell.result(begun)[0].endswith("hello\nhello")
    assert shell.run("jobs")[0].strip() in ("", "jobs: There are no jobs")


def test_ctrl_c_ends_the_whole_pipeline(shell: UserShell) -> None:
    begun = shell.type("cat | mirror | cat")
    shell.terminal.wait_until(
        lambda: shell.terminal.is_lent and len(_programs(shell)) == 3, "the pipeline"
    )
    shell.terminal.type("\x03")
    assert shell.result(begun)[1] == 130
    shell.terminal.wait_until(lambda: not _programs(shell), "the end of all")
    assert shell.run("echo on") == ("on", 0)


def _programs(shell: UserShell) -> list[str]:
    """The names of all programs that have been started from a shell, once they are that."""
    names = [process.name() for process in psutil.Process(shell.terminal.pid).children()]
    return [name for name in names if name not in SHELLS]


def test_the_shell_ends_with_the_status_of_its_last_command(shell: UserShell) -> None:
    shell.type("exit 7")
    assert shell.terminal.wait() == 7


# -- the user's own start files --------------------------------------------------------------


def test_aliases_and_functions_win_over_a_ci(kind: str, tekton: TektonProcess) -> None:
    file = "alias apollo='echo own alias'\n"
    file += (
        "function athena; echo own function; end"
        if kind == "fish"
        else "athena() { echo own function; }"
    )
    with UserShell(kind, tekton, file) as shell:
        assert shell.run("apollo") == ("own alias", 0)
        assert shell.run("athena") == ("own function", 0)


def test_the_launchers_are_last_on_the_path_whatever_the_start_file_does(
    kind: str, tekton: TektonProcess
) -> None:
    launchers = f"{tekton.home}/state/bin"
    file = (
        f"set -gx PATH {launchers} /usr/bin /bin {launchers} {launchers}"
        if kind == "fish"
        else f"export PATH={launchers}:/usr/bin:/bin:{launchers}:{launchers}"
    )
    with UserShell(kind, tekton, file) as shell:
        assert shell.run("sh -c 'echo $PATH'") == (f"/usr/bin:/bin:{launchers}", 0)
        assert shell.run("aish mirror hi | cat") == ("hi", 0)
        assert shell.run("env | grep -c AISH_LAUNCHERS") == ("0", 1)


@pytest.mark.parametrize("level", ["once", "nested"])
def test_a_shell_within_adds_nothing(shell: UserShell, level: str) -> None:
    path = shell.run("sh -c 'echo $PATH'")[0]
    if level == "nested":
        shell.type("aish")
        shell.wait_for_prompt(shell.prompts + 1)
    begun = shell.type("sh -c 'echo $PATH $AISH_LEVEL'")
    assert shell.result(begun) == (f"{path} {2 if level == 'nested' else 1}", 0)
    shown = shell.terminal.shown[begun:]
    assert shown.count(PROMPT) == shown.count(TYPED) == shown.count(OUTPUT) == 1
    assert plain(shown).count("aish ") == 1


def test_the_history_is_the_user_s(kind: str, tekton: TektonProcess, tmp_path: Path) -> None:
    histories = {
        "bash": (f"HISTFILE={tmp_path}/h", tmp_path / "h"),
        "zsh": (f"HISTFILE={tmp_path}/h SAVEHIST=10 HISTSIZE=10", tmp_path / "h"),
        "fish": ("", None),
    }
    line, file = histories[kind]
    with UserShell(kind, tekton, line) as shell:
        shell.run("echo remember")
        shell.type("exit")
        shell.terminal.wait()
        file = file or shell.home / ".local/share/fish/fish_history"
        assert "echo remember" in file.read_text()


@pytest.mark.parametrize(
    "file",
    [
        "false",
        "nobody-has-this-command",
        "set -u",
        "set -e",
        "set -eu",
        "echo 'unfinished",
        "return 3",
    ],
)
@pytest.mark.parametrize("kind", BOURNE)
def test_a_start_file_that_is_hard_to_live_with(
    kind: str, tekton: TektonProcess, file: str
) -> None:
    with UserShell(kind, tekton, file) as shell:
        assert shell.run("echo hi | mirror | cat") == ("hi", 0)
        assert shell.run("! true")[1] == 1
        assert shell.run("echo on") == ("on", 0)


def test_a_fish_start_file_that_fails(tekton: TektonProcess) -> None:
    with UserShell("fish", tekton, "false\nnobody-has-this-command\nset -x )\n") as shell:
        assert shell.run("echo hi | mirror | cat") == ("hi", 0)


@pytest.mark.parametrize("place", ["home", "environment", "zshenv"])
def test_zsh_reads_its_start_files_where_the_user_has_them(
    tekton: TektonProcess, tmp_path: Path, place: str
) -> None:
    variables = {"ZDOTDIR": str(tmp_path)} if place == "environment" else {}
    (tmp_path / ".zshrc").write_text("FOUND=there")
    if place == "zshenv":
        (tmp_path / "home").mkdir()
        (tmp_path / "home/.zshenv").write_text(f"ZDOTDIR={tmp_path}")
    home = tmp_path / "home" if place == "zshenv" else None
    with UserShell("zsh", tekton, "FOUND=home", variables, home=home) as shell:
        wanted = "home unset" if place == "home" else f"there {tmp_path}"
        assert shell.run("echo $FOUND ${ZDOTDIR-unset}") == (wanted, 0)
        assert shell.run("env | grep -c AISH_ZDOTDIR") == ("0", 1)


# -- marks and prompt ------------------------------------------------------------------------

OWN_PROMPTS = {
    "bash": [
        "PS1='own> '",
        "PROMPT_COMMAND='PS1=\"own $?> \"'",
        "PS1='\\nown> '",
        "PROMPT_COMMAND=('x=$?' 'PS1=\"own $?> \"')",
        "PROMPT_COMMAND='PS1=\"own $?> \";'; PS0='before\\n'",
        "trap 'x=$BASH_COMMAND' DEBUG; PS1='own $?> '",
        "precmd() { PS1=\"own $?> \"; }; PROMPT_COMMAND=precmd; shopt -u promptvars",
        "export PS1='own> ' PROMPT_COMMAND='y=1'",
        "theme() { s=$?; PS1=\"$(printf '\\nown %s> ' $s)\"; }; PROMPT_COMMAND=theme; start=\n"
        "PS0='${start:$((start=1,0)):0}'; trap 'seen=$BASH_COMMAND' DEBUG",
        "set -u; shopt -s extglob nullglob; IFS=,; PS1='own> '",
        "alias aish='echo no' printf=false rm=false history=false; PS1='own> '",
    ],
    "zsh": [
        "PS1='own %?> '",
        "PS1=$'\\nown> '",
        "setopt prompt_subst; PS1='own $?> '",
        "precmd() { PS1=\"own $?> \"; }",
        "mine() { PS1=\"own $?> \"; }; precmd_functions+=(mine)",
        "setopt ksh_arrays sh_word_split; PS1='own> '",
    ],
    "fish": [
        "function fish_prompt; echo \"own $status> \"; end",
        "function fish_prompt; set -l s $pipestatus; echo; echo -n \"own $s> \"; end",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "file"), [(kind, file) for kind, files in OWN_PROMPTS.items() for file in files]
)
def test_the_marks_are_right_with_a_prompt_of_the_user_s_own(
    kind: str, tekton: TektonProcess, file: str
) -> None:
    with UserShell(kind, tekton, file) as shell:
        assert "aish own" in plain(shell.terminal.shown)
        begun = shell.type("sh -c 'echo out; exit 5'")
        output, status = shell.result(begun)
        assert (output.removeprefix("before\n"), status) == ("out", 5)
        shown = shell.terminal.shown[begun:]
        assert shown.count(OUTPUT) == shown.count(PROMPT) == shown.count(TYPED) == 1
        prompt = plain(shown[shown.index(PROMPT) :])
        assert prompt in ("aish own 5> ", "aish own> "), shown
        before = shell.prompts
        shell.type("")
        shell.wait_for_prompt(before + 1)
        assert shell.terminal.shown.count(OUTPUT) == 1, "an empty line has no output"


def test_a_prompt_that_is_set_later_is_marked_too(shell: UserShell) -> None:
    shell.run(shell.by("PS1='later> '", "function fish_prompt; echo 'later> '; end"))
    begun = shell.type("true")
    shell.result(begun)
    assert plain(shell.terminal.shown[begun:]).endswith("aish later> ")
    if shell.kind != "fish":
        begun = shell.type('PS1="(venv) $PS1"')
        shell.result(begun)
        assert plain(shell.terminal.shown[begun:]).endswith("aish (venv) later> ")


def test_another_word_for_the_prompt_or_none(kind: str, tekton: TektonProcess) -> None:
    file = "function fish_prompt; echo 'own> '; end" if kind == "fish" else "PS1='own> '"
    for word in ("ci: ", ""):
        with UserShell(kind, tekton, file, {"AISH_PROMPT": word}) as shell:
            assert plain(shell.terminal.shown).endswith(f"{word}own> ")
            assert "aish" not in plain(shell.terminal.shown)


def test_a_dumb_terminal_gets_no_marks(kind: str, tekton: TektonProcess) -> None:
    file = "function fish_prompt; echo 'own> '; end" if kind == "fish" else "PS1='own> '"
    shell = UserShell(kind, tekton, file, {"TERM": "dumb"})
    try:
        shell.terminal.wait_for(b"aish own> ")
        shell.type("echo $((40 + 2)) | mirror" if kind != "fish" else "math 40 + 2 | mirror")
        shell.terminal.wait_for(b"42")
        shell.type("exit")
        assert shell.terminal.wait() == 0
        assert b"\x1b]133" not in shell.terminal.shown
    finally:
        shell.close()


def test_what_sets_marks_already_is_left_to_it(kind: str, tekton: TektonProcess) -> None:
    files = {
        "bash": "PS1='\\[\\e]133;A\\a\\]own> \\[\\e]133;B\\a\\]'",
        "zsh": "mine() { printf '\\e]133;A\\a' }; precmd_functions+=(mine)\n"
        "PS1=$'own> %{\\e]133;B\\a%}'",
        "fish": "function fish_prompt; printf '\\e]133;A\\aown> \\e]133;B\\a'; end",
    }
    with UserShell(kind, tekton, files[kind]) as shell:
        shown = shell.terminal.shown
        assert "aish" in plain(shown)
        assert shown.count(PROMPT) == shown.count(TYPED) == 1


def test_the_integration_read_again_changes_nothing(kind: str, tekton: TektonProcess) -> None:
    with UserShell(kind, tekton) as shell:
        assert shell.run(shell.by('eval "$(aish shellenv)"', "aish shellenv | source")) == ("", 0)
        folder = Path(__file__).parents[2] / "aish" / "shell"
        assert shell.run(f". {folder}/prompt.{kind}") == ("", 0)
        begun = shell.type("echo once")
        assert shell.result(begun) == ("once", 0)
        shown = shell.terminal.shown[begun:]
        assert shown.count(OUTPUT) == shown.count(PROMPT) == shown.count(TYPED) == 1
        path = shell.run("sh -c 'echo $PATH'")[0]
        assert path.count(f"{tekton.home}/state/bin") == 1


# -- CIs come and go -------------------------------------------------------------------------


def test_a_program_wins_over_a_ci_of_its_name(shell: UserShell) -> None:
    assert shell.run("test -d /usr") == ("", 0)
    assert shell.run("test-ci hello | cat") == ("hello", 0)


def test_a_ci_that_comes_is_found_and_one_that_goes_is_not(
    shell: UserShell, tekton: TektonProcess
) -> None:
    name = f"newton-{shell.kind}"
    launcher = tekton.home / "state" / "bin" / name
    assert shell.run(f"{name} hi | cat; {name}")[1] == 127
    tekton.add_persona(name, 'role = "gravity"\n')
    wait_for(launcher.exists, "the launcher")
    assert shell.run(f"{name} hi | cat; {name} yo > out; cat out") == ("hi\nyo", 0)
    (tekton.home / "config" / "ci" / f"{name}.toml").unlink()
    wait_for(lambda: not launcher.is_symlink(), "that the launcher goes")
    output, status = shell.run(name)
    assert status == 127
    assert "not found" in output or "Unknown command" in output


# -- odd places ------------------------------------------------------------------------------


def test_no_home(kind: str, tekton: TektonProcess) -> None:
    with UserShell(kind, tekton, variables={"HOME": None, "XDG_CONFIG_HOME": "/nowhere"}) as shell:
        assert shell.run("echo hi | mirror | cat") == ("hi", 0)


def test_a_folder_that_is_gone(shell: UserShell) -> None:
    shell.run("mkdir gone; cd gone; rmdir ../gone")
    assert shell.run("echo hi | mirror | cat")[0].endswith("hi")
    assert shell.run("cd /; pwd") == ("/", 0)


def test_no_color_reaches_the_programs(kind: str, tekton: TektonProcess) -> None:
    with UserShell(kind, tekton, variables={"NO_COLOR": "1"}) as shell:
        begun = shell.type("mirror '**bold**'")
        assert shell.result(begun)[0].rstrip().endswith("bold")


def test_a_shell_that_is_not_known_has_the_launchers(tekton: TektonProcess) -> None:
    shell = UserShell(
        "bash", tekton, variables={"PS1": "ready> "}, arguments=("shell", "--shell", "sh")
    )
    try:
        shell.terminal.wait_for(b"ready> ")
        shell.type("echo $((40 + 2)) | mirror")
        shell.terminal.wait_for(b"42")
        assert b"aish: sh is started as it is" in shell.terminal.shown
        shell.type("exit 3")
        assert shell.terminal.wait() == 3
    finally:
        shell.close()


def test_the_shell_that_runs_already_gets_the_commands_and_nothing_else(
    kind: str, tekton: TektonProcess
) -> None:
    line = "aish shellenv fish | source" if kind == "fish" else 'eval "$(aish shellenv)"'
    prompt = "function fish_prompt; echo 'own> '; end" if kind == "fish" else "PS1='own> '"
    shell = UserShell(kind, tekton, f"{line}\n{prompt}\n", program=f"/usr/bin/{kind}")
    try:
        shell.terminal.wait_for(b"own> ")
        shell.type("echo answer | mirror | tr a-z A-Z")
        shell.terminal.wait_for(b"ANSWER")
        shell.type("exit 4")
        assert shell.terminal.wait() == 4
        assert b"\x1b]133" not in shell.terminal.shown
        assert b"aish" not in shell.terminal.shown
    finally:
        shell.close()


# -- `aish do` -------------------------------------------------------------------------------

# The part of `aish do` that the shell sees: it writes the command that was agreed to.
_AGREED = """#!/bin/sh
[ "$1" = do ] || exec "$AISH" "$@"
[ "$2" != no ] || exit 1
printf '%s\\n' "$2" > "$AISH_DO_FILE"
echo "$AISH_SHELL $(stat -Lc %a "$AISH_DO_FILE")" > asked
"""


@pytest.fixture
def agreeing(tmp_path: Path) -> dict[str, str | None]:
    program = tmp_path / "aish"
    program.write_text(_AGREED)
    program.chmod(0o755)
    return {
        "PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}",
        "AISH": str(BIN / "aish"),
        "TMPDIR": str(tmp_path),
    }


def test_a_command_that_was_agreed_to_runs_in_the_shell_itself(
    kind: str, tekton: TektonProcess, agreeing: dict[str, str | None], tmp_path: Path
) -> None:
    with UserShell(kind, tekton, variables=agreeing) as shell:
        words = shell.by("cd /usr; X=1; sh -c 'exit 4'", "cd /usr; set -g X 1; sh -c 'exit 4'")
        assert shell.run(f'aish do "{words}"') == ("", 4)
        assert shell.run("echo $PWD $X") == ("/usr 1", 0)
        assert (shell.home / "asked").read_text() == f"{kind} 600\n"
        history = shell.run("history")[0]
        assert history.count("exit 4") == 2, "what was asked, and what was run"
        assert shell.run("aish do no")[1] == 1
        assert shell.run("aish mirror hi | cat") == ("hi", 0)
    assert not list(tmp_path.glob("aish-do*"))


# -- completion ------------------------------------------------------------------------------


def test_a_ci_completes_its_options(kind: str, tekton: TektonProcess) -> None:
    file = "autoload -Uz compinit; compinit -u -D" if kind == "zsh" else ""
    with UserShell(kind, tekton, file) as shell:
        begun = len(shell.terminal.shown)
        shell.terminal.type("mirror --no-str\t")
        shell.terminal.wait_for(b"--no-stream")
        shell.terminal.type("hi | cat\r")
        assert shell.result(begun) == ("hi", 0)


def test_our_own_programs_complete_their_words(kind: str, tekton: TektonProcess) -> None:
    file = "autoload -Uz compinit; compinit -u -D" if kind == "zsh" else ""
    with UserShell(kind, tekton, file) as shell:
        _check_completion(shell)


def _check_completion(shell: UserShell) -> None:
    for typed, becomes in [
        ("aish session li", "aish session list"),
        ("aish mirr", "aish mirror"),
        ("tekton stat", "tekton status"),
        ("terma rest", "terma restore"),
    ]:
        begun = len(shell.terminal.shown)
        shell.terminal.type(f"{typed}\t")

        def is_shown(begun: int = begun, becomes: str = becomes) -> bool:
            return becomes in plain(shell.terminal.shown[begun:])

        shell.terminal.wait_until(is_shown, becomes)
        prompts = shell.prompts
        shell.terminal.type("\x15\r")  # takes the line back
        shell.wait_for_prompt(prompts + 1)


@pytest.mark.parametrize("line", ["", "autoload -Uz compinit; compinit -u -D"])
def test_zsh_completes_where_no_start_file_has_set_that_up(
    line: str, tekton: TektonProcess
) -> None:
    with UserShell("zsh", tekton, "setopt no_auto_menu") as shell:
        assert shell.run("print ${+functions[compdef]}") == ("0", 0), "no start waits for it"
        shell.run(line or ":")
        _check_completion(shell)
        assert shell.run("print ${+functions[compdef]} ${options[automenu]}") == ("1 off", 0)
        assert not list(shell.home.glob(".zcompdump*"))


def test_a_tab_of_the_user_s_own_stays_theirs(tekton: TektonProcess) -> None:
    file = "zle -N expand-or-complete own; function own { BUFFER='echo own'; }"
    with UserShell("zsh", tekton, file) as shell:
        begun = len(shell.terminal.shown)
        shell.terminal.type("terma rest\t\r")
        assert shell.result(begun) == ("own", 0)
