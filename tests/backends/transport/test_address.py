"""Addresses: what may be one, and that it is written as it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.errors import UsageError
from backends.transport.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/x.sock", Address("unix", path="/run/x.sock")),
        ("unix:///run/x.sock", Address("unix", path="/run/x.sock")),
        ("unix:////run/x.sock", Address("unix", path="/run/x.sock")),
        ("unix:x.sock", Address("unix", path="x.sock")),
        ("tcp://127.0.0.1:9002", Address("tcp", host="127.0.0.1", port=9002)),
        ("tcp://[::1]:9002", Address("tcp", host="::1", port=9002)),
        ("ws://127.0.0.1:8003/ws", Address("ws", "/ws", "127.0.0.1", 8003)),
        ("ws://127.0.0.1:8003", Address("ws", "/ws", "127.0.0.1", 8003)),
        ("ws://localhost/other", Address("ws", "/other", "localhost", 80)),
        ("wss://tekton.test/ws", Address("wss", "/ws", "tekton.test", 443)),
        ("wss://[::1]:8443/a/b", Address("wss", "/a/b", "::1", 8443)),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not an address"),
        ("apollo", "is not an address"),
        ("/run/x.sock", "is not an address"),
        ("http://localhost:8003", "is not an address"),
        ("localhost:8003", "is not an address"),
        ("unix:", "names no socket"),
        ("unix://", "names no socket"),
        ("tcp:", "needs a host and a port"),
        ("tcp://localhost", "needs a host and a port"),
        ("tcp://:9002", "needs a host and a port"),
        ("tcp://localhost:0", "needs a host and a port"),
        ("ws://localhost:0/ws", "needs a host and a port"),
        ("ws:///ws", "needs a host and a port"),
        ("tcp://localhost:70000", "Port out of range"),
        ("tcp://localhost:x", "Port could not be cast"),
        ("tcp://[::1:9002", "Invalid IPv6 URL"),
        ("ws://me:secret@localhost:8003/ws", "must not carry a user or a query"),
        ("ws://me@localhost:8003/ws", "must not carry a user or a query"),
        ("ws://localhost:8003/ws?token=secret", "must not carry a user or a query"),
    ],
)
def test_what_is_no_address_is_told(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        parse_address(text)
    assert raised.value.hint


@given(st.sampled_from(["unix:", "tcp://", "ws://", "wss://", ""]), st.text())
def test_any_text_is_an_address_or_a_usage_error(scheme: str, rest: str) -> None:
    try:
        address = parse_address(scheme + rest)
    except UsageError:
        return
    assert parse_address(str(address)) == address
