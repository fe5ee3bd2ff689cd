"""Files in a folder where anybody may have put anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from terma.service.files import read_regular, write_private


def test_a_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    write_private(tmp_path / "one", b"first")
    write_private(tmp_path / "one", b"second")
    assert read_regular(tmp_path / "one") == b"second"
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["one"]


def test_a_fifo_holds_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "one")
    with pytest.raises(OSError, match="no file of ours"):
        read_regular(tmp_path / "one")
    os.mkfifo(tmp_path / f"one.{os.getpid()}.new")
    write_private(tmp_path / "one", b"x")
    assert read_regular(tmp_path / "one") == b"x"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep")
    (tmp_path / "one").symlink_to(precious)
    with pytest.raises(OSError, match=r"symbolic links|loop"):
        read_regular(tmp_path / "one")
    write_private(tmp_path / "one", b"x")
    assert precious.read_bytes() == b"keep"
    assert not (tmp_path / "one").is_symlink()


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    write_private(tmp_path / "one", b"x" * 100)
    with pytest.raises(OSError, match="no file of ours"):
        read_regular(tmp_path / "one", limit=99)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "one")
