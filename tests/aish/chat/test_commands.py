"""The table of commands: what is understood, and what else might have been meant."""

from __future__ import annotations

import pytest

from aish.chat.actions import Actions
from aish.chat.commands import COMMANDS, SESSION_WORDS, help_rows, parse
from backends.errors import UsageError


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_is_told_and_done(command: object) -> None:
    name = getattr(command, "name", "")
    assert callable(getattr(Actions, f"_{name}"))
    assert sum(usage.split()[0] == f"/{name}" for usage, _ in help_rows()) == 1


def test_what_follows_the_name_comes_with_it() -> None:
    command, rest = parse("/session  name  my plan ")
    assert (command.name, rest) == ("session", "name  my plan")


@pytest.mark.parametrize(("line", "name"), [("/h", "help"), ("/sy x", "system"), ("/Q", "quit")])
def test_a_beginning_is_enough_where_it_is_clear(line: str, name: str) -> None:
    assert parse(line)[0].name == name


def test_a_beginning_of_several_names_them() -> None:
    with pytest.raises(UsageError, match="/s is not clear") as error:
        parse("/s")
    assert "/session or /system or /save" in (error.value.hint or "")


def test_an_unknown_command_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no command /sesion") as error:
        parse("/sesion list")
    assert "/session" in (error.value.hint or "")
    assert "//" in (error.value.hint or "")


@pytest.mark.parametrize("line", ["/", "/ help", "/xyzzy", "/1"])
def test_other_lines_are_no_commands(line: str) -> None:
    with pytest.raises(UsageError):
        parse(line)


def test_every_word_of_session_is_in_its_usage() -> None:
    usage = parse("/session")[0].usage
    assert all(word in usage for word in SESSION_WORDS)
