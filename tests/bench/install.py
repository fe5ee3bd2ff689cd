"""A venv as a user has it: the project installed by pip, with what it depends on and no more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
NAME = "tekton-ci"


def make_venv(folder: Path) -> Path:
    """Install the project, as it stands in this checkout, in a new venv; return its `bin`.

    Nothing is fetched: its dependencies are links to those of the venv that runs this. Tools for
    development stay outside, because their mere presence changes how long programs take to start.

    Raises:
        RuntimeError: pip failed; the message has what it said.
    """
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-index", "--no-build-isolation", f"--wheel-dir={wheels}"]
    _run([*pip, *build, str(ROOT)])
    wheel = next(wheels.glob("*.whl"))
    _run([*pip, f"--python={python}", "install", "--no-deps", "--no-index", str(wheel)])
    packages = next(folder.glob("lib/python*/site-packages"))
    for found in _dependencies():
        _link(found, packages)
    return folder / "bin"


def _run(command: list[str]) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:4])} failed: {done.stderr.strip()}")


def _dependencies() -> list[Distribution]:
    """Return every distribution that an install without extras brings."""
    found: dict[str, Distribution] = {}
    waiting = list(_wanted(distribution(NAME), set()))
    while waiting:
        wanted = waiting.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found and not wanted.extras:
            continue
        found[name] = distribution(wanted.name)
        waiting += [
            more
            for more in _wanted(found[name], wanted.extras)
            if re.sub(r"[-_.]+", "-", more.name).lower() not in found
        ]
    return list(found.values())


def _wanted(found: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for line in found.requires or ():
        wanted = Requirement(line)
        environments = [{"extra": extra} for extra in ("", *extras)]
        if wanted.marker is None or any(map(wanted.marker.evaluate, environments)):
            yield wanted


def _link(found: Distribution, packages: Path) -> None:
    for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        target = packages / top
        if not target.exists() and not top.endswith(".pth"):
            target.symlink_to(Path(str(found.locate_file(top))))
