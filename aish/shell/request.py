"""What a command line asks of the shell: a prompt, one line, or a file to run."""

from __future__ import annotations


class Request:
    """A shell to start.

    Args:
        shell: Its name or path; `None` leaves the choice to the environment.
        line: What `-c` gives it to run.
        file: A script to run.
        arguments: What the line or the script is given.
    """

    def __init__(
        self,
        shell: str | None = None,
        line: str | None = None,
        file: str | None = None,
        arguments: list[str] | None = None,
    ) -> None:
        self.shell = shell
        self.line = line
        self.file = file
        self.arguments = arguments or []


def is_script(word: str) -> bool:
    """Tell whether a word is the path of a script.

    No name of a CI has a `/` or a `.`, so that a file which is called like a CI is never run in
    its stead; such a script is run as `./NAME`.
    """
    return not word.startswith(("-", "@")) and ("/" in word or "." in word)


def read_request(words: list[str]) -> Request | None:
    """Return what the arguments of `aish` ask of the shell.

    All that follows a line or a file is its own, whatever it looks like. `None` means that this is
    something else, or that it is for the full program to explain it.
    """
    shell = None
    if words[:1] == ["shell"]:
        shell, words = _read_shell(words[1:])
    elif words and words[0] != "-c" and not is_script(words[0]):
        return None
    if not words:
        return Request(shell)
    if words[0] == "-c":
        return Request(shell, line=words[1], arguments=words[2:]) if words[1:] else None
    if words[0] == "--" and words[1:]:
        words = words[1:]
    elif words[0].startswith("-"):
        return None
    return Request(shell, file=words[0], arguments=words[1:])


def _read_shell(words: list[str]) -> tuple[str | None, list[str]]:
    if words[:1] == ["--shell"] and words[1:]:
        return words[1], words[2:]
    if words and words[0].startswith("--shell="):
        return words[0].removeprefix("--shell="), words[1:]
    return None, words
