"""Every session that the documentation shows, typed again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from backends.config import PORTS
from tests.docs.console import form, is_like, play, steps
from tests.docs.pages import DOCS, all_pages, name_of
from tests.model_servers import AnthropicServer, OllamaServer, OpenAIServer, Script
from tests.scenarios.tekton_process import TektonProcess

SHOWN = [page for page in all_pages() if steps(page)]


@contextmanager
def no_model() -> Iterator[TektonProcess]:
    with TektonProcess() as tekton:
        yield tekton


@contextmanager
def an_ollama() -> Iterator[TektonProcess]:
    with OllamaServer(Script(models=("llama3.2:latest",))) as server:
        with TektonProcess(variables={"OLLAMA_HOST": server.url}) as tekton:
            yield tekton


@contextmanager
def an_anthropic() -> Iterator[TektonProcess]:
    with AnthropicServer() as server:
        with TektonProcess(variables={"ANTHROPIC_BASE_URL": server.url}) as tekton:
            (tekton.home / "key.txt").write_text("sk-ant-of-the-test\n", encoding="utf-8")
            yield tekton


@contextmanager
def an_openai() -> Iterator[TektonProcess]:
    with OpenAIServer(Script(models=("qwen3-8b",))) as server:
        with TektonProcess(variables={"OPENAI_BASE_URL": f"{server.url}/v1"}) as tekton:
            yield tekton


@contextmanager
def over_tcp() -> Iterator[TektonProcess]:
    """A hub runs, at any free ports; `with_ports` puts them into the commands."""
    free = "\n".join(f"{name} = 0" for name in PORTS)
    with TektonProcess(f"[tcp]\nenabled = true\n[tcp.ports]\n{free}") as tekton:
        tekton.start()
        yield tekton


def with_ports(command: str, tekton: TektonProcess) -> str:
    """Replace the usual ports in a command with those that the hub has."""
    for record in (tekton.home / "state" / "ai_registry").glob("*.json"):
        found = json.loads(record.read_text(encoding="utf-8"))
        for url in found.get("urls", ()):
            command = command.replace(f"127.0.0.1:{PORTS[found['name']]}", url.split("//")[1])
    return command


SERVERS: Mapping[str, Callable[[], AbstractContextManager[TektonProcess]]] = {
    "docs/how-to/ollama.md": an_ollama,
    "docs/how-to/anthropic.md": an_anthropic,
    "docs/how-to/openai-compatible.md": an_openai,
    "docs/how-to/remote-access.md": over_tcp,
}
"""Pages whose sessions need more than Tekton; a model's server is the tests' own."""


@pytest.mark.parametrize("page", SHOWN, ids=name_of)
def test_a_session_goes_as_it_is_shown(page: Path) -> None:
    expected = steps(page)
    make = SERVERS.get(name_of(page), no_model)
    with make() as tekton:
        printed = play([with_ports(step.command, tekton) for step in expected], tekton)
        tekton.shell("tekton down")
        seen = [form(text, tekton) for text in printed]
    assert len(seen) == len(expected)
    for step, text in zip(expected, seen, strict=True):
        assert is_like(step.output, text), f"$ {step.command}\n{text}"


def test_every_server_is_for_a_page_that_is_there() -> None:
    assert {name_of(page) for page in DOCS.rglob("*.md")} >= SERVERS.keys()


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("hi", "ho"), ("hi", "hi\nho"), ("a\n...\nc", "a\nb"), ("3 s", "x s"), ("", "hi")],
)
def test_another_output_is_not_like_the_one_shown(shown: str, printed: str) -> None:
    assert not is_like(shown, form(printed))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("pid 7", "pid 12345"), ("a\n...\nc", "a\nb\nb\nc"), ("a\n...", "a"), ("A  B", "A    B")],
)
def test_numbers_widths_and_what_is_left_out_may_differ(shown: str, printed: str) -> None:
    assert is_like(shown, form(printed))
