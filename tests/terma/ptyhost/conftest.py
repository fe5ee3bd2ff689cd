"""A running ptyhost and a client of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terma.ptyhost.ptyhost_process import Client, Ptyhost


@pytest.fixture
def ptyhost(tekton_home: Path) -> Iterator[Ptyhost]:
    """A ptyhost of this test's own."""
    with Ptyhost(tekton_home / "run") as running:
        yield running


@pytest.fixture
def client(ptyhost: Ptyhost) -> Client:
    """A client of it."""
    return ptyhost.client()


@pytest.fixture
def python() -> str:
    """The interpreter that runs the tests, by its full path."""
    return sys.executable
