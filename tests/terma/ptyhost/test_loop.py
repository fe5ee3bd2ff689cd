"""The loop goes on, whatever a handler does."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import pytest

from terma.ptyhost.loop import READ, Loop


def _ignoring(call: Callable[[int, int], None], mine: int, other: int, _ready: int) -> None:
    call(mine, other)


def test_a_mistake_in_a_handler_is_written_down_and_ends_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    loop, calls = Loop(), []
    reading, writing = os.pipe()

    def stumble(_ready: int) -> None:
        calls.append(os.read(reading, 1))
        raise ValueError("stumbled")

    def stop() -> None:
        loop.is_over = True

    loop.watch(reading, READ, stumble)

    def begin() -> None:
        os.write(writing, b"x")
        loop.later(0.0, stop)

    loop.later(0.0, begin)
    loop.run()
    os.close(writing)
    os.close(reading)
    assert "ValueError: stumbled" in capsys.readouterr().err
    assert calls == [b"x"]


def test_a_descriptor_that_was_closed_in_the_same_tick_is_not_read() -> None:
    loop, read = Loop(), []
    pipes = [os.pipe() for _ in range(2)]

    def take(mine: int, other: int) -> None:
        read.append(os.read(mine, 1))
        for fd in (mine, other):
            loop.watch(fd, 0, lambda _: None)
            os.close(fd)
        loop.is_over = True

    for (mine, writing), (other, _) in (pipes, pipes[::-1]):
        loop.watch(mine, READ, partial(_ignoring, take, mine, other))
        os.write(writing, b"x")
    loop.run()
    for _, writing in pipes:
        os.close(writing)
    assert read == [b"x"]


def test_what_is_asked_for_twice_comes_once_at_the_end() -> None:
    loop, calls = Loop(), []

    def last() -> None:
        calls.append("last")
        loop.is_over = True

    loop.at_last(last)
    loop.at_last(last)
    loop.later(0.0, lambda: calls.append("timer"))
    loop.run()
    assert calls == ["timer", "last"]
