"""The provider without a model: it answers with its prompt, for wiring and tests."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from backends.errors import ModelError
from backends.providers.base import Finish, KeySource, Probe, Prompt, Settings

MODEL = "echo"

PIECE = 16 * 1024
"""Characters of a piece: at most 64 KiB in UTF-8."""


class EchoProvider:
    """Answers with exactly the text of the prompt."""

    def __init__(self, name: str, settings: Settings, get_key: KeySource) -> None:
        del settings, get_key
        self.name = name

    async def probe(self, timeout_s: float) -> Probe:
        """It is always there."""
        del timeout_s
        return Probe(models=(MODEL,), is_local=True)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[str | Finish, None]:
        """Give the prompt back in pieces; what else it says is ignored.

        Raises:
            ModelError: The prompt holds images.
        """
        if prompt.images:
            raise ModelError(
                "echo gives text back and takes no images",
                "ask a CI with a model: `aish list` shows them",
            )
        for start in range(0, len(prompt.text), PIECE):
            yield prompt.text[start : start + PIECE]
        yield Finish(reason="stop", model=MODEL)

    async def close(self) -> None:
        """Nothing is open."""
