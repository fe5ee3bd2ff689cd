"""Tests of `backends.providers.ollama`."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from ollama._client import _parse_host

from backends.errors import ConfigError
from backends.protocol.messages import Attachment
from backends.providers.base import Exchange, Probe
from backends.providers.ollama import OllamaProvider
from tests.backends.providers.cases import CASES, ask
from tests.model_servers import OllamaServer, Script
from tests.scripted_http import Reply

CASE = next(case for case in CASES if case.name == "ollama")


class Listing(OllamaServer):
    """Ollama with models whose entries hold more."""

    entries: tuple[dict[str, Any], ...] = ()

    def listing(self, path: str) -> Reply | None:
        del path
        return Reply.of_json({"models": self.entries})


def look(*entries: dict[str, Any], **settings: Any) -> Probe:
    with Listing() as server:
        server.entries = entries
        return asyncio.run(CASE.provider(server.url, **settings).probe(5))


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": name, "details": {"family": "llama"}, **more}


def test_a_prompt_has_the_form_of_the_chat_interface() -> None:
    image = Attachment(name="a.png", media_type="image/png", data="aW1hZ2U=")
    prompt = CASE.prompt("hi", system="be brief", images=(image,), temperature=0.5, max_tokens=7)
    with OllamaServer() as server:
        assert ask(CASE, server, prompt, options={"num_ctx": 8192, "temperature": 1}).text == "hi"
        body = server.wait_request().body
    assert body == {
        "model": "llama3.2",
        "stream": True,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi", "images": ["aW1hZ2U="]},
        ],
        "options": {"num_ctx": 8192, "temperature": 0.5, "num_predict": 7},
        "tools": [],
    }


def test_what_was_said_before_goes_before_the_prompt() -> None:
    history = (Exchange(prompt="one?", answer="1"), Exchange(prompt="two?", answer="2"))
    with OllamaServer() as server:
        ask(CASE, server, CASE.prompt("and?", history=history, system="be brief"))
        body = server.wait_request().body
    assert body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "and?"},
    ]


def test_a_schema_is_sent_as_the_format() -> None:
    with OllamaServer() as server:
        ask(CASE, server, CASE.prompt("hi", schema={"type": "object"}))
        assert server.wait_request().body["format"] == {"type": "object"}


def room(**settings: Any) -> int:
    provider = CASE.provider("http://127.0.0.1:1", **settings)
    assert isinstance(provider, OllamaProvider)
    return provider.context_tokens


def test_context_tokens_are_num_ctx() -> None:
    assert room() == 4096
    assert room(options={"num_ctx": 9}) == 9
    with OllamaServer() as server:
        ask(CASE, server, context_tokens=8192)
        assert server.wait_request().body["options"] == {"num_ctx": 8192}


def test_a_plain_prompt_sends_no_options() -> None:
    with OllamaServer() as server:
        ask(CASE, server)
        assert "options" not in server.wait_request().body


def test_an_image_that_reads_like_a_path_is_not_read_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret00").write_text("nobody else's business")
    image = Attachment(name="a.png", media_type="image/png", data="secret00")
    with OllamaServer() as server:
        ask(CASE, server, CASE.prompt(images=(image,)))
        assert server.wait_request().body["messages"][0]["images"] == ["secret00"]


@pytest.mark.parametrize(
    "host",
    [
        None,
        "1.2.3.4",
        ":56789",
        "1.2.3.4:56789",
        "https://1.2.3.4:56789",
        "example.com",
        "example.com:56789/",
        "example.com:56789/path/",
        "[::1]",
        "[::1]:56789",
        "http://[::1]:1/path",
    ],
)
def test_a_host_means_what_it_means_to_ollama(
    host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host is None:
        monkeypatch.delenv("OLLAMA_HOST")
    else:
        monkeypatch.setenv("OLLAMA_HOST", host)
    provider = OllamaProvider("ollama", {}, lambda: None)
    assert provider._address.url == _parse_host(host)


def test_the_settings_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "example.com")
    provider = OllamaProvider("ollama", {"url": "http://127.0.0.1:5"}, lambda: None)
    assert provider._address.url == "http://127.0.0.1:5"


def test_llama_3_3_is_preferred_where_nothing_is_set() -> None:
    found = look(entry("a:1b"), entry("llama3.3:70b"), entry("b:1b"))
    assert found.models == ("llama3.3:70b", "a:1b", "b:1b")


def test_the_newest_is_preferred_without_it() -> None:
    assert look(entry("b:1b"), entry("a:1b")).models == ("b:1b", "a:1b")


@pytest.mark.parametrize("name", ["a:1b", "a:latest", "a"])
def test_the_configured_model_is_preferred(name: str) -> None:
    there = "a:latest" if name == "a" else name
    found = look(entry("llama3.3:70b"), entry(there), model=name)
    assert found.models == (there, "llama3.3:70b")


def test_a_configured_model_that_is_missing_is_not_replaced_in_silence() -> None:
    found = look(entry("llama3.3:70b"), model="gone")
    assert found.models == ()
    assert found.reason == "ollama has no model 'gone'"
    assert found.hint == "`ollama pull gone`"


def test_models_that_cannot_chat_are_left_out() -> None:
    old = entry("nomic-embed-text:latest", details={"family": "nomic-bert"})
    new = entry("embeddinggemma:latest", capabilities=["embedding"])
    both = entry("c:1b", capabilities=["completion", "tools"], details={"family": "bert"})
    assert look(old, new, both, entry("a:1b", details=None)).models == ("c:1b", "a:1b")


def test_models_that_run_elsewhere_come_last_and_are_not_local() -> None:
    cloud = entry("gpt-oss:120b-cloud", remote_host="https://ollama.com:443")
    found = look(cloud, entry("a:1b"))
    assert found == Probe(models=("a:1b", "gpt-oss:120b-cloud"), is_local=True)
    assert look(cloud) == Probe(models=("gpt-oss:120b-cloud",), is_local=False)


def test_the_vendors_own_servers_are_not_local() -> None:
    for url, is_local in (("https://ollama.com", False), ("https://notollama.com", True)):
        provider = OllamaProvider("ollama", {"url": url}, lambda: None)
        assert asyncio.run(provider.probe(0.0)).is_local == is_local


@pytest.mark.parametrize("entries", [("x",), ({},), ({"name": "a", "details": 5},)])
def test_a_strange_list_is_not_taken_for_ollamas(entries: tuple[Any, ...]) -> None:
    found = look(*entries)
    assert found.models == ()
    assert found.reason is not None
    assert "answers, but not as ollama should" in found.reason


def test_options_must_be_a_table() -> None:
    with pytest.raises(ConfigError, match=r"\[providers\.ollama\] options is 5, not a table"):
        CASE.provider("http://127.0.0.1:1", options=5)


@pytest.mark.parametrize("line", [b"[]\n", b"5\n", b'{"error": {"message": "x"}}\n', b"{}\n"])
def test_a_line_of_another_form_is_malformed(line: bytes) -> None:
    class Odd(OllamaServer):
        def frames(self, prompt: dict[str, Any]) -> Reply:
            del prompt
            return Reply(head=(line,))

    with Odd(Script()) as server:
        error = ask(CASE, server).failure
    assert "after 0 characters: malformed stream" in error.message


def test_base64_is_sent_as_it_came() -> None:
    data = base64.b64encode(bytes(range(256))).decode()
    image = Attachment(name="a.png", media_type="image/png", data=data)
    with OllamaServer() as server:
        ask(CASE, server, CASE.prompt(images=(image,)))
        assert server.wait_request().body["messages"][0]["images"] == [data]
