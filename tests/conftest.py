"""What every test has: a Tekton home of its own, and nothing of the user's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

_THE_USERS = ("TEKTON_", "ANTHROPIC_", "OPENAI_", "OLLAMA_", "XDG_", "NO_COLOR", "FORCE_COLOR")
"""Variables with these beginnings, and proxies, would change what Tekton finds or shows."""

# A deadline measures the machine, and two cores may be busy with something else.
settings.register_profile("tekton", settings(), deadline=None)
settings.load_profile("tekton")


@pytest.fixture(autouse=True)
def tekton_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test, and the processes it starts, an empty `TEKTON_HOME`.

    Its path is short, as a socket's must be; `tmp_path` is not.
    """
    home = Path(tempfile.mkdtemp(prefix="tekton-", dir="/tmp"))
    for name in os.environ:
        if name.startswith(_THE_USERS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TEKTON_HOME", str(home))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")  # nobody listens there
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    yield home
    shutil.rmtree(home, ignore_errors=True)
