"""Storing a turn: in order, beside the answer, and never at its expense."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import partial
from typing import Any

import pytest

from backends.config import Config, Engram
from backends.errors import StorageError
from backends.protocol.conversations import BeginTurn, Turn, TurnStatus, UpdateTurn
from backends.protocol.messages import Request
from backends.service import turns
from backends.service.turns import TurnRecorder
from tests.backends.services import StageContext
from tests.backends.stage import eventually, run

TURN = Turn(id="1", session="s", ci="apollo", status=TurnStatus.RUNNING, prompt="hello")
ENDED = dataclasses.replace(TURN, status=TurnStatus.COMPLETE)


@pytest.fixture(autouse=True)
def no_pause_before_an_end_is_stored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.service.turns._END_PAUSE_S", 0.0)


PATIENCE = (turns._BEGIN_WAIT_S, turns._END_WAIT_S)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store that never answers cost the tests less than a user."""
    monkeypatch.setattr(turns, "_BEGIN_WAIT_S", 0.03)
    monkeypatch.setattr(turns, "_END_WAIT_S", 0.05)


def writes(context: StageContext) -> list[tuple[str, str, TurnStatus]]:
    return [
        (type(request).__name__, request.turn.answer, request.turn.status)
        for request in context.asked
        if isinstance(request, (BeginTurn, UpdateTurn))
    ]


def has_written(context: StageContext, count: int) -> bool:
    return len(writes(context)) == count


def test_a_turn_is_stored_before_and_after_its_answer() -> None:
    async def work() -> None:
        context = StageContext()
        recorder = TurnRecorder(context)
        await recorder.begin(TURN)
        assert writes(context) == [("BeginTurn", "", TurnStatus.RUNNING)]
        recorder.add("hel")
        recorder.add("lo")
        recorder.finish(ENDED)
        assert await recorder.outcome() is None
        assert writes(context)[-1] == ("UpdateTurn", "hello", TurnStatus.COMPLETE)
        await eventually(lambda: not context.tasks)

    run(work())


def test_a_long_answer_is_stored_as_far_as_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_UPDATE_EVERY_S", 0.02)

    async def work() -> None:
        context = StageContext()
        recorder = TurnRecorder(context)
        await recorder.begin(TURN)
        for number in range(3):
            recorder.add(f"{number} ")
            await eventually(partial(has_written, context, 2 + number))
        await asyncio.sleep(0.05)  # nothing new is nothing to store
        assert [answer for _, answer, _ in writes(context)] == ["", "0 ", "0 1 ", "0 1 2 "]
        recorder.finish(ENDED)
        assert await recorder.outcome() is None

    run(work())


def test_a_turn_that_failed_before_it_began_is_stored_all_the_same() -> None:
    async def work() -> None:
        context = StageContext()
        recorder = TurnRecorder(context)
        recorder.finish(dataclasses.replace(TURN, status=TurnStatus.FAILED))
        assert await recorder.outcome() is None
        assert [kind for kind, _, _ in writes(context)] == ["BeginTurn", "UpdateTurn"]

    run(work())


@pytest.mark.parametrize("begins", [True, False])
def test_where_nothing_is_to_be_stored_nothing_is_waited_for_or_said(begins: bool) -> None:
    async def work() -> None:
        context = StageContext(Config(engram=Engram(enabled=False)))
        recorder = TurnRecorder(context)
        async with asyncio.timeout(0.2):
            if begins:
                await recorder.begin(TURN)
            recorder.add("hello")
            recorder.finish(ENDED)
            assert await recorder.outcome() is None
        assert context.asked == []

    run(work())


def test_a_store_that_fails_is_told() -> None:
    async def work() -> None:
        context = StageContext()

        async def fail(request: Request[Any]) -> None:
            raise StorageError("the disk is full")

        context.answer = fail
        recorder = TurnRecorder(context)
        await recorder.begin(TURN)
        recorder.finish(ENDED)
        assert await recorder.outcome() == "this turn is not stored: the disk is full"

    run(work())


def test_a_store_that_fails_at_first_and_then_stores_has_stored() -> None:
    async def work() -> None:
        context = StageContext()

        async def fail_once(request: Request[Any]) -> None:
            if isinstance(request, BeginTurn):
                raise StorageError("locked")

        context.answer = fail_once
        recorder = TurnRecorder(context)
        await recorder.begin(TURN)
        recorder.finish(ENDED)
        assert await recorder.outcome() is None

    run(work())


@pytest.mark.usefixtures("short_waits")
def test_a_store_that_does_not_answer_is_not_waited_for() -> None:
    async def work() -> None:
        context = StageContext()
        is_free = asyncio.Event()

        async def hang(request: Request[Any]) -> None:
            await is_free.wait()

        context.answer = hang
        recorder = TurnRecorder(context)
        await asyncio.wait_for(recorder.begin(TURN), 5)
        recorder.add("hello")
        recorder.finish(ENDED)
        words = "this turn is not stored yet: the store is slow or locked"
        assert await asyncio.wait_for(recorder.outcome(), 5) == words
        assert [kind for kind, _, _ in writes(context)] == ["BeginTurn"]
        is_free.set()
        await eventually(lambda: not context.tasks)
        assert writes(context)[-1] == ("UpdateTurn", "hello", TurnStatus.COMPLETE)

    run(work())


@pytest.mark.usefixtures("short_waits")
def test_a_store_with_a_bug_does_not_keep_the_answer() -> None:
    async def work() -> None:
        context = StageContext()

        async def fail(request: Request[Any]) -> None:
            raise ZeroDivisionError

        context.answer = fail
        recorder = TurnRecorder(context)
        await recorder.begin(TURN)
        recorder.finish(ENDED)
        task = next(iter(context.tasks), None)
        assert "not stored" in str(await recorder.outcome())
        assert task is None or isinstance(task.exception(), ZeroDivisionError)

    run(work())


def test_the_patience_is_what_the_words_of_the_class_say() -> None:
    assert PATIENCE == (0.25, 1.0)


def test_an_end_that_cannot_be_stored_at_once_is_stored_later() -> None:
    async def work() -> None:
        context = StageContext()
        failures = 3
        stored: list[Turn] = []

        async def answer(request: Request[Any]) -> None:
            nonlocal failures
            if isinstance(request, UpdateTurn):
                failures -= 1
                if failures >= 0:
                    raise StorageError("locked")
                stored.append(request.turn)

        context.answer = answer
        recorder = TurnRecorder(context)
        await recorder.begin(TURN)
        recorder.finish(ENDED)
        assert await recorder.outcome() == "this turn is not stored: locked"
        await eventually(lambda: bool(stored))
        assert [turn.status for turn in stored] == [ENDED.status]

    run(work())
