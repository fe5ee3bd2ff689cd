"""`python -m aish`: the fast path first, the full program for everything else."""

from __future__ import annotations

import sys

from backends.fast import run


def main() -> None:
    """Run `aish` with the arguments of this process."""
    run(sys.argv[1:])
    from aish.cli import main as full

    full()


if __name__ == "__main__":
    main()
