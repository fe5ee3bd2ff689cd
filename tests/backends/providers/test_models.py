"""Choosing a model: what `auto` takes, what names mean, and what an answer costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backends.config import BUILT_IN_PROVIDERS, Config, Price, Prices
from backends.config import Models as Chosen
from backends.errors import ConfigError, NoModel
from backends.protocol.messages import Usage
from backends.providers import models as models_module
from backends.providers.base import Finish, KeySource, Probe, Prompt
from backends.providers.models import Models
from tests.backends.stage import run

MADE: list[FakeProvider] = []


class FakeProvider:
    """Has what its settings say."""

    def __init__(self, name: str, settings: Mapping[str, Any], get_key: KeySource) -> None:
        self.name = name
        self.settings = settings
        self.get_key = get_key
        self.probes = 0
        self.is_closed = False
        MADE.append(self)

    async def probe(self, timeout_s: float) -> Probe:
        self.probes += 1
        await asyncio.sleep(0)
        models = tuple(self.settings.get("models", ()))
        if not models:
            return Probe(reason=f"{self.name} is down", hint=f"start {self.name}")
        return Probe(models=models, is_local=self.settings.get("local", True))

    def stream(self, prompt: Prompt) -> AsyncGenerator[str | Finish, None]:
        raise NotImplementedError

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture(autouse=True)
def fake_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every type of provider be a fake, and the built-in ones be down."""
    MADE.clear()

    def load(group: str, name: str) -> type[FakeProvider]:
        assert group == "tekton.providers"
        if name == "missing":
            raise ConfigError("no plug-in 'missing'")
        return FakeProvider

    monkeypatch.setattr(models_module, "load_plugin", load)


def models(
    default: str = "auto", order: tuple[str, ...] = (), /, **providers: dict[str, Any]
) -> Models:
    config = Config(models=Chosen(default=default, order=order), providers=providers)
    return Models(config, Path("/nowhere"), {})


OLLAMA = {"models": ["llama3.2:latest", "phi4"]}
PAID = {"models": ["gpt-5", "gpt-5-mini"], "local": False}
FREE = {"models": ["qwen"]}


def resolve(found: Models, wanted: str | None) -> str:
    return run(found.resolve(wanted))


# -- auto --------------------------------------------------------------------------------------


def test_auto_takes_ollama_and_then_a_free_openai_server() -> None:
    assert resolve(models(ollama=OLLAMA, openai=FREE), "auto") == "ollama/llama3.2:latest"
    assert resolve(models(openai=FREE), "auto") == "openai/qwen"
    assert resolve(models(ollama=OLLAMA, openai=FREE), None) == "ollama/llama3.2:latest"


def test_auto_never_takes_what_costs_money_unless_it_was_chosen() -> None:
    with pytest.raises(NoModel) as raised:
        resolve(models(openai=PAID, anthropic=PAID), "auto")
    tried = "ollama: ollama is down; openai: it costs money and was not chosen"
    assert raised.value.message == f"no model is there to answer ({tried})"
    assert "ollama serve" in (raised.value.hint or "")
    assert "tekton key set anthropic" in (raised.value.hint or "")
    assert resolve(models("auto", ("openai",), openai=PAID), "auto") == "openai/gpt-5"


def test_auto_looks_at_nobody_that_is_not_in_its_order() -> None:
    with pytest.raises(NoModel):
        resolve(models(anthropic=FREE, other=FREE), "auto")
    assert {provider.name for provider in MADE} == {"ollama", "openai"}


def test_an_order_that_was_set_counts_and_nothing_else() -> None:
    found = models("auto", ("anthropic", "ollama"), ollama=OLLAMA, anthropic=PAID)
    assert resolve(found, "auto") == "anthropic/gpt-5"
    found = models("auto", ("anthropic", "ollama"), ollama=OLLAMA)
    assert resolve(found, "auto") == "ollama/llama3.2:latest"
    with pytest.raises(NoModel) as raised:
        resolve(models("auto", ("anthropic",), ollama=OLLAMA), "auto")
    assert raised.value.message == "no model is there to answer (anthropic: anthropic is down)"


def test_nothing_set_means_the_default_that_was_set() -> None:
    found = models("anthropic/claude", ollama=OLLAMA)
    assert resolve(found, None) == "anthropic/claude"
    assert resolve(found, "auto") == "anthropic/claude"
    assert resolve(found, "ollama") == "ollama/llama3.2:latest"
    assert resolve(models("phi4", ollama=OLLAMA), None) == "ollama/phi4"


# -- names -------------------------------------------------------------------------------------


def test_provider_and_model_are_taken_as_they_are_without_a_look() -> None:
    found = models(anthropic=PAID)
    assert resolve(found, "anthropic/claude-x") == "anthropic/claude-x"
    assert resolve(found, "openai/meta/llama-3") == "openai/meta/llama-3"
    assert MADE == []


@pytest.mark.parametrize("wanted", ["anthropic", "anthropic/"])
def test_a_provider_alone_means_the_model_it_prefers_even_if_it_costs(wanted: str) -> None:
    assert resolve(models(anthropic=PAID), wanted) == "anthropic/gpt-5"


def test_a_provider_alone_that_cannot_be_used_tells_why() -> None:
    with pytest.raises(NoModel) as raised:
        resolve(models(), "anthropic")
    assert raised.value.message == "anthropic cannot be used: anthropic is down"
    assert raised.value.hint == "start anthropic"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("phi4", "ollama/phi4"),
        ("llama3.2", "ollama/llama3.2:latest"),
        ("llama3.2:latest", "ollama/llama3.2:latest"),
        ("gpt-5", "openai/gpt-5"),
    ],
)
def test_a_model_alone_means_the_first_provider_that_has_it(wanted: str, found: str) -> None:
    assert resolve(models(ollama=OLLAMA, openai=PAID), wanted) == found


