"""The wheel holds all that Tekton needs to run, and nothing else."""

from __future__ import annotations

import configparser
import contextlib
import email.message
import email.parser
import tomllib
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import hatchling.build
import pytest
from packaging.requirements import Requirement

from backends.version import VERSION

ROOT = Path(__file__).parent.parent
PACKAGES = ("aish", "backends", "terma")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel the way an installer does, without its network."""
    folder = tmp_path_factory.mktemp("wheel")
    with contextlib.chdir(ROOT):
        name = hatchling.build.build_wheel(str(folder))
    return zipfile.ZipFile(folder / name)


def _metadata(wheel: zipfile.ZipFile, name: str) -> str:
    return wheel.read(f"tekton_ci-{VERSION}.dist-info/{name}").decode("utf-8")


def _entry_points(wheel: zipfile.ZipFile) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.read_string(_metadata(wheel, "entry_points.txt"))
    return {group: dict(parser[group]) for group in parser.sections()}


@pytest.fixture(scope="module")
def headers(wheel: zipfile.ZipFile) -> email.message.Message:
    return email.parser.Parser().parsestr(_metadata(wheel, "METADATA"))


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    expected = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packed = {name for name in wheel.namelist() if not name.startswith("tekton_ci-")}
    assert packed == expected
    assert any(not name.endswith(".py") for name in packed), "no data files"


@pytest.mark.parametrize("name", ["aish", "terma"])
def test_the_wheel_installs_scripts_of_its_own(wheel: zipfile.ZipFile, name: str) -> None:
    script = next(one for one in wheel.namelist() if one.endswith(f".data/scripts/{name}"))
    assert wheel.read(script).startswith(b"#!python\n")


def test_the_wheel_installs_manual_pages_and_completions(wheel: zipfile.ZipFile) -> None:
    """Each of them where the prefix's shells and `man` look for it."""
    sources = {
        f"share/{folder}/{pattern.format(name)}": ROOT / source.format(name)
        for name in ("aish", "tekton", "terma")
        for folder, pattern, source in (
            ("man/man1", "{}.1", "docs/man/{}.1"),
            ("bash-completion/completions", "{}", "aish/completions/{}.bash"),
            ("zsh/site-functions", "_{}", "aish/completions/{}.zsh"),
            ("fish/vendor_completions.d", "{}.fish", "aish/completions/{}.fish"),
        )
    }
    start = f"tekton_ci-{VERSION}.data/data/"
    packed = {
        name.removeprefix(start): wheel.read(name)
        for name in wheel.namelist()
        if name.startswith(start)
    }
    assert packed == {name: source.read_bytes() for name, source in sources.items()}


def test_the_wheel_carries_its_license(
    wheel: zipfile.ZipFile, headers: email.message.Message
) -> None:
    assert headers["License-Expression"] == "MIT"
    assert _metadata(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_wheel_asks_for_the_base_packages_and_offers_the_extras(
    headers: email.message.Message, project: dict[str, Any]
) -> None:
    asked = [Requirement(line) for line in headers.get_all("Requires-Dist", [])]
    base = {Requirement(line).name for line in project["dependencies"]}
    of_extras = {wanted.name for wanted in asked if "extra ==" in str(wanted.marker or "")}
    assert {wanted.name for wanted in asked} - of_extras == base
    assert set(headers.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    assert headers["Requires-Python"] == ">=3.11"


def test_the_wheel_announces_commands_services_and_providers(
    wheel: zipfile.ZipFile, project: dict[str, Any]
) -> None:
    assert _entry_points(wheel) == {
        "console_scripts": project["scripts"],
        **project["entry-points"],
    }


def test_every_entry_point_leads_to_something_callable(wheel: zipfile.ZipFile) -> None:
    for group, entries in _entry_points(wheel).items():
        for name, value in entries.items():
            assert callable(EntryPoint(name, value, group).load()), f"{group}: {name} = {value}"
