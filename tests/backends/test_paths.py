"""Where files live, and that a private folder is private."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

from backends.errors import StorageError, TektonError
from backends.paths import find_paths, private_folder


def test_home_holds_everything(tekton_home: Path) -> None:
    paths = find_paths()
    assert paths.config_file == tekton_home / "config/config.toml"
    assert paths.personas == tekton_home / "config/ci"
    assert paths.keys == tekton_home / "config/keys"
    assert paths.tokens == tekton_home / "config/tokens.json"
    assert paths.registry == tekton_home / "state/ai_registry"
    assert paths.logs == tekton_home / "state/logs"
    assert paths.turns == tekton_home / "state/engram.db"
    assert paths.hub_lock == tekton_home / "run/hub.lock"
    assert paths.socket("rhetor", is_ci=False) == tekton_home / "run/rhetor.sock"
    assert paths.socket("rhetor", is_ci=True) == tekton_home / "run/ci/rhetor.sock"
    assert list(tekton_home.iterdir()) == []


def test_without_a_home_the_platform_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEKTON_HOME")
    folders = platformdirs.PlatformDirs("tekton", appauthor=False)
    paths = find_paths()
    assert paths.config == Path(folders.user_config_dir)
    assert paths.state == Path(folders.user_state_dir)


def test_a_private_folder_is_made_or_shut(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert private_folder(folder) == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_link_in_place_of_a_private_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(TektonError, match=r"link is not a folder of this user"):
        private_folder(tmp_path / "link")


def test_a_private_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(TektonError, match=r"is not a folder of this user"):
        private_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file", "File exists"), ("file/inner", "Not a directory"), ("gone", "File exists")],
)
def test_what_is_in_the_way_of_a_private_folder_is_told(
    tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(StorageError) as raised:
        private_folder(tmp_path / name)
    assert raised.value.message == f"cannot make the folder {tmp_path / name}: {reason}"
