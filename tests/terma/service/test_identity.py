"""Who asks: real processes, in and out of a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from terma.service.identity import hash_of, new_token, owner_of, terminal_of

SLEEPER = "import sys, time; print(flush=True); time.sleep(60)"
OTHER_SESSION = (
    "import os, subprocess, sys\n"
    f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
    "child.wait()"
)


@contextmanager
def running(program: str, **options: object) -> Iterator[tuple[int, str]]:
    """Run a program; yield its pid and the first line that it prints."""
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(  # type: ignore[call-overload]
        command, stdout=subprocess.PIPE, start_new_session=True, text=True, **options
    )
    try:
        yield process.pid, process.stdout.readline().strip()
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()


def test_a_terminals_program_is_that_terminal() -> None:
    with running(SLEEPER) as (pid, _):
        assert terminal_of(pid, {pid: "a"}) == ("a", "process")


def test_a_process_of_its_session_is_the_terminal() -> None:
    program = OTHER_SESSION.replace("start_new_session=True", "process_group=0")
    with running(program) as (pid, child):
        try:
            assert terminal_of(int(child), {pid: "a"}) == ("a", "session")
        finally:
            os.kill(int(child), 9)


def test_a_descendant_in_a_session_of_its_own_is_the_terminal() -> None:
    with running(OTHER_SESSION) as (pid, child):
        try:
            assert terminal_of(int(child), {pid: "a"}) == ("a", "ancestor")
        finally:
            os.kill(int(child), 9)


def test_an_environment_makes_nobody_a_terminal() -> None:
    with running(SLEEPER, env={**os.environ, "TERMA_INSTANCE": "b"}) as (pid, _):
        assert terminal_of(pid, {1: "b"}) is None
        assert terminal_of(pid, {pid: "a"}) == ("a", "process")


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 5])
def test_a_process_that_is_gone_lies_nowhere(pid: int) -> None:
    assert terminal_of(pid, {}) is None


def test_a_process_outside_lies_nowhere() -> None:
    assert terminal_of(os.getpid(), {1: "a"}) is None


def test_a_token_names_its_owner_alone() -> None:
    token, other = new_token(), new_token()
    hashes = {"a": hash_of(token), "b": hash_of(other)}
    assert owner_of(token, hashes) == "a"
    assert owner_of(other, hashes) == "b"
    assert owner_of(token[:-1], hashes) is None
    assert owner_of("", {"a": hash_of("")}) is None
    assert owner_of(None, hashes) is None
    assert len(token) >= 43
