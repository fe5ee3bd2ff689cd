"""Loopback servers that speak the public protocols of Ollama, Anthropic and OpenAI (both of its).

    with OllamaServer(Script(tokens=["Hel", "lo"])) as server:
        ...  # server.url, server.requests

As a process: `python -m tests.model_servers ollama --port-file F --tokens 3000 --delay-ms 10`
prints its address and serves until it is ended; `GET /_timing` tells when the first token of the
last answer was sent.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any, ClassVar

from tests.scripted_http import Fault, FaultKind, Reply, Request, Script, ScriptedServer, closed_url

__all__ = [
    "ANY",
    "SERVERS",
    "AnthropicServer",
    "Fault",
    "FaultKind",
    "OllamaServer",
    "OpenAIServer",
    "Request",
    "ResponsesServer",
    "Script",
    "closed_url",
]

CREATED = "2026-01-02T03:04:05.678901234Z"
ANY = "*"
MARK = "\ue000"
"""Stands for a token in a frame's template; a private character that no answer holds."""


class ModelServer(ScriptedServer):
    """What the three protocols have in common."""

    MODELS: tuple[str, ...]
    CHAT_PATH: str
    MESSAGES = "messages"
    """The field of a prompt that holds them."""

    def answer(self, request: Request) -> Reply:
        """Check a request as the real server does, then answer it."""
        fault = self.script.fault
        if self.script.key is not None and self.script.key != self.sent_key(request):
            return self.refuse(401, "invalid api key")
        if request.method == "GET":
            return self.listing(request.path) or self.refuse(404, "not found")
        if fault and fault.kind is FaultKind.STATUS:
            headers = {"retry-after": fault.retry_after} if fault.retry_after else {}
            return self.refuse(fault.status, fault.message, **headers)
        if request.path.partition("?")[0] != self.CHAT_PATH:
            return self.refuse(404, "not found")
        prompt = request.body
        if not isinstance(prompt, dict) or not prompt.get(self.MESSAGES):
            return self.refuse(400, f"{self.MESSAGES}: Field required")
        if not self.knows(prompt.get("model", "")):
            return self.refuse(404, f"model '{prompt.get('model')}' not found")
        if fault and fault.kind is FaultKind.NO_IMAGES and self.images(prompt):
            return self.refuse(400, "this model does not take images")
        return self.check(request) or self.frames(prompt)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the server has."""
        return self.MODELS if self.script.models is None else self.script.models

    def knows(self, model: str) -> bool:
        """Tell whether the server has a model; one named `*` stands for all."""
        return model in self.models or ANY in self.models

    def sent_key(self, request: Request) -> str | None:
        """The key of a request."""
        return request.headers.get("authorization", "").removeprefix("Bearer ") or None

    def check(self, request: Request) -> Reply | None:
        """Refuse what the protocol does not allow."""
        del request
        return None

    def refuse(self, status: int, message: str, **headers: str) -> Reply:
        """An error in the protocol's own form."""
        raise NotImplementedError

    def listing(self, path: str) -> Reply | None:
        """Answer a GET; `None` where nothing is there."""
        raise NotImplementedError

    def frames(self, prompt: dict[str, Any]) -> Reply:
        """The answer to a prompt."""
        raise NotImplementedError

    def images(self, prompt: dict[str, Any]) -> bool:
        """Tell whether a prompt holds images."""
        last = prompt[self.MESSAGES][-1]
        content = last.get("content")
        parts = content if isinstance(content, list) else []
        return bool(last.get("images")) or any("text" not in part for part in parts)

    def tokens(self, prompt: dict[str, Any]) -> Sequence[str]:
        """The answer's tokens; without a script, the last message in pieces."""
        text = last_text(prompt[self.MESSAGES])
        scripted = self.script.tokens
        if callable(scripted):
            return scripted(text)
        return pieces(text) if scripted is None else scripted

    def counts(self, prompt: dict[str, Any], tokens: Sequence[str]) -> tuple[int, int]:
        """Tokens of the prompt and of the answer; a word counts as one."""
        texts = [message.get("content") for message in prompt[self.MESSAGES]]
        return sum(len(str(text).split()) for text in texts), len(tokens)


