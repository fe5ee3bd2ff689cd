"""What every CI does with a prompt: the answer streams, the turn is stored, the bus is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest

from backends.config import Config, Engram
from backends.errors import (
    AnswerTruncated,
    Cancelled,
    CannotConnect,
    ModelError,
    NoModel,
    NotFound,
    StorageError,
    TektonError,
)
from backends.protocol.conversations import (
    BeginTurn,
    Resumed,
    ResumeSession,
    Turn,
    TurnStatus,
    UpdateTurn,
)
from backends.protocol.messages import Ack, Answer, Attachment, Chat, Info, Piece, Request, Usage
from backends.service import turns
from backends.service.ci import CIService, Finished, user_text
from backends.service.dispatch import Session
from backends.transport.memory import memory_pair
from tests.backends.services import OPEN, StageContext, client_of
from tests.backends.stage import eventually, run

Words = Callable[[Chat], AsyncGenerator[str | Finished, None]]

END = Finished(
    model="fake/one-1", usage=Usage(input_tokens=3, output_tokens=5), cost_usd=0.25, reason="stop"
)


@pytest.fixture(autouse=True)
def no_pause_before_an_end_is_stored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.service.turns._END_PAUSE_S", 0.0)


class Oracle(CIService):
    """Answers by a script."""

    name = "oracle"

    def __init__(self, context: StageContext, words: Words) -> None:
        super().__init__(context)
        self.words = words
        self.model: str | TektonError = "fake/one"
        self.is_closed = False
        self.turns: Sequence[Turn] = ()

    async def model_for(self, chat: Chat) -> str:
        if isinstance(self.model, TektonError):
            raise self.model
        return self.model

    async def answer(
        self, chat: Chat, model: str, turns: Sequence[Turn]
    ) -> AsyncGenerator[str | Piece | Finished, None]:
        self.turns = turns
        try:
            async with contextlib.aclosing(self.words(chat)) as items:
                async for item in items:
                    yield item
        finally:
            self.is_closed = True


async def say_hello(chat: Chat) -> AsyncGenerator[str | Finished, None]:
    yield "hel"
    yield "lo"
    yield END


async def never_end(chat: Chat) -> AsyncGenerator[str | Finished, None]:
    yield "hel"
    await asyncio.Event().wait()


def stored(context: StageContext) -> Turn:
    """Return the turn as it was stored last."""
    found = [item.turn for item in context.asked if isinstance(item, (BeginTurn, UpdateTurn))]
    assert isinstance(
        next(item for item in context.asked if isinstance(item, (BeginTurn, UpdateTurn))), BeginTurn
    )
    assert len({turn.id for turn in found}) == 1
    return found[-1]


def words_of(context: StageContext) -> list[str]:
    """Return what was told to the bus: each event's last word."""
    prefix = "ci.oracle.answer."
    assert all(subject.startswith(prefix) for subject, _ in context.events)
    assert len({data["turn"] for _, data in context.events}) == 1
    return [subject.removeprefix(prefix) for subject, _ in context.events]


async def ask(oracle: Oracle, chat: Chat | None = None) -> tuple[str, list[str], Answer]:
    """Return text, notices and the answer; all errors come through."""
    text, notices = "", []
    async with client_of(oracle) as client:
        async for item in client.stream(chat or Chat(prompt="hi")):
            if isinstance(item, Answer):
                answer = item
            else:
                text += item.text
                notices += [item.notice] if item.notice else []
    return text, notices, answer


def settle(context: StageContext) -> Any:
    return eventually(lambda: not context.tasks)


def test_an_answer_streams_and_its_turn_is_stored_and_told() -> None:
    async def work() -> None:
        context = StageContext()
        oracle = Oracle(context, say_hello)
        text, notices, answer = await ask(oracle, Chat(prompt="hi", system="be brief"))
        assert (text, notices) == ("hello", [])
        assert (answer.ci, answer.model, answer.finish_reason) == ("oracle", "fake/one-1", "stop")
        assert (answer.usage, answer.cost_usd) == (END.usage, 0.25)
        assert answer.time_to_first_token_s is not None
        assert 0 <= answer.time_to_first_token_s <= answer.elapsed_s
        await settle(context)
        turn = stored(context)
        assert answer.turn == turn.id
        assert (turn.status, turn.prompt, turn.answer) == (TurnStatus.COMPLETE, "hi", "hello")
        assert (turn.system, turn.model) == ("be brief", "fake/one-1")
        assert (turn.session, turn.parent) == (answer.session, None)
        assert (turn.input_tokens, turn.output_tokens, turn.cost_usd) == (3, 5, 0.25)
        assert turn.error is None
        assert turn.ended_at is not None
        assert turn.ended_at > turn.started_at
        assert words_of(context) == ["started", "finished"]
        assert context.events[0][1]["model"] == "fake/one"
        assert context.events[1][1]["model"] == "fake/one-1"

    run(work())


