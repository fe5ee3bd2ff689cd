"""The command of a CI through the CI's life: with a hub, without one, served alone, removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.tekton_process import TektonProcess, wait_for


@pytest.fixture
def home() -> Iterator[TektonProcess]:
    with TektonProcess('[models]\ndefault = "echo/echo"\n') as tekton:
        yield tekton


def launcher(home: TektonProcess, name: str) -> Path:
    return home.home / "state" / "bin" / name


def test_a_launcher_answers_as_aish_does(home: TektonProcess) -> None:
    home.start()
    for name in ("mirror", "mirror-ci"):
        ran = home.run([str(launcher(home, name)), "-q", "a  b"], input=b"piped")
        assert ran == home.aish("mirror", "-q", "a  b", input=b"piped")
        assert ran.status == 0
    ran = home.run([str(launcher(home, "mirror")), "--bad"])
    assert (ran.status, ran.out) == (2, b"")
    assert home.run([str(launcher(home, "aish")), "mirror", "hi"]).out == b"hi\n"


def test_a_launcher_is_kept_without_a_hub_and_says_so(home: TektonProcess) -> None:
    home.start()
    home.stop()
    (home.home / "apollo").write_text("echo this file must not be run")
    ran = home.run([str(launcher(home, "apollo")), "hi"])
    assert (ran.status, ran.out) == (4, b"")
    assert "tekton up" in ran.err


def test_a_persona_that_has_gone_meanwhile_has_no_launcher_any_more(home: TektonProcess) -> None:
    home.add_persona("icarus", 'role = "flight"\n')
    home.start()
    home.stop()
    assert launcher(home, "icarus").exists()
    (home.home / "config" / "ci" / "icarus.toml").unlink()
    home.start()
    assert not launcher(home, "icarus").is_symlink()
    assert not launcher(home, "icarus-ci").is_symlink()
    assert launcher(home, "apollo").exists()


def test_a_ci_that_is_served_alone_has_its_launcher_and_leaves_the_others(
    home: TektonProcess,
) -> None:
    for name in ("apollo", "athena"):
        assert not launcher(home, name).exists()
        home.begin("serve", name, program="tekton")
        wait_for(launcher(home, name).exists, "the launcher")
    assert launcher(home, "apollo").exists()
    assert home.run([str(launcher(home, "athena")), "hi"]).out == b"hi\n"


def test_a_file_that_is_not_ours_is_left_and_told_in_the_log(home: TektonProcess) -> None:
    launcher(home, "").mkdir(parents=True)
    launcher(home, "apollo").write_text("mine")
    home.start()
    assert launcher(home, "apollo").read_text() == "mine"
    assert launcher(home, "apollo-ci").exists()
    assert f"{launcher(home, 'apollo')} is left as it is" in home.log()


def test_a_hub_runs_where_no_launcher_can_be_made(home: TektonProcess) -> None:
    launcher(home, "").parent.mkdir(parents=True)
    launcher(home, "").write_text("in the way")
    home.start()
    assert home.aish("mirror", "hi").out == b"hi\n"
    assert "cannot make the folder" in home.log()


def test_the_list_tells_which_names_are_taken(home: TektonProcess) -> None:
    for name in ("test", "make"):
        home.add_persona(name, 'role = "clash"\n')
    home.start()
    listed = home.aish("list")
    assert "in a shell test is taken (shell builtin); the CI is test-ci there\n" in listed.err
    assert "in a shell make is taken (/" in listed.err
    clashes = {entry["name"]: entry["clash"] for entry in home.aish("list", "--json").json}
    assert clashes["test"] == "shell builtin"
    assert clashes["make"].endswith("/make")
    assert clashes["apollo"] is None


def test_a_word_is_a_verb_else_a_ci_else_a_file(home: TektonProcess) -> None:
    for name in ("deploy", "mirror", "list"):
        (home.home / name).write_text('echo "the file, $1"')
    ran = home.aish("deploy", "now")
    assert ran.status == 4, "nobody knows whether it is a CI"
    home.start()
    assert home.aish("deploy", "--now").out == b"the file, --now\n"
    assert home.aish("mirror", "hi").out == b"hi\n"
    assert b"NAME" in home.aish("list").out
