"""The file that tells how a program ended, also when ptyhost is gone."""

from __future__ import annotations

import json
import os

from terma.ptyhost import files

_MAX_SIZE = 4096


class ExitFile:
    """Such a file, or none where there is no path for one."""

    def __init__(self, path: str | None) -> None:
        self._place = os.path.split(path) if path else None

    def end(self) -> int:
        """Return where the output ended; 0 where that is not told."""
        try:
            fields = json.loads(files.read(*self._place, 0, _MAX_SIZE)) if self._place else None
        except (OSError, ValueError, RecursionError):
            return 0  # none was written, or somebody else has: the log itself knows its end
        end = fields.get("end") if isinstance(fields, dict) else None
        return end if isinstance(end, int) and not isinstance(end, bool) else 0

    def remove(self) -> None:
        """Remove it, as what runs has not ended."""
        try:
            if self._place:
                files.remove(*self._place)
        except OSError:
            pass  # nothing can be written there: that shows at the end

    def write(self, fields: dict[str, object]) -> None:
        """Write it.

        Raises:
            OSError: It cannot be written.
        """
        if self._place:
            files.replace(*self._place, json.dumps(fields).encode())