def test_the_turn_is_stored_before_the_model_is_asked() -> None:
    async def work() -> None:
        context = StageContext()

        async def check(chat: Chat) -> AsyncGenerator[str | Finished, None]:
            assert stored(context).status is TurnStatus.RUNNING
            assert stored(context).model == "fake/one"
            yield END

        assert (await ask(Oracle(context, check)))[0] == ""

    run(work())


def test_turns_without_a_session_get_one_each() -> None:
    async def work() -> None:
        oracle = Oracle(StageContext(), say_hello)
        answers = [(await ask(oracle))[2] for _ in range(2)]
        assert len({answer.session for answer in answers} | {None}) == 3
        assert len({answer.turn for answer in answers} | {None}) == 3

    run(work())


def test_an_answer_at_its_limit_of_tokens_is_given_with_a_notice() -> None:
    async def cut(chat: Chat) -> AsyncGenerator[str | Finished, None]:
        yield "hel"
        yield Finished(model="fake/one", reason="length")

    async def work() -> None:
        context = StageContext()
        text, notices, answer = await ask(Oracle(context, cut))
        assert (text, answer.finish_reason) == ("hel", "length")
        assert notices == ["the answer is cut: the model's limit of tokens is reached"]
        await settle(context)
        turn = stored(context)
        assert (turn.status, turn.finish_reason) == (TurnStatus.TRUNCATED, "length")
        assert words_of(context) == ["started", "finished"]

    run(work())


async def break_off(chat: Chat) -> AsyncGenerator[str | Finished, None]:
    yield "hel"
    raise AnswerTruncated("the stream broke")


async def stop_short(chat: Chat) -> AsyncGenerator[str | Finished, None]:
    yield "hel"


async def fail(chat: Chat) -> AsyncGenerator[str | Finished, None]:
    yield "hel"
    raise ModelError("401: no such key")


async def have_a_bug(chat: Chat) -> AsyncGenerator[str | Finished, None]:
    yield "hel"
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("words", "kind", "status", "error"),
    [
        (break_off, "truncated", TurnStatus.TRUNCATED, "the stream broke"),
        (
            stop_short,
            "truncated",
            TurnStatus.TRUNCATED,
            "the answer ended without its finish marker",
        ),
        (fail, "model_failed", TurnStatus.FAILED, "401: no such key"),
        (have_a_bug, "failed", TurnStatus.FAILED, "oracle failed: ZeroDivisionError()"),
    ],
)
def test_a_failed_answer_is_given_and_stored_as_far_as_it_came(
    words: Words, kind: str, status: TurnStatus, error: str
) -> None:
    async def work() -> None:
        context = StageContext()
        oracle = Oracle(context, words)
        async with client_of(oracle) as client:
            items = client.stream(Chat(prompt="hi"))
            assert (await anext(items)).text == "hel"
            with pytest.raises(TektonError) as raised:
                await anext(items)
        assert (raised.value.kind, raised.value.message) == (kind, error)
        await settle(context)
        turn = stored(context)
        assert (turn.status, turn.answer, turn.error) == (status, "hel", error)
        assert words_of(context) == ["started", "failed"]
        assert context.events[-1][1]["error"] == error
        assert oracle.last_error is not None
        assert (await oracle.describe()).answering == 0

    run(work())


