"""Any server with OpenAI's chat interface: llama.cpp, vLLM, LM Studio, OpenAI itself.

An answer is complete when its `finish_reason` has come. `[DONE]` is neither needed nor enough:
it only ends the transport. Some servers close the connection without it, and vLLM sends it after
an answer that failed, too.
"""

from __future__ import annotations

import importlib
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from backends.errors import ConfigError, ModelError
from backends.providers.address import find_address
from backends.providers.base import KeySource, Probe, Prompt, Settings, messages
from backends.providers.faults import Answer, Faults, Refusal
from backends.providers.remote import RemoteProvider, count, image_bytes
from backends.providers.sse import EventDecoder

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "https://api.openai.com/v1"
MAX_ERROR = 64 * 1024
"""Bytes of an error's body that are read."""

_VENDOR_HOST = "api.openai.com"


class OpenAIProvider(RemoteProvider["httpx.AsyncClient", deque[str]]):
    """An OpenAI-compatible server; settings: `url`, `model`, `read_timeout_s`.

    Without `url`, `OPENAI_BASE_URL` tells where it is. A key is sent where there is one; only
    OpenAI itself is known to need it.
    """

    def __init__(self, name: str, settings: Settings, get_key: KeySource) -> None:
        address = find_address(name, settings, "OPENAI_BASE_URL", DEFAULT_URL)
        start = (
            "start the server, or set its address, which ends in /v1: "
            f"`tekton config set providers.{name}.url URL`"
        )
        lacks = "`tekton doctor` shows the models that are there"
        faults = Faults(name, address.url, start, lambda model: lacks)
        super().__init__(name, settings, get_key, address, faults)
        self._is_vendor = address.host == _VENDOR_HOST

    async def probe(self, timeout_s: float) -> Probe:
        """Ask for the models: `model` of the settings first, those for embeddings last."""
        is_local = self._address.is_private
        try:
            models = self._models_in(await self._look("/models", timeout_s))
        except (ModelError, ConfigError) as error:
            return Probe(reason=error.message, hint=error.hint, is_local=is_local)
        return Probe(models=tuple(models), is_local=is_local)

    def _models_in(self, listing: Any) -> list[str]:
        try:
            models = sorted((str(one["id"]) for one in listing["data"]), key=_is_for_embeddings)
        except self.MALFORMED as error:
            raise self._faults.stranger() from error
        if self._model is not None:  # a server may answer to names that it does not list
            return [self._model, *(model for model in models if model != self._model)]
        if not models:
            name = f"`tekton config set providers.{self.name}.model MODEL`"
            hint = f"load one in the server, or name it: {name}"
            raise ModelError(f"{self.name} has no model", hint)
        return models

    async def _headers(self) -> dict[str, str]:
        headers = await super()._headers()
        if not headers and self._is_vendor:
            self._key.forget()
            raise self._faults.no_key()
        return headers

    def _load(self) -> httpx.AsyncClient:
        self._http = importlib.import_module("httpx")
        self._expected = (self._http.HTTPError, *self.MALFORMED)
        client: httpx.AsyncClient = self._http.AsyncClient(**self._http_options(self._http))
        return client

    @asynccontextmanager
    async def _ask(
        self, client: httpx.AsyncClient, prompt: Prompt, answer: Answer
    ) -> AsyncGenerator[AsyncIterator[deque[str]], None]:
        headers = await self._headers()
        url = f"{self._address.url}/chat/completions"
        body = self._body(prompt)
        async with client.stream("POST", url, json=body, headers=headers) as response:
            if not response.is_success:
                raise await self._refusal(response, answer)
            kind = response.headers.get("content-type", "")
            if not kind.startswith("text/event-stream"):
                raise ModelError(
                    f"{self.name} at {self._address.url} answered with {kind or 'nothing'!r} "
                    "instead of a stream of events",
                    f"it has to end in /v1: `tekton config set providers.{self.name}.url URL`",
                )
            answer.begun = True
            async with aclosing(_events(response)) as events:
                yield events

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        content: str | list[dict[str, Any]] = prompt.text
        if prompt.images:
            content = [{"type": "text", "text": prompt.text}]
            for image in prompt.images:
                image_bytes(image)
                url = f"data:{image.media_type};base64,{image.data}"
                content.append({"type": "image_url", "image_url": {"url": url}})
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        body: dict[str, Any] = {
            "model": prompt.model,
            "messages": [*system, *messages(prompt, content)],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if prompt.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": prompt.schema},
            }
        if prompt.temperature is not None:
            body["temperature"] = prompt.temperature
        if prompt.max_tokens is not None:
            # The vendor's newer models refuse the older name, other servers know only that.
            body["max_completion_tokens" if self._is_vendor else "max_tokens"] = prompt.max_tokens
        return body

    async def _refusal(self, response: httpx.Response, answer: Answer) -> ModelError:
        body = b""
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > MAX_ERROR:
                break
        text = body.decode(errors="replace")
        refusal = Refusal(response.status_code, text, response.headers.get("retry-after"))
        return self._refused(refusal, answer.model)

    def _read(self, part: deque[str], answer: Answer) -> str:
        """Read the events that came together as one text; one that cannot be read stays."""
        if len(part) == 1:  # as with most servers, and ten thousand times an answer
            text = self._read_event(part[0], answer)
            part.clear()
            return text
        texts: list[str] = []
        while part:
            try:
                texts.append(self._read_event(part[0], answer))
            except (ModelError, *self.MALFORMED):
                if not texts:
                    raise
                break  # what came before it is an answer still; then it is read again
            part.popleft()
        return "".join(texts)

    def _read_event(self, event: str, answer: Answer) -> str:
        if event == "[DONE]":
            return ""
        chunk = json.loads(event)
        if error := chunk.get("error"):
            message = error.get("message") if isinstance(error, dict) else None
            raise self._faults.broken(str(message or error), answer)
        if usage := chunk.get("usage"):
            answer.input_tokens = count(usage.get("prompt_tokens"))
            answer.output_tokens = count(usage.get("completion_tokens"))
        text = ""
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            text += delta.get("content") or delta.get("refusal") or ""
            if reason := choice.get("finish_reason"):
                answer.reason = str(reason)
                answer.model = str(chunk.get("model") or answer.model)
        return text

    def _explain(self, error: Exception, answer: Answer) -> ModelError:
        return self._faults.of_http(error, self._http, answer)

    async def _close(self, client: httpx.AsyncClient) -> None:
        await client.aclose()


def _is_for_embeddings(model: str) -> bool:
    return "embed" in model.lower()


async def _events(response: httpx.Response) -> AsyncGenerator[deque[str], None]:
    """Yield the events of each network read together, until its reader has taken all of them."""
    decoder = EventDecoder()
    is_packed = response.headers.get("content-encoding", "identity") != "identity"
    async for piece in response.aiter_bytes() if is_packed else response.aiter_raw():
        if found := decoder.feed(piece):
            events = deque(found)
            while events:
                yield events
