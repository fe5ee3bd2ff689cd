"""One hub and three model servers for each module; what the servers answer is each test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model_servers import AnthropicServer, OllamaServer, OpenAIServer, Script
from tests.scenarios.tekton_process import TektonProcess

MODELS = {
    "ollama": "ollama/llama3.2:latest",
    "openai": "openai/qwen3-8b",
    "anthropic": "anthropic/claude-sonnet-5-5",
}
"""A model of each server."""

_CONFIG = """
[models]
default = "ollama/llama3.2:latest"

[providers.ollama]
url = "{ollama}"

[providers.openai]
url = "{openai}/v1"

[providers.anthropic]
url = "{anthropic}"

{more}
"""


@pytest.fixture(scope="module")
def ollama_server() -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture(scope="module")
def openai_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def anthropic_server() -> Iterator[AnthropicServer]:
    with AnthropicServer() as server:
        yield server


@pytest.fixture(scope="module")
def more_config() -> str:
    """What a module adds to the configuration; it may override this."""
    return ""


@pytest.fixture(scope="module")
def more_personas() -> dict[str, str]:
    """CIs that a module adds, by name; it may override this."""
    return {}


@pytest.fixture(scope="module")
def shared_tekton(
    ollama_server: OllamaServer,
    openai_server: OpenAIServer,
    anthropic_server: AnthropicServer,
    more_config: str,
    more_personas: dict[str, str],
) -> Iterator[TektonProcess]:
    """A Tekton whose hub runs for as long as the module's tests."""
    config = _CONFIG.format(
        ollama=ollama_server.url, openai=openai_server.url, anthropic=anthropic_server.url,
        more=more_config,
    )  # fmt: skip
    variables = {"ANTHROPIC_API_KEY": "sk-test"}
    with TektonProcess(config, more_personas, variables) as tekton:
        tekton.start()
        yield tekton


@pytest.fixture
def ollama(ollama_server: OllamaServer) -> OllamaServer:
    """The server behind every CI, as new: it repeats the prompt and has seen no request."""
    ollama_server.script = Script()
    ollama_server.requests.clear()
    return ollama_server


@pytest.fixture
def openai(openai_server: OpenAIServer) -> OpenAIServer:
    openai_server.script = Script()
    openai_server.requests.clear()
    return openai_server


@pytest.fixture
def anthropic(anthropic_server: AnthropicServer) -> AnthropicServer:
    anthropic_server.script = Script()
    anthropic_server.requests.clear()
    return anthropic_server


@pytest.fixture
def tekton(shared_tekton: TektonProcess, ollama: OllamaServer) -> TektonProcess:
    """The module's Tekton; its CIs answer with what they are asked."""
    return shared_tekton
