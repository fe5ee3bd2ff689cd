"""What a typed line means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.chat.input import Kind, Pastes, as_typed, files_in, missing_in, read_typed


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("", Kind.EMPTY, ""),
        (" \n ", Kind.EMPTY, ""),
        ("hello", Kind.PROMPT, "hello"),
        ("  indented code\n", Kind.PROMPT, "  indented code"),
        ("/help me", Kind.COMMAND, "/help me"),
        ("//etc/hosts", Kind.PROMPT, "/etc/hosts"),
        ("!ls -l", Kind.SHELL, "ls -l"),
        ("!!git diff ", Kind.KEPT_SHELL, "git diff"),
        ("!", Kind.SHELL, ""),
        (" !important", Kind.PROMPT, " !important"),
        (" /etc/hosts", Kind.PROMPT, " /etc/hosts"),
        ("what / why! //", Kind.PROMPT, "what / why! //"),
    ],
)
def test_a_line_is_what_its_first_characters_say(line: str, kind: Kind, text: str) -> None:
    typed = read_typed(line)
    assert (typed.kind, typed.text) == (kind, text)


@pytest.mark.parametrize("prompt", ["hello", "/etc/hosts", "!important", "//x", " y"])
def test_a_prompt_can_be_typed_again(prompt: str) -> None:
    typed = read_typed(as_typed(prompt))
    assert (typed.kind, typed.text.strip()) == (Kind.PROMPT, prompt.strip())


def test_a_large_paste_is_a_placeholder_until_it_is_sent() -> None:
    pastes = Pastes()
    large = "line\n" * 3000
    shown = pastes.take(large)
    assert shown == "[paste 1: 3001 lines]"
    assert pastes.take("x" * 5000) == "[paste 2: 1 line]"
    assert pastes.expand(f"look: {shown} and {shown}") == f"look: {large} and {large}"


@pytest.mark.parametrize("text", ["short", "a\nb\nc"])
def test_a_small_paste_is_itself(text: str) -> None:
    assert Pastes().take(text) == text


def test_what_only_looks_like_a_placeholder_stays() -> None:
    pastes = Pastes()
    pastes.take("x" * 5000)
    assert pastes.expand("[paste 2: 3 lines] [paste 0: 1 line]") == (
        "[paste 2: 3 lines] [paste 0: 1 line]"
    )


def test_a_paste_with_a_placeholder_in_it_is_not_expanded_twice() -> None:
    pastes = Pastes()
    inner = pastes.take("secret\n" * 20)
    outer = pastes.take(f"{inner}\n" * 20)
    assert pastes.expand(outer) == f"{inner}\n" * 20


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.md", "b c.txt", 'q"uote', "semi;colon"):
        (tmp_path / name).write_text("x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.py").write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("see @a.md", ["a.md"]),
        ("@a.md, and @sub/d.py!", ["a.md", "sub/d.py"]),
        ("(@a.md)", []),
        ("twice @a.md @a.md", ["a.md"]),
        ('@"b c.txt" and @b\\ c.txt', ["b c.txt"]),
        ("mail me@a.md", []),
        ("@sub is a folder, @nothing is not there", []),
        ("@", []),
        ("@apollo what do you think?", []),
        ("@" + "x" * 5000, []),
    ],
)
def test_files_that_exist_are_found_after_an_at(folder: Path, text: str, files: list[str]) -> None:
    assert [str(path) for path in files_in(text)] == files


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("see @a.md, @none.txt.", ["none.txt"]),
        ("@no/such and @Makefile and @Makefile", ["no/such", "Makefile"]),
        ("@sub is a folder, @sub/ too", ["sub/"]),
        ("mail me@none.txt", []),
        ("@", []),
    ],
)
def test_what_is_no_file_is_named(folder: Path, text: str, missing: list[str]) -> None:
    assert missing_in(text) == missing


def test_a_home_is_found_where_there_is_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert list(files_in("@~/a.md")) == [folder / "a.md"]


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    list(files_in(text.replace(os.sep, "")))
    read_typed(text)
    assert Pastes().expand(text) == text
