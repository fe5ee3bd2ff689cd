"""The fast path of messages and notices: its rules, and that it does as the full client does."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.fast import Failed, Left
from terma import fast
from tests.scenarios.tekton_process import Ran
from tests.terma.mail import FULL, MailService, mail, terma

LEFT = 77
_ALONE = f"import sys; from terma.fast import run; run(sys.argv[1:]); sys.exit({LEFT})"
FAST = [sys.executable, "-c", _ALONE]
"""Nothing but the fast path, which fails where it leaves something to the full client."""


@pytest.fixture
def service() -> Iterator[MailService]:
    with mail() as found:
        yield found


# -- what it does itself ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["alice", "hi", "you"], ("alice", ["hi", "you"], {})),
        (["-q", "alice", "hi"], ("alice", ["hi"], {"-q": "-q"})),
        (["alice,bob", "--quiet", "-"], ("alice,bob", [], {"-q": "--quiet", "-": "-"})),
        (
            ["--id", "x", "@all", "--no-stdin"],
            ("@all", [], {"--id": "x", "--no-stdin": "--no-stdin"}),
        ),
    ],
)
def test_a_plain_message_is_its_own(
    arguments: list[str], found: tuple[str, list[str], dict[str, str]]
) -> None:
    assert fast._parse(arguments) == found


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["-q"], ["-", "hi"], ["alice", "hi", "--wait"], ["alice", "hi", "--json"],
        ["alice", "--", "-hi"], ["alice", "--id"], ["alice", "--id", "", "hi"],
        ["alice", "--id=x", "hi"], ["alice", "hi", "--expires", "1h"], ["--help"],
    ],
)  # fmt: skip
def test_everything_else_is_left_to_the_full_client(arguments: list[str]) -> None:
    with pytest.raises(Left):
        fast._parse(arguments)


@pytest.mark.parametrize(
    "arguments",
    [[], ["list"], ["message"], ["message", "alice", "hi"], ["inbox"], ["inbox", "--notice", "-x"]],
)
def test_run_returns_where_there_is_nothing_for_it_to_do(arguments: list[str]) -> None:
    """Without a hub too, for the full client tells best why."""
    fast.run(arguments)


# -- as the full client does -------------------------------------------------------------------


def same(*arguments: str, **options: object) -> tuple[Ran, Ran]:
    """Run both; they must do the same, but for the ids."""
    quick, full = (terma(*arguments, program=one, **options) for one in (FAST, FULL))  # type: ignore[arg-type]
    assert quick.status != LEFT, "it was left to the full client"
    assert (quick.status, quick.err) == (full.status, full.err)
    made = re.compile(rb"\A[a-z2-7]{8}\n\Z")
    assert made.sub(b"ID\n", quick.out) == made.sub(b"ID\n", full.out)
    return quick, full


@pytest.mark.parametrize(
    ("arguments", "piped"),
    [
        (["alice", "hello", "you"], None),
        (["alice,bob", "hello"], None),
        (["@all", "hello", "-q"], None),
        (["alice", "é\U0001f600\x07\"\\"], None),
        (["alice", "caf\udce9"], None),
        (["alice", "caf\udce9", "-q"], None),
        (["alice"], b"from a pipe\n"),
        (["alice", "-"], b"caf\xe9"),
        (["alice", "both"], b"\x00\xff\n"),
        (["alice", "both", "--no-stdin"], b"unread"),
        pytest.param(["alice", "x" * 100_000], None, id="long"),
    ],
)  # fmt: skip
def test_a_message_is_sent_alike(
    service: MailService, arguments: list[str], piped: bytes | None
) -> None:
    quick, full = same("message", *arguments, who="bob", input=piped)
    assert quick.status == 0
    sent = {one.id: one for one in service.changes}
    first, second = sent[quick.text.strip()], sent[full.text.strip()]
    assert (first.text, first.sender) == (second.text, "bob")
    assert set(service.tokens) == {"bob's token"}
    is_piped = piped is not None and "--no-stdin" not in arguments
    assert service.trials == (2 if is_piped else 0)


def test_an_id_is_one_message_on_both_ways(service: MailService) -> None:
    ran = terma("message", "alice", "hello", "--id", "build-7", program=FAST)
    assert (ran.status, ran.out, ran.err) == (0, b"build-7\n", "")
    same("message", "alice", "hello", "--id", "build-7")
    same("message", "alice", "another", "--id", "build-7")
    assert len(service.changes) == 1


@pytest.mark.parametrize(
    ("arguments", "piped", "status"),
    [
        (["alcie", "hi"], None, 3),
        (["alice"], None, 2),
        (["alice", " "], b"\n", 2),
        (["alice", ""], None, 2),
        (["alice", "", "-"], b"hello", 2),
        (["alcie"], b"hello", 3),
        (["alice", "-", "--no-stdin"], None, 2),
        ([",", "hi"], None, 2),
        (["", "hi"], None, 2),
        (["alice", "--id", "ü b", "hi"], None, 2),
        (["alice", "--id", "x\udce9", "hi"], None, 2),
        pytest.param(["alice"], b"x" * (1024 * 1024 + 1), 1, id="over the limit of a message"),
        pytest.param(["alice"], b"\x01" * (3 * 1024 * 1024), 1, id="over the protocol's, quoted"),
        pytest.param(["alice"], b"x" * (16 * 1024 * 1024 + 1), 1, id="over the protocol's"),
    ],
)
def test_what_fails_fails_alike(
    service: MailService, arguments: list[str], piped: bytes | None, status: int
) -> None:
    quick, _ = same("message", *arguments, input=piped)
    assert quick.status == status
    assert quick.err.startswith("error: ")
    assert service.changes == []


@pytest.mark.parametrize("texts", [[], ["one"], ["one", "t\x1b[2Jwo \x9b31m\n" + "long " * 99]])
def test_a_notice_is_the_same_and_is_shown_once(service: MailService, texts: list[str]) -> None:
    lines = []
    for program in (FAST, FULL):
        assert terma("ack", "--all", who="alice").status == 0
        for text in texts:
            assert terma("message", "alice", text, program=FAST, who="bob").status == 0
        shown, again = (terma("inbox", "--notice", program=program, who="alice") for _ in "12")
        assert (shown.status, shown.err) == (again.status, again.err) == (0, "")
        assert again.out == b""
        lines.append(shown.text)
    assert lines[0] == lines[1]
    assert lines[0].count("\n") == bool(texts)
    assert lines[0].rstrip("\n").isprintable()


@pytest.mark.parametrize("program", [FAST, FULL])
def test_without_a_hub_a_prompt_hears_nothing(program: list[str]) -> None:
    ran = terma("inbox", "--notice", program=program)
    assert (ran.status, ran.out, ran.err) == (0, b"", "")


# -- notices ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text", "width", "line"),
    [
        (1, "hi", 80, 'new message from bob: "hi"  (terma inbox)'),
        (3, "a\nb\tc", 80, '3 new messages, the last from bob: "a b c"  (terma inbox)'),
        (1, "PR 42 is ready", 52, 'new message from bob: "PR 42 is re…"  (terma inbox)'),
        (1, "PR 42 is ready", 40, 'new message from bob: "PR 42 is ready"'),
        (1, "PR 42 is ready", 20, "new message from b…"),
        (1, "日本語日本語日本語", 52, 'new message from bob: "日本語日本…"  (terma inbox)'),
    ],
)
def test_a_notice_is_one_line_that_fits(count: int, text: str, width: int, line: str) -> None:
    assert fast.notice(count, "bob", text, width) == line


@given(st.text(max_size=60), st.integers(2, 100), st.integers(1, 9999))
def test_no_notice_is_wider_than_the_terminal_or_drives_it(
    text: str, width: int, count: int
) -> None:
    from unicodedata import combining, east_asian_width

    line = fast.notice(count, "bob", text, width)
    cells = sum(0 if combining(one) else 1 + (east_asian_width(one) in "WF") for one in line)
    assert cells < width
    assert "\n" not in line
    assert "\x1b" not in line


# -- a service that does not do its part -------------------------------------------------------


def answered(data: bytes, patience_s: float = 5.0) -> dict[str, object]:
    """Ask somebody who answers with these bytes and, where these are any, hangs up."""
    near, far = socket.socketpair()

    def answer() -> None:
        with far, far.makefile("rb") as stream:
            stream.readline()
            far.sendall(data)

    with near, far:
        thread = threading.Thread(target=answer)
        if data:
            thread.start()
        try:
            return fast._ask(near, "message.inbox", {"limit": 1}, patience_s)
        finally:
            if data:
                thread.join(10)


def test_the_answer_to_the_hello_is_passed_over() -> None:
    hello = b'{"jsonrpc":"2.0","id":0,"result":{"protocol":1}}\n'
    assert answered(hello + b'\n{"jsonrpc":"2.0","id":1,"result":{"a":1}}\n') == {"a": 1}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"jsonrpc":"2.0","id":1,"res', "connection_lost"),
        (b"what?\n", "protocol"),
        (b'{"jsonrpc":"2.0","id":1}\n', "protocol"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"message":"no"}}\n', "protocol"),
        (b'{"id":1,"error":{"message":"no","data":{"kind":"busy","hint":"later"}}}\n', "busy"),
        (b'{"id":0,"error":{"message":"no","data":{"kind":"unauthorized"}}}\n', "unauthorized"),
        (b"\xff\n", "protocol"),
    ],
)
def test_an_answer_that_is_none_fails(data: bytes, kind: str) -> None:
    with pytest.raises(Failed) as caught:
        answered(data)
    assert caught.value.args[0] == kind


def test_silence_is_told_as_the_full_client_does() -> None:
    with pytest.raises(Failed) as caught:
        answered(b"", patience_s=0.01)
    assert caught.value.args == (
        "timed_out", "terma does not answer within 0.01 s", "`tekton status` shows what runs",
    )  # fmt: skip


def test_a_token_that_cannot_be_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    home = os.environ["TEKTON_HOME"]
    for variable in ("", home, f"{home}/missing"):
        monkeypatch.setenv("TERMA_TOKEN_FILE", variable)
        assert fast._token() is None


# -- what it costs ---------------------------------------------------------------------------


def test_it_loads_next_to_nothing(service: MailService) -> None:
    """A module more is a millisecond more, for each message."""
    script = (
        "import sys; before = set(sys.modules); import os; ended = os._exit\n"
        "def tell(status):\n"
        "    print(*sorted(set(sys.modules) - before), file=sys.stderr, flush=True)\n"
        "    ended(status)\n"
        "os._exit = tell\n"
        "from terma.fast import run; run(sys.argv[1:])"
    )
    ran = terma("message", "alice", "hi", program=[sys.executable, "-I", "-c", script])
    assert ran.status == 0
    assert set(ran.err.split()) <= {
        "__future__", "_json", "_socket", "backends", "backends.fast", "backends.runtime", "terma",
        "terma.fast",
    }  # fmt: skip
