"""What coding agents print while they answer: one JSON object a line, read into an answer.

claude: its stream-json, where `stream_event` wraps the events of Anthropic's Messages interface
and one `result` ends it. codex: the thread events of `codex exec --json`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Protocol

from backends.cleaning import clean_line
from backends.protocol.messages import Usage
from backends.providers.base import Finish, Notice
from backends.providers.remote import count

MAX_SHOWN = 300
"""Characters of an agent's own words that are shown."""

log = logging.getLogger(__name__)


class AgentFault(Exception):
    """The agent says that it failed; the text is its own words."""


class Reader(Protocol):
    """Reads the events of one answer."""

    finish: Finish | None
    """The end of the answer, once the agent has told it."""

    def read(self, event: dict[str, Any]) -> Iterator[str | Notice]:
        """Take one event; yield the text and the notices in it.

        Raises:
            AgentFault: The event tells of a failure.
            ValueError, LookupError, TypeError, AttributeError: It has not the form it should have.
        """


class ClaudeReader:
    """Reads the stream of `claude`."""

    def __init__(self, name: str, model: str) -> None:
        self.finish: Finish | None = None
        self._name = name
        self._model = model
        self._last = ""
        """The last piece of text; empty before the first."""
        self._is_new_block = False
        self._is_open = False
        """A message has begun and has text, and is not yet complete."""
        self._read_tokens: int | None = None

    def read(self, event: dict[str, Any]) -> Iterator[str | Notice]:
        """Take one event."""
        kind = event["type"]
        if kind == "stream_event" and event.get("parent_tool_use_id") is None:
            yield from self._part(event["event"])
        elif kind == "system" and event.get("subtype") == "api_retry":
            why = " ".join(str(event[key]) for key in ("error_status", "error") if event.get(key))
            tries = f"{event.get('attempt')} of {event.get('max_retries')}"
            yield Notice(text=f"{self._name} tries again, {tries}: {shown(why)}")
        elif kind == "result":
            yield from self._result(event)

    def _part(self, part: dict[str, Any]) -> Iterator[str | Notice]:
        kind = part["type"]
        if kind == "message_start":
            if self._is_open:
                raise AgentFault("it began its answer anew in the middle")
            self._model = str(part["message"].get("model") or self._model)
            self._read_tokens = _tokens_read(part["message"].get("usage"))
        elif kind == "content_block_start":
            block = part["content_block"]
            self._is_new_block = block["type"] == "text"
            if block["type"].endswith("tool_use"):
                yield Notice(text=f"{self._name} uses {shown(block['name'])}")
        elif kind == "content_block_delta" and part["delta"]["type"] == "text_delta":
            yield from self._text(part["delta"]["text"])
        elif kind == "message_delta" and part["delta"].get("stop_reason") == "max_tokens":
            # The agent would go on with further requests until it is done: the limit ends it.
            written = count((part.get("usage") or {}).get("output_tokens"))
            usage = Usage(input_tokens=self._read_tokens, output_tokens=written)
            self.finish = Finish(reason="length", model=self._model, usage=usage)
        elif kind == "message_stop":
            self._is_open = False

    def _text(self, text: str) -> Iterator[str]:
        if not text:
            return
        if self._is_new_block and self._last and not self._last.endswith("\n"):
            yield "\n\n"
        self._is_new_block = False
        self._is_open = True
        self._last = text
        yield text

    def _result(self, result: dict[str, Any]) -> Iterator[str]:
        words = result.get("result") or "; ".join(result.get("errors") or ())
        if result.get("is_error") or result.get("subtype") != "success":
            raise AgentFault(words or str(result.get("subtype")))
        if not self._last:  # what it says itself, without asking a model, does not stream
            yield from self._text(words)
        usage, cost = result.get("usage") or {}, result.get("total_cost_usd")
        self.finish = Finish(
            reason="stop",
            model=self._model,
            usage=Usage(
                input_tokens=_tokens_read(usage), output_tokens=count(usage.get("output_tokens"))
            ),
            cost_usd=float(cost) if isinstance(cost, int | float) else None,
        )


class CodexReader:
    """Reads the stream of `codex exec`, which tells neither pieces of a message nor the model."""

    def __init__(self, name: str, model: str) -> None:
        self.finish: Finish | None = None
        self._name = name
        self._model = model
        self._last = ""

    def read(self, event: dict[str, Any]) -> Iterator[str | Notice]:
        """Take one event."""
        kind = event["type"]
        if kind == "item.completed":
            yield from self._item(event["item"])
        elif kind == "item.started":
            yield from self._begun(event["item"])
        elif kind == "error":  # one that is final comes again as `turn.failed`
            if (message := str(event["message"])).startswith("Reconnecting"):
                yield Notice(text=f"{self._name} tries again: {shown(message)}")
        elif kind == "turn.failed":
            raise AgentFault(str(event["error"]["message"]))
        elif kind == "turn.completed":
            used = event.get("usage") or {}
            usage = Usage(
                input_tokens=count(used.get("input_tokens")),
                output_tokens=count(used.get("output_tokens")),
            )
            self.finish = Finish(reason="stop", model=self._model, usage=usage)

    def _item(self, item: dict[str, Any]) -> Iterator[str]:
        if item["type"] == "error":  # a remark on its settings: the answer goes on
            log.info("%s: %s", self._name, shown(item["message"]))
        elif item["type"] == "agent_message" and item["text"]:
            if self._last and not self._last.endswith("\n"):
                yield "\n\n"
            self._last = item["text"]
            yield self._last

    def _begun(self, item: dict[str, Any]) -> Iterator[Notice]:
        if item["type"] == "command_execution":
            yield Notice(text=f"{self._name} runs: {shown(item['command'])}")
        elif item["type"] in ("web_search", "mcp_tool_call", "file_change"):
            yield Notice(text=f"{self._name} uses {item['type']}")


def shown(words: object) -> str:
    """Return an agent's own words on one line, clean and short."""
    text = clean_line(str(words)).strip()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _tokens_read(usage: dict[str, Any] | None) -> int | None:
    """Count the input; what was read from or into the cache was input, too."""
    found = {name: count(number) for name, number in (usage or {}).items()}
    if (read := found.get("input_tokens")) is None:
        return None
    cached = ("cache_creation_input_tokens", "cache_read_input_tokens")
    return read + sum(found.get(name) or 0 for name in cached)
