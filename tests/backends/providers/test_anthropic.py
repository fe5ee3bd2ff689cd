"""Tests of `backends.providers.anthropic`."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, get_args

import pytest
from anthropic.types import Model

from backends.errors import AnswerTruncated, ConfigError, ModelError
from backends.protocol.messages import Attachment
from backends.providers.anthropic import DEFAULT_MODELS, AnthropicProvider
from backends.providers.base import Exchange, Probe
from tests.backends.providers.cases import CASES, KEY, ask, collect
from tests.model_servers import AnthropicServer, Fault, FaultKind, Script, closed_url, event
from tests.scripted_http import Reply

CASE = next(case for case in CASES if case.name == "anthropic")


class Raw(AnthropicServer):
    """A server that sends just these events."""

    sent: tuple[bytes, ...] = ()

    def frames(self, prompt: dict[str, Any]) -> Reply:
        del prompt
        return Reply(content_type="text/event-stream", head=self.sent)


def serve(*sent: bytes) -> Raw:
    server = Raw()
    server.sent = sent
    return server


def text(piece: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})


def stop(reason: str, **usage: int) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage)


def test_a_prompt_has_the_form_of_the_messages_interface() -> None:
    image = Attachment(name="a.png", media_type="image/png", data="aW1hZ2U=")
    prompt = CASE.prompt("hi", system="be brief", images=(image,), max_tokens=7)
    with AnthropicServer() as server:
        assert ask(CASE, server, prompt).text == "hi"
        request = server.wait_request()
    source = {"type": "base64", "media_type": "image/png", "data": "aW1hZ2U="}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "hi"}]
    assert request.body == {
        "model": "claude-opus-5-5",
        "max_tokens": 7,
        "system": "be brief",
        "messages": [{"role": "user", "content": content}],
        "stream": True,
    }
    assert request.headers["anthropic-version"] == "2026-10-21"
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_what_was_said_before_goes_before_the_prompt() -> None:
    history = (Exchange(prompt="one?", answer="1"), Exchange(prompt="two?", answer="2"))
    with AnthropicServer() as server:
        ask(CASE, server, CASE.prompt("and?", history=history))
        body = server.wait_request().body
    assert body["messages"] == [
        {"role": "user", "content": "one?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "and?"},
    ]


def test_a_plain_prompt_sends_a_limit_and_no_more() -> None:
    with AnthropicServer() as server:
        ask(CASE, server)
        assert server.wait_request().body == {
            "model": "claude-opus-5-5",
            "max_tokens": 8192,
            "messages": [{"role": "user", "content": "hello"}],
            "stream": True,
        }


def test_the_limit_can_be_set() -> None:
    with AnthropicServer() as server:
        ask(CASE, server, max_tokens=100)
        assert server.wait_request().body["max_tokens"] == 100


def test_a_temperature_is_not_sent_as_the_interface_refuses_it() -> None:
    with AnthropicServer() as server:
        assert ask(CASE, server, CASE.prompt(temperature=0.5)).error is None
        assert "temperature" not in server.wait_request().body


def test_without_a_key_nothing_is_sent() -> None:
    with AnthropicServer() as server:
        provider = AnthropicProvider("anthropic", {"url": server.url}, lambda: None)
        error = asyncio.run(collect(provider, CASE.prompt())).failure
        assert server.requests == []
    assert type(error) is ModelError
    assert error.message == "anthropic has no key"
    assert "`tekton key set anthropic`" in (error.hint or "")


def test_a_key_that_is_set_later_is_found() -> None:
    keys = iter([None, KEY])
    provider = AnthropicProvider("anthropic", {"url": closed_url()}, lambda: next(keys))

    async def run() -> tuple[Probe, Probe]:
        return await provider.probe(5), await provider.probe(5)

    before, after = asyncio.run(run())
    assert before.models == ()
    assert after.models == DEFAULT_MODELS


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
    ],
)
def test_why_an_answer_ended_is_told_in_common_words(sent: str, reason: str) -> None:
    with AnthropicServer(Script(tokens=["a"], finish=sent)) as server:
        finish = ask(CASE, server).finish
    assert finish is not None
    assert finish.reason == reason


def test_what_was_cached_counts_as_input() -> None:
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 10, "cache_read_input_tokens": None}
    start = event("message_start", message={"model": "m", "usage": {**usage, "output_tokens": 1}})
    with serve(start, text("a"), stop("end_turn", output_tokens=2)) as server:
        finish = ask(CASE, server).finish
    assert finish is not None
    assert (finish.usage.input_tokens, finish.usage.output_tokens) == (15, 2)


def test_an_answer_is_complete_once_its_reason_has_come() -> None:
    with serve(text("a"), stop("end_turn", output_tokens=2)) as server:
        outcome = ask(CASE, server)
    assert outcome.text == "a"
    assert outcome.finish is not None
    assert outcome.finish.model == "claude-opus-5-5"


def test_events_that_are_not_known_are_passed_over() -> None:
    news = event("content_block_delta", index=0, delta={"type": "news_delta", "news": 1})
    with serve(event("news"), news, text("a"), stop("end_turn", output_tokens=1)) as server:
        assert ask(CASE, server).text == "a"


def test_an_overloaded_server_is_quoted() -> None:
    fault = Fault(FaultKind.ERROR, after=1, message="Overloaded")
    with AnthropicServer(Script(tokens=["a", "b"], fault=fault)) as server:
        outcome = ask(CASE, server)
    assert outcome.text == "a"
    assert type(outcome.failure) is AnswerTruncated
    assert outcome.failure.message.endswith("after 1 character: overloaded_error: Overloaded")


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"delta": 5}', b"\xff"])
def test_an_event_of_another_form_is_malformed(data: bytes) -> None:
    with serve(text("a"), b"event: content_block_delta\ndata: " + data + b"\n\n") as server:
        outcome = ask(CASE, server)
    assert outcome.text == "a"
    assert "after 1 character: malformed stream" in outcome.failure.message


def test_a_look_sends_nothing() -> None:
    with AnthropicServer() as server:
        found = asyncio.run(CASE.provider(server.url).probe(5))
        assert server.requests == []
    assert found == Probe(models=DEFAULT_MODELS, is_local=False)


def test_a_look_without_a_key_tells_how_to_set_one() -> None:
    found = asyncio.run(AnthropicProvider("anthropic", {}, lambda: None).probe(5))
    assert found == Probe(
        reason="anthropic has no key",
        hint="`tekton key set anthropic` reads a key from standard input",
    )


def test_a_look_does_not_wait_for_a_slow_key() -> None:
    release = threading.Event()

    def slow() -> str | None:
        release.wait(5)
        return KEY

    async def run() -> Probe:
        try:
            return await AnthropicProvider("anthropic", {}, slow).probe(0.02)
        finally:
            release.set()

    found = asyncio.run(run())
    assert found.reason == "the key of anthropic was not found within 0.02 s"


def test_the_configured_models_go_first() -> None:
    def look(**settings: Any) -> tuple[str, ...]:
        return asyncio.run(CASE.provider(closed_url(), **settings).probe(5)).models

    assert look(model="x") == ("x", *DEFAULT_MODELS)
    assert look(models=["a", "b"]) == ("a", "b")
    assert look(model="b", models=["a", "b"]) == ("b", "a")


def test_the_default_models_are_known_to_the_package() -> None:
    assert set(DEFAULT_MODELS) <= set(get_args(get_args(Model)[0]))


@pytest.mark.parametrize(
    "settings", [{"models": "a"}, {"models": [1]}, {"max_tokens": 0}, {"max_tokens": True}]
)
def test_a_bad_setting_is_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"\[providers\.anthropic\] m"):
        CASE.provider(closed_url(), **settings)


def test_the_environment_of_the_package_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "another")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "another")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", closed_url())
    with AnthropicServer(Script(key=KEY)) as server:
        assert ask(CASE, server).error is None
