"""The contract of a model provider.

A provider turns one prompt into a stream of text. It is found by entry point
(`tekton.providers`), made once for each `[providers.NAME]` of the configuration, and imports
its vendor's package on first use only, in a thread, never at import.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from backends.protocol.messages import Attachment, Usage

CONTEXT_TOKENS = 8192
"""What a provider takes with one request where it does not say: prompt, history and answer."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What was asked and answered before, in the same conversation; neither is empty."""

    prompt: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a provider is asked.

    `text` is the whole user message, and `history` what went before it, oldest first. `model` is
    the provider's own name for the model, never empty. `images` are attachments with `data`; text
    attachments are part of `text` already. `schema` is a JSON schema; a provider whose server can
    hold the model to one passes it on, the others leave it.
    """

    text: str
    model: str
    history: tuple[Exchange, ...] = ()
    schema: Mapping[str, Any] | None = None
    system: str | None = None
    images: tuple[Attachment, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something the user should know while the answer comes, or is waited for."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Finish:
    """The end of an answer, sent by the model's server; a stream without it is truncated.

    `reason` is `stop`, or `length` where a limit of tokens cut the answer, or the server's own
    word. `model` is the model that really answered, as the server names it. `cost_usd` is what the
    answer cost where the server tells it itself; elsewhere the table of prices does.
    """

    reason: str
    model: str
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a look at a provider found.

    `models` holds the names of the models it has, the preferred one first; it is empty where it
    cannot be used, and `reason` then says why and `hint` what to do. `is_local` is true where a
    prompt costs no money.
    """

    models: tuple[str, ...] = ()
    reason: str | None = None
    hint: str | None = None
    is_local: bool = False


class Provider(Protocol):
    """One model server, or one vendor's interface.

    Constructed with the provider's name and its settings: `Provider(name, settings, get_key)`.
    One whose requests hold another number of tokens than `CONTEXT_TOKENS` has an attribute
    `context_tokens`, and `is_context_set` where its owner has said so: then it is no guess.
    """

    name: str

    async def probe(self, timeout_s: float) -> Probe:
        """Look whether the server answers and what it has; raises nothing where it does not."""

    def stream(self, prompt: Prompt) -> AsyncIterator[str | Notice | Finish]:
        """Send a prompt; yield pieces of text as they come, then exactly one `Finish`.

        Closing the iterator cancels the request at the server. Nothing is retried.

        Raises:
            ModelError: The server refused or failed; the message has its reason.
            AnswerTruncated: The stream ended, broke or was malformed before its finish marker.
        """

    async def close(self) -> None:
        """Close the connections; the provider is not used again."""


class KeySource(Protocol):
    """Finds the key of a provider: environment, key command, keyring, then file."""

    def __call__(self) -> str | None:
        """Return the key, or `None` where there is none."""


def messages(prompt: Prompt, content: Any) -> list[dict[str, Any]]:
    """Return history and prompt as the messages that model servers take.

    Args:
        prompt: Whose history it is.
        content: The prompt's own text, with its images in the server's form.
    """
    before = (
        message
        for exchange in prompt.history
        for message in (
            {"role": "user", "content": exchange.prompt},
            {"role": "assistant", "content": exchange.answer},
        )
    )
    return [*before, {"role": "user", "content": content}]


Settings = Mapping[str, Any]
"""The table `[providers.NAME]` of the configuration as it stands there."""
