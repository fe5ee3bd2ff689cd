"""`aish do`: a command is proposed, shown, and run when a person says so, and only then."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.model_servers import Fault, FaultKind, OllamaServer, Script
from tests.programs import needed
from tests.scenarios.tekton_process import TektonProcess
from tests.scenarios.terminal import Terminal
from tests.scenarios.user_shell import UserShell

OWN = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def propose(tekton: TektonProcess, ollama: OllamaServer) -> Callable[..., None]:
    """Let the model propose a command."""

    def propose(command: str, explanation: str = "It does that.") -> None:
        ollama.script = Script(
            tokens=[json.dumps({"command": command, "explanation": explanation})]
        )

    return propose


@pytest.fixture
def shell(tekton: TektonProcess) -> Iterator[Callable[..., None]]:
    """Set variables of the programs that are started, until the test ends."""
    before = dict(tekton.environment)

    def variables(**values: str) -> None:
        tekton.environment.update(values)

    variables(SHELL="/bin/bash", AISH_SHELL="")
    yield variables
    for file in tekton.home.glob(".*_history"):
        file.unlink()
    tekton.environment.clear()
    tekton.environment.update(before)


pytestmark = pytest.mark.usefixtures("shell")


def asked(terminal: Terminal) -> bytes:
    terminal.wait_for(b"run it?")
    return OWN.sub(b"", terminal.shown)


def test_a_command_goes_into_a_pipe_and_all_else_beside_it(
    tekton: TektonProcess, propose: Callable[..., None], ollama: OllamaServer
) -> None:
    propose("find . -size +100M -delete", "Finds them, and deletes them.")
    ran = tekton.aish("do", "find", "files over 100 MB")
    assert (ran.status, ran.text) == (0, "find . -size +100M -delete\n")
    assert ran.err == ("Finds them, and deletes them.\n! deletes: find . -size +100M -delete\n")
    request = ollama.requests[-1].body
    system, question = (message["content"] for message in request["messages"])
    assert "in bash on" in system
    assert tekton.home.name in system
    assert question.startswith("find files over 100 MB\n")
    assert '"explanation"' in question


def test_json_has_all_of_it(tekton: TektonProcess, propose: Callable[..., None]) -> None:
    propose("sudo rm x")
    ran = tekton.aish("do", "--json", "remove x")
    assert ran.status == 0
    assert ran.json["command"] == "sudo rm x"
    assert ran.json["explanation"] == "It does that."
    assert ran.json["model"] == "ollama/llama3.2:latest"
    assert ran.json["ci"] == "ergon"
    kinds = {danger["kind"]: danger["is_grave"] for danger in ran.json["dangers"]}
    assert kinds["deletes"]
    assert kinds["root"]
    turn = tekton.history("--ci", "ergon", "-n", "1")[0]
    assert turn["id"] == ran.json["turn"]


def test_what_is_piped_in_is_the_context(
    tekton: TektonProcess, propose: Callable[..., None], ollama: OllamaServer
) -> None:
    propose("make CC=gcc")
    ran = tekton.aish("do", "fix this", input=b"make: cc: No such file\n")
    assert ran.text == "make CC=gcc\n"
    assert "make: cc: No such file" in ollama.requests[-1].body["messages"][-1]["content"]


def test_nothing_to_do(tekton: TektonProcess) -> None:
    ran = tekton.aish("do")
    assert ran.status == 2
    assert "nothing to do" in ran.err


# -- at a terminal -------------------------------------------------------------------------


def test_yes_runs_it_in_the_users_shell_and_its_status_is_passed_on(
    tekton: TektonProcess, propose: Callable[..., None], tmp_path: Path
) -> None:
    propose(f'echo "$0 $BASH_VERSION" > {tmp_path}/ran; test -t 0 -a -t 1; echo tty=$?; exit 7')
    terminal = tekton.terminal("do", "it")
    shown = asked(terminal)
    assert b"It does that." in shown
    assert b"! overwrites: > " in shown
    assert not (tmp_path / "ran").exists()
    terminal.type("y\n")
    assert terminal.wait() == 7
    assert b"tty=0" in terminal.shown
    assert (tmp_path / "ran").read_text().startswith("/bin/bash 5")
    history = tekton.home / ".bash_history"
    assert history.read_text().startswith('echo "$0 $BASH_VERSION" > ')
    assert history.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("answer", ["\n", "n\n", "no\n", "\x04"])
def test_anything_else_runs_nothing(
    tekton: TektonProcess, propose: Callable[..., None], tmp_path: Path, answer: str
) -> None:
    propose(f"touch {tmp_path}/ran")
    terminal = tekton.terminal("do", "it")
    asked(terminal)
    terminal.type(answer)
    assert terminal.wait() == 1
    assert not (tmp_path / "ran").exists()
    assert not (tekton.home / ".bash_history").exists()
    assert b"error" not in terminal.shown


def test_what_is_no_answer_is_asked_again(
    tekton: TektonProcess, propose: Callable[..., None]
) -> None:
    propose("echo ran=$((1 + 1))")
    terminal = tekton.terminal("do", "it")
    asked(terminal)
    terminal.type("maybe\n")
    terminal.wait_for(b"maybe\r\nrun it?")
    terminal.type("n\n")
    assert terminal.wait() == 1
    assert b"ran=2" not in terminal.shown


@pytest.mark.parametrize("early", ["y\n", "yes\n", "yes\nyes\n", "ye", "e\n"])
def test_keys_typed_before_the_question_are_no_answer(
    tekton: TektonProcess, propose: Callable[..., None], ollama: OllamaServer, early: str
) -> None:
    propose("echo ran=$((1 + 1))")
    terminal = tekton.terminal("do", "it")
    terminal.type(early)
    asked(terminal)
    terminal.type("s\n" if early == "ye" else "no\n")
    if early == "ye":
        terminal.wait_for(b"s\r\nrun it?")
        terminal.type("no\n")
    assert terminal.wait() == 1
    assert b"ran=2" not in terminal.shown


def test_a_command_higher_than_the_screen_needs_a_whole_yes(
    tekton: TektonProcess, propose: Callable[..., None]
) -> None:
    ran = tekton.home / "ran-tall"
    propose("touch ran-tall" + "\n" * 12 + "pwd")
    terminal = tekton.terminal("do", "it", rows=10)
    assert b"! 16 lines, more than this screen shows" in asked(terminal)
    terminal.type("y\n")
    terminal.wait_for(b"y\r\nrun it?")
    assert not ran.exists()
    terminal.type("yes\n")
    assert terminal.wait() == 0
    assert ran.exists()


def test_a_change_that_ends_with_its_shell_is_told(
    tekton: TektonProcess, propose: Callable[..., None]
) -> None:
    propose("cd /usr && pwd")
    terminal = tekton.terminal("do", "it")
    asked(terminal)
    terminal.type("y\n")
    assert terminal.wait() == 0
    assert b"hint: cd counts only within this command; in the shell of `aish`" in terminal.shown


def test_what_is_grave_needs_a_whole_yes(
    tekton: TektonProcess, propose: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "victim").touch()
    propose(f"rm {tmp_path}/victim")
    terminal = tekton.terminal("do", "it")
    assert b"! deletes: rm " in asked(terminal)
    terminal.type("y\n")
    terminal.wait_for(b"y\r\nrun it?")
    assert (tmp_path / "victim").exists()
    terminal.type("yes\n")
    assert terminal.wait() == 0
    assert not (tmp_path / "victim").exists()


def test_an_edited_command_is_shown_with_its_dangers_and_asked_about_again(
    tekton: TektonProcess, propose: Callable[..., None], tmp_path: Path
) -> None:
    propose("echo one")
    terminal = tekton.terminal("do", "it")
    assert b"!" not in asked(terminal)
    terminal.type("e\n")
    terminal.wait_for(b"\x1b[?2004h")
    terminal.type(f" > {tmp_path}/two\r")
    terminal.wait_until(lambda: terminal.shown.count(b"run it?") == 2, "the second question")
    assert b"overwrites:" in terminal.shown
    assert not (tmp_path / "two").exists()
    terminal.type("y\n")
    assert terminal.wait() == 0
    assert (tmp_path / "two").read_text() == "one\n"


def test_ctrl_c_while_it_asks_runs_nothing(
    tekton: TektonProcess, propose: Callable[..., None], tmp_path: Path
) -> None:
    propose(f"touch {tmp_path}/ran")
    for keys in ("\x03", "e\n"):
        terminal = tekton.terminal("do", "it")
        asked(terminal)
        terminal.type(keys)
        if keys != "\x03":
            terminal.wait_for(b"\x1b[?2004h")
            terminal.type("\x03")
        assert terminal.wait() == -signal.SIGINT, terminal.shown
        assert b"Traceback" not in terminal.shown
    assert not (tmp_path / "ran").exists()


def test_ctrl_c_while_the_model_is_silent(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=["{"], fault=Fault(FaultKind.HANG, after=1))
    terminal = tekton.terminal("do", "it")
    request = ollama.wait_request()
    terminal.type("\x03")
    assert terminal.wait() == -signal.SIGINT
    assert request.disconnected.wait(5)


def test_print_and_a_pipe_ask_nobody(
    tekton: TektonProcess, propose: Callable[..., None], tmp_path: Path
) -> None:
    propose(f"touch {tmp_path}/ran")
    terminal = tekton.terminal("do", "--print", "it")
    assert terminal.wait() == 0
    assert b"run it?" not in terminal.shown
    script = tmp_path / "piped.sh"
    script.write_text(f"aish do it > {tmp_path}/command")
    terminal = tekton.terminal(str(script), program="/bin/sh")
    assert terminal.wait() == 0
    assert (tmp_path / "command").read_text() == f"touch {tmp_path}/ran\n"
    script.write_text("aish do it < /dev/null")
    terminal = tekton.terminal(str(script), program="/bin/sh")
    assert terminal.wait() == 0
    assert b"run it?" not in terminal.shown
    assert not (tmp_path / "ran").exists()


def test_beside_a_pipe_the_terminal_is_asked_and_is_the_commands_input(
    tekton: TektonProcess, propose: Callable[..., None], tmp_path: Path
) -> None:
    propose("read -r line; echo got=$line")
    script = tmp_path / "piped.sh"
    script.write_text("echo context | aish do it")
    terminal = tekton.terminal(str(script), program="/bin/sh")
    asked(terminal)
    terminal.type("y\n")
    terminal.type("typed\n")
    assert terminal.wait() == 0
    assert b"got=typed" in terminal.shown


def test_a_command_of_several_lines_is_shown_and_runs_as_such(
    tekton: TektonProcess, propose: Callable[..., None]
) -> None:
    propose("for x in a b\ndo\n  echo got=$x\ndone")
    terminal = tekton.terminal("do", "it")
    assert b"for x in a b\r\ndo\r\n  echo got=$x\r\ndone\r\n" in asked(terminal)
    terminal.type("y\n")
    assert terminal.wait() == 0
    assert b"got=a\r\ngot=b\r\n" in terminal.shown


def test_a_shell_that_asked_for_it_gets_the_command_to_run_itself(
    tekton: TektonProcess,
    propose: Callable[..., None],
    tmp_path: Path,
    shell: Callable[..., None],
) -> None:
    file = tmp_path / "command"
    file.touch(mode=0o600)
    shell(AISH_DO_FILE=str(file))
    propose(f"touch {tmp_path}/ran")
    declined = tekton.terminal("do", "it")
    asked(declined)
    declined.type("n\n")
    assert declined.wait() == 1
    assert file.read_text() == ""
    terminal = tekton.terminal("do", "it")
    asked(terminal)
    terminal.type("y\n")
    assert terminal.wait() == 0
    assert file.read_text() == f"touch {tmp_path}/ran"
    assert not (tmp_path / "ran").exists()
    assert not (tekton.home / ".bash_history").exists()
    file.chmod(0o644)
    terminal = tekton.terminal("do", "it")
    asked(terminal)
    terminal.type("y\n")
    assert terminal.wait() == 1
    assert b"private" in terminal.shown


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_nothing_stays_behind_of_a_shell_that_is_closed_while_it_asks(
    tekton: TektonProcess, propose: Callable[..., None], tmp_path: Path, name: str
) -> None:
    propose("cd /usr && pwd")
    with UserShell(name, tekton, variables={"TMPDIR": str(tmp_path)}) as shell:
        begun = shell.type("aish do it")
        shell.terminal.wait_for(b"run it?")
        assert list(tmp_path.glob("aish-do*")) == []
        shell.terminal.type("y\r")
        assert shell.result(begun)[1] == 0, shell.terminal.shown
        assert shell.run("pwd") == ("/usr", 0)
        assert b"hint:" not in shell.terminal.shown
        assert list(tmp_path.glob("aish-do*")) == []


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_shell_itself_reads_the_history_that_was_written(
    tekton: TektonProcess, propose: Callable[..., None], shell: Callable[..., None], name: str
) -> None:
    path = needed(name)
    shell(SHELL=path)
    command = "printf '%s\\n' 'à \\ b'\necho second"
    propose(command)
    terminal = tekton.terminal("do", "it")
    asked(terminal)
    terminal.type("yes\n")
    assert terminal.wait() == 0
    assert "à \\ b\r\nsecond\r\n".encode() in terminal.shown
    listing = {
        "bash": ["bash", "-c", "history -r ~/.bash_history; history"],
        "zsh": ["zsh", "-fc", "fc -R ~/.zsh_history; print -rn -- ${history[1]}"],
        "fish": ["fish", "-c", "history --null | head -z -n 1"],
    }
    read = tekton.run(listing[name])
    expected = command if name != "bash" else "printf '%s\\n' 'à \\ b'"
    assert expected in read.text, read


# -- hostile and unfit answers -------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "name"),
    [
        ("\x1b[2K", "U+001B"), ("\r", "U+000D"), ("\u202e", "RIGHT-TO-LEFT OVERRIDE"),
        ("\u200b", "ZERO WIDTH SPACE"), ("\u00a0", "NO-BREAK SPACE"), ("\x08", "U+0008"),
        ("\u2066", "LEFT-TO-RIGHT ISOLATE"), ("\U000e0041", "TAG LATIN CAPITAL LETTER A"),
    ],
)  # fmt: skip
def test_a_command_with_hidden_characters_is_refused_by_their_names(
    tekton: TektonProcess, propose: Callable[..., None], hidden: str, name: str
) -> None:
    propose(f"echo a{hidden}b")
    terminal = tekton.terminal("do", "it")
    assert terminal.wait() == 6
    assert name.encode() in OWN.sub(b"", terminal.shown).replace(b"\r\n", b" ")
    assert b"run it?" not in terminal.shown
    assert hidden.encode() not in terminal.shown.replace(b"\r\n", b"\n")


def test_an_explanation_cannot_drive_the_terminal(
    tekton: TektonProcess, propose: Callable[..., None]
) -> None:
    propose("ls", "harm\x1b]52;c;ZXZpbA==\x07less\x1b[2J")
    terminal = tekton.terminal("do", "it")
    assert b"harmless" in asked(terminal)
    assert b"\x1b]" not in terminal.shown
    assert b"\x1b[2J" not in terminal.shown


@pytest.mark.parametrize("command", ["", "  ", "# nothing", "#a\n # b"])
def test_no_command_is_told_with_the_reason(
    tekton: TektonProcess, propose: Callable[..., None], command: str
) -> None:
    propose(command, "There is no such thing.")
    ran = tekton.aish("do", "make me tea")
    assert (ran.status, ran.out) == (6, b"")
    assert "error: ergon proposes no command: There is no such thing." in ran.err


def test_a_command_that_nobody_would_read_is_refused(
    tekton: TektonProcess, propose: Callable[..., None]
) -> None:
    propose("echo " + "x" * 5000)
    ran = tekton.aish("do", "it")
    assert (ran.status, ran.out) == (6, b"")
    assert "has 5005 characters" in ran.err


def test_words_around_the_json_are_passed_over(tekton: TektonProcess, ollama: OllamaServer) -> None:
    text = 'Sure!\n```json\n{"command": "ls", "explanation": "Lists."}\n```\nAnything else?'
    ollama.script = Script(tokens=[text])
    assert tekton.aish("do", "it").text == "ls\n"


def test_an_answer_of_another_form_is_asked_for_once_more_and_that_is_told(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    answers = iter([["just run ls"], ['{"command": "ls", "explanation": "Lists."}']])
    ollama.script = Script(tokens=lambda _: next(answers))
    ran = tekton.aish("do", "it")
    assert (ran.status, ran.text) == (0, "ls\n")
    assert "asking once more" in ran.err
    assert len(ollama.requests) == 2
    assert "not JSON" in ollama.requests[-1].body["messages"][-1]["content"]


def test_a_second_answer_of_another_form_fails(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=['{"command": 5, "explanation": "x"}'])
    ran = tekton.aish("do", "it")
    assert (ran.status, ran.out) == (6, b"")
    assert "$.command: 5 is not of type 'string'" in ran.err
    assert len(ollama.requests) == 2


def test_errors_of_the_hub_and_the_model_are_those_of_a_prompt(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    assert tekton.aish("do", "--ci", "nosuch", "it").status == 3
    ollama.script = Script(fault=Fault(FaultKind.STATUS, status=500))
    assert tekton.aish("do", "it").status == 6
    ollama.script = Script(fault=Fault(FaultKind.MUTE))
    assert tekton.aish("do", "--timeout", "0.2", "it").status == 5
