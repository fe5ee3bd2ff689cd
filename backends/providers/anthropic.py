"""Anthropic, through its own package: the Messages interface, streamed."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from backends.errors import ConfigError, ModelError
from backends.providers.address import find_address
from backends.providers.base import KeySource, Probe, Prompt, Settings, messages
from backends.providers.faults import Answer, Faults, Refusal
from backends.providers.remote import RemoteProvider, count, image_bytes

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic._streaming import ServerSentEvent

DEFAULT_URL = "https://api.anthropic.com"
DEFAULT_MODELS = ("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5")
DEFAULT_MAX_TOKENS = 8192
"""The interface wants a limit; a model's own thoughts count towards it."""

_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}

log = logging.getLogger(__name__)


class AnthropicProvider(RemoteProvider["AsyncAnthropic", "ServerSentEvent"]):
    """Anthropic; settings: `url`, `model`, `models`, `max_tokens`, `read_timeout_s`.

    `context_tokens` bounds what is sent with one prompt. Without `url`, `ANTHROPIC_BASE_URL` tells
    where it is. A prompt's temperature is not sent: the interface refuses it since its version
    2026-10-21.
    """

    CONTEXT_TOKENS = 200_000

    def __init__(self, name: str, settings: Settings, get_key: KeySource) -> None:
        address = find_address(name, settings, "ANTHROPIC_BASE_URL", DEFAULT_URL)
        start = "is this machine online? `tekton config edit` shows a `url` that is set"
        lacks = f"`tekton config edit` sets `models` of [providers.{name}]"
        faults = Faults(name, address.url, start, lambda model: lacks)
        super().__init__(name, settings, get_key, address, faults)
        self._max_tokens = self._count("max_tokens") or DEFAULT_MAX_TOKENS
        models = settings.get("models", DEFAULT_MODELS)
        if not isinstance(models, list | tuple) or not all(isinstance(one, str) for one in models):
            raise self._bad_setting("models", models, "a list of names")
        first = [self._model] if self._model else []
        self._models = tuple(dict.fromkeys([*first, *models]))

    async def probe(self, timeout_s: float) -> Probe:
        """Look for a key; nothing is sent, so what the key is worth is not known."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._needed_key()
        except TimeoutError:
            reason = f"the key of {self.name} was not found within {timeout_s:g} s"
            return Probe(reason=reason, hint=f"`tekton key set {self.name}`")
        except (ModelError, ConfigError) as error:
            return Probe(reason=error.message, hint=error.hint)
        return Probe(models=self._models)

    async def _needed_key(self) -> str:
        key = await self._find_key()
        if key is None:
            self._key.forget()
            raise self._faults.no_key()
        return key

    def _load(self) -> AsyncAnthropic:
        self._package = importlib.import_module("anthropic")
        self._http = importlib.import_module("httpx2")
        self._expected = (
            self._package.AnthropicError, self._http.HTTPError, *self.MALFORMED,
        )  # fmt: skip
        client: AsyncAnthropic = self._package.AsyncAnthropic(
            api_key="",  # given with each prompt; without this, the package looks for one itself
            base_url=self._address.url,
            max_retries=0,
            open_telemetry=False,
            http_client=self._http.AsyncClient(**self._http_options(self._http)),
        )
        return client

    @asynccontextmanager
    async def _ask(
        self, client: AsyncAnthropic, prompt: Prompt, answer: Answer
    ) -> AsyncGenerator[AsyncIterator[ServerSentEvent], None]:
        client.api_key = await self._needed_key()
        if prompt.temperature is not None:
            log.debug("%s takes no temperature; %s is not sent", self.name, prompt.temperature)
        request: dict[str, Any] = {
            "model": prompt.model,
            "max_tokens": prompt.max_tokens or self._max_tokens,
            "messages": messages(prompt, _content(prompt)),
        }
        if prompt.system:
            request["system"] = prompt.system
        sent = client.messages.with_streaming_response.create(**request, stream=True)
        async with sent as response:
            answer.begun = True
            # Events as they came: making the package's objects of them would take most of the time.
            events = self._package.AsyncStream.raw_events(response.http_response)
            async with aclosing(events):
                yield events

    def _read(self, part: ServerSentEvent, answer: Answer) -> str:
        kind = part.event
        if kind == "content_block_delta":
            delta = json.loads(part.data)["delta"]
            text: str = delta["text"] if delta["type"] == "text_delta" else ""
            return text
        if kind == "message_start":
            message = json.loads(part.data)["message"]
            answer.model = str(message.get("model") or answer.model)
            _count(message.get("usage"), answer)
        elif kind == "message_delta":
            event = json.loads(part.data)
            _count(event.get("usage"), answer)
            if reason := event["delta"].get("stop_reason"):
                answer.reason = _REASONS.get(reason, str(reason))
        elif kind == "error":
            error = json.loads(part.data)["error"]
            raise self._faults.broken(f"{error['type']}: {error['message']}", answer)
        return ""

    def _explain(self, error: Exception, answer: Answer) -> ModelError:
        package = self._package
        if isinstance(error, package.APIStatusError):
            headers = error.response.headers
            refusal = Refusal(error.status_code, error.response.text, headers.get("retry-after"))
            return self._refused(refusal, answer.model)
        if isinstance(error, package.APIConnectionError) and isinstance(error.__cause__, Exception):
            error = error.__cause__
        return self._faults.of_http(error, self._http, answer)

    async def _close(self, client: AsyncAnthropic) -> None:
        await client.close()


def _content(prompt: Prompt) -> str | list[dict[str, Any]]:
    if not prompt.images:
        return prompt.text
    blocks: list[dict[str, Any]] = []
    for image in prompt.images:
        image_bytes(image)
        source = {"type": "base64", "media_type": image.media_type, "data": image.data}
        blocks.append({"type": "image", "source": source})
    return [*blocks, {"type": "text", "text": prompt.text}]


def _count(usage: dict[str, Any] | None, answer: Answer) -> None:
    """Take the counts of an event; what was read from or into the cache was input, too."""
    found = {name: count(number) for name, number in (usage or {}).items()}
    if (read := found.get("input_tokens")) is not None:
        cached = ("cache_creation_input_tokens", "cache_read_input_tokens")
        answer.input_tokens = read + sum(found.get(name) or 0 for name in cached)
    answer.output_tokens = found.get("output_tokens")
