"""The generic CI: a persona in front of a model."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncGenerator, Sequence

from backends.errors import ConfigError, MessageTooLarge, NoModel
from backends.personas import Persona, load_personas
from backends.protocol.conversations import Turn
from backends.protocol.messages import Chat, Piece, ServiceInfo
from backends.providers.base import CONTEXT_TOKENS, Finish, Prompt
from backends.providers.models import Models
from backends.service.base import Context
from backends.service.ci import CIService, Finished, user_text
from backends.specialist.history import tokens, with_history

log = logging.getLogger(__name__)

_LOOK_S = 0.5
"""Well within the time after which the directory takes a silent CI for dead."""


def specialists(context: Context) -> list[Specialist]:
    """Make one specialist for each persona that can be read; they share their providers."""
    models = Models(context.config, context.paths.keys)
    personas = load_personas(
        context.paths.personas,
        lambda name, error: log.error("the CI %s is left out: %s", name, error.message),
    )
    return [Specialist(context, name, persona, models) for name, persona in personas.items()]


class Specialist(CIService):
    """Answers with a model, in the manner of its persona."""

    def __init__(self, context: Context, name: str, persona: Persona, models: Models) -> None:
        self.name = name
        super().__init__(context)
        self.persona = persona
        self._models = models
        self._log = logging.getLogger(f"backends.{name}")

    async def start(self) -> None:
        """Count as a user of the providers."""
        self._models.use()

    async def stop(self) -> None:
        """Let go of the providers."""
        await self._models.release()

    async def describe(self) -> ServiceInfo:
        """Describe this CI, with the model really behind it now."""
        model, note = await self._model_now()
        return dataclasses.replace(
            await super().describe(),
            kind="echo" if model and model.startswith("echo/") else "specialist",
            role=self.persona.role,
            description=self.persona.description,
            capabilities=self.persona.capabilities,
            model=model,
            note=note,
        )

    async def model_for(self, chat: Chat) -> str:
        """Return the model that the prompt names, else the persona's."""
        wanted = chat.model or self.persona.model
        model = await self._models.resolve(wanted)
        self._log.debug("model %s is %s", wanted or "auto", model, extra={"model": model})
        return model

    async def answer(
        self, chat: Chat, model: str, turns: Sequence[Turn]
    ) -> AsyncGenerator[str | Piece | Finished, None]:
        """Stream the model's answer."""
        provider_name, _, model_name = model.partition("/")
        provider = self._models.provider(provider_name)
        prompt = self._prompt(chat, model_name)
        room = getattr(provider, "context_tokens", CONTEXT_TOKENS)
        prompt, left_out = with_history(prompt, turns, room)
        size = tokens(prompt.text) + tokens(prompt.system or "")
        if size > room and getattr(provider, "is_context_set", False):
            yield Piece(notice=_too_long(size, room, provider_name))
        if left_out:
            yield Piece(notice=_left_out(left_out, len(turns), room, provider_name))
        items = provider.stream(prompt)
        try:
            async for item in items:
                if isinstance(item, str):  # first, as almost all are
                    yield item
                elif isinstance(item, Finish):
                    yield await self._finished(item, provider_name)
                else:
                    yield Piece(notice=item.text)
        finally:
            await items.aclose()  # type: ignore[attr-defined]

    def _prompt(self, chat: Chat, model: str) -> Prompt:
        text = user_text(chat)
        limit = self.persona.max_prompt_bytes
        if limit is not None and len(text.encode()) > limit:
            raise MessageTooLarge(
                f"the prompt is {len(text.encode())} bytes; {self.name} takes {limit}"
            )
        return Prompt(
            text=text,
            model=model,
            system=chat.system if chat.system is not None else self.persona.system.strip() or None,
            images=tuple(item for item in chat.attachments if item.data is not None),
            temperature=self.persona.temperature,
            max_tokens=self.persona.max_tokens,
            schema=chat.schema,
        )

    async def _finished(self, finish: Finish, provider: str) -> Finished:
        model = f"{provider}/{finish.model}"
        cost = finish.cost_usd
        if cost is None:
            cost = await self._models.price(model, finish.usage)
        return Finished(model=model, reason=finish.reason, usage=finish.usage, cost_usd=cost)

    async def _model_now(self) -> tuple[str | None, str | None]:
        try:
            async with asyncio.timeout(_LOOK_S):
                model = await self._models.resolve(self.persona.model)
                probe = await self._models.probe(model.partition("/")[0])
        except (NoModel, ConfigError) as error:
            return None, error.message
        except TimeoutError:
            return None, "its model's server has not answered yet"
        if not probe.models:
            return None, probe.reason
        return model, "answers with its input; no model" if model.startswith("echo/") else None


def _left_out(count: int, of: int, room: int, provider: str) -> str:
    are = "is" if count == 1 else "are"
    return (
        f"{count} of the {of} turns before this one {are} left out, the oldest first: "
        f"{provider} takes {room} tokens (`context_tokens`)"
    )


def _too_long(size: int, room: int, provider: str) -> str:
    return (
        f"this prompt has about {size} tokens, and {provider} takes {room} (`context_tokens`): "
        "the model may see only a part of it"
    )
