"""Who may open a WebSocket: exactly, and by nothing that only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request

from backends.config import LOOPBACK, Tcp
from backends.service.guard import bearer_token, refusal

TCP = Tcp(hosts=("Tekton.test",), origins=("https://tekton.test",))


def request(path: str = "/ws", **fields: str | list[str]) -> Request:
    headers = Headers()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            headers[name] = value
    return Request(path, headers)


def status(tcp: Tcp = TCP, path: str = "/ws", **fields: str | list[str]) -> int | None:
    found = refusal(request(path, **fields), tcp)
    assert found is None or found[1]
    return found[0] if found else None


OURS = [
    "localhost",
    "LOCALHOST:1",
    "localhost:",
    "127.0.0.1:80",
    "[::1]",
    "[::1]:80",
    "tekton.test",
]
FOREIGN = [
    *("", " ", "evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "evil.com:127.0.0.1"),
    *("[::1].evil.com", "[::1]evil.com:80", "localhost:80:80", "localhost:x", "localhost."),
    *("127.1", "0x7f.1", "2130706433", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "::1"),
    *("localhost,evil.com", "localhost evil.com", "evil.com#localhost", "evil.com/localhost"),
    "localhost\\@evil.com",
]


@pytest.mark.parametrize("host", OURS)
def test_a_name_of_this_machine_may_be_called(host: str) -> None:
    assert status(Host=host) is None


@pytest.mark.parametrize("host", FOREIGN)
def test_any_other_name_is_refused(host: str) -> None:
    assert status(Host=host) == 421


def test_the_name_must_be_there_once() -> None:
    assert status() == 421
    assert status(Host=["localhost", "localhost"]) == 421
    assert status(Host=["localhost", "evil.com"]) == 421


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.text("[]:.0127localhst"))
def test_only_listed_names_pass(host: str) -> None:
    name = host.lower().removeprefix("[").split("]")[0].rsplit(":", 1)[0]
    known = LOOPBACK | {"tekton.test"}
    assert status(Host=host) == 421 or name in known or host.lower().strip("[]") in known


def test_the_address_that_is_listened_at_may_be_called() -> None:
    assert status(Tcp(host="127.0.0.5"), Host="127.0.0.5:8003") is None
    assert status(Tcp(), Host="127.0.0.5:8003") == 421


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.com", "null", "", "http://localhost", "https://tekton.test.evil.com"),
        *("https://tekton.test:444", "https://tekton.test/", "HTTPS://TEKTON.TEST", "file://"),
    ],
)
def test_a_page_that_is_not_listed_is_refused(origin: str) -> None:
    assert status(Host="localhost", Origin=origin) == 403


def test_a_page_that_is_listed_may_connect() -> None:
    assert status(Host="localhost", Origin="https://tekton.test") is None
    assert status(Tcp(), Host="localhost", Origin="https://tekton.test") == 403
    assert status(Host="localhost", Origin=["https://tekton.test"] * 2) == 403


@pytest.mark.parametrize("path", ["/", "", "/ws/", "/WS", "//ws", "/x/../ws", "/ws%20", "/%77s"])
def test_the_path_is_exactly_one(path: str) -> None:
    assert status(Host="localhost", path=path) == 404


def test_a_wrong_host_is_told_before_anything_else() -> None:
    assert status(Host="evil.com", Origin="https://evil.com", path="/") == 421
    assert status(Host="localhost", Origin="https://evil.com", path="/") == 403


@pytest.mark.parametrize(
    ("values", "token"),
    [
        ("Bearer secret", "secret"),
        ("bearer  secret ", "secret"),
        ("Bearer", ""),
        ("secret", ""),
        ("Basic secret", ""),
        ("Bearersecret", ""),
        (["Bearer a", "Bearer a"], ""),
        ([], ""),
    ],
)
def test_a_token_is_taken_from_one_bearer_header(values: str | list[str], token: str) -> None:
    assert bearer_token(request(Authorization=values)) == token
