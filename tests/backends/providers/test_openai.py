"""Tests of `backends.providers.openai`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backends.errors import AnswerTruncated, ModelError
from backends.protocol.messages import Attachment
from backends.providers.base import Exchange, Probe
from backends.providers.openai import OpenAIProvider
from tests.backends.providers.cases import CASES, KEY, ask
from tests.model_servers import OpenAIServer, Request, Script, data
from tests.scripted_http import Reply

CASE = next(case for case in CASES if case.name == "openai")


def delta(text: str | None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text, **more}, "finish_reason": finish}
    return data({"model": "m", "choices": [choice]})


class Raw(OpenAIServer):
    """A server that sends just these bytes."""

    sent: tuple[bytes, ...] = ()
    content_type = "text/event-stream"

    def frames(self, prompt: dict[str, Any]) -> Reply:
        del prompt
        return Reply(content_type=self.content_type, head=self.sent)


def serve(*sent: bytes) -> Raw:
    server = Raw()
    server.sent = sent
    return server


def look(server: OpenAIServer, **settings: Any) -> Probe:
    return asyncio.run(CASE.provider(server.url, **settings).probe(5))


def test_a_prompt_has_the_form_of_the_chat_interface() -> None:
    image = Attachment(name="a.png", media_type="image/png", data="aW1hZ2U=")
    prompt = CASE.prompt("hi", system="be brief", images=(image,), temperature=0, max_tokens=7)
    with OpenAIServer() as server:
        assert ask(CASE, server, prompt).text == "hi"
        body = server.wait_request().body
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aW1hZ2U="}}
    assert body == {
        "model": "qwen3-8b",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}, picture]},
        ],
        "temperature": 0,
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_what_was_said_before_goes_before_the_prompt() -> None:
    history = (Exchange(prompt="one?", answer="1"), Exchange(prompt="two?", answer="2"))
    with OpenAIServer() as server:
        ask(CASE, server, CASE.prompt("and?", history=history, system="be brief"))
        body = server.wait_request().body
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "and?"},
    ]


def test_a_schema_is_sent_as_the_format_of_the_response() -> None:
    with OpenAIServer() as server:
        ask(CASE, server, CASE.prompt("hi", schema={"type": "object"}))
        sent = server.wait_request().body["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"] == {"type": "object"}


def test_a_plain_prompt_sends_no_more_than_it_must() -> None:
    with OpenAIServer() as server:
        ask(CASE, server)
        request = server.wait_request()
    assert set(request.body) == {"model", "messages", "stream", "stream_options"}
    assert request.headers["accept-encoding"] == "identity"


def test_the_vendor_gets_the_newer_name_of_the_limit() -> None:
    vendor = OpenAIProvider("openai", {}, lambda: KEY)
    body = vendor._body(CASE.prompt(max_tokens=7))
    assert body["max_completion_tokens"] == 7
    assert "max_tokens" not in body


def test_a_server_without_a_key_is_sent_none() -> None:
    async def run() -> Request:
        provider = OpenAIProvider("openai", {"url": server.base_url}, lambda: None)
        async for _ in provider.stream(CASE.prompt()):
            pass
        await provider.close()
        return server.wait_request()

    with OpenAIServer() as server:
        assert "authorization" not in asyncio.run(run()).headers


def test_a_server_that_wants_a_key_is_told_so() -> None:
    with OpenAIServer(Script(key="k")) as server:
        provider = OpenAIProvider("lab", {"url": server.base_url}, lambda: None)
        found = asyncio.run(provider.probe(5))
    assert found.reason == "lab asks for a key (401: invalid api key)"
    assert "`tekton key set lab`" in (found.hint or "")


def test_the_vendor_is_not_asked_without_a_key() -> None:
    provider = OpenAIProvider("openai", {}, lambda: None)
    assert asyncio.run(provider.probe(5)) == Probe(
        reason="openai has no key",
        hint="`tekton key set openai` reads a key from standard input",
        is_local=False,
    )


def test_an_answer_is_complete_without_done() -> None:
    with serve(delta("yes"), delta(None, "stop")) as server:
        outcome = ask(CASE, server)
    assert outcome.text == "yes"
    assert outcome.finish is not None
    assert outcome.finish.model == "m"
    assert outcome.finish.usage.output_tokens is None


def test_done_alone_does_not_complete_an_answer() -> None:
    with serve(delta("yes"), b"data: [DONE]\n\n") as server:
        outcome = ask(CASE, server)
    assert outcome.text == "yes"
    assert type(outcome.failure) is AnswerTruncated


def test_text_that_comes_with_or_after_the_finish_reason_is_kept() -> None:
    with serve(delta("a"), delta("b", "stop"), delta("c")) as server:
        outcome = ask(CASE, server)
    assert outcome.text == "abc"
    assert outcome.finish is not None


def test_a_refusal_is_the_answer() -> None:
    with serve(delta(None, refusal="I will not"), delta(None, "stop")) as server:
        assert ask(CASE, server).text == "I will not"


def test_another_finish_reason_keeps_its_name() -> None:
    with serve(delta("a"), delta(None, "content_filter")) as server:
        finish = ask(CASE, server).finish
    assert finish is not None
    assert finish.reason == "content_filter"


def test_comments_names_and_line_ends_of_all_kinds_are_understood() -> None:
    lines = b": keep-alive\r\n\r\nevent: message\r\nid: 1\r\n"
    with serve(lines, delta("a").replace(b"\n", b"\r\n"), delta(None, "stop")) as server:
        assert ask(CASE, server).text == "a"


@pytest.mark.parametrize(
    "line", [b"data: []\n\n", b"data: 5\n\n", b'data: {"choices": 5}\n\n', b"data: \xff\n\n"]
)
def test_an_event_of_another_form_is_malformed(line: bytes) -> None:
    with serve(delta("a"), line) as server:
        outcome = ask(CASE, server)
    assert outcome.text == "a"
    assert "after 1 character: malformed stream" in outcome.failure.message


def test_text_that_is_no_text_is_malformed() -> None:
    odd = data({"choices": [{"delta": {"content": [{"type": "text"}]}}]})
    with serve(odd) as server:
        assert "malformed stream" in ask(CASE, server).failure.message


def test_an_answer_that_is_no_stream_is_an_error_with_a_hint() -> None:
    with serve(b"<html>log in</html>") as server:
        server.content_type = "text/html"
        error = ask(CASE, server).failure
    assert type(error) is ModelError
    assert "answered with 'text/html' instead of a stream of events" in error.message
    assert "/v1" in (error.hint or "")


def test_a_redirect_is_not_followed_with_the_key() -> None:
    class Redirect(OpenAIServer):
        def answer(self, request: Request) -> Reply:
            del request
            return Reply(307, b"", headers={"location": elsewhere.base_url + "/models"})

    with OpenAIServer() as elsewhere, Redirect() as server:
        error = ask(CASE, server).failure
        found = look(server)
        assert elsewhere.requests == []
    assert error.message == "openai refused the request (307)"
    assert found.reason == "openai refused the request (307)"


def test_a_refused_temperature_has_a_hint() -> None:
    class Strict(OpenAIServer):
        def check(self, request: Request) -> Reply | None:
            del request
            return self.refuse(400, "'temperature' does not support 0.5 with this model")

    with Strict() as server:
        error = ask(CASE, server, CASE.prompt(temperature=0.5)).failure
    assert "`tekton ci edit NAME`" in (error.hint or "")


def test_a_long_error_is_read_in_part_only() -> None:
    class Endless(OpenAIServer):
        def answer(self, request: Request) -> Reply:
            del request
            return Reply(500, b"x" * 5_000_000)

    with Endless() as server:
        error = ask(CASE, server).failure
    assert len(error.message) < 400


def test_the_configured_model_goes_first_even_if_it_is_not_listed() -> None:
    with OpenAIServer(Script(models=("a", "b"))) as server:
        assert look(server, model="b").models == ("b", "a")
        assert look(server, model="c").models == ("c", "a", "b")


def test_models_for_embeddings_come_last() -> None:
    with OpenAIServer(Script(models=("text-embedding-x", "chat"))) as server:
        assert look(server).models == ("chat", "text-embedding-x")


def test_a_strange_list_is_not_taken_for_models() -> None:
    class Odd(OpenAIServer):
        def listing(self, path: str) -> Reply | None:
            del path
            return Reply.of_json({"data": [{}]})

    with Odd() as server:
        found = look(server)
    assert found.models == ()
    assert "answers, but not as openai should" in (found.reason or "")


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://192.168.1.5:8000/v1", True),
        ("http://vllm:8000/v1", True),
        ("https://api.openai.com/v1", False),
        ("https://localhost.evil.com/v1", False),
    ],
)
def test_only_a_server_nearby_is_local(url: str, is_local: bool) -> None:
    provider = OpenAIProvider("openai", {"url": url}, lambda: None)
    assert asyncio.run(provider.probe(0.0)).is_local == is_local
