"""The providers that ask a server, each with its server: what holds for one holds for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from backends.errors import TektonError
from backends.providers.anthropic import AnthropicProvider
from backends.providers.base import Finish, Prompt, Provider
from backends.providers.ollama import OllamaProvider
from backends.providers.openai import OpenAIProvider
from tests.model_servers import (
    AnthropicServer,
    Fault,
    FaultKind,
    ModelServer,
    OllamaServer,
    OpenAIServer,
    Script,
)

KEY = "sk-secret-0123456789"


@dataclass(frozen=True)
class Case:
    name: str
    server: type[ModelServer]
    make: Callable[..., Provider]
    model: str
    base: str = ""

    def provider(self, url: str, **settings: Any) -> Provider:
        return self.make(self.name, {"url": url + self.base, **settings}, lambda: KEY)

    def prompt(self, text: str = "hello", **given: Any) -> Prompt:
        return Prompt(text=text, model=given.pop("model", self.model), **given)


CASES = [
    Case("ollama", OllamaServer, OllamaProvider, "llama3.2"),
    Case("anthropic", AnthropicServer, AnthropicProvider, "claude-opus-5-5"),
    Case("openai", OpenAIServer, OpenAIProvider, "qwen3-8b", "/v1"),
]
every_provider = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@dataclass
class Outcome:
    """What came of a prompt."""

    pieces: list[str] = field(default_factory=list)
    finish: Finish | None = None
    error: TektonError | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def failure(self) -> TektonError:
        assert self.error is not None, f"it answered {self.text!r}"
        return self.error


async def collect(provider: Provider, prompt: Prompt) -> Outcome:
    """Send a prompt and keep all that comes, in order and as the contract has it."""
    outcome = Outcome()
    try:
        async for piece in provider.stream(prompt):
            assert outcome.finish is None, "something came after the finish"
            if isinstance(piece, Finish):
                outcome.finish = piece
            else:
                assert isinstance(piece, str), "these providers tell nothing beside"
                assert piece, "an empty piece"
                outcome.pieces.append(piece)
    except TektonError as error:
        outcome.error = error
    return outcome


def ask(case: Case, server: ModelServer, prompt: Prompt | None = None, **settings: Any) -> Outcome:
    """Ask a server once with a new provider."""

    async def run() -> Outcome:
        provider = case.provider(server.url, **settings)
        try:
            return await collect(provider, prompt or case.prompt())
        finally:
            await provider.close()

    return asyncio.run(run())


def broken(kind: FaultKind, after: int = 2, **given: Any) -> Script:
    """An answer of three tokens with a fault after some of them."""
    return Script(tokens=["one ", "two ", "three"], fault=Fault(kind, after, **given))
