"""What was measured, and on what."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psutil

from backends.version import VERSION

_PACKAGES = ("anthropic", "httpx", "ollama", "sqlalchemy", "typer")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and when; `load` is the system's average over a minute before the first run."""

    day: str
    command: str
    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str
    tekton: str
    packages: dict[str, str]
    load: float

    @staticmethod
    def here(command: str) -> Machine:
        """Look at this machine, now."""
        return Machine(
            day=date.today().isoformat(),
            command=command,
            processor=_processor(),
            cores=os.cpu_count() or 1,
            memory_gb=psutil.virtual_memory().total / 1e9,
            system=f"{platform.system()} {platform.release()} ({platform.machine()})",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            tekton=VERSION,
            packages={name: version(name) for name in _PACKAGES},
            load=os.getloadavg()[0],
        )  # fmt: skip


def _processor() -> str:
    """Name the processor as Linux and macOS know it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
