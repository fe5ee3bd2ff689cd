"""The generic CI: a persona, a model, and what goes from one to the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest

from backends.config import Config
from backends.config import Models as Chosen
from backends.errors import AnswerTruncated, ConfigError, MessageTooLarge, ModelError, NoModel
from backends.personas import Persona
from backends.protocol.messages import Answer, Attachment, Chat, Info, Piece, ServiceInfo, Usage
from backends.providers import models as models_module
from backends.providers.base import Finish, KeySource, Probe, Prompt
from backends.providers.models import Models
from backends.specialist import service as specialist_module
from backends.specialist.service import Specialist, specialists
from tests.backends.services import StageContext, client_of, running
from tests.backends.stage import eventually, run


class FakeProvider:
    """Answers by a script, and notes what it is asked."""

    last: FakeProvider

    def __init__(self, name: str, settings: Mapping[str, Any], get_key: KeySource) -> None:
        self.name = name
        self.prompts: list[Prompt] = []
        self.is_closed = False
        self.is_ended = False
        self.is_held = False
        self.failure: Exception | None = None
        self.found = Probe(models=("phi4",), is_local=True)
        FakeProvider.last = self

    async def probe(self, timeout_s: float) -> Probe:
        if self.is_held:
            await asyncio.Event().wait()
        return self.found

    async def stream(self, prompt: Prompt) -> AsyncGenerator[str | Finish, None]:
        self.prompts.append(prompt)
        try:
            yield "hel"
            if self.failure is not None:
                raise self.failure
            if self.is_held:
                await asyncio.Event().wait()
            yield "lo"
            yield Finish(
                reason="stop", model="phi4:14b", usage=Usage(input_tokens=1, output_tokens=2)
            )
        finally:
            self.is_ended = True

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    monkeypatch.setattr(models_module, "load_plugin", lambda group, name: FakeProvider)
    return FakeProvider("ollama", {}, lambda: None)


def make(provider: FakeProvider, persona: Persona | None = None) -> Specialist:
    models = Models(Config(), Path("/nowhere"), {})
    models._providers["ollama"] = provider
    return Specialist(StageContext(), "apollo", persona or Persona(), models)


def asked(provider: FakeProvider, persona: Persona, chat: Chat) -> Prompt:
    """Return what reaches the provider."""

    async def work() -> None:
        async with client_of(make(provider, persona)) as client:
            await client.call(chat)

    run(work())
    (prompt,) = provider.prompts
    return prompt


PERSONA = Persona(
    role="vision",
    description="Looks ahead.",
    capabilities=("foresight",),
    system="\nYou are Apollo.\n",
    model="ollama/phi4",
    temperature=0.5,
    max_tokens=100,
)


def test_the_persona_and_the_prompt_reach_the_model(provider: FakeProvider) -> None:
    image = Attachment(name="a.png", media_type="image/png", data="AA==")
    text = Attachment(name="b.txt", media_type="text/plain", text="inside")
    chat = Chat(prompt="look", input="piped", attachments=(image, text))
    assert asked(provider, PERSONA, chat) == Prompt(
        text="look\n\npiped\n\nFile b.txt:\n\ninside",
        model="phi4",
        system="You are Apollo.",
        images=(image,),
        temperature=0.5,
        max_tokens=100,
    )


def test_the_prompt_may_name_another_model_and_system(provider: FakeProvider) -> None:
    prompt = asked(provider, PERSONA, Chat(prompt="a", model="ollama/other", system="Be brief."))
    assert (prompt.model, prompt.system) == ("other", "Be brief.")


def test_a_persona_without_words_sends_none(provider: FakeProvider) -> None:
    prompt = asked(provider, Persona(), Chat(prompt="a"))
    assert (prompt.system, prompt.temperature, prompt.max_tokens) == (None, None, None)
    assert prompt.model == "phi4"


def test_the_answer_tells_the_model_that_really_answered(provider: FakeProvider) -> None:
    async def work() -> None:
        async with client_of(make(provider, PERSONA)) as client:
            items = [item async for item in client.stream(Chat(prompt="a"))]
        answer = items[-1]
        assert isinstance(answer, Answer)
        assert "".join(item.text for item in items[:-1]) == "hello"
        assert (answer.model, answer.finish_reason) == ("ollama/phi4:14b", "stop")
        assert (answer.usage.output_tokens, answer.cost_usd) == (2, 0.0)
        assert provider.is_ended

    run(work())


def test_a_prompt_over_the_personas_limit_is_refused_in_bytes(provider: FakeProvider) -> None:
    async def work() -> None:
        specialist = make(provider, Persona(max_prompt_bytes=10))
        async with client_of(specialist) as client:
            await client.call(Chat(prompt="ü" * 5))
            with pytest.raises(MessageTooLarge, match="the prompt is 12 bytes; apollo takes 10"):
                await client.call(Chat(prompt="ü" * 6))
        assert len(provider.prompts) == 1

    run(work())


@pytest.mark.parametrize("error", [ModelError("500: broken"), AnswerTruncated("it broke off")])
def test_an_error_of_the_provider_comes_after_what_it_had_said(
    provider: FakeProvider, error: ModelError
) -> None:
    async def work() -> None:
        provider.failure = error
        specialist = make(provider, PERSONA)
        async with client_of(specialist) as client:
            items = client.stream(Chat(prompt="a"))
            assert await anext(items) == Piece(text="hel")
            with pytest.raises(type(error), match=error.message):
                await anext(items)
        assert specialist.last_error == error.message
        assert provider.is_ended

    run(work())


def test_a_cancel_reaches_the_provider(provider: FakeProvider) -> None:
    async def work() -> None:
        specialist = make(provider, PERSONA)
        async with client_of(specialist) as client:
            provider.is_held = True
            items = client.stream(Chat(prompt="a"))
            await anext(items)
            assert not provider.is_ended
            await items.aclose()
            await eventually(lambda: provider.is_ended)

    run(work())


# -- what it says of itself --------------------------------------------------------------------


def described(specialist: Specialist) -> Mapping[str, Any]:
    async def work() -> ServiceInfo:
        async with client_of(specialist) as client:
            return await client.call(Info())

    return vars(run(work()))


def test_it_describes_its_persona_and_the_model_behind_it_now(provider: FakeProvider) -> None:
    found = described(make(provider, PERSONA))
    assert found["name"] == "apollo"
    assert found["kind"] == "specialist"
    assert found["role"] == "vision"
    assert found["description"] == "Looks ahead."
    assert found["capabilities"] == ("foresight",)
    assert (found["model"], found["note"]) == ("ollama/phi4", None)


def test_without_its_model_it_says_why(provider: FakeProvider) -> None:
    provider.found = Probe(reason="connection refused")
    found = described(make(provider, PERSONA))
    assert (found["model"], found["note"]) == (None, "connection refused")
    found = described(make(provider, Persona(model="nobody/x")))
    assert (found["model"], found["note"]) == (None, "no provider has a model named 'nobody/x'")


def test_a_mistake_of_the_configuration_is_its_note(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(group: str, name: str) -> Any:
        raise ConfigError("plug-in 'x' cannot be loaded")

    monkeypatch.setattr(models_module, "load_plugin", load)
    found = described(make(provider, Persona(model="anthropic")))
    assert (found["model"], found["note"]) == (None, "plug-in 'x' cannot be loaded")


def test_a_model_server_that_hangs_does_not_make_it_look_dead(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert specialist_module._LOOK_S < 1.0
    monkeypatch.setattr(specialist_module, "_LOOK_S", 0.02)

    async def work() -> None:
        provider.is_held = True
        specialist = make(provider, PERSONA)
        async with client_of(specialist) as client:
            found = await client.call(Info())
        assert (found.model, found.note) == (None, "its model's server has not answered yet")
        for _, look in specialist._models._probes.values():
            look.cancel()

    run(work())


# -- all of them -------------------------------------------------------------------------------


def test_each_persona_is_a_ci_of_its_own(tekton_home: Path) -> None:
    context = StageContext()
    context.paths.personas.mkdir(parents=True)
    (context.paths.personas / "zeus.toml").write_text('role = "king"\nmodel = "echo"\n')
    (context.paths.personas / "apollo.toml").write_text("is_enabled = false\n")
    found = {specialist.name: specialist for specialist in specialists(context)}
    assert "zeus" in found
    assert "apollo" not in found
    assert all(specialist.is_ci and not specialist.is_service for specialist in found.values())
    assert len({id(specialist._models) for specialist in found.values()}) == 1


def test_mirror_answers_with_its_input_and_says_so(tekton_home: Path) -> None:
    async def work() -> None:
        context = StageContext()
        mirror = next(item for item in specialists(context) if item.name == "mirror")
        async with client_of(mirror) as client:
            found = await client.call(Info())
            assert (found.kind, found.model) == ("echo", "echo/echo")
            assert found.note == "answers with its input; no model"
            items = [item async for item in client.stream(Chat(prompt="ünï\x1b[0m"))]
            assert "".join(item.text for item in items[:-1]) == "ünï\x1b[0m"
            assert (items[-1].model, items[-1].cost_usd) == ("echo/echo", 0.0)

    run(work())


def test_without_any_model_a_prompt_is_refused_with_what_to_do(tekton_home: Path) -> None:
    async def work() -> None:
        context = StageContext(Config(models=Chosen(order=("ollama",))))
        apollo = next(item for item in specialists(context) if item.name == "apollo")
        async with client_of(apollo) as client:
            with pytest.raises(NoModel, match=r"no model is there to answer \(ollama: ") as raised:
                await client.call(Chat(prompt="a"))
            assert "tekton key set anthropic" in (raised.value.hint or "")
        await apollo.start()
        await apollo.stop()

    run(work())


def test_providers_are_closed_with_the_last_specialist(provider: FakeProvider) -> None:
    async def work() -> None:
        first = make(provider, PERSONA)
        second = Specialist(first.context, "athena", PERSONA, first._models)
        context = first.context
        assert isinstance(context, StageContext)
        async with running(context, first, second) as runner:
            await runner.stop(second)
            assert not provider.is_closed
        assert provider.is_closed

    run(work())


def test_a_prompt_that_is_longer_than_the_model_takes_is_told(provider: FakeProvider) -> None:
    provider.context_tokens = 50  # type: ignore[attr-defined]

    async def notices(text: str) -> list[str | None]:
        async with client_of(make(provider)) as client:
            return [
                item.notice
                async for item in client.stream(Chat(prompt=text))
                if isinstance(item, Piece) and item.notice
            ]

    assert run(notices("short")) == []
    assert run(notices("x" * 300)) == [], "it may be a guess"
    provider.is_context_set = True  # type: ignore[attr-defined]
    [told] = run(notices("x" * 300))
    assert told is not None
    assert told.startswith("this prompt has about 1")
    assert "takes 50" in told
