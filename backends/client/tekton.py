"""The door to all of Tekton: ask anything, and the right service answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, TypeVar

from backends.client.client import Client
from backends.client.discovery import (
    locate,
    read_token,
    remote_of,
    target,
    terminal_token,
    why_not,
)
from backends.errors import CannotConnect
from backends.paths import Paths
from backends.protocol.messages import Answer, Chat, Piece, Request
from backends.runtime import canonical
from backends.transport.address import Address

ResultT = TypeVar("ResultT")


class Tekton:
    """Routes each request to the service that answers it, over as many connections as it takes.

    On this machine it goes straight to each service's own socket. With a `url` everything goes
    there: to the gateway, or to a single CI.

        async with Tekton() as tekton:
            async for item in tekton.stream(Chat(ci="apollo", prompt="hello")):
                ...

    Args:
        url: Address as `--url` takes it; `None` means `$TEKTON_URL`, else this machine's hub.
        token_file: File with the token for `url`; `None` means `$TEKTON_TOKEN_FILE`.
        paths: Where this Tekton's files are; `None` asks the environment.
        is_local: Stay on this machine whatever `$TEKTON_URL` says.
        gather_s: For one who only draws what comes: read so many seconds' worth together.
    """

    def __init__(
        self,
        url: str | None = None,
        token_file: Path | None = None,
        paths: Paths | None = None,
        is_local: bool = False,
        gather_s: float = 0.0,
    ) -> None:
        self._gather_s = gather_s
        self._remote = None if is_local else remote_of(url)
        named = os.environ.get("TEKTON_TOKEN_FILE")
        token_file = token_file or (Path(named) if named else None)
        self._token = read_token(token_file) if token_file and self._remote else None
        self._paths = paths
        self._runtime = os.fspath(paths.runtime) if paths else None
        self._clients: dict[Address, Client] = {}
        self._connecting: dict[Address, asyncio.Lock] = {}

    async def call(self, request: Request[ResultT]) -> ResultT:
        """Ask and wait for the result.

        Raises:
            TektonError: What the service answered, or why it could not be asked.
        """
        return await (await self._client_for(request)).call(request)

    async def stream(self, request: Request[ResultT]) -> AsyncGenerator[Any, None]:
        """Ask; yield each chunk as it comes and the result last; closing it cancels."""
        client = await self._client_for(request)
        chunks = client.stream(request)
        try:
            async for item in chunks:
                yield item
        finally:
            await chunks.aclose()

    async def chat(self, ci: str, prompt: str) -> AsyncGenerator[Piece | Answer, None]:
        """Prompt a CI; yield the pieces of its answer and the `Answer` last."""
        async for item in self.stream(Chat(ci=canonical(ci), prompt=prompt)):
            yield item

    async def close(self) -> None:
        """Close every connection."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.close()

    async def __aenter__(self) -> Tekton:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _client_for(self, request: Request[Any]) -> Client:
        name, is_ci = target(request)
        address = self._remote or locate(name, is_ci, self._runtime)
        async with self._connecting.setdefault(address, asyncio.Lock()):
            client = self._clients.get(address)
            if client is None or not client.is_open:
                token = self._token if self._remote else terminal_token(name)
                try:
                    client = await Client.connect(address, token, gather_s=self._gather_s)
                except CannotConnect as error:
                    if self._remote:
                        raise
                    raise why_not(name, is_ci, self._paths, error.message) from error
                self._clients[address] = client
        return client
