"""`terma send`: keys by name, and text that presses none."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.errors import TektonError, UsageError
from backends.protocol.terminals import SignalTerminal, WriteTerminal
from terma.commands.send import parse_keys
from tests.backends.services import StageContext
from tests.terma.attach.staged import COMMAND, StagedTerma, serving


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ("make test\\n", b"make test\r"),
        ("\\r\\t\\e\\x1b\\x0a\\\\\\<", b"\r\t\x1b\x1b\n\\<"),
        ("\\u00e9é", "éé".encode()),
        ("<C-c><c-d><C-]><C-Space><C-?>", b"\x03\x04\x1d\x00\x7f"),
        ("<Up><down><F5><F12>", b"\x1b[A\x1b[B\x1b[15~\x1b[24~"),
        ("<Enter><Esc><Tab><BS><Space><lt>", b"\r\x1b\t\x7f <"),
        ("<M-x><A-Up><M-C-c>", b"\x1bx\x1b\x1b[A\x1b\x03"),
        (r"a \< b > c \<", b"a < b > c <"),
        ("<Esc>:wq\\n", b"\x1b:wq\r"),
    ],
)
def test_keys_are_named(keys: str, sent: bytes) -> None:
    assert parse_keys(keys) == sent


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        *[(keys, f"'{keys}' is no escape") for keys in (r"\q", "\\")],
        (r"\xg0", r"'\x' is no escape"),
        *[(keys, f"{keys} is no key") for keys in ("<Foo>", "<C-foo>", "<C-é>", "<html>")],
        *[(keys, f"{keys} is no key") for keys in ("<C-q", "<", "<ThisIsNotTheName")],
        (r"a < b", "< is no key"),
        (r"<C-q\n", "<C-q is no key"),
        (r"<Esc<Up>", "<Esc is no key"),
    ],
)
def test_what_names_no_key_is_refused(keys: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(told)}$") as raised:
        parse_keys(keys)
    assert r"\<" in (raised.value.hint or "")


@given(st.text(alphabet=st.characters(exclude_characters="\\<", exclude_categories=["Cs"])))
def test_all_else_is_typed_as_it_is(text: str) -> None:
    assert parse_keys(text) == text.encode()


@pytest.fixture
def terma() -> Iterator[StagedTerma]:
    service = StagedTerma(StageContext())
    with serving(service):
        yield service


def send(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, "send", *arguments], input=stdin, capture_output=True, timeout=20, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "stdin", "typed"),
    [
        (("make", "test"), b"", b"make test"),
        (("make", "--enter"), b"", b"make\r"),
        (("--keys", "make\\n"), b"", b"make\r"),
        (("text ", "--keys", "<C-c>", "--enter"), b"", b"text \x03\r"),
        (("--stdin",), "grüße\n".encode(), "grüße".encode()),
        (("--", "-x \\n <C-c>"), b"", b"-x \\n <C-c>"),
    ],
)
def test_it_is_typed(
    arguments: tuple[str, ...], stdin: bytes, typed: bytes, terma: StagedTerma
) -> None:
    ran = send("alice", *arguments, stdin=stdin)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert terma.typed == typed
    assert all(
        request.attachment is None for request in terma.asked if isinstance(request, WriteTerminal)
    )


@pytest.mark.parametrize("text", ["rm x\n", "a\x1b[A", "a\x03", "a\tb", "a\x7f", "a\u009b5n"])
def test_text_that_would_press_a_key_is_refused(text: str, terma: StagedTerma) -> None:
    ran = send("alice", text)
    assert ran.returncode == 2
    assert b"would press a key" in ran.stderr
    ran = send("alice", "--stdin", stdin=text.encode() + b"x")
    assert ran.returncode == 2
    assert terma.asked == []


def test_a_signal_is_sent(terma: StagedTerma) -> None:
    assert send("alice", "--signal", "INT").returncode == 0
    assert [request.signal for request in terma.asked if isinstance(request, SignalTerminal)] == [
        "INT"
    ]
    assert send("alice", "text", "--signal", "INT").returncode == 2


@pytest.mark.parametrize("name", ["BOGUS", "9", ""])
def test_a_signal_that_there_is_not_is_refused_before_anything_is_asked(
    name: str, terma: StagedTerma
) -> None:
    ran = send("alice", "--signal", name)
    assert (ran.returncode, terma.asked) == (2, [])
    assert ran.stderr.decode().startswith(f"error: there is no signal {name!r}\nhint: ")


def test_nothing_to_type_is_refused(terma: StagedTerma) -> None:
    assert send("alice").returncode == 2
    assert terma.asked == []


def test_what_the_service_refuses_is_told(terma: StagedTerma) -> None:
    terma.write_error = TektonError("the line is longer than 4,095 bytes", "send less")
    ran = send("alice", "x" * 5000)
    assert ran.returncode == 1
    assert ran.stderr.decode() == ("error: the line is longer than 4,095 bytes\nhint: send less\n")


def test_without_a_hub_it_says_so() -> None:
    ran = send("alice", "x")
    assert ran.returncode == 4
    assert b"no hub is running" in ran.stderr