@pytest.mark.parametrize("wanted", ["llama9", "nobody/llama9", "/", "phi", "opus"])
def test_a_model_that_nobody_has_is_told(wanted: str) -> None:
    with pytest.raises(NoModel) as raised:
        resolve(models(ollama=OLLAMA, anthropic={"models": ["opus"]}), wanted)
    assert raised.value.message == f"no provider has a model named {wanted!r}"
    assert "ollama, openai, anthropic, claude, codex, echo" in (raised.value.hint or "")


def test_a_provider_of_the_users_own_is_found_by_its_name() -> None:
    found = models("auto", ("lab",), lab={"type": "openai", "models": ["own"], "local": False})
    assert resolve(found, "auto") == "lab/own"
    assert resolve(found, "lab") == "lab/own"
    assert resolve(found, "lab/other") == "lab/other"
    assert found.names == [*BUILT_IN_PROVIDERS, "lab"]


def test_what_is_no_provider_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="no provider named 'nobody'") as raised:
        models().provider("nobody")
    assert raised.value.hint == f"there are: {', '.join(BUILT_IN_PROVIDERS)}"
    with pytest.raises(ConfigError, match="no provider named 'nobody'"):
        resolve(models("auto", ("nobody",)), "auto")
    with pytest.raises(ConfigError, match="no plug-in 'missing'"):
        resolve(models(lab={"type": "missing"}), "lab")


# -- looks -------------------------------------------------------------------------------------


def test_a_look_is_shared_by_all_who_ask_at_once_and_soon_after() -> None:
    async def work() -> None:
        found = models(ollama=OLLAMA)
        await asyncio.gather(*(found.resolve("auto") for _ in range(20)))
        await found.resolve("phi4")
        assert [provider.probes for provider in MADE] == [1]

    run(work())


def test_who_gives_up_waiting_does_not_take_the_look_from_the_others() -> None:
    async def work() -> None:
        found = models(ollama=OLLAMA)
        first, second = (asyncio.create_task(found.probe("ollama")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).models == ("llama3.2:latest", "phi4")
        assert first.cancelled()

    run(work())


def test_an_old_look_is_taken_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        found = models(ollama=OLLAMA)
        await found.probe("ollama")
        monkeypatch.setattr(models_module, "_FRESH_S", -1.0)
        await found.probe("ollama")
        assert MADE[0].probes == 2

    run(work())


# -- prices ------------------------------------------------------------------------------------

PRICES = Prices(
    models={
        "anthropic/claude": Price(input=1.0, output=2.0),
        "anthropic/claude-opus": Price(input=10.0, output=20.0),
        "anthropic/claude-opus-4-1": Price(input=100.0, output=200.0),
    }
)
USAGE = Usage(input_tokens=1_000_000, output_tokens=500_000)


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("anthropic/claude", USAGE, 2.0),
        ("anthropic/claude-haiku", USAGE, 2.0),
        ("anthropic/claude-opus", USAGE, 20.0),
        ("anthropic/claude-opus-4-1", USAGE, 200.0),
        ("anthropic/claude-opus-4-1-20250805", USAGE, 200.0),
        ("anthropic/claude-opus-4-10", USAGE, 20.0),
        ("anthropic/claudette", USAGE, None),
        ("anthropic/other", USAGE, None),
        ("anthropic/claude", Usage(input_tokens=1), None),
        ("anthropic/claude", Usage(output_tokens=1), None),
        ("anthropic/claude", Usage(input_tokens=0, output_tokens=0), 0.0),
        ("ollama/phi4", USAGE, 0.0),
        ("ollama/phi4", Usage(), 0.0),
    ],
)
def test_an_answer_costs_what_the_longest_name_says_or_is_unknown(
    model: str, usage: Usage, cost: float | None
) -> None:
    config = Config(prices=PRICES, providers={"anthropic": PAID, "ollama": OLLAMA})
    assert run(Models(config, Path("/nowhere"), {}).price(model, usage)) == cost


def test_the_built_in_prices_know_a_model_with_its_date() -> None:
    found = models(anthropic=PAID)
    cost = run(found.price("anthropic/claude-sonnet-4-5-20250929", USAGE))
    assert cost == pytest.approx(3.0 + 7.5)


def test_a_price_does_not_wait_for_another_look(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        found = models(ollama=OLLAMA)
        await found.probe("ollama")
        monkeypatch.setattr(models_module, "_FRESH_S", -1.0)
        assert await found.price("ollama/phi4", USAGE) == 0.0
        assert MADE[0].probes == 1

    run(work())


# -- keys and the end --------------------------------------------------------------------------


def test_a_provider_finds_its_key_and_where_it_was_is_noted(tmp_path: Path) -> None:
    config = Config(providers={"lab": {"type": "openai"}})
    environment = {"LAB_API_KEY": "secret"}
    found = Models(config, tmp_path, environment)
    provider = found.provider("lab")
    assert isinstance(provider, FakeProvider)
    assert provider.get_key() == "secret"
    assert found.key_sources == {"lab": "the environment variable LAB_API_KEY"}
    environment.clear()
    assert provider.get_key() is None
    assert found.key_sources == {}


def test_providers_are_closed_when_the_last_user_lets_go() -> None:
    async def work() -> None:
        found = models(ollama=OLLAMA)
        found.use()
        found.use()
        await found.probe("ollama")
        await found.release()
        assert not MADE[0].is_closed
        await found.release()
        assert MADE[0].is_closed

    run(work())


def test_a_provider_is_made_once() -> None:
    found = models()
    assert found.provider("ollama") is found.provider("ollama")
    assert len(MADE) == 1