def test_without_a_model_the_turn_is_stored_as_failed() -> None:
    async def work() -> None:
        context = StageContext()
        oracle = Oracle(context, say_hello)
        oracle.model = NoModel("no model is there", "start one")
        with pytest.raises(NoModel) as raised:
            await ask(oracle)
        assert raised.value.hint == "start one"
        await settle(context)
        turn = stored(context)
        assert (turn.status, turn.error, turn.model) == (
            TurnStatus.FAILED,
            "no model is there",
            None,
        )
        assert words_of(context) == ["failed"]

    run(work())


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_cancelled_answer_is_stored_as_interrupted_and_its_model_is_let_go(is_lost: bool) -> None:
    async def work() -> None:
        context = StageContext()
        oracle = Oracle(context, never_end)
        async with client_of(oracle) as client:
            items = client.stream(Chat(prompt="hi"))
            assert (await anext(items)).text == "hel"
            found = await client.call(Info())
            assert found.answering == 1
            if is_lost:
                await client.close()
            await items.aclose()
            await eventually(lambda: oracle.is_closed)
            await settle(context)
        turn = stored(context)
        assert (turn.status, turn.answer) == (TurnStatus.INTERRUPTED, "hel")
        assert words_of(context) == ["started", "interrupted"]
        assert (await oracle.describe()).answering == 0
        assert oracle.last_error is None

    run(work())


def test_an_answer_cancelled_before_it_began_ends_as_well() -> None:
    async def work() -> None:
        context = StageContext()
        oracle = Oracle(context, say_hello)
        is_asked = asyncio.Event()

        async def think(chat: Chat) -> str:
            is_asked.set()
            await asyncio.Event().wait()
            return ""

        oracle.model_for = think  # type: ignore[method-assign]
        async with client_of(oracle) as client:
            asking = asyncio.create_task(client.call(Chat(prompt="hi")))
            await is_asked.wait()
            asking.cancel()
            await asyncio.wait([asking])
            await eventually(lambda: len(context.events) == 1)
            await settle(context)
        assert stored(context).status is TurnStatus.INTERRUPTED

    run(work())


def test_closing_the_answer_itself_closes_the_model_at_once() -> None:
    async def work() -> None:
        context = StageContext()
        oracle = Oracle(context, never_end)
        items = oracle.chat(Chat(prompt="hi"))
        await anext(items)
        await items.aclose()
        assert oracle.is_closed
        assert words_of(context) == ["started", "interrupted"]
        await settle(context)

    run(work())


# -- a store that fails ------------------------------------------------------------------------


def test_a_store_that_fails_costs_the_answer_nothing_but_a_notice() -> None:
    async def work() -> None:
        context = StageContext()

        async def full(request: Request[Any]) -> None:
            raise StorageError("the disk is full")

        context.answer = full
        text, notices, answer = await ask(Oracle(context, say_hello))
        assert (text, notices) == ("hello", ["this turn is not stored: the disk is full"])
        assert answer.turn is None
        assert words_of(context) == ["started", "finished"]

    run(work())


def test_a_store_that_hangs_costs_the_answer_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_BEGIN_WAIT_S", 0.02)
    monkeypatch.setattr(turns, "_END_WAIT_S", 0.02)

    async def work() -> None:
        context = StageContext()
        is_free = asyncio.Event()

        async def hang(request: Request[Any]) -> None:
            await is_free.wait()

        context.answer = hang
        text, notices, answer = await ask(Oracle(context, say_hello))
        assert text == "hello"
        assert notices == ["this turn is not stored yet: the store is slow or locked"]
        assert answer.turn is None
        is_free.set()
        await settle(context)
        assert stored(context).status is TurnStatus.COMPLETE

    run(work())


def test_a_failed_answer_tells_of_a_failed_store_too() -> None:
    async def work() -> None:
        context = StageContext()

        async def full(request: Request[Any]) -> None:
            raise StorageError("the disk is full")

        context.answer = full
        async with client_of(Oracle(context, fail)) as client:
            items = client.stream(Chat(prompt="hi"))
            assert [await anext(items), await anext(items)] == [
                Piece(text="hel"),
                Piece(notice="this turn is not stored: the disk is full"),
            ]
            with pytest.raises(ModelError):
                await anext(items)

    run(work())


@pytest.mark.parametrize("has_model", [True, False])
def test_where_nothing_is_to_be_stored_there_is_no_turn_and_no_notice(has_model: bool) -> None:
    async def work() -> None:
        context = StageContext(Config(engram=Engram(enabled=False)))
        oracle = Oracle(context, say_hello)
        if has_model:
            text, notices, answer = await ask(oracle)
            assert (text, notices, answer.turn) == ("hello", [], None)
        else:
            oracle.model = NoModel("no model")
            async with client_of(oracle) as client:
                items = client.stream(Chat(prompt="hi"))
                with pytest.raises(NoModel):
                    await anext(items)
        assert context.asked == []

    run(work())


