"""The house stands as it was drawn: who imports whom, and what may stand in which file."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
CODE = ("aish", "backends", "terma")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")

BASE = {
    "alembic", "anthropic", "bittty", "httpx", "jsonschema", "markdown-it-py", "ollama",
    "platformdirs", "prompt-toolkit", "psutil", "pyghostty", "rich", "sqlalchemy", "textual",
    "tomlkit", "typer", "websockets",
}  # fmt: skip
"""All that an install without extras brings; a new one needs a decision record."""

# In pieces, so that this file passes its own test.
FORBIDDEN = {
    "a folder beside the checkout": re.escape("../" + "shared"),
    "a path of one machine": rf"(?<![\w.\-/])/(?:{'wo' + 'rk'}|{'ro' + 'ot'})/",
    "a package registry's host": "|".join(
        re.escape(".".join(host))
        for host in (("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs", "org"))
    ),
    "a trailer": "co-authored" + "-by:",
}


BEHIND_SOCKETS = {"ptyhost", "screen", "service"}
"""The rooms of terma that are no front end."""

MAY_IMPORT = {
    "terma.ptyhost": ("terma.ptyhost",),
    "terma.screen": (
        "backends.cleaning", "backends.errors", "backends.protocol", "terma.screen",
    ),
    "terma.service": (
        "backends.cleaning", "backends.config", "backends.database", "backends.errors",
        "backends.paths", "backends.personas", "backends.protocol", "backends.registry",
        "backends.runtime", "backends.service", "terma.ptyhost.address", "terma.ptyhost.failure",
        "terma.ptyhost.files", "terma.ptyhost.frames", "terma.ptyhost.processes",
        "terma.screen", "terma.service",
    ),
}  # fmt: skip
"""All that the rooms behind the sockets may import of ours."""


def _modules(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def _lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    command = "import importlinter.cli; importlinter.cli.lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip


def _broken(linted: subprocess.CompletedProcess[str]) -> set[str]:
    return set(re.findall(r"^(.+) BROKEN(?: \(.+\))?$", linted.stdout, re.MULTILINE))


def test_every_folder_of_modules_is_a_package() -> None:
    """A folder that is not escapes the rules about imports."""
    folders = {file.parent for file in _modules(*CODE)}
    assert not [_name(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_imports_point_down_only_and_never_in_a_circle() -> None:
    linted = _lint_imports(ROOT)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_every_rule_about_imports_can_be_broken(tmp_path: Path) -> None:
    for name in CODE:
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, line in (
        ("backends/errors.py", "import backends.client.client"),
        ("backends/hub.py", "import backends.numa.service"),
        ("backends/numa/service.py", "import aish.start"),
        ("backends/runtime.py", "import terma.service.piece"),
        ("aish/ask.py", "import terma.options"),
        ("terma/ptyhost/frames.py", "import backends.errors"),
        ("terma/screen/base.py", "import terma.service.piece"),
        ("backends/protocol/framing.py", "import asyncio"),
        ("backends/client/client.py", "import httpx"),
        ("aish/start.py", "import backends.providers.base"),
    ):
        with (tmp_path / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    linted = _lint_imports(tmp_path)
    rules = {rule["name"] for rule in PROJECT["tool"]["importlinter"]["contracts"]}
    assert _broken(linted) == rules, linted.stdout + linted.stderr


def test_a_module_without_a_floor_is_caught(tmp_path: Path) -> None:
    for name in CODE:
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "backends/attic.py").write_text('"""On no floor."""\n', encoding="utf-8")
    linted = _lint_imports(tmp_path)
    assert _broken(linted) == {"Imports point down only"}, linted.stdout + linted.stderr


def test_every_module_of_terma_is_a_front_end_or_behind_a_socket() -> None:
    """Or no rule about imports would count for it."""
    parts = {file.stem for file in (ROOT / "terma").glob("*.py")} - {"__init__"}
    parts |= {file.parent.name for file in (ROOT / "terma").glob("*/__init__.py")}
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    [sources] = [one["source_modules"] for one in contracts if one["id"] == "front-ends"]
    assert {name for name in sources if name != "aish"} == {
        f"terma.{name}" for name in parts - BEHIND_SOCKETS
    }


def _imported(module: ast.Module) -> Iterator[str]:
    """Yield all that a module imports, at its start or later: `backends.errors.NotFound`."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{one.name}" for one in node.names)


