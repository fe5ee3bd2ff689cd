"""The eight rows of the table of robustness, in its order: what happens, and what is promised.

Each row holds for the fast path and for the full client, and for every provider it can concern.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.model_servers import (
    AnthropicServer,
    Fault,
    FaultKind,
    OllamaServer,
    OpenAIServer,
    Script,
)
from tests.scenarios.conftest import MODELS
from tests.scenarios.tekton_process import PATIENCE_S, TektonProcess

CLIENTS = {"fast": [], "full": ["--timeout", "60"]}
TOKENS = ["It ", "was ", "a dark"]


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> list[str]:
    """Options that choose the client."""
    return CLIENTS[request.param]


@pytest.fixture(params=list(MODELS))
def server(
    request: pytest.FixtureRequest,
    ollama: OllamaServer,
    openai: OpenAIServer,
    anthropic: AnthropicServer,
) -> OllamaServer | OpenAIServer | AnthropicServer:
    """A model's server; `model` names a model of it."""
    servers = {"ollama": ollama, "openai": openai, "anthropic": anthropic}
    found = servers[request.param]
    assert isinstance(found, OllamaServer | OpenAIServer | AnthropicServer)
    return found


@pytest.fixture
def model(request: pytest.FixtureRequest, server: object) -> str:
    name = type(server).__name__.removesuffix("Server").lower()
    return MODELS[name]


@pytest.fixture(scope="module", autouse=True)
def idle(shared_tekton: TektonProcess) -> list[tuple[subprocess.Popen[bytes], int]]:
    """Both clients beside a pipe that nobody writes to, and its other end."""
    begun = []
    for options in CLIENTS.values():
        reading, writing = os.pipe()
        begun.append((shared_tekton.begin("mirror", "row 5", *options, stdin=reading), writing))
        os.close(reading)
    return begun


@pytest.fixture(scope="module", autouse=True)
def late(shared_tekton: TektonProcess) -> list[subprocess.Popen[bytes]]:
    """Both clients behind a producer that sleeps for 4 s first."""
    begun = []
    for options in CLIENTS.values():
        producer = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(4); print('x' * 60_000, end='')"],
            stdout=subprocess.PIPE, env=shared_tekton.environment,
        )  # fmt: skip
        assert producer.stdout
        begun.append(shared_tekton.begin("mirror", *options, stdin=producer.stdout.fileno()))
        producer.stdout.close()
        shared_tekton.watch(producer)
    return begun


Server = OllamaServer | OpenAIServer | AnthropicServer


def test_row_1_http_500(
    tekton: TektonProcess, server: Server, model: str, client: list[str]
) -> None:
    server.script = Script(tokens=TOKENS, fault=Fault(FaultKind.STATUS, status=500))
    ran = tekton.aish("apollo", "row 1", "-m", model, *client)
    assert (ran.status, ran.out) == (6, b"")
    assert "500" in ran.err
    assert len(server.prompts) == 1


def test_row_2_http_429(
    tekton: TektonProcess, server: Server, model: str, client: list[str]
) -> None:
    server.script = Script(
        tokens=TOKENS, fault=Fault(FaultKind.STATUS, status=429, retry_after="7")
    )
    began = time.monotonic()
    ran = tekton.aish("apollo", "row 2", "-m", model, *client)
    assert time.monotonic() - began < 5, "it waited to try again"
    assert (ran.status, ran.out) == (6, b"")
    assert "429" in ran.err
    assert len(server.prompts) == 1


def test_row_3_the_connection_drops(
    tekton: TektonProcess, server: Server, model: str, client: list[str]
) -> None:
    server.script = Script(tokens=TOKENS, fault=Fault(FaultKind.DROP, after=2))
    ran = tekton.aish("apollo", "row 3", "-m", model, *client)
    assert (ran.status, ran.out) == (6, b"It was \n")
    assert ran.err.startswith("error: the answer of ")
    assert len(server.prompts) == 1


def test_row_4_the_stream_ends_without_its_marker(
    tekton: TektonProcess, server: Server, model: str, client: list[str]
) -> None:
    server.script = Script(tokens=TOKENS, fault=Fault(FaultKind.CUT, after=3))
    ran = tekton.aish("apollo", "row 4", "-m", model, *client)
    assert (ran.status, ran.out) == (6, b"It was a dark\n")
    assert "finish marker" in ran.err
    assert len(server.prompts) == 1


def test_row_5_standard_input_is_open_but_idle(
    tekton: TektonProcess, idle: list[tuple[subprocess.Popen[bytes], int]]
) -> None:
    """A notice after 2 s, and an answer as soon as the input ends."""
    for process, writing in idle:
        assert process.stderr
        assert process.stdout
        assert b"waiting for standard input" in process.stderr.read(1000)
        assert process.poll() is None
        os.close(writing)
        assert process.stdout.read() == b"row 5\n"
        assert process.wait(PATIENCE_S) == 0


def test_row_6_standard_input_is_late(
    tekton: TektonProcess, late: list[subprocess.Popen[bytes]]
) -> None:
    """60 kB from a producer that is 4 s late arrive whole."""
    for process in late:
        assert process.stderr
        assert process.stdout
        assert process.stdout.read() == b"x" * 60_000 + b"\n"
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_S) == 0


def test_row_7_sigint(tekton: TektonProcess, server: Server, model: str, client: list[str]) -> None:
    server.script = Script(tokens=TOKENS, fault=Fault(FaultKind.HANG, after=2))
    process = tekton.begin("apollo", "row 7", "-m", model, *client)
    assert process.stdout
    seen = b""
    while seen != b"It was ":
        seen += process.stdout.read(100)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == -signal.SIGINT
    assert server.prompts[0].disconnected.wait(5), "the provider's request goes on"


def test_row_8_the_pipe_is_closed(
    tekton: TektonProcess, server: Server, model: str, client: list[str]
) -> None:
    server.script = Script(tokens=[f"line {n}\n" for n in range(200)], delay_s=0.01)
    process = tekton.begin("apollo", "row 8", "-m", model, *client, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stderr
    assert process.stdout.read(7) == b"line 0\n"
    process.stdout.close()
    assert process.wait(PATIENCE_S) == -signal.SIGPIPE
    assert process.stderr.read() == b""
    assert server.prompts[0].disconnected.wait(5), "the provider's request goes on"
