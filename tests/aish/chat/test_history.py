"""What was typed is remembered, privately and not without end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest

from aish.chat import history
from aish.chat.history import ChatHistory, read_entries


def test_what_was_typed_is_there_the_next_time_newest_first(tmp_path: Path) -> None:
    file = tmp_path / "state" / "chat_history"
    for entry in ("one", "two\nlines", "\x1b[2J 漢"):
        ChatHistory(file).append_string(entry)
    assert list(ChatHistory(file).load_history_strings()) == ["\x1b[2J 漢", "two\nlines", "one"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_too_large_is_cut_to_its_newer_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_SIZE", 1000)
    file = tmp_path / "chat_history"
    for number in range(200):
        ChatHistory(file).store_string(f"entry {number}")
    entries = read_entries(file)
    assert entries[-1] == "entry 199"
    assert file.stat().st_size <= 500
    assert read_entries(file) == entries
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "chat_history"
    file.write_bytes(b'"good"\n{"not": "a string"}\nrubbish \xff\n' + b'"cut off')
    assert read_entries(file) == ["good"]


@pytest.mark.parametrize("line", ["[" * 100_000, '"\\ud800"', "1" * 10_000])
def test_no_line_is_too_strange(tmp_path: Path, line: str) -> None:
    file = tmp_path / "chat_history"
    file.write_text(f'"before"\n{line}\n"after"\n')
    assert read_entries(file) == ["before", "after"]


def test_a_pipe_in_its_place_is_neither_read_nor_written(tmp_path: Path) -> None:
    file = tmp_path / "chat_history"
    os.mkfifo(file)
    ended = Queue[list[str]]()

    def use() -> None:
        ChatHistory(file).store_string("x")
        ended.put(read_entries(file))

    Thread(target=use, daemon=True).start()
    assert ended.get(timeout=10) == []


def test_a_very_long_entry_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "chat_history"
    ChatHistory(file).store_string("x" * (history.MAX_ENTRY + 1))
    ChatHistory(file).store_string("y")
    assert file.read_text() == json.dumps("y") + "\n"


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    ChatHistory(blocked / "chat_history").append_string("x")
    assert list(ChatHistory(blocked / "chat_history").load_history_strings()) == []


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("")
    (tmp_path / "chat_history").symlink_to(target)
    ChatHistory(tmp_path / "chat_history").store_string("x")
    assert target.read_text() == ""
