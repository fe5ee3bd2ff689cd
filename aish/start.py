"""What `aish` does when the fast path has not answered: a shell at once, or the full program.

People wait for the prompt of a shell, and have `shellenv` in their start files, so these go
before the imports of everything else.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` would cost more than all that is imported here
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> None:
    """Run `aish` with the arguments of this process."""
    words = sys.argv[1:]
    try:
        if words[:1] == ["shellenv"] and not [word for word in words[1:] if word[:1] == "-"]:
            from aish.shell.environment import print_environment

            print_environment(*words[1:2])
            return
        from aish.shell.request import read_request

        request = read_request(words)
        if request is not None:
            from aish.shell.start import start

            start(request)
    except Exception as error:  # noqa: BLE001 - the errors' own classes would cost an import
        _end(error)
    from aish.cli import main as full

    full()


def _end(error: Exception) -> NoReturn:
    """End as every program of ours does that fails."""
    from backends.console import run_program

    def fail() -> NoReturn:
        raise error

    run_program(fail)