class OllamaServer(ModelServer):
    """Ollama: POST /api/chat, GET /api/tags; JSON lines as its Go encoder writes them."""

    MODELS = ("llama3.2:latest", "llama3.3:70b")
    CHAT_PATH = "/api/chat"

    def knows(self, model: str) -> bool:
        """A name without a tag means `latest`."""
        return model in self.models or f"{model}:latest" in self.models

    def refuse(self, status: int, message: str, **headers: str) -> Reply:
        """Ollama sends the bare message."""
        return Reply.of_json({"error": message}, status, **headers)

    def listing(self, path: str) -> Reply | None:
        """The models, newest first."""
        if path != "/api/tags":
            return None
        details = {"format": "gguf", "family": "llama", "families": ["llama"]}
        models = [
            {"name": name, "model": name, "modified_at": CREATED, "size": 1, "details": details}
            for name in self.models
        ]
        return Reply.of_json({"models": models})

    def frames(self, prompt: dict[str, Any]) -> Reply:
        """One line for each token, then one with the counts."""
        tokens = self.tokens(prompt)
        model = self.script.model or prompt["model"]
        base = {"model": model, "created_at": CREATED}
        message = {"role": "assistant", "content": ""}
        read, written = self.counts(prompt, tokens)
        last = {
            "done_reason": self.script.finish or "stop",
            "done": True,
            "total_duration": 5,
            "load_duration": 1,
            "prompt_eval_count": read,
            "prompt_eval_duration": 1,
            "eval_count": written,
            "eval_duration": 3,
        }
        thoughts = [
            go_line({**base, "message": {**message, "thinking": thought}, "done": False})
            for thought in self.script.thinking
        ]
        line = go_line({**base, "message": {**message, "content": MARK}, "done": False})
        return Reply(
            content_type="application/x-ndjson",
            head=tuple(thoughts),
            tokens=tuple(fill(line, tokens, go_json)),
            tail=(go_line({**base, "message": message, **last}),),
            malformed=line[: len(line) // 2] + b"\n",
            error=go_line({"error": self.script.fault.message if self.script.fault else ""}),
        )


class AnthropicServer(ModelServer):
    """Anthropic: POST /v1/messages, GET /v1/models, API version 2026-10-21; named events."""

    MODELS = ("claude-sonnet-5-5", "claude-opus-5-5")
    CHAT_PATH = "/v1/messages"
    KINDS: ClassVar = {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }

    def sent_key(self, request: Request) -> str | None:
        """The older header goes first where both are sent."""
        return request.headers.get("x-api-key") or super().sent_key(request)

    def check(self, request: Request) -> Reply | None:
        """A key, a version and a limit are required; sampling parameters are refused."""
        if not self.sent_key(request):
            return self.refuse(401, "x-api-key header is required")
        if "anthropic-version" not in request.headers:
            return self.refuse(400, "anthropic-version: header is required")
        if not isinstance(request.body.get("max_tokens"), int):
            return self.refuse(400, "max_tokens: Field required")
        for name in ("temperature", "top_p", "top_k"):
            if name in request.body and request.headers["anthropic-version"] >= "2026-10-21":
                return self.refuse(400, f"{name}: Extra inputs are not permitted")
        if request.body.get("stream") is not True:
            return self.refuse(400, "this server only streams")
        return None

    def refuse(self, status: int, message: str, **headers: str) -> Reply:
        """An error with its kind."""
        error = {"type": self.KINDS.get(status, "api_error"), "message": message}
        body = {"type": "error", "error": error, "request_id": "req_1"}
        return Reply.of_json(body, status, **headers, request_id="req_1")

    def listing(self, path: str) -> Reply | None:
        """The models."""
        if path.partition("?")[0] != "/v1/models":
            return None
        data = [
            {"type": "model", "id": name, "display_name": name, "created_at": CREATED}
            for name in self.models
        ]
        return Reply.of_json({"data": data, "has_more": False, "first_id": None, "last_id": None})

    def frames(self, prompt: dict[str, Any]) -> Reply:
        """A block of thoughts where there are any, then a block of text."""
        tokens = self.tokens(prompt)
        read, written = self.counts(prompt, tokens)
        message: dict[str, Any] = {
            "id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": self.script.model or prompt["model"], "stop_reason": None,
            "stop_sequence": None, "usage": {"input_tokens": read, "output_tokens": 1},
        }  # fmt: skip
        head = [event("message_start", message=message)]
        if self.script.thinking:
            head += self._thoughts()
        index = 1 if self.script.thinking else 0
        block = {"type": "text", "text": ""}
        head += [event("content_block_start", index=index, content_block=block), event("ping")]
        delta = {"type": "text_delta", "text": MARK}
        line = event("content_block_delta", index=index, delta=delta)
        stop = {"stop_reason": self.script.finish or "end_turn", "stop_sequence": None}
        fault = self.script.fault
        error = {"type": "overloaded_error", "message": fault.message if fault else ""}
        return Reply(
            content_type="text/event-stream; charset=utf-8",
            headers={"request-id": "req_1"},
            head=tuple(head),
            tokens=tuple(fill(line, tokens, plain_json)),
            tail=(
                event("content_block_stop", index=index),
                event("message_delta", delta=stop, usage={"output_tokens": written}),
                event("message_stop"),
            ),
            malformed=b'event: content_block_delta\ndata: {"type": "content_bl\n\n',
            error=event("error", error=error),
        )

    def _thoughts(self) -> Iterator[bytes]:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        yield event("content_block_start", index=0, content_block=block)
        for thought in self.script.thinking:
            delta = {"type": "thinking_delta", "thinking": thought}
            yield event("content_block_delta", index=0, delta=delta)
        signature = {"type": "signature_delta", "signature": "c2ln"}
        yield event("content_block_delta", index=0, delta=signature)
        yield event("content_block_stop", index=0)


class OpenAIServer(ModelServer):
    """OpenAI: POST /v1/chat/completions, GET /v1/models; the address ends in /v1."""

    MODELS = ("qwen3-8b", "llama-3.3-70b")
    CHAT_PATH = "/v1/chat/completions"
    KINDS: ClassVar = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}

    @property
    def base_url(self) -> str:
        """What a client is given as its base."""
        return f"{self.url}/v1"

    def refuse(self, status: int, message: str, **headers: str) -> Reply:
        """An error with its code."""
        kind = "server_error" if status >= 500 else "invalid_request_error"
        code = self.KINDS.get(status)
        error = {"message": message, "type": kind, "param": None, "code": code}
        return Reply.of_json({"error": error}, status, **headers)

    def listing(self, path: str) -> Reply | None:
        """The models."""
        if path != "/v1/models":
            return None
        data = [
            {"id": name, "object": "model", "created": 1767323045, "owned_by": "tests"}
            for name in self.models
        ]
        return Reply.of_json({"object": "list", "data": data})

    def check(self, request: Request) -> Reply | None:
        """Only streaming is served here."""
        return None if request.body.get("stream") else self.refuse(400, "this server only streams")

    def frames(self, prompt: dict[str, Any]) -> Reply:
        """Deltas, the finish reason, the usage where it was asked for, and the end."""
        tokens = self.tokens(prompt)
        read, written = self.counts(prompt, tokens)
        counted = bool((prompt.get("stream_options") or {}).get("include_usage"))
        base: dict[str, Any] = {
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1767323045,
            "model": self.script.model or prompt["model"],
        }  # fmt: skip

        def delta(delta: dict[str, str], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return data({**base, "choices": [choice], **({"usage": None} if counted else {})})

        total = read + written
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": total}
        thoughts = [delta({"reasoning_content": thought}) for thought in self.script.thinking]
        fault = self.script.fault
        error = {"message": fault.message if fault else "", "type": "server_error", "code": 500}
        return Reply(
            content_type="text/event-stream; charset=utf-8",
            head=(delta({"role": "assistant", "content": ""}), *thoughts),
            tokens=tuple(fill(delta({"content": MARK}), tokens, plain_json)),
            tail=(
                delta({}, self.script.finish or "stop"),
                *([data({**base, "choices": [], "usage": usage})] if counted else []),
                b"data: [DONE]\n\n",
            ),
            malformed=b'data: {"id": "chatcmpl-1", "obj\n\n',
            error=data({"error": error}) + b"data: [DONE]\n\n",
        )


class ResponsesServer(OpenAIServer):
    """OpenAI: POST /v1/responses; its events are numbered, and the last one repeats the answer."""

    MODELS = ("gpt-5", "gpt-5-mini")
    CHAT_PATH = "/v1/responses"
    MESSAGES = "input"

    def frames(self, prompt: dict[str, Any]) -> Reply:
        """One message of one part of text."""
        tokens = self.tokens(prompt)
        read, written = self.counts(prompt, tokens)
        response: dict[str, Any] = {
            "id": "resp_1", "object": "response", "created_at": 1767323045, "status": "in_progress",
            "error": None, "incomplete_details": None, "output": [], "usage": None,
            "model": self.script.model or prompt["model"],
        }  # fmt: skip
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        text = "".join(tokens)
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        item = {"id": "msg_1", "type": "message", "role": "assistant"}
        done = {**item, "status": "completed", "content": [part]}
        new = {**item, "status": "in_progress", "content": []}
        usage = {
            "input_tokens": read, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        }  # fmt: skip
        fault = self.script.fault
        error = {"code": "server_error", "message": fault.message if fault else ""}
        ended = {**response, "status": "completed", "output": [done], "usage": usage}
        begun = (
            ("response.created", {"response": response}),
            ("response.output_item.added", {"output_index": 0, "item": new}),
            ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        )
        end = (
            ("response.output_text.done", {**place, "text": text, "logprobs": []}),
            ("response.content_part.done", {**place, "part": part}),
            ("response.output_item.done", {"output_index": 0, "item": done}),
            ("response.completed", {"response": ended}),
        )
        failed = {**response, "status": "failed", "error": error}
        delta = event("response.output_text.delta", **place, delta=MARK, logprobs=[])
        return Reply(
            content_type="text/event-stream; charset=utf-8",
            head=tuple(event(name, **fields) for name, fields in begun),
            tokens=tuple(fill(delta, tokens, plain_json)),
            tail=tuple(event(name, **fields) for name, fields in end),
            malformed=b'event: response.output_text.delta\ndata: {"type": "resp\n\n',
            error=event("response.failed", response=failed),
        )


def last_text(messages: Sequence[dict[str, Any]]) -> str:
    """The text of the last message."""
    content = messages[-1].get("content", "")
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if "text" in part)


