"""What is offered while something is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from aish.chat.completion import ChatCompleter, Known
from aish.chat.conversation import Conversation, Thread


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("notes.md", "no tes.txt", ".hidden", "evil\x1b[2J"):
        (tmp_path / name).write_text("x")
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "deep.py").write_text("x")
    return tmp_path


def offered(text: str) -> list[str]:
    talk = Conversation("apollo", [Thread("apollo", model="ollama/llama3.2")])
    known = Known(["apollo", "athena"], [("plan", "The plan"), ("1234abcd", "Other")])
    completer = ChatCompleter(talk, known)
    found = completer.get_completions(Document(text), CompleteEvent())
    return [text[: len(text) + it.start_position] + it.text for it in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/h", ["/help"]),
        ("/session l", ["/session list"]),
        ("/session p", ["/session plan"]),
        ("/ci a", ["/ci apollo", "/ci athena"]),
        ("/ci apollo,at", ["/ci apollo,athena"]),
        ("/model o", ["/model ollama/llama3.2"]),
        ("/nonsense a", []),
        ("//h", []),
        ("plain text", []),
        ("see @ne", ["see @nested/"]),
        ("see @no", ["see @no\\ tes.txt", "see @notes.md"]),
        ("see @nested/d", ["see @nested/deep.py"]),
        ("@.h", ["@.hidden"]),
        ("@evil", []),
        ("@nowhere/x", []),
        ("mail@no", []),
        ("/attach no", ["/attach no\\ tes.txt", "/attach notes.md"]),
    ],
)
def test_what_may_follow_is_offered(folder: Path, text: str, expected: list[str]) -> None:
    assert sorted(offered(text)) == sorted(expected)


def test_every_command_is_offered_with_its_help() -> None:
    completer = ChatCompleter(Conversation("apollo"), Known())
    found = list(completer.get_completions(Document("/"), CompleteEvent()))
    assert "/quit" in {it.display_text for it in found}
    assert all(it.display_meta_text for it in found)
