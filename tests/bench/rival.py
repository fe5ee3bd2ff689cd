"""A prompt straight to a model server, with the vendor's own package; and the same through a hub.

A program of its own: it runs in the venv that is measured and imports nothing from beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator


def ollama(url: str) -> Callable[[], Iterator[str]]:
    """Prompt as the package's own documentation does."""
    from ollama import Client

    client = Client(url)
    prompt = [{"role": "user", "content": "hi"}]

    def ask() -> Iterator[str]:
        for part in client.chat(model="llama3.2", messages=prompt, stream=True):
            yield part.message.content or ""

    return ask


def openai(url: str) -> Callable[[], Iterator[str]]:
    """Prompt with httpx, reading server-sent events line by line."""
    import httpx

    client = httpx.Client()
    prompt = [{"role": "user", "content": "hi"}]
    body = {"model": "qwen3-8b", "messages": prompt, "stream": True}

    def ask() -> Iterator[str]:
        with client.stream("POST", f"{url}/chat/completions", json=body) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        yield choice["delta"].get("content") or ""

    return ask


RIVALS = {"ollama": ollama, "openai": openai}


def compare(ask: Callable[[], Iterator[str]], socket: str) -> None:
    """Answer each line of input with the seconds of both, direct first, and their characters."""
    from backends.client.client import Client
    from backends.protocol.messages import Chat, Piece
    from backends.transport.address import Address

    async def through_hub() -> tuple[float, int]:
        async with await Client.connect(Address("unix", path=socket)) as client:
            began, size = time.perf_counter(), 0
            async for item in client.stream(Chat(prompt="hi")):
                size += len(item.text) if isinstance(item, Piece) else 0
            return time.perf_counter() - began, size

    def direct() -> tuple[float, int]:
        began = time.perf_counter()
        size = sum(map(len, ask()))
        return time.perf_counter() - began, size

    with asyncio.Runner() as runner:
        for _ in sys.stdin:
            print(json.dumps([direct(), runner.run(through_hub())]), flush=True)


def main() -> None:
    """Ask once and print, or with `--socket` compare, once for each line of input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rival", choices=RIVALS)
    parser.add_argument("url")
    parser.add_argument("--socket", help="a CI's socket, to be asked by turns")
    given = parser.parse_args()
    ask = RIVALS[given.rival](given.url)
    if given.socket:
        compare(ask, given.socket)
        return
    for text in ask():
        sys.stdout.write(text)
        sys.stdout.flush()
    print()


if __name__ == "__main__":
    main()
