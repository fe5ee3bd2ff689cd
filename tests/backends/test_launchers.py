"""The commands that CIs have: made, kept, removed, and never in the way of another file."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backends import launchers
from backends.errors import StorageError, TektonError
from backends.launchers import add_launchers, keep_launchers, remove_launchers, safe_folder
from backends.version import VERSION

ROOT = Path(launchers.__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "bin"


def words(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_ci_has_two_commands_and_aish_is_there_too(folder: Path) -> None:
    assert add_launchers(folder, ["apollo"]) == []
    assert words(folder) == [".launcher", "aish", "apollo", "apollo-ci", "terma"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".launcher").stat().st_mode & 0o777 == 0o700
    assert add_launchers(folder, ["apollo"]) == [], "a second time changes nothing"


def test_the_commands_of_others_are_kept_or_removed(folder: Path) -> None:
    add_launchers(folder, ["apollo", "athena"])
    add_launchers(folder, ["numa"])
    assert "athena" in words(folder)
    keep_launchers(folder, ["apollo"])
    assert words(folder) == [".launcher", "aish", "apollo", "apollo-ci", "terma"]
    remove_launchers(folder, "apollo")
    remove_launchers(folder, "apollo")
    assert words(folder) == [".launcher", "aish", "terma"]
    keep_launchers(folder, [])
    assert words(folder) == [".launcher", "aish", "terma"]


def test_a_file_that_is_not_ours_stays(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "apollo").write_text("mine")
    (folder / "apollo-ci").symlink_to("/bin/true")
    (folder / "athena").symlink_to("nowhere")
    assert keep_launchers(folder, ["apollo", "numa"]) == ["apollo", "apollo-ci"]
    remove_launchers(folder, "apollo")
    keep_launchers(folder, [])
    assert (folder / "apollo").read_text() == "mine"
    assert os.readlink(folder / "apollo-ci") == "/bin/true"
    assert os.readlink(folder / "athena") == "nowhere"


def test_a_program_that_is_not_ours_is_told(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / ".launcher").write_text("mine")
    with pytest.raises(StorageError, match=r"cannot write a launcher .* is not Tekton's own"):
        add_launchers(folder, ["apollo"])
    assert (folder / ".launcher").read_text() == "mine"


def test_a_folder_that_cannot_be_used_is_told(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("")
    with pytest.raises(StorageError):
        keep_launchers(folder, ["apollo"])


def test_a_program_of_another_python_is_written_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/old/python")
    add_launchers(folder, [])
    monkeypatch.undo()
    add_launchers(folder, [])
    first = (folder / ".launcher").read_text().splitlines()[0]
    assert first == f"#!{sys.executable}"


_MANY = """
import pathlib, sys
from backends.launchers import add_launchers
assert add_launchers(pathlib.Path(sys.argv[1]), [f"ci{n}" for n in range(20)]) == []
"""


def test_processes_that_start_at_once_leave_a_whole_program(folder: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", _MANY, folder], cwd=ROOT) for _ in range(6)
    ]
    assert [process.wait(20) for process in processes] == [0] * 6
    assert len(words(folder)) == 3 + 2 * 20


@pytest.mark.parametrize("place", ["a folder", "it's", "long" * 40])
def test_a_python_that_no_first_line_can_name(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Its program prints how it was called, in place of a prompt that nobody answers."""
    python = tmp_path / place / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(launchers, "_TEXT", launchers._MARK + "\nimport sys; print(sys.argv)\n")
    add_launchers(folder, ["apollo"])
    ran = subprocess.run(
        [folder / "apollo", "a b", "$x"], capture_output=True, text=True, check=True, timeout=20
    )
    assert ran.stdout == f"{[str(folder / 'apollo'), 'a b', '$x']}\n"


def test_a_launcher_imports_what_the_programs_import_and_no_more() -> None:
    def imports(text: str) -> list[str]:
        return [
            ast.unparse(node)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]

    scripts = [(ROOT / name / name).read_text(encoding="utf-8") for name in ("terma", "aish")]
    wanted = dict.fromkeys(line for script in scripts for line in imports(script))
    assert sorted(imports(launchers._TEXT)) == sorted(wanted)


def test_a_launcher_says_that_there_is_no_hub(folder: Path) -> None:
    add_launchers(folder, ["apollo"])
    ran = subprocess.run(
        [folder / "apollo", "hi"], capture_output=True, text=True, check=False, timeout=20,
        stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "tekton up" in ran.stderr


def test_our_own_programs_are_themselves(folder: Path) -> None:
    add_launchers(folder, [])
    for program in ("aish", "terma"):
        ran = subprocess.run(
            [folder / program, "--version"], capture_output=True, text=True, check=True,
            timeout=20, stdin=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert ran.stdout == f"{program} {VERSION}\n"


def test_a_folder_that_others_may_write_to_is_on_no_path(tekton_home: Path) -> None:
    assert safe_folder() == str(tekton_home / "state" / "bin"), "it may still be made"
    folder = tekton_home / "state" / "bin"
    folder.mkdir(parents=True, mode=0o700)
    assert safe_folder() == str(folder)
    folder.chmod(0o777)
    with pytest.raises(TektonError, match="is not this user's alone"):
        safe_folder()
    folder.rmdir()
    folder.symlink_to(tekton_home)
    with pytest.raises(TektonError, match="is not this user's alone"):
        safe_folder()
