"""Snapshots in a folder where a program in the terminal may have put anything."""

from __future__ import annotations

import os
from pathlib import Path

from terma.screen.snapshot import NAME, Snapshot, load, store


def snapshot() -> Snapshot:
    return Snapshot(
        engine="ghostty", offset=5, columns=80, rows=24, is_simple=False, state=b"state"
    )


def test_a_snapshot_is_stored_and_loaded(tmp_path: Path) -> None:
    store(tmp_path, snapshot())
    assert load(tmp_path) == snapshot()


def test_a_fifo_in_its_place_holds_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NAME)
    assert load(tmp_path) is None
    os.mkfifo(tmp_path / f"{NAME}.new")
    store(tmp_path, snapshot())
    assert load(tmp_path) == snapshot()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep")
    (tmp_path / f"{NAME}.new").symlink_to(precious)
    (tmp_path / NAME).symlink_to(precious)
    assert load(tmp_path) is None
    store(tmp_path, snapshot())
    assert precious.read_bytes() == b"keep"
    assert load(tmp_path) == snapshot()