# -- who is asked, and what --------------------------------------------------------------------


def test_a_ci_answers_for_itself_only() -> None:
    async def work() -> None:
        context = StageContext()
        oracle = Oracle(context, say_hello)
        assert (await ask(oracle, Chat(prompt="hi", ci="oracle")))[0] == "hello"
        context.events.clear()
        with pytest.raises(NotFound, match=r"the socket of 'oracle'; it does not answer for 'apo"):
            await ask(oracle, Chat(prompt="hi", ci="apollo"))
        assert context.events == []

    run(work())


@pytest.mark.parametrize(
    ("chat", "text"),
    [
        (Chat(), ""),
        (Chat(prompt="a"), "a"),
        (Chat(input="b"), "b"),
        (Chat(input=""), ""),
        (Chat(prompt="a", input="b"), "a\n\nb"),
        (
            Chat(prompt="a", attachments=(Attachment(name="x.txt", media_type="t", text="c"),)),
            "a\n\nFile x.txt:\n\nc",
        ),
        (
            Chat(
                input="b",
                attachments=(
                    Attachment(name="x.png", media_type="image/png", data="AA=="),
                    Attachment(name="y", media_type="t", text=""),
                ),
            ),
            "b\n\nFile y:\n\n",
        ),
    ],
)
def test_question_input_and_attached_texts_make_one_message(chat: Chat, text: str) -> None:
    assert user_text(chat) == text


def test_a_ci_describes_itself() -> None:
    async def work() -> None:
        found = await Oracle(StageContext(), say_hello).describe()
        assert (found.name, found.is_ci, found.is_service) == ("oracle", True, False)
        assert found.description == "Answers by a script."

    run(work())


# -- lines of the original protocol ------------------------------------------------------------