def _strangers(room: str, text: str) -> list[str]:
    """Return what of ours a module of a room imports and may not; in ptyhost also what is not."""
    found = []
    for name in _imported(ast.parse(text)):
        top = name.partition(".")[0]
        is_ours = top in (*CODE, "tests", "docs")
        is_known = any(f"{name}.".startswith(f"{one}.") for one in MAY_IMPORT[room])
        is_foreign = room == "terma.ptyhost" and top not in sys.stdlib_module_names
        if not is_known and (is_ours or is_foreign):
            found.append(name)
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_behind_a_socket_imports_what_it_may(room: str) -> None:
    for file in _modules(room.replace(".", "/")):
        assert not _strangers(room, file.read_text(encoding="utf-8")), _name(file)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("terma.ptyhost", "import psutil"),
        ("terma.ptyhost", "from backends.errors import TektonError"),
        ("terma.screen", "def f():\n    from terma.service import feed"),
        ("terma.service", "from terma.ptyhost import server"),
        ("terma.service", "import aish.shell.start"),
    ],
)
def test_what_a_room_may_not_import_is_caught(room: str, line: str) -> None:
    assert _strangers(room, line)


@pytest.mark.parametrize("file", _modules(*CODE, "tests", "docs"), ids=_name)
def test_a_module_says_what_it_is(file: Path) -> None:
    module = ast.parse(file.read_bytes())
    assert ast.get_docstring(module)
    if file.name == "__init__.py":
        assert len(module.body) == 1, "importing a package must cost nothing"


def _texts() -> Iterator[tuple[str, str]]:
    """Every file of the repository, as its name and its text."""
    inside = [file for name in (*CODE, "tests", "docs", ".ci") for file in (ROOT / name).rglob("*")]
    beside = [ROOT / "Makefile", ROOT / ".gitignore"]
    for kind in ("*.md", "*.toml", "*.lock"):
        beside += ROOT.glob(kind)
    for file in inside + beside:
        if file.is_file() and "__pycache__" not in file.parts:
            yield _name(file), file.read_text(encoding="utf-8", errors="replace")


def test_no_file_names_a_place_that_others_do_not_have() -> None:
    places = FORBIDDEN | {"this checkout": re.escape(f"{ROOT}/")}
    found = [
        f"{name}: {what}: {match[0]}"
        for name, text in _texts()
        for what, pattern in places.items()
        if (match := re.search(pattern, text, re.IGNORECASE))
    ]
    assert not found


def _requirements() -> Iterator[Requirement]:
    tables = [
        {"base": PROJECT["project"]["dependencies"]},
        {"build": PROJECT["build-system"]["requires"]},
        PROJECT["project"]["optional-dependencies"],
        PROJECT["dependency-groups"],
    ]
    for table in tables:
        for lines in table.values():
            yield from (Requirement(line) for line in lines if isinstance(line, str))


def test_an_install_brings_the_base_packages_only() -> None:
    assert {Requirement(line).name for line in PROJECT["project"]["dependencies"]} == BASE


def test_a_base_package_has_an_upper_bound() -> None:
    bounds = {"==", "<", "~="}
    for line in PROJECT["project"]["dependencies"]:
        assert bounds & {part.operator for part in Requirement(line).specifier}, line


def test_the_lock_satisfies_the_project() -> None:
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, re.MULTILINE))
    stale = [
        str(wanted)
        for wanted in _requirements()
        if wanted.name not in locked or locked[wanted.name] not in wanted.specifier
    ]
    assert not stale, "run `make lock`"


def test_the_lock_holds_hashes_for_all_and_addresses_for_none() -> None:
    assert "://" not in LOCK
    entries = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) > len(BASE)
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
