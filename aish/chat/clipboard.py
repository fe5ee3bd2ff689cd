"""The clipboard: through a program where there is a desktop, else through the terminal itself."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys

from backends.errors import TektonError

MAX_OSC52 = 74_994
"""Bytes that terminals take at most: xterm's limit is 100,000 characters of base64."""

_TIMEOUT_S = 3.0


def program() -> list[str] | None:
    """Return the command that fills the clipboard of this desktop, `None` where there is none."""
    candidates: list[tuple[bool, list[str]]] = [
        (bool(os.environ.get("WAYLAND_DISPLAY")), ["wl-copy"]),
        (bool(os.environ.get("DISPLAY")), ["xclip", "-selection", "clipboard"]),
        (sys.platform == "darwin", ["pbcopy"]),
    ]
    is_remote = "SSH_CONNECTION" in os.environ  # then the person's clipboard is elsewhere
    for is_usable, command in candidates:
        if is_usable and not is_remote and shutil.which(command[0]):
            return command
    return None


def fill(command: list[str], text: str) -> None:
    """Hand a text to a clipboard's program.

    Raises:
        TektonError: It failed.
    """
    try:
        subprocess.run(
            command, input=text.encode(), timeout=_TIMEOUT_S, check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise TektonError(f"{command[0]} could not fill the clipboard: {error}") from error


def sequence(text: str) -> str:
    """Return the OSC 52 that asks a terminal to fill the clipboard (xterm's control sequences).

    Raises:
        TektonError: The text is too long for it.
    """
    data = text.encode("utf-8", "replace")
    if len(data) > MAX_OSC52:
        raise TektonError(
            f"{len(data)} bytes are too many for the terminal's clipboard; "
            f"it takes {MAX_OSC52} at most",
            "`/save FILE` writes them to a file",
        )
    return f"\x1b]52;c;{base64.b64encode(data).decode()}\x07"
