"""The same door for programs without asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from backends.client.tekton import Tekton
from backends.paths import Paths
from backends.protocol.messages import Answer, Chat, Piece, Request

ResultT = TypeVar("ResultT")


class BlockingTekton:
    """`Tekton` whose methods block; use it with `with`, in one thread, outside any event loop."""

    def __init__(
        self, url: str | None = None, token_file: Path | None = None, paths: Paths | None = None
    ) -> None:
        self._tekton = Tekton(url, token_file, paths)
        self._runner = asyncio.Runner()

    def call(self, request: Request[ResultT]) -> ResultT:
        """Ask and wait for the result; raises as `Tekton.call` does."""
        return self._runner.run(self._tekton.call(request))

    def stream(self, request: Request[Any]) -> Iterator[Any]:
        """Ask; yield each chunk as it comes and the result last; closing it cancels."""
        chunks = self._tekton.stream(request)

        async def following() -> Any:
            return await anext(chunks, None)

        try:
            while (item := self._runner.run(following())) is not None:
                yield item
        finally:
            self._runner.run(chunks.aclose())  # type: ignore[attr-defined]

    def chat(self, ci: str, prompt: str) -> Iterator[Piece | Answer]:
        """Prompt a CI; yield the pieces of its answer and the `Answer` last."""
        return self.stream(Chat(ci=ci, prompt=prompt))

    def close(self) -> None:
        """Close every connection."""
        self._runner.run(self._tekton.close())
        self._runner.close()

    def __enter__(self) -> BlockingTekton:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
