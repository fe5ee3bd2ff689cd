"""The manual pages: `man` takes them without a warning, and they tell of every command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from docs.commands import Command, aish_commands, aish_prompt, tekton_commands, terma_commands
from tests.docs.pages import DOCS, name_of
from tests.programs import needed

MANUALS = sorted((DOCS / "man").glob("*.1"))
PROGRAMS = {
    "aish.1": [aish_commands(), aish_prompt()],
    "tekton.1": [tekton_commands()],
    "terma.1": [terma_commands()],
}


def _shown(page: Path, columns: int = 300) -> tuple[str, str]:
    """Return what `man` shows of a page, and what it warns of."""
    needed("man")
    environment = os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": str(columns), "MANROFFOPT": "-c"}
    ran = subprocess.run(
        ["man", "--warnings", "-l", str(page)],
        capture_output=True, text=True, check=True, env=environment | {"GROFF_NO_SGR": "1"},
    )  # fmt: skip
    return ran.stdout, ran.stderr


def test_there_is_one_for_each_program() -> None:
    assert [page.name for page in MANUALS] == list(PROGRAMS)


@pytest.mark.parametrize("page", MANUALS, ids=name_of)
@pytest.mark.parametrize("columns", [40, 80])
def test_man_takes_it_without_a_warning(page: Path, columns: int) -> None:
    shown, warnings = _shown(page, columns)
    assert warnings == ""
    assert "NAME" in shown


@pytest.mark.parametrize("page", MANUALS, ids=name_of)
def test_mandoc_takes_it_without_a_warning(page: Path) -> None:
    ran = subprocess.run(
        [needed("mandoc"), "-Tlint", "-Wwarning", str(page)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize("page", MANUALS, ids=name_of)
def test_it_tells_of_every_command_and_option(page: Path) -> None:
    text = _shown(page)[0]
    for program in PROGRAMS[page.name]:
        for command in _leaves(program):
            assert " ".join(command.words) in text
            for option in command.options:
                assert ", ".join(option.names) in text
                assert option.about.replace("`", "").replace("…", "...") in text
            assert command.example in text.replace("       ", "")


def _leaves(program: Command) -> list[Command]:
    return list(program.leaves()) or [program]


@pytest.mark.parametrize("page", MANUALS, ids=name_of)
def test_it_has_the_sections_of_a_manual_page(page: Path) -> None:
    sections = [
        text.removeprefix(".SH ")
        for text in page.read_text(encoding="utf-8").splitlines()
        if text.startswith(".SH ")
    ]
    assert sections == [
        "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT",
        "FILES", "EXAMPLES", "SEE ALSO",
    ]  # fmt: skip
    assert f"{page.stem} \\- " in page.read_text(encoding="utf-8")


def test_what_may_be_left_out_is_in_brackets() -> None:
    [terma] = PROGRAMS["terma.1"]
    shown = {one.words[-1]: [each.shows for each in one.arguments] for one in terma.leaves()}
    assert (shown["send"], shown["new"]) == (["NAME", "[TEXT]..."], ["NAME", "[-- CMD...]"])
    [do] = [one for one in aish_commands().leaves() if one.words[-1] == "do"]
    assert [one.shows for one in do.arguments] == ["[WISH...]"]