def lines(oracle: Oracle, *asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Send lines over a connection; return what they are answered."""

    async def work() -> list[dict[str, Any]]:
        near, far = memory_pair()
        session = asyncio.create_task(Session(oracle, far, OPEN).run())
        found = []
        for line in asked:
            await near.send(json.dumps(line).encode())
            message = await asyncio.wait_for(near.receive(), 5)
            assert message is not None
            found.append(json.loads(message))
        await near.close()
        await session
        return found

    return run(work())


def test_old_lines_are_answered_in_kind() -> None:
    ping, health, info = lines(
        Oracle(StageContext(), say_hello), {"type": "ping"}, {"type": "health"}, {"type": "info"}
    )
    assert ping == {"type": "pong", "ai_id": "oracle", "timestamp": ping["timestamp"]}
    assert ping["timestamp"] > 1000
    assert (health["type"], health["ai_id"]) == ("health_response", "oracle")
    assert (health["status"], health["clients"]) == ("healthy", 0)
    assert (info["type"], info["ai_id"]) == ("info_response", "oracle")
    assert info["description"] == "Answers by a script."


@pytest.mark.parametrize("field", ["content", "message"])
def test_an_old_chat_is_answered_whole_and_stored(field: str) -> None:
    context = StageContext()
    (found,) = lines(Oracle(context, say_hello), {"type": "chat", field: "hi", "temperature": 1})
    assert (found["type"], found["ai_id"], found["content"]) == ("response", "oracle", "hello")
    assert found["model"] == "fake/one-1"
    assert found["usage"] == {"input_tokens": 3, "output_tokens": 5}
    assert found["latency"] >= 0
    assert stored(context).status is TurnStatus.COMPLETE
    assert words_of(context) == ["started", "finished"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"type": "chat"}, "chat needs content"),
        ({"type": "chat", "content": 5}, "chat needs content"),
        ({"type": "dance"}, "unknown type 'dance'"),
    ],
)
def test_an_old_line_that_is_not_understood_is_told(line: dict[str, Any], error: str) -> None:
    (found,) = lines(Oracle(StageContext(), say_hello), line)
    assert found == {"type": "error", "ai_id": "oracle", "error": error}


def test_an_old_chat_that_fails_is_told() -> None:
    (found,) = lines(Oracle(StageContext(), fail), {"type": "chat", "content": "hi"})
    assert found == {"type": "error", "ai_id": "oracle", "error": "401: no such key"}


def test_an_old_chat_holds_no_half_characters() -> None:
    prompts: list[str] = []

    async def note(chat: Chat) -> AsyncGenerator[str | Finished, None]:
        prompts.append(chat.prompt)
        yield END

    lines(Oracle(StageContext(), note), {"type": "chat", "content": "a\ud800b"})
    assert prompts[0].encode()


def test_a_cancelled_error_of_the_model_is_a_failure_like_others() -> None:
    async def cancelled(chat: Chat) -> AsyncGenerator[str | Finished, None]:
        yield "a"
        raise Cancelled("the model was cancelled elsewhere")

    async def work() -> None:
        context = StageContext()
        with pytest.raises(Cancelled):
            await ask(Oracle(context, cancelled))
        await settle(context)
        assert stored(context).status is TurnStatus.FAILED

    run(work())


# -- conversations ---------------------------------------------------------------------------


BEFORE = Turn(
    id="t1", session="s1", ci="oracle", status=TurnStatus.COMPLETE, prompt="one?", answer="1"
)


def resuming(context: StageContext, outcome: Resumed | TektonError) -> None:
    """Have the memory answer where a conversation goes on; all else is acknowledged."""

    async def answer(request: Request[Any]) -> Any:
        if not isinstance(request, ResumeSession):
            return Ack()
        if isinstance(outcome, TektonError):
            raise outcome
        return outcome

    context.answer = answer


def test_a_conversation_goes_on_after_its_last_turn() -> None:
    async def work() -> None:
        context = StageContext()
        resuming(context, Resumed(session="s1", parent="t1", turns=(BEFORE,)))
        oracle = Oracle(context, say_hello)
        chat = Chat(prompt="hi", session="s1", after="t1", terminal="here")
        _, notices, answer = await ask(oracle, chat)
        assert (notices, answer.session, oracle.turns) == ([], "s1", (BEFORE,))
        [asked] = [one for one in context.asked if isinstance(one, ResumeSession)]
        assert asked == ResumeSession(ci="oracle", session="s1", after="t1", terminal="here")
        [begun] = [one for one in context.asked if isinstance(one, BeginTurn)]
        assert (begun.turn.session, begun.turn.parent, begun.terminal) == ("s1", "t1", "here")

    run(work())


def test_a_prompt_of_its_own_asks_nobody_what_went_before() -> None:
    async def work() -> None:
        context = StageContext()
        oracle = Oracle(context, say_hello)
        await ask(oracle, Chat(prompt="hi", terminal="here"))
        assert not [one for one in context.asked if isinstance(one, ResumeSession)]
        [begun] = [one for one in context.asked if isinstance(one, BeginTurn)]
        assert (begun.turn.parent, begun.terminal, oracle.turns) == (None, "here", ())

    run(work())


@pytest.mark.parametrize(
    ("found", "notice"),
    [
        (Resumed(session="s", is_new=True), "no conversation in this terminal yet"),
        (Resumed(session="s", has_moved=True), "has gone on elsewhere"),
        (StorageError("the disk is gone"), "what was said before is not known: the disk is gone"),
        (CannotConnect("no memory"), "what was said before is not known: no memory"),
    ],
)
def test_what_the_history_lacks_is_told(found: Resumed | TektonError, notice: str) -> None:
    async def work() -> None:
        context = StageContext()
        resuming(context, found)
        text, notices, answer = await ask(Oracle(context, say_hello), Chat(continues=True))
        assert text == "hello"
        [told] = notices
        assert notice in told
        assert answer.session

    run(work())


def test_a_conversation_that_is_not_there_is_no_answer() -> None:
    async def work() -> None:
        context = StageContext()
        resuming(context, NotFound("no conversation 'x'"))
        with pytest.raises(NotFound, match="no conversation 'x'"):
            await ask(Oracle(context, say_hello), Chat(session="x"))
        assert not [one for one in context.asked if isinstance(one, BeginTurn)]

    run(work())


def test_where_nothing_is_remembered_that_is_told() -> None:
    async def work() -> None:
        context = StageContext(Config(engram=Engram(enabled=False)))
        _, notices, _ = await ask(Oracle(context, say_hello), Chat(continues=True))
        assert notices == ["nothing is remembered: `enabled` of [engram] is false"]

    run(work())
