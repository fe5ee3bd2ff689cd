"""The servers of the other tests, seen with the vendors' own packages and on the wire."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import Any

import anthropic
import httpx
import ollama
import pytest

from tests.model_servers import (
    SERVERS,
    AnthropicServer,
    Fault,
    FaultKind,
    ModelServer,
    OllamaServer,
    OpenAIServer,
    Script,
    closed_url,
    go_json,
    plain_json,
    sample_tokens,
)

every_server = pytest.mark.parametrize("kind", list(SERVERS))
PROMPTS: dict[str, Any] = {
    "ollama": {"model": "llama3.2", "messages": [{"role": "user", "content": "hi there"}]},
    "anthropic": {
        "model": "claude-opus-5-5",
        "max_tokens": 5,
        "stream": True,
        "messages": [{"role": "user", "content": "hi there"}],
    },
    "openai": {
        "model": "qwen3-8b",
        "stream": True,
        "messages": [{"role": "user", "content": "hi there"}],
    },
    "responses": {
        "model": "gpt-5",
        "stream": True,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi there"}]}],
    },
}


def post(kind: str, url: str, **changes: Any) -> urllib.request.Request:
    body = json.dumps({**PROMPTS[kind], **changes}).encode()
    headers = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}
    return urllib.request.Request(url + SERVERS[kind].CHAT_PATH, body, headers)


def refused(kind: str, url: str, **changes: Any) -> tuple[int, Any, Message]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(post(kind, url, **changes), timeout=5)
    with caught.value as error:
        return error.code, json.load(error), error.headers


# -- as the vendors' packages see them ---------------------------------------------------------


def test_the_ollama_package_understands_ollama() -> None:
    script = Script(tokens=["Hel", "lo <&>"], thinking=["hm"], finish="length")
    with OllamaServer(script) as server:
        client = ollama.Client(server.url)
        assert [model.model for model in client.list().models] == [
            "llama3.2:latest",
            "llama3.3:70b",
        ]
        parts = list(client.chat("llama3.2", [{"role": "user", "content": "x"}], stream=True))
        client._client.close()
    assert [part.message.thinking for part in parts] == ["hm", None, None, None]
    assert [part.message.content for part in parts] == ["", "Hel", "lo <&>", ""]
    assert [part.done for part in parts] == [False, False, False, True]
    last = parts[-1]
    assert (last.done_reason, last.prompt_eval_count, last.eval_count) == ("length", 1, 2)


def test_the_anthropic_package_understands_anthropic() -> None:
    script = Script(tokens=["Hel", "lo"], thinking=["hm"], finish="max_tokens")
    with AnthropicServer(script) as server:
        client = anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0)
        assert [model.id for model in client.models.list()] == list(server.MODELS)
        prompt = {name: value for name, value in PROMPTS["anthropic"].items() if name != "stream"}
        with client.messages.stream(**prompt) as stream:
            message = stream.get_final_message()
        client.close()
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[1].text == "Hello"  # type: ignore[union-attr]
    assert message.stop_reason == "max_tokens"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (2, 2)


def test_the_anthropic_package_sees_its_errors() -> None:
    def ask(server: AnthropicServer, **changes: Any) -> None:
        with anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0) as client:
            prompt = {**PROMPTS["anthropic"], **changes}
            with client.messages.create(**prompt) as stream:
                list(stream)

    with AnthropicServer() as server, pytest.raises(anthropic.NotFoundError):
        ask(server, model="gone")
    with (
        AnthropicServer(Script(key="another")) as server,
        pytest.raises(anthropic.AuthenticationError),
    ):
        ask(server)
    fault = Fault(FaultKind.STATUS, status=429, retry_after="7")
    with AnthropicServer(Script(fault=fault)) as server:
        with pytest.raises(anthropic.RateLimitError) as caught:
            ask(server)
        assert caught.value.response.headers["retry-after"] == "7"
    fault = Fault(FaultKind.ERROR, message="Overloaded")
    with AnthropicServer(Script(fault=fault)) as server:
        with pytest.raises(anthropic.APIStatusError) as failed:
            ask(server)
        assert failed.value.type == "overloaded_error"


def test_anthropic_refuses_what_its_interface_does_not_take() -> None:
    with AnthropicServer() as server:
        status, body, _ = refused("anthropic", server.url, temperature=1.0)
        assert (status, body["error"]["type"]) == (400, "invalid_request_error")
        assert body["error"]["message"] == "temperature: Extra inputs are not permitted"
        assert refused("anthropic", server.url, max_tokens=None)[0] == 400
        for lost, expected in (("Authorization", 401), ("Anthropic-version", 400)):
            request = post("anthropic", server.url)
            request.remove_header(lost)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=5)
            caught.value.close()
            assert caught.value.code == expected


def test_openai_counts_only_where_it_is_asked_to() -> None:
    def chunks(**options: Any) -> list[Any]:
        request = post("openai", server.url, **options)
        with urllib.request.urlopen(request, timeout=5) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            events = response.read().decode().removesuffix("\n\n").split("\n\n")
        assert events.pop() == "data: [DONE]"
        return [json.loads(event.removeprefix("data: ")) for event in events]

    with OpenAIServer(Script(tokens=["a", "b"])) as server:
        plain = chunks()
        counted = chunks(stream_options={"include_usage": True})
    assert all("usage" not in chunk for chunk in plain)
    assert [chunk["usage"] for chunk in counted[:-1]] == [None] * 4
    assert counted[-1]["choices"] == []
    assert counted[-1]["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    choices = [chunk["choices"][0] for chunk in plain]
    assert choices[0]["delta"] == {"role": "assistant", "content": ""}
    assert [choice["delta"].get("content") for choice in choices] == ["", "a", "b", None]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "stop"]


def test_ollama_writes_json_as_go_does() -> None:
    with OllamaServer(Script(tokens=["<é>\u2028\x85&"])) as server:
        line = urllib.request.urlopen(post("ollama", server.url), timeout=5).read()
    assert '"content":"\\u003cé\\u003e\\u2028\x85\\u0026"'.encode() in line


# -- what they have in common ------------------------------------------------------------------


@every_server
def test_errors_have_their_own_form(kind: str) -> None:
    fault = Fault(FaultKind.STATUS, status=500, message="no")
    with SERVERS[kind](Script(fault=fault)) as server:
        status, body, headers = refused(kind, server.url)
    assert status == 500
    assert headers["content-type"] == "application/json"
    error = body["error"]
    assert (error if kind == "ollama" else error["message"]) == "no"


@every_server
def test_a_prompt_that_is_none_is_refused(kind: str) -> None:
    with SERVERS[kind]() as server:
        assert refused(kind, server.url, **{server.MESSAGES: []})[0] == 400
        assert refused(kind, server.url, model="gone")[0] == 404
        request = post(kind, server.url)
        request.data = b"{"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=5)
        caught.value.close()
        assert caught.value.code == 400
        for unknown in (server.url + "/nothing", server.url):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(unknown, timeout=5)
            caught.value.close()
            assert caught.value.code == 404


@every_server
def test_requests_are_recorded(kind: str) -> None:
    with SERVERS[kind]() as server:
        urllib.request.urlopen(post(kind, server.url), timeout=5).close()
        request = server.wait_request()
        assert request.body == PROMPTS[kind]
        assert request.headers["authorization"] == "Bearer k"
        assert request.answered.wait(5)
        assert not request.disconnected.is_set()


def read_until_it_breaks(kind: str, server: ModelServer) -> tuple[bytes, BaseException | None]:
    got = b""
    try:
        with urllib.request.urlopen(post(kind, server.url), timeout=5) as response:
            while piece := response.read1():
                got += piece
    except (OSError, http.client.HTTPException) as error:
        return got, error
    return got, None


@every_server
@pytest.mark.parametrize(
    ("fault", "breaks"),
    [
        (FaultKind.RESET, ConnectionResetError),
        (FaultKind.DROP, http.client.IncompleteRead),
        (FaultKind.CUT, type(None)),
        (FaultKind.ERROR, type(None)),
        (FaultKind.MALFORMED, type(None)),
    ],
)
def test_a_fault_comes_after_the_tokens_before_it(
    kind: str, fault: FaultKind, breaks: type[BaseException]
) -> None:
    with SERVERS[kind](Script(tokens=["one", "two"], fault=Fault(fault, after=1))) as server:
        got, error = read_until_it_breaks(kind, server)
    assert isinstance(error, breaks)
    assert b'"one"' in got
    goes_on = fault is FaultKind.MALFORMED
    assert (b'"two"' in got) == goes_on


@every_server
def test_tokens_are_paced_and_timed(kind: str) -> None:
    with SERVERS[kind](Script(tokens=["a", "b", "c", "d"], delay_s=0.02)) as server:
        before = time.monotonic()
        urllib.request.urlopen(post(kind, server.url), timeout=5).read()
        with urllib.request.urlopen(f"{server.url}/_timing", timeout=5) as response:
            times = json.load(response)
        assert len(server.requests) == 1
    assert before < times["first_token_at"]
    assert times["last_token_at"] - times["first_token_at"] >= 0.06


@every_server
def test_each_paced_token_is_sent_for_itself(kind: str) -> None:
    with SERVERS[kind](Script(tokens=list("abcdef"), delay_s=0.005)) as server:
        url = server.url + server.CHAT_PATH
        headers = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}
        with httpx.stream(
            "POST", url, json=PROMPTS[kind], headers=headers, trust_env=False
        ) as response:
            pieces = [piece for piece in response.iter_raw() if b'"c"' in piece]
    assert len(pieces) == 1
    assert b'"b"' not in pieces[0]
    assert b'"d"' not in pieces[0]


@every_server
@pytest.mark.parametrize("fault", [FaultKind.HANG, FaultKind.MUTE])
def test_a_client_that_leaves_is_noticed(kind: str, fault: FaultKind) -> None:
    with SERVERS[kind](Script(tokens=["a"], fault=Fault(fault, after=1))) as server:
        host = server.url.removeprefix("http://")
        client = http.client.HTTPConnection(host, timeout=5)
        client.request(
            "POST",
            server.CHAT_PATH,
            json.dumps(PROMPTS[kind]),
            {"x-api-key": "k", "anthropic-version": "1"},
        )
        request = server.wait_request()
        assert not request.disconnected.is_set()
        client.close()
        assert request.disconnected.wait(5)


def test_200_clients_are_answered_at_once() -> None:
    async def run() -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=20) as client:

            async def ask(number: int) -> None:
                message = {"role": "user", "content": f"number {number}"}
                body = {**PROMPTS["ollama"], "messages": [message]}
                answer = await client.post(f"{server.url}/api/chat", json=body)
                lines = [json.loads(line) for line in answer.text.splitlines()]
                assert "".join(line["message"]["content"] for line in lines) == f"number {number}"

            await asyncio.gather(*(ask(number) for number in range(200)))

    with OllamaServer(Script(delay_s=0.01)) as server:
        asyncio.run(run())


def test_a_function_can_make_the_answer() -> None:
    with OllamaServer(Script(tokens=lambda text: text.upper().split())) as server:
        body = urllib.request.urlopen(post("ollama", server.url), timeout=5).read()
    assert b'"HI"' in body
    assert b'"THERE"' in body


def test_nobody_listens_at_a_closed_address() -> None:
    host, port = closed_url().removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


# -- as a process ------------------------------------------------------------------------------


@contextmanager
def started(*arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.model_servers", *arguments]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0


@every_server
def test_a_process_serves_until_it_is_ended(kind: str, tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    arguments = ("--port-file", str(port_file), "--tokens", "300", "--model", "m")
    with started(kind, *arguments) as url:
        assert port_file.read_text() == url.rpartition(":")[2]
        with urllib.request.urlopen(post(kind, url, model="m"), timeout=5) as response:
            body = response.read().decode()
        with urllib.request.urlopen(f"{url}/_timing", timeout=5) as response:
            assert json.load(response)["first_token_at"] is not None
    encode = go_json if kind == "ollama" else plain_json
    assert all(encode(token) in body for token in sample_tokens(300))


@pytest.mark.parametrize(("fault", "status"), [("status:429", 429), ("status", 500)])
def test_a_process_can_be_faulty(fault: str, status: int) -> None:
    with started("ollama", "--fault", fault) as url:
        assert refused("ollama", url)[0] == status
