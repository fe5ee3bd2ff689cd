"""Deleting what closed terminals have left: what goes, what stays, and what is never followed."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from pathlib import Path

import pytest

from backends.database import Database
from backends.paths import Paths, find_paths
from terma.service import retention
from terma.service.store import StoredTerminal, TerminalStore
from terma.service.tables import HEAD, MIGRATIONS, metadata

DAY_S = 86400.0
NOW = 100 * DAY_S
TERMINAL = StoredTerminal(
    id="a" * 32, name="alice", kind="shell", roles=(), command=("bash",), folder="/", worktree=None,
    columns=80, rows=24, is_recorded=True, started_at=1.0, ended_at=None, closed_at=None,
    exit_status=None, reason=None, token_hash="",
)  # fmt: skip


@pytest.fixture
def paths() -> Paths:
    paths = find_paths()
    paths.terminals.mkdir(parents=True)
    return paths


def make(paths: Paths, id_: str) -> Path:
    """Make a folder as a terminal has it."""
    folder = paths.terminals / id_
    (folder / "log").mkdir(parents=True)
    (folder / "log" / f"{0:020}.log").write_bytes(b"output")
    (folder / "screen").write_bytes(b"snapshot")
    return folder


def closed(letter: str, days_ago: float | None) -> StoredTerminal:
    at = None if days_ago is None else NOW - days_ago * DAY_S
    return dataclasses.replace(TERMINAL, id=letter * 32, name=letter, closed_at=at)


def clean(paths: Paths, keep_days: int, *terminals: StoredTerminal) -> list[str]:
    """Store terminals, clean, and return the names of those that are still stored."""

    async def main() -> list[str]:
        database = Database(paths.mailboxes, metadata, MIGRATIONS, HEAD, is_durable=True)
        await database.open()
        try:
            store = TerminalStore(database)
            for terminal in terminals:
                await store.save(terminal)
            try:
                await retention.clean(paths, store, NOW, keep_days)
            finally:
                left = [*await store.open_ones(), *await store.closed_before(NOW + 1)]
            return sorted(terminal.name for terminal in left)
        finally:
            await database.close()

    return asyncio.run(main())


def folders(paths: Paths) -> set[str]:
    return {path.name[0] for path in paths.terminals.iterdir()}


def test_what_was_closed_too_long_ago_goes_with_all_of_its_files(paths: Paths) -> None:
    for letter in "abc":
        make(paths, letter * 32)
    left = clean(paths, 30, closed("a", 31), closed("b", 29), closed("c", None))
    assert left == ["b", "c"]
    assert folders(paths) == {"b", "c"}


def test_with_no_days_everything_is_kept(paths: Paths) -> None:
    make(paths, "a" * 32)
    assert clean(paths, 0, closed("a", 99)) == ["a"]
    assert folders(paths) == {"a"}


def test_a_terminal_whose_folder_is_gone_is_forgotten_all_the_same(paths: Paths) -> None:
    assert clean(paths, 1, closed("a", 2)) == []


def test_a_folder_that_nobody_knows_is_left_and_told_of(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    make(paths, "d" * 32)
    make(paths, "a" * 32)
    with caplog.at_level(logging.WARNING):
        clean(paths, 30, closed("a", None))
    assert folders(paths) == {"a", "d"}
    [told] = [record.getMessage() for record in caplog.records]
    assert "d" * 32 in told
    assert "a" * 32 not in told


def test_what_an_interrupted_cleaning_left_goes(paths: Paths) -> None:
    make(paths, ".gone-" + "a" * 32)
    clean(paths, 30)
    assert list(paths.terminals.iterdir()) == []


def test_links_are_deleted_and_never_followed(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear", encoding="utf-8")
    folder = make(paths, "a" * 32)
    (folder / "log" / "link").symlink_to(tmp_path / "mine")
    (paths.terminals / ("b" * 32)).symlink_to(tmp_path / "mine")
    clean(paths, 1, closed("a", 2), closed("b", 2))
    assert list(paths.terminals.iterdir()) == []
    assert (tmp_path / "mine" / "letter").read_text(encoding="utf-8") == "dear"


def test_what_cannot_be_deleted_does_not_keep_the_rest(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(paths, "a" * 32)
    make(paths, "b" * 32)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "a" * 32:
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)  # root may do everything
    with pytest.raises(PermissionError):
        clean(paths, 1, closed("a", 3), closed("b", 2))
    monkeypatch.undo()
    assert folders(paths) == {"a"}
    assert clean(paths, 1) == []
    assert folders(paths) == set()


def test_forgetting_deletes_a_folder_at_once(paths: Paths) -> None:
    folder = make(paths, "a" * 32)
    make(paths, ".gone-" + "a" * 32)
    retention.forget(folder)
    retention.forget(folder)
    assert list(paths.terminals.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", ".", "a", "A" * 32, ".gone-" + "a" * 32, "a/.."])
def test_only_a_terminals_folder_is_deleted(paths: Paths, name: str) -> None:
    make(paths, "a" * 32)
    with pytest.raises(ValueError, match="no id"):
        retention.forget(paths.terminals / name if name else Path(os.sep))
    assert folders(paths) == {"a"}
