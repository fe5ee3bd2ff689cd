"""`python -m aish`: the fast path first, the full program for everything else."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import sys


def main() -> None:
    """Run `aish` with the arguments of this process."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # else the imports end in a traceback
    from backends.fast import run

    run(sys.argv[1:])
    from aish.start import main as start

    start()


if __name__ == "__main__":
    main()
