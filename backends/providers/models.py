"""Choosing a model: names to providers, and what `auto` means.

`auto` takes, in this order: `[models] default` where it is set; then the first provider that
answers, of `[models] order` where that is set, else Ollama, then an OpenAI-compatible server on
this machine or network. One that costs money is taken only where the user named it.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backends.config import BUILT_IN_PROVIDERS, Config, Price
from backends.errors import ConfigError, NoModel
from backends.plugins import load_plugin
from backends.protocol.messages import Usage
from backends.providers.base import Probe, Provider
from backends.providers.keys import find_key

DEFAULT_ORDER = ("ollama", "openai")
AUTO = "auto"

_PROBE_S = 1.0
_FRESH_S = 5.0
_MODEL_HINT = (
    "start Ollama (`ollama serve`, `ollama pull llama3.2`), or choose a model with a key: "
    "`tekton key set anthropic`; `tekton doctor` tells more"
)


class Models:
    """The providers of one process, made on first use, and what they were last seen to have."""

    def __init__(
        self, config: Config, keys: Path, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._config = config
        self._keys = keys
        self._environment = environment
        self._settings: Mapping[str, Any] = {**BUILT_IN_PROVIDERS, **config.providers}
        self._providers: dict[str, Provider] = {}
        self._users = 0
        self._probes: dict[str, tuple[float, asyncio.Task[Probe]]] = {}
        self.key_sources: dict[str, str] = {}
        """Where each provider's key was found when it was last looked for."""

    @property
    def names(self) -> list[str]:
        """Every provider that is configured or built in."""
        return list(self._settings)

    def provider(self, name: str) -> Provider:
        """Return a provider, made on first use.

        Raises:
            ConfigError: No such provider, or its plug-in cannot be loaded.
        """
        if name not in self._providers:
            if name not in self._settings:
                raise ConfigError(
                    f"no provider named {name!r}", f"there are: {', '.join(self._settings)}"
                )
            settings = self._settings[name]
            make = load_plugin("tekton.providers", settings.get("type", name))
            self._providers[name] = make(name, settings, functools.partial(self._key, name))
        return self._providers[name]

    async def probe(self, name: str) -> Probe:
        """Look at a provider; what was seen less than 5 s ago is taken as it was."""
        seen = self._probes.get(name)
        if seen is None or time.monotonic() - seen[0] > _FRESH_S:
            task = asyncio.ensure_future(self.provider(name).probe(_PROBE_S))
            seen = self._probes[name] = time.monotonic(), task
        return await asyncio.shield(seen[1])

    async def resolve(self, wanted: str | None) -> str:
        """Return the model that will answer, as `provider/model`.

        Args:
            wanted: `auto`, `provider/model`, a provider alone (its preferred model), or a model
                alone (the first provider that has it); `None` means `[models] default`.

        Raises:
            NoModel: Nothing answers to that; the message says what was tried.
        """
        wanted = wanted or AUTO
        if wanted == AUTO:
            wanted = self._config.models.default
        if wanted == AUTO:
            return await self._first_that_answers()
        name, slash, model = wanted.partition("/")
        if slash and model and name in self._settings:
            return wanted
        if name in self._settings:
            probe = await self.probe(name)
            if probe.models:
                return f"{name}/{probe.models[0]}"
            raise NoModel(f"{name} cannot be used: {probe.reason}", probe.hint)
        return await self._who_has(wanted)

    async def price(self, model: str, usage: Usage) -> float | None:
        """Return the cost in US dollars of what was used, or `None` where it is not known."""
        if (await self._last_seen(model.partition("/")[0])).is_local:
            return 0.0
        price = _longest_match(self._config.prices.models, model)
        if price is None or usage.input_tokens is None or usage.output_tokens is None:
            return None
        return (usage.input_tokens * price.input + usage.output_tokens * price.output) / 1_000_000

    async def _last_seen(self, name: str) -> Probe:
        """Return what was found there at any time: an answer must not wait for another look."""
        seen = self._probes.get(name)
        if seen and seen[1].done() and not seen[1].cancelled() and not seen[1].exception():
            return seen[1].result()
        return await self.probe(name)

    def use(self) -> None:
        """Count one more user; `release` takes it back."""
        self._users += 1

    async def release(self) -> None:
        """Close every provider once nobody uses them any more."""
        self._users -= 1
        if not self._users:
            for provider in self._providers.values():
                await provider.close()

    async def _first_that_answers(self) -> str:
        chosen = self._config.models.order
        tried = []
        for name in chosen or DEFAULT_ORDER:
            probe = await self.probe(name)
            if probe.models and (probe.is_local or chosen):
                return f"{name}/{probe.models[0]}"
            tried.append(f"{name}: {probe.reason or 'it costs money and was not chosen'}")
        raise NoModel(f"no model is there to answer ({'; '.join(tried)})", _MODEL_HINT)

    async def _who_has(self, model: str) -> str:
        for name in self._config.models.order or DEFAULT_ORDER:
            known = (await self.probe(name)).models
            for found in (model, f"{model}:latest"):  # Ollama lists the tag, people leave it out
                if found in known:
                    return f"{name}/{found}"
        raise NoModel(
            f"no provider has a model named {model!r}",
            f"name it as provider/model, with one of: {', '.join(self._settings)}; "
            "`tekton doctor` tells what is there",
        )

    def _key(self, name: str) -> str | None:
        found = find_key(name, self._settings[name], self._keys, self._environment)
        if found is None:
            self.key_sources.pop(name, None)
            return None
        self.key_sources[name] = found.source
        return found.value


def _longest_match(prices: Mapping[str, Price], model: str) -> Price | None:
    """Find a price by the model's name or its beginning: vendors append dates to names."""
    matching = [name for name in prices if model == name or model.startswith(f"{name}-")]
    return prices[max(matching, key=len)] if matching else None
