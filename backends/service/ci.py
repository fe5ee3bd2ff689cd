"""What every CI does with a prompt: answer it in a stream, store the turn, tell the bus."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from backends.errors import (
    AnswerTruncated,
    CannotConnect,
    ModelError,
    NotFound,
    StorageError,
    TektonError,
)
from backends.protocol import schema
from backends.protocol.conversations import Resumed, ResumeSession, Turn, TurnStatus
from backends.protocol.messages import Answer, Chat, Piece, ServiceInfo, Usage
from backends.runtime import canonical
from backends.service.base import Context, Service, handles
from backends.service.turns import TurnRecorder


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The end of an answer: what the one who answered says of it."""

    model: str
    reason: str = "stop"
    usage: Usage = dataclasses.field(default_factory=Usage)
    cost_usd: float | None = None


class CIService(Service):
    """A CI: subclasses say how a prompt is answered, and this does all the rest."""

    is_ci = True
    is_service = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._answering = 0

    async def model_for(self, chat: Chat) -> str:
        """Return the model that will answer, as `provider/model`.

        Raises:
            NoModel: There is none; the message says why and the hint what to do.
        """
        raise NotImplementedError

    def answer(
        self, chat: Chat, model: str, turns: Sequence[Turn]
    ) -> AsyncGenerator[str | Piece | Finished, None]:
        """Yield text as it comes, notices as pieces, then one `Finished`; closing it cancels.

        Args:
            chat: The prompt.
            model: What `model_for` returned.
            turns: What went before in this conversation, oldest first.

        Raises:
            ModelError: As a provider raises it.
        """
        raise NotImplementedError

    async def describe(self) -> ServiceInfo:
        """Describe this CI as it is now."""
        return dataclasses.replace(await super().describe(), answering=self._answering)

    @handles(Chat)
    async def chat(self, chat: Chat) -> AsyncGenerator[Piece | Answer, None]:
        """Answer a prompt."""
        if chat.ci is not None and canonical(chat.ci) != self.name:
            raise NotFound(
                f"this is the socket of {self.name!r}; it does not answer for {chat.ci!r}",
                "connect to that CI's own socket, or to the gateway",
            )
        before, notice = await self._resume(chat)
        if notice:
            yield Piece(notice=notice)
        exchange = _Exchange(self.context, self.name, chat, before)
        self._answering += 1
        try:
            async with aclosing(self._follow(exchange, chat, before)) as items:
                async for item in items:
                    yield item
        except (asyncio.CancelledError, GeneratorExit):
            exchange.end(TurnStatus.INTERRUPTED, "cancelled")
            raise
        except TektonError as error:
            is_cut = isinstance(error, AnswerTruncated)
            exchange.end(TurnStatus.TRUNCATED if is_cut else TurnStatus.FAILED, error.message)
            if isinstance(error, ModelError):
                self.last_error = error.message
            notice = await exchange.stored()
            if notice:
                yield Piece(notice=notice)
            raise
        except Exception as error:
            exchange.end(TurnStatus.FAILED, f"{self.name} failed: {error!r}")
            raise
        finally:
            self._answering -= 1

    async def _resume(self, chat: Chat) -> tuple[Resumed, str | None]:
        """Find what went before, and what the user should know of that.

        An answer without its history is better than none: so a memory that is away is told.
        """
        fresh = Resumed(session=uuid.uuid4().hex)
        if not chat.session and not chat.continues and not chat.after:
            return fresh, None
        if not self.context.config.engram.enabled:
            return fresh, "nothing is remembered: `enabled` of [engram] is false"
        request = ResumeSession(
            ci=self.name,
            session=chat.session,
            continues=chat.continues,
            after=chat.after,
            terminal=chat.terminal,
        )
        try:
            found = await self.context.call(request)
        except (CannotConnect, StorageError) as error:
            return fresh, f"what was said before is not known: {error.message}"
        if found.is_new and chat.continues:
            return found, f"{self.name} has no conversation in this terminal yet: this is a new one"
        if found.has_moved:
            return found, "this conversation has gone on elsewhere: this turn branches off"
        return found, None

    async def _follow(
        self, exchange: _Exchange, chat: Chat, before: Resumed
    ) -> AsyncGenerator[Piece | Answer, None]:
        model = await self.model_for(chat)
        await exchange.begin(model)
        finished = None
        items = self.answer(chat, model, before.turns)
        try:
            async for item in items:
                if isinstance(item, str):
                    exchange.add(item)
                    yield Piece(text=item)
                elif isinstance(item, Piece):
                    exchange.add(item.text)
                    yield item
                else:
                    finished = item
        finally:
            await items.aclose()
        if finished is None:
            raise AnswerTruncated("the answer ended without its finish marker")
        if finished.reason == "length":
            yield Piece(notice="the answer is cut: the model's limit of tokens is reached")
        answer = exchange.finish(finished)
        notice = await exchange.stored()
        if notice:
            yield Piece(notice=notice)
            answer = dataclasses.replace(answer, turn=None)
        yield answer

    async def legacy(self, line: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Answer a line of the original protocol: ping, health, info or chat."""
        info = await self.describe()
        me = {"ai_id": self.name}
        provider, _, model = (info.model or "").partition("/")
        match line.get("type"):
            case "ping":
                return {"type": "pong", **me, "timestamp": self.context.now()}
            case "health":
                return {
                    "type": "health_response", **me, "status": "healthy", "component": self.name,
                    "model": f"{provider}:{model}" if model else "none", "clients": self._answering,
                }  # fmt: skip
            case "info":
                return {
                    "type": "info_response", **me, "component": self.name,
                    "description": info.description,
                    "model_provider": provider, "model_name": model, "role": info.role,
                    "capabilities": list(info.capabilities),
                }  # fmt: skip
            case "chat":
                return me | await self._legacy_chat(line)
        return {"type": "error", **me, "error": f"unknown type {line.get('type')!r}"}

    async def _legacy_chat(self, line: Mapping[str, Any]) -> dict[str, Any]:
        content = line.get("content", line.get("message"))
        if not isinstance(content, str):
            return {"type": "error", "error": "chat needs content"}
        texts: list[str] = []
        prompt = schema.decode(Chat, {"prompt": content})
        try:
            async for item in self.chat(prompt):
                if isinstance(item, Piece):
                    texts.append(item.text)
                else:
                    answer = item
        except TektonError as error:
            return {"type": "error", "error": error.message}
        usage = {
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
        }
        return {
            "type": "response", "content": "".join(texts), "model": answer.model,
            "usage": usage, "latency": answer.elapsed_s,
        }  # fmt: skip


class _Exchange:
    """One prompt and its answer on their way: times, events, and the stored turn."""

    def __init__(self, context: Context, ci: str, chat: Chat, before: Resumed) -> None:
        self._context = context
        self._ci = ci
        self._began = time.monotonic()
        self._first_s: float | None = None
        self._recorder = TurnRecorder(context, chat.terminal)
        self.turn = Turn(
            id=uuid.uuid4().hex,
            session=before.session,
            parent=before.parent,
            ci=ci,
            status=TurnStatus.RUNNING,
            prompt=user_text(chat),
            system=chat.system,
            started_at=context.now(),
        )

    async def begin(self, model: str) -> None:
        """Store the turn and announce it; waits only shortly for a store that is slow."""
        self.turn = dataclasses.replace(self.turn, model=model)
        self._publish("started", model=model)
        await self._recorder.begin(self.turn)

    def add(self, text: str) -> None:
        if self._first_s is None and text:
            self._first_s = time.monotonic() - self._began
        self._recorder.add(text)

    def finish(self, finished: Finished) -> Answer:
        status = TurnStatus.TRUNCATED if finished.reason == "length" else TurnStatus.COMPLETE
        answer = Answer(
            ci=self._ci,
            model=finished.model,
            finish_reason=finished.reason,
            usage=finished.usage,
            cost_usd=finished.cost_usd,
            time_to_first_token_s=self._first_s,
            elapsed_s=time.monotonic() - self._began,
            session=self.turn.session,
            turn=self.turn.id if self._context.config.engram.enabled else None,
        )
        self.turn = dataclasses.replace(
            self.turn,
            model=finished.model,
            finish_reason=finished.reason,
            input_tokens=finished.usage.input_tokens,
            output_tokens=finished.usage.output_tokens,
            cost_usd=finished.cost_usd,
        )
        self.end(status, None)
        return answer

    def end(self, status: TurnStatus, error: str | None) -> None:
        """Store the turn's end, in the background, and announce it; only the first end counts."""
        if self.turn.ended_at is not None:
            return
        elapsed = time.monotonic() - self._began
        self.turn = dataclasses.replace(
            self.turn,
            status=status,
            error=error,
            time_to_first_token_s=self._first_s,
            elapsed_s=elapsed,
            ended_at=self._context.now(),
        )
        self._recorder.finish(self.turn)
        word = {TurnStatus.COMPLETE: "finished", TurnStatus.INTERRUPTED: "interrupted"}.get(
            status, "failed"
        )
        if status is TurnStatus.TRUNCATED and error is None:
            word = "finished"
        self._publish(word, model=self.turn.model, elapsed_s=round(elapsed, 3), error=error)

    async def stored(self) -> str | None:
        """Wait shortly for the store; returns what to tell the user if the turn is not stored."""
        return await self._recorder.outcome()

    def _publish(self, word: str, **data: Any) -> None:
        self._context.publish(f"ci.{self._ci}.answer.{word}", turn=self.turn.id, **data)


def user_text(chat: Chat) -> str:
    """Compose the user's message: question, then what came through a pipe, then attached texts."""
    parts = [chat.prompt] if chat.prompt else []
    if chat.input is not None:
        parts.append(chat.input)
    parts += [
        f"File {attachment.name}:\n\n{attachment.text}"
        for attachment in chat.attachments
        if attachment.text is not None
    ]
    return "\n\n".join(parts)
