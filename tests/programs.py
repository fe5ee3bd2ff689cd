"""Programs that a test needs and a machine may lack; `.ci/run` installs them."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needed(name: str, path: str | None = None) -> str:
    """Return the path of a program; where there is none, skip the test, or with `CI=true` fail it.

    Args:
        name: The program.
        path: Where it is looked for first, as in `$PATH`.
    """
    found = (shutil.which(name, path=path) if path else None) or shutil.which(name)
    if found is None:
        missing(f"{name} is not installed")
    return found


def missing(what: str) -> NoReturn:
    """Skip the test, or with `CI=true` fail it."""
    reason = f"{what} (see .ci/run)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
