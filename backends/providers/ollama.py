"""Ollama, through its own package: a model server on this machine or another."""

from __future__ import annotations

import functools
import importlib
import shlex
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from backends.cleaning import clean_line
from backends.errors import ConfigError, ModelError
from backends.providers.address import find_address
from backends.providers.base import KeySource, Probe, Prompt, Settings, messages
from backends.providers.faults import Answer, Faults, Refusal
from backends.providers.remote import RemoteProvider, image_bytes

if TYPE_CHECKING:
    import httpx
    from ollama import AsyncClient, ChatResponse

DEFAULT_URL = "http://127.0.0.1:11434"
PREFERRED = "llama3.3:70b"
SUGGESTED = "llama3.2"

_COUNTED_HOST = "ollama.com"
"""The vendor's own servers, which count what is used."""


class OllamaProvider(RemoteProvider["AsyncClient", "ChatResponse"]):
    """Ollama; settings: `url`, `model`, `read_timeout_s`, `options`, `context_tokens`.

    `options` go to the server as they are (`num_ctx` and others of its API). `context_tokens` is
    another way to set `num_ctx`; where neither is set it is 4096, as with the server. Without
    `url`, `OLLAMA_HOST` tells where it is, in the forms that Ollama itself understands.
    """

    CONTEXT_TOKENS = 4096

    def __init__(self, name: str, settings: Settings, get_key: KeySource) -> None:
        address = find_address(name, settings, "OLLAMA_HOST", DEFAULT_URL, bare_port=11434)
        start = (
            "start it with `ollama serve`, or set its address: "
            f"`tekton config set providers.{name}.url URL`"
        )
        faults = Faults(name, address.url, start, _pull)
        super().__init__(name, settings, get_key, address, faults)
        self._options = settings.get("options") or {}
        if not isinstance(self._options, dict):
            raise self._bad_setting("options", self._options, "a table")
        if self._count("context_tokens"):
            self._options = {"num_ctx": self.context_tokens, **self._options}
        elif type(self._options.get("num_ctx")) is int:
            self.context_tokens = self._options["num_ctx"]
            self.is_context_set = True

    async def probe(self, timeout_s: float) -> Probe:
        """Ask for the models: `model` of the settings, else llama3.3:70b, else the newest first.

        Models that only make embeddings are left out; those that run at ollama.com come last.
        """
        is_local = not f".{self._address.host}".endswith(f".{_COUNTED_HOST}")
        try:
            models, elsewhere = self._models_in(await self._look("/api/tags", timeout_s))
            chosen = self._preferred([*models, *elsewhere])
        except (ModelError, ConfigError) as error:
            return Probe(reason=error.message, hint=error.hint, is_local=is_local)
        others = [model for model in [*models, *elsewhere] if model != chosen]
        is_local = is_local and chosen not in elsewhere
        return Probe(models=(chosen, *others), is_local=is_local)

    def _preferred(self, models: list[str]) -> str:
        if not models:
            raise ModelError(f"{self.name} has no model yet", _pull(SUGGESTED))
        if self._model is None:
            return PREFERRED if PREFERRED in models else models[0]
        for name in (self._model, f"{self._model}:latest"):
            if name in models:
                return name
        raise ModelError(f"{self.name} has no model {self._model!r}", _pull(self._model))

    def _models_in(self, listing: Any) -> tuple[list[str], list[str]]:
        """Return the models here and those elsewhere that can chat, in the server's order."""
        try:
            able = [model for model in listing["models"] if _can_chat(model)]
            here = [str(model["name"]) for model in able if not model.get("remote_host")]
            elsewhere = [str(model["name"]) for model in able if model.get("remote_host")]
        except self.MALFORMED as error:
            raise self._faults.stranger() from error
        return here, elsewhere

    def _load(self) -> AsyncClient:
        package = importlib.import_module("ollama")
        self._http = importlib.import_module("httpx")
        self._expected = (
            package.ResponseError, package.RequestError, Refusal, self._http.HTTPError,
            *self.MALFORMED,
        )  # fmt: skip
        hooks = {"request": [self._authorize], "response": [_inspect]}
        client: AsyncClient = package.AsyncClient(
            self._address.url, event_hooks=hooks, **self._http_options(self._http)
        )
        return client

    async def _authorize(self, request: httpx.Request) -> None:
        request.headers.update(await self._headers())

    @asynccontextmanager
    async def _ask(
        self, client: AsyncClient, prompt: Prompt, answer: Answer
    ) -> AsyncGenerator[AsyncIterator[ChatResponse], None]:
        sent = messages(prompt, prompt.text)
        if prompt.images:
            # As bytes: a text that happens to be the path of a file would be read from there.
            sent[-1]["images"] = [image_bytes(image) for image in prompt.images]
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        given = {"temperature": prompt.temperature, "num_predict": prompt.max_tokens}
        options = {**self._options, **{k: v for k, v in given.items() if v is not None}}
        parts = await client.chat(
            model=prompt.model, messages=[*system, *sent], options=options or None, stream=True,
            format=dict(prompt.schema) if prompt.schema is not None else None,
        )  # fmt: skip
        async with aclosing(parts):  # type: ignore[type-var]  # it is a generator
            yield parts

    def _read(self, part: ChatResponse, answer: Answer) -> str:
        if part.done:
            answer.reason = part.done_reason or "stop"
            answer.model = part.model or answer.model
            answer.input_tokens = part.prompt_eval_count
            answer.output_tokens = part.eval_count
        return part.message.content or ""

    def _explain(self, error: Exception, answer: Answer) -> ModelError:
        if isinstance(error, Refusal):
            return self._refused(error, answer.model)
        if type(error).__module__.startswith("ollama"):
            answer.begun = True
            return self._faults.broken(str(getattr(error, "error", error)), answer)
        return self._faults.of_http(error, self._http, answer)

    async def _close(self, client: AsyncClient) -> None:
        await client.close()  # type: ignore[no-untyped-call]


def _pull(model: str) -> str:
    return f"`ollama pull {shlex.quote(clean_line(model))}`"


def _can_chat(model: dict[str, Any]) -> bool:
    """Tell from a model's entry; servers before 0.30 do not list what a model can do."""
    capabilities = model.get("capabilities")
    if capabilities is not None:
        return "completion" in capabilities
    return "bert" not in str((model.get("details") or {}).get("family"))


async def _inspect(response: httpx.Response) -> None:
    """Stop at an error with all that it says, and see to it that lines end where they should.

    The package would drop the headers of an error. And httpx ends lines at U+0085, U+2028 and
    U+2029 too, which stand unescaped in JSON strings: answers with such a character would break.
    """
    if not response.is_success:
        await response.aread()
        raise Refusal(response.status_code, response.text, response.headers.get("retry-after"))
    lines = functools.partial(_lines, response)
    response.aiter_lines = lines  # type: ignore[method-assign]


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in filter(None, lines):
            yield line.decode()
    if rest:
        yield rest.decode()
