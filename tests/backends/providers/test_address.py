"""Tests of `backends.providers.address`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest

from backends.errors import ConfigError
from backends.providers.address import Address, find_address, get_json
from tests.model_servers import OllamaServer

DEFAULT = "https://example.com/v1"


def parse(url: object, bare_port: int | None = None) -> Address:
    return find_address("lab", {"url": url}, "LAB_URL", DEFAULT, bare_port)


@pytest.mark.parametrize(
    ("host", "is_loopback", "is_private"),
    [
        ("127.0.0.1", True, True),
        ("127.9.9.9", True, True),
        ("[::1]", True, True),
        ("[::ffff:127.0.0.1]", True, True),
        ("localhost", True, True),
        ("LOCALHOST", True, True),
        ("a.localhost", True, True),
        ("0.0.0.0", True, True),
        ("[::]", True, True),
        ("10.1.2.3", False, True),
        ("172.16.0.1", False, True),
        ("192.168.0.1", False, True),
        ("100.100.1.1", False, True),
        ("169.254.1.1", False, True),
        ("[fd00::1]", False, True),
        ("vllm", False, True),
        ("nas.local", False, True),
        ("nas.home.arpa", False, True),
        ("8.8.8.8", False, False),
        ("[2606:4700::1111]", False, False),
        ("[::ffff:8.8.8.8]", False, False),
        ("localhost.evil.com", False, False),
        ("127.0.0.1.evil.com", False, False),
        ("evil.com", False, False),
        ("mylocalhost.com", False, False),
    ],
)
def test_where_a_host_is_can_be_told(host: str, is_loopback: bool, is_private: bool) -> None:
    address = parse(f"http://{host}:8000/v1")
    assert address.is_loopback == is_loopback
    assert address.is_private == is_private


def test_what_a_server_listens_on_becomes_where_it_is() -> None:
    assert parse("http://0.0.0.0:8000").url == "http://127.0.0.1:8000"
    assert parse("http://[::]:8000").url == "http://[::1]:8000"


def test_the_settings_go_first_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_URL", "http://b")
    assert find_address("lab", {"url": "http://a/"}, "LAB_URL", DEFAULT).url == "http://a"
    assert find_address("lab", {}, "LAB_URL", DEFAULT).url == "http://b"
    monkeypatch.setenv("LAB_URL", "")
    assert find_address("lab", {}, "LAB_URL", DEFAULT).url == DEFAULT


@pytest.mark.parametrize(
    "url",
    [
        5, "", "example.com", "ftp://example.com", "file:///etc/passwd", "http://", "http://:80",
        "http://a b", "http://a\nb", "http://a:x", "http://a:99999", "http://[::1",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: object) -> None:
    with pytest.raises(ConfigError, match=r"\[providers\.lab\] url is not an address"):
        parse(url)


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("http://me:hunter2@example.com")
    assert "hunter2" not in caught.value.lines()
    assert "tekton key set" in caught.value.message


def test_the_variable_is_named_where_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_URL", "nonsense")
    with pytest.raises(ConfigError, match="LAB_URL is not an address"):
        find_address("lab", {}, "LAB_URL", DEFAULT)


def test_a_document_is_fetched_with_its_headers() -> None:
    with OllamaServer() as server:
        found = asyncio.run(get_json(parse(server.url), "/api/tags", 5, {"x-test": "yes"}))
        assert server.requests[0].headers["x-test"] == "yes"
    assert [model["name"] for model in found["models"]] == ["llama3.2:latest", "llama3.3:70b"]


def answer_once(reply: bytes) -> str:
    """Serve one connection with these bytes; return the address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            with contextlib.suppress(ConnectionError):  # the client may have enough of it
                connection.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n<>",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\xff",
    ],
)
def test_what_is_no_json_over_http_is_refused(reply: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        asyncio.run(get_json(parse(answer_once(reply)), "", 5, {}))


def test_a_list_has_a_largest_size() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with pytest.raises((ValueError, ConnectionError)):
        asyncio.run(get_json(parse(answer_once(head + b"[" * 5_000_000)), "", 5, {}))


def test_a_server_that_drips_is_given_up_in_time() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip() -> None:
        with listener, listener.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not over.wait(0.01):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    address = parse(f"http://127.0.0.1:{listener.getsockname()[1]}")
    with pytest.raises(TimeoutError):
        asyncio.run(get_json(address, "", 0.1, {}))
    thread.join(5)
    stopped_by_client = not thread.is_alive()
    over.set()
    thread.join()
    assert stopped_by_client
