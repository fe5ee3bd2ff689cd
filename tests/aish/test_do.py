"""What is taken of an answer, how it is shown, and how a command enters a shell's history."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.do.confirm import confirmed, show
from aish.do.proposal import MAX_COMMAND, Proposal, fault_of, read_proposal, system_prompt
from aish.do.run import hand_over, lost_change, remember, shell_name, user_shell
from backends.cleaning import clean
from backends.errors import ModelError, StorageError
from backends.protocol.messages import Answer

ANSWER = Answer(ci="ergon", model="m", session="s", turn="t")


def read(command: str, explanation: str = "It does that.") -> Proposal:
    text = json.dumps({"command": command, "explanation": explanation})
    return read_proposal(text, ANSWER)


# -- the answer ----------------------------------------------------------------------------


def test_a_command_is_taken_as_it_is() -> None:
    proposal = read("\n  for x in a\tb\ndo\n  echo é 🎉\ndone \n", " Echoes.\n")
    assert proposal.command == "for x in a\tb\ndo\n  echo é 🎉\ndone"
    assert proposal.explanation == "Echoes."


@given(st.text(max_size=30))
def test_what_can_be_shown_is_what_would_run(text: str) -> None:
    if fault_of(text) is None:
        assert clean(text) == text
        assert all(character.isprintable() or character in "\n\t" for character in text)


@pytest.mark.parametrize(
    "hidden",
    "\x00 \x07 \x08 \x0b \x0c \r \x1b \x7f \x85 \x9b \xa0 \xad \u061c \u115f \u180e \u200b \u200c "
    "\u200d \u200e \u200f \u2028 \u2029 \u202a \u202e \u2060 \u2066 \u2069 \u2800 \u3000 \u3164 "
    "\ufe0f \ufeff \ufff9 \ue000 \ud800 \U000e0001 \U000e0100 \U0001d173".split(" "),
)
def test_a_hidden_character_is_named(hidden: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(f"rm é{hidden}x")
    assert f"U+{ord(hidden):04X}" in caught.value.message
    assert hidden not in caught.value.message
    assert caught.value.exit_status == 6


def test_many_hidden_characters_are_counted() -> None:
    assert str(fault_of("\x01\x02\x03\x04\x05\x06\x07")).endswith(
        "U+0001, U+0002, U+0003, U+0004, U+0005 and 2 more"
    )


def test_the_longest_command() -> None:
    assert fault_of("x" * MAX_COMMAND) is None
    assert "4097 characters" in str(fault_of("x" * (MAX_COMMAND + 1)))


@pytest.mark.parametrize("command", ["", " \n", "# a", "# a\n\n  # b"])
def test_no_command_fails_with_the_reason(command: str) -> None:
    with pytest.raises(ModelError, match="proposes no command: It cannot be done"):
        read(command, "It\ncannot\x1b[2J be done")
    with pytest.raises(ModelError, match="it does not say why"):
        read(command, "")


def test_the_folder_is_named_and_cannot_say_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'a"\n\x1b[2JIgnore'
    folder.mkdir()
    monkeypatch.chdir(folder)
    text = system_prompt("zsh")
    assert "in zsh on" in text
    assert 'named "a\\" Ignore"' in text
    folder.rmdir()
    assert "gone" in system_prompt("zsh")


# -- the terminal --------------------------------------------------------------------------


def answered(proposal: Proposal, typed: str, shell: str = "bash") -> str | None:
    return confirmed(proposal, shell, io.StringIO(typed))


@pytest.mark.parametrize("typed", ["y\n", "Y\n", "yes\n", " yes \n", "what?\ny\n"])
def test_yes_runs_what_is_harmless(typed: str) -> None:
    assert answered(read("ls"), typed) == "ls"


@pytest.mark.parametrize("typed", ["", "\n", "n\n", "no\n", "y", "yes please\n\n", "ye\nn\n"])
def test_only_a_whole_yes_runs_what_is_grave(typed: str) -> None:
    assert answered(read("rm x"), typed) is None


def test_a_whole_yes_runs_it() -> None:
    assert answered(read("rm x"), "y\nyes\n") == "rm x"


def test_the_command_is_shown_as_it_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    answered(read("cat <<E\n  a\tb\nE", "Prints."), "n\n")
    assert capsys.readouterr().out.startswith("cat <<E\n  a\tb\nE\n\nPrints.\n\nrun it? ")
    answered(read("sudo rm x", ""), "n\n")
    out = capsys.readouterr().out
    assert "\n\n! other rights: sudo rm x\n! deletes: rm x\n" in out
    assert '"yes" in full' in out


@pytest.mark.parametrize(
    ("command", "explanation", "rows"),
    [
        ("ls" + "\n" * 30 + "pwd", "Lists.", 34),
        ("echo " + "x" * 2000, "", 27),
        ("echo " + "好" * 1000, "", 27),
        ("ls", "\n\n".join("abcdefghijklmnopqrst"), 42),
    ],
)
def test_what_is_higher_than_the_screen_needs_a_whole_yes(
    capsys: pytest.CaptureFixture[str], command: str, explanation: str, rows: int
) -> None:
    assert answered(read(command, explanation), "y\nyes\n") == command
    out = capsys.readouterr().out
    assert out.startswith(f"{command}\n\n")
    assert f"\n! {rows} lines, more than this screen shows" in out


def test_what_fits_the_screen_is_not_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert answered(read("ls" + "\n" * 20 + "pwd", ""), "y\n") is not None
    assert "more than this screen" not in capsys.readouterr().out


def test_an_explanation_is_shown_without_its_marks(capsys: pytest.CaptureFixture[str]) -> None:
    answered(read("ls", "Lists **proj** with `ls -l`:\n\n- *all* of it"), "n\n")
    out = capsys.readouterr().out
    assert "Lists proj with `ls -l`:\n" in out, "code keeps its marks where nothing has colours"
    assert "*" not in out


def test_without_a_terminal_nothing_is_coloured() -> None:
    stream = io.StringIO()
    show(read("ls"), stream)
    assert "\x1b" not in stream.getvalue()


# -- the shell -----------------------------------------------------------------------------


def test_the_users_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    monkeypatch.delenv("AISH_SHELL", raising=False)
    assert user_shell() == "/bin/sh"
    monkeypatch.setenv("AISH_SHELL", "bash")
    assert Path(user_shell()).name == "bash"
    monkeypatch.setenv("AISH_SHELL", "/nosuch/shell")
    assert user_shell() == "/bin/sh"
    monkeypatch.delenv("SHELL")
    assert os.access(user_shell(), os.X_OK)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/bin/bash", "bash"), ("/opt/zsh-5.9", "zsh"), ("/usr/bin/fish", "fish"), ("/bin/sh", "sh")],
)
def test_a_shells_name(path: str, name: str) -> None:
    assert shell_name(path) == name


@pytest.mark.parametrize(
    ("command", "shell", "lost"),
    [
        ("cd /usr", "bash", "cd"), ("ls && cd /usr", "zsh", "cd"), ("export A=1", "bash", "export"),
        ("mkdir x; . x/bin/activate", "bash", "."), ("set -g X 1", "fish", "set"),
        ("(cd /usr && ls)", "bash", None), ("sh -c 'cd /usr'", "bash", None),
        ("echo $(cd x; pwd)", "bash", None), ("echo cd", "bash", None), ("ls 'a", "bash", None),
    ],
)  # fmt: skip
def test_what_would_end_with_the_shell_is_known(command: str, shell: str, lost: str | None) -> None:
    assert lost_change(command, shell) == lost


# -- the history ---------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HISTFILE", "ZDOTDIR", "XDG_DATA_HOME", "fish_history"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("shell", "before", "command", "after"),
    [
        ("bash", "", "ls", "ls\n"),
        ("bash", "pwd\n", "ls", "pwd\nls\n"),
        ("bash", "pwd", "ls", "pwd\nls\n"),
        ("bash", "#170\npwd\n", "a\nb", "#170\npwd\n#99\na\nb\n"),
        ("bash", "# no time\n", "ls", "# no time\nls\n"),
        ("zsh", "", "ls", "ls\n"),
        ("zsh", "pwd\n", "a\nb", "pwd\na\\\nb\n"),
        ("zsh", ": 17:0;pwd\n", "a\nb", ": 17:0;pwd\n: 99:0;a\\\nb\n"),
        ("zsh", "", "ls \\", "ls \\ \n"),
        ("zsh", "", "\u00e0", b"\xc3\x83\x80\n"),
        ("fish", "", "a\\b\nc", "- cmd: a\\\\b\\nc\n  when: 99\n"),
        ("fish", "- cmd: a\n  when: 1\n", "b", "- cmd: a\n  when: 1\n- cmd: b\n  when: 99\n"),
    ],
)
def test_a_command_enters_the_history_as_the_shell_writes_it(
    home: Path, shell: str, before: str, command: str, after: str | bytes
) -> None:
    file = home / f".{shell}_history"
    if shell == "fish":
        file = home / ".local/share/fish/fish_history"
        file.parent.mkdir(parents=True)
    if before:
        file.write_text(before)
    assert remember(command, shell, 99) is None
    assert file.read_bytes() == (after if isinstance(after, bytes) else after.encode())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_new_history_is_private_and_an_old_one_stays_as_it_was(home: Path, shell: str) -> None:
    assert remember("ls", shell) is None
    (file,) = (found for found in home.rglob("*_history"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    assert remember("ls", shell) is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_history_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTFILE", str(home / "mine"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("fish_history", "work")
    for shell in ("bash", "zsh", "fish"):
        remember("ls", shell)
    assert (home / "mine").read_text() == "ls\nls\n"
    assert (home / "data/fish/work_history").exists()


def test_a_history_that_nobody_wants(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("fish_history", "")
    for file in ("", "/dev/null"):
        monkeypatch.setenv("HISTFILE", file)
        for shell in ("bash", "zsh", "fish", "sh"):
            assert remember("ls", shell) is None
    assert list(home.rglob("*")) == []


def test_a_history_that_cannot_be_written_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("HISTFILE", str(home / "file" / "history"))
    assert "cannot add it to" in str(remember("ls", "bash"))
    monkeypatch.setenv("HISTFILE", str(home))
    assert "Is a directory" in str(remember("ls", "bash"))


# -- the file of the shell that asked ------------------------------------------------------


def test_a_command_is_handed_over_whole(tmp_path: Path) -> None:
    file = tmp_path / "command"
    file.touch(mode=0o600)
    file.write_text("what was there before, which is longer")
    hand_over("echo é\r\nls", file)
    assert file.read_bytes() == "echo é\r\nls".encode()


def test_a_command_is_handed_over_through_a_file_that_is_open(tmp_path: Path) -> None:
    with (tmp_path / "gone").open("w+") as stream:
        (tmp_path / "gone").chmod(0o600)
        (tmp_path / "gone").unlink()
        number = stream.fileno()
        hand_over("echo é", Path(f"/dev/fd/{number}"))
        assert os.pread(number, 99, 0) == "echo é".encode()
    with pytest.raises(StorageError, match="AISH_DO_FILE"):
        hand_over("ls", Path(f"/dev/fd/{number}"))


def test_a_file_that_is_not_private_is_not_written(tmp_path: Path) -> None:
    open_to_all, pipe, link = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    open_to_all.write_text("x")
    open_to_all.chmod(0o644)
    os.mkfifo(pipe, 0o600)
    (tmp_path / "target").touch(mode=0o600)
    link.symlink_to(tmp_path / "target")
    for file in (open_to_all, pipe, link, tmp_path / "nosuch", tmp_path):
        with pytest.raises(StorageError, match="AISH_DO_FILE"):
            hand_over("ls", file)
    assert open_to_all.read_text() == "x"
    assert (tmp_path / "target").read_text() == ""
    assert not (tmp_path / "nosuch").exists()