def pieces(text: str) -> list[str]:
    """Cut a text into at most about a thousand tokens."""
    size = max(8, len(text) // 1000)
    return [text[start : start + size] for start in range(0, len(text), size)]


def plain_json(value: object) -> str:
    """JSON as most servers write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def go_json(value: object) -> str:
    """JSON as Go's encoding/json writes it: `<`, `>`, `&` and two line separators escaped."""
    text = plain_json(value)
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def go_line(value: object) -> bytes:
    """One JSON line."""
    return go_json(value).encode() + b"\n"


def data(value: object) -> bytes:
    """A server-sent event without a name."""
    return f"data: {plain_json(value)}\n\n".encode()


def event(name: str, **fields: object) -> bytes:
    """A server-sent event whose data repeats its name as `type`."""
    return f"event: {name}\ndata: {plain_json({'type': name, **fields})}\n\n".encode()


def fill(frame: bytes, tokens: Sequence[str], encode: Any) -> Iterator[bytes]:
    """Put each token into a frame in the place of `MARK`; far cheaper than encoding each frame."""
    before, after = frame.split(f'"{MARK}"'.encode())
    for token in tokens:
        yield before + encode(token).encode() + after


SERVERS: dict[str, type[ModelServer]] = {
    "ollama": OllamaServer,
    "anthropic": AnthropicServer,
    "openai": OpenAIServer,
    "responses": ResponsesServer,
}

SAMPLE = """## A heading

Some *plain* text with `code`, a [link](https://example.org) and **weight**: 1, 2, 3.

- one point
- another point

```python
def answer() -> int:
    return 42
```

| name | value |
| --- | --- |
| a | 1 |

"""


def sample_tokens(count: int) -> list[str]:
    """That many tokens of Markdown."""
    return list(islice(cycle(re.findall(r"\w+\s*|\W", SAMPLE)), count))


def read_fault(text: str) -> Fault:
    """Read `KIND`, `KIND:AFTER` or `status:CODE`."""
    kind, _, number = text.partition(":")
    if kind == FaultKind.STATUS.value:
        return Fault(FaultKind.STATUS, status=int(number or "500"))
    return Fault(FaultKind(kind), after=int(number or "0"))


def main(arguments: Sequence[str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m tests.model_servers")
    parser.add_argument("protocol", choices=SERVERS)
    parser.add_argument("--port-file", help="file that receives the port, for those who wait")
    parser.add_argument("--tokens", type=int, help="length; without it, the prompt comes back")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--fault", type=read_fault, help="KIND[:AFTER] or status:CODE")
    parser.add_argument("--model", action="append", help="a model that the server has")
    given = parser.parse_args(arguments)
    script = Script(
        tokens=None if given.tokens is None else sample_tokens(given.tokens),
        delay_s=given.delay_ms / 1000,
        fault=given.fault,
        models=tuple(given.model) if given.model else None,
    )
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with SERVERS[given.protocol](script) as server:
        if given.port_file:
            temporary = f"{given.port_file}.{os.getpid()}"
            with open(temporary, "w") as file:
                file.write(server.url.rpartition(":")[2])
            os.replace(temporary, given.port_file)
        print(server.url, flush=True)
        signal.sigwait(signals)


if __name__ == "__main__":
    main(sys.argv[1:])
