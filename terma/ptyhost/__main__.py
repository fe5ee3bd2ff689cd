"""Start ptyhost: `python -I -S …/terma/ptyhost/__main__.py SOCKET`.

It leaves the one who has started it: that process ends with status 0 once the socket listens,
with 3 where another ptyhost has it already, and with 1 and a line on its standard error where it
cannot be had.
"""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":
    # By its path, isolated and without site packages, it finds its own package alone.
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root not in sys.path:
        sys.path.append(root)

from terma.ptyhost import child
from terma.ptyhost.address import Address, Held
from terma.ptyhost.server import Server

_FAILED = 1
_IS_HELD = 3


def main(path: str) -> int:
    """Serve on a Unix socket; returns the exit status."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTTOU, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    child.prepare()
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        os._exit(next(iter(os.read(reading, 1)), _FAILED))
    os.close(reading)
    # Not before the fork: whoever calls listen(2) is whom the kernel names as the socket's peer.
    address, status = _open(os.path.abspath(path))
    os.chdir("/")
    os.setsid()
    os.write(writing, bytes([status]))
    os.close(writing)
    if address:
        Server(address).run()
        address.leave()
    return status


def _open(path: str) -> tuple[Address | None, int]:
    try:
        return Address(path), 0
    except Held:
        return None, _IS_HELD
    except OSError as error:
        print(f"{path}: {error.strerror or error}", file=sys.stderr)
        return None, _FAILED


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: ptyhost SOCKET", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
