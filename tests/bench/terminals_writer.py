"""Numbered lines on a terminal, and the same bytes in a file; a program of its own.

It writes a line every so many seconds, or with 0 none by itself; a number of bytes read from the
FIFO is written at full speed, and the FIFO's end is its own.
"""

from __future__ import annotations

import os
import select
import sys
import time

_PIECE = 65536
_FILL = "-" * 40


def main() -> None:
    """Write until the FIFO ends."""
    fifo, copy, every_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    orders = os.open(fifo, os.O_RDONLY)
    number = 0
    with open(copy, "wb", buffering=0) as file:
        while True:
            wanted = 1
            if select.select([orders], [], [], every_s or None)[0]:
                said = os.read(orders, 4096)
                if not said:
                    break
                wanted = int(said)
            while wanted > 0:
                piece = b""
                while len(piece) < min(wanted, _PIECE):
                    piece += f"{number:08d} {time.monotonic():.6f} {_FILL}\n".encode()
                    number += 1
                wanted -= len(piece)
                left = memoryview(piece)
                while left:
                    left = left[os.write(1, left) :]
                file.write(piece)


if __name__ == "__main__":
    main()
