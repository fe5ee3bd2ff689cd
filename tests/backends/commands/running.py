"""Running the commands of `tekton` in the test's own process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import typer
from typer.testing import CliRunner

from backends.errors import TektonError


@dataclass(frozen=True)
class Ran:
    """How a command ended; `error` is what it raised for the program to show."""

    status: int
    out: str
    err: str
    error: TektonError | None = None


def run(app: typer.Typer, *words: str, stdin: bytes = b"") -> Ran:
    """Run a command; a bug in it is raised."""
    result = CliRunner().invoke(app, words, input=stdin)
    error = result.exception
    if isinstance(error, TektonError):
        return Ran(error.exit_status, result.stdout, result.stderr, error)
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Ran(result.exit_code, result.stdout, result.stderr)


def done(app: typer.Typer, *words: str, stdin: bytes = b"") -> Ran:
    """Run a command that must succeed."""
    ran = run(app, *words, stdin=stdin)
    assert ran.status == 0, ran
    return ran


def failed(app: typer.Typer, *words: str, stdin: bytes = b"") -> TektonError:
    """Run a command that must raise an error, without an answer; return the error."""
    ran = run(app, *words, stdin=stdin)
    assert ran.error is not None, ran
    assert ran.out == ""
    return ran.error


def script(path: Path, text: str) -> str:
    """Write a shell script; the file that it is to edit is its last argument, `$file`."""
    path.write_text(f"#!/bin/sh\nfor file; do :; done\n{text}\n")
    path.chmod(0o700)
    return str(path)


def mode(path: Path) -> int:
    """Return who may do what with a file."""
    return os.stat(path).st_mode & 0o777
