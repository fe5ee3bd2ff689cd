"""Vendors' packages cost memory and up to a second: only the first prompt loads them."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.model_servers import AnthropicServer, OllamaServer, OpenAIServer

LOOK = """
import asyncio, json, sys
from importlib import import_module

async def main():
    for name, kind, url in json.loads(sys.argv[1]):
        make = getattr(import_module(f"backends.providers.{name}"), kind)
        provider = make(name, {"url": url}, lambda: "key")
        assert (await provider.probe(10)).models, name
        await provider.close()

asyncio.run(main())
vendors = {"anthropic", "httpx", "httpx2", "ollama", "openai", "pydantic"}
print(json.dumps(sorted(vendors & set(sys.modules))))
"""


def test_a_look_loads_no_vendors_package() -> None:
    with AnthropicServer() as anthropic, OllamaServer() as ollama, OpenAIServer() as openai:
        servers = [
            ("anthropic", "AnthropicProvider", anthropic.url),
            ("ollama", "OllamaProvider", ollama.url),
            ("openai", "OpenAIProvider", openai.base_url),
            ("echo", "EchoProvider", ""),
        ]
        command = [sys.executable, "-c", LOOK, json.dumps(servers)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout) == []
