"""What programs ask their terminal, and what may be answered.

A program may ask what its terminal is, where the cursor is, which modes are on: xterm's device
attributes, status reports and the like (https://invisible-island.net/xterm/ctlseqs/). Some wait for
the answer.
"""

from __future__ import annotations

import re

_QUESTION = re.compile(
    rb"\x1b(?:\[[?>=]?[\d;]*(?:[cnt]|\$p)|\[>[\d;]*q|\[\?u|Z"
    rb"|P\$q[^\x07\x1b]*\x1b\\|\][\d;]+\?(?:\x07|\x1b\\))"
)
_OPEN = re.compile(rb"\x1b(?:\[[\d;?>=$]*|[\]P][^\x07\x1b]*\x1b?)?\Z")
_MAX_OPEN = 64
"""Bytes of a question that has not ended; a longer one is none."""

_MAX_ANSWERED = 4096
"""Of all answers to one piece of output: as much as a terminal takes."""

_ANSWER = re.compile(
    rb"\x1b\[[?>]?[\d;]*\$?[cnRuty]"
    rb"|\x1bP[!-~ ]*\x1b\\"
    rb"|\x1b\]\d+;[!-~]*(?:\x07|\x1b\\)"
)
"""What a screen may answer. No line ends and no titles: it might be a command to a shell."""


class QuestionScanner:
    """Finds the questions in one terminal's output, which may be cut anywhere."""

    def __init__(self) -> None:
        self._open = b""

    def find(self, data: bytes) -> tuple[int, int] | None:
        """Return where the first question in the next output begins and the last one ends.

        The beginning is negative where it was in the output before.
        """
        before = len(self._open)
        if before:
            data = self._open + data
        elif b"\x1b" not in data:
            return None
        unfinished = _OPEN.search(data, max(0, len(data) - _MAX_OPEN))
        self._open = unfinished[0] if unfinished else b""
        places = [found.span() for found in _QUESTION.finditer(data)]
        return (places[0][0] - before, places[-1][1] - before) if places else None


def allowed(answers: bytes) -> bytes:
    """Return of what a screen says that which is an answer: a worker is not to be trusted."""
    found = b""
    for answer in _ANSWER.finditer(answers):
        if len(found) + len(answer[0]) > _MAX_ANSWERED:
            break
        found += answer[0]
    return found
