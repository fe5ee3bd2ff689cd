"""The fast path does what the full client does, and costs as little as it claims.

Both are run as programs against the same written-down exchanges; an option that the fast path
leaves alone forces the full client.
"""

from __future__ import annotations

import dataclasses
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backends.protocol import schema
from backends.protocol.messages import Chat
from tests.scenarios.replay import HANG_UP, ReplayedCI, Step, chunk, error, line, result
from tests.scenarios.tekton_process import BIN, Ran, TektonProcess

FULL = ["--timeout", "60"]


@pytest.fixture(scope="module")
def home() -> Iterator[TektonProcess]:
    with TektonProcess() as tekton:
        yield tekton


@pytest.fixture(scope="module")
def exchanges() -> dict[str, Sequence[Step]]:
    """Every exchange by its name, and the same cut elsewhere; without a name, a short answer."""
    cut = {f"{name}, cut": _cut(steps, len(name)) for name, steps in EXCHANGES.items()}
    return {"": [chunk("x"), result()], **EXCHANGES, **cut}


@pytest.fixture
def ci(home: TektonProcess, exchanges: dict[str, Sequence[Step]]) -> Iterator[ReplayedCI]:
    with ReplayedCI(home.home, exchanges) as replayed:
        yield replayed


def _cut(steps: Sequence[Step], seed: int) -> list[Step]:
    """Cut the same bytes into arbitrary pieces, characters and escapes included."""
    data = b"".join(step for step in steps if step)
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(1, len(data)), min(len(data) - 1, 12))) if data else []
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [*pieces, *([HANG_UP] if HANG_UP in steps else [])]


EXCHANGES: dict[str, Sequence[Step]] = {
    "an answer": [chunk("Hello "), chunk("world"), result()],
    "an answer in one piece": [chunk("Hello ") + chunk("world\n") + result()],
    "an answer with its newline": [chunk("Hello\n"), result()],
    "an answer of newlines": [chunk("\n\n"), result()],
    "an empty answer": [result()],
    "an answer of empty pieces": [chunk(""), chunk(""), result()],
    "every kind of character": [
        chunk('tab\t quote" back\\ \x00 \x1b[31m \u2028 é \U0001f600 end'), result(),
    ],
    "characters that are not escaped": [
        '{"jsonrpc":"2.0","method":"$/chunk","params":{"id":1,"value":{"text":"é日本\U0001f600"}}}\n'
        .encode(), result(),
    ],
    "a surrogate pair": [
        b'{"jsonrpc":"2.0","method":"$/chunk","params":{"id":1,"value":{"text":"\\ud83d\\ude00"}}}\n',
        result(),
    ],
    "half a surrogate pair": [
        b'{"jsonrpc":"2.0","method":"$/chunk","params":{"id":1,"value":{"text":"a\\ud83d"}}}\n',
        result(),
    ],
    "a notice": [chunk(notice="the answer is cut"), chunk("short"), result()],
    "a notice between": [chunk("one "), chunk(notice="hm"), chunk("two"), result()],
    "a notice that would drive a terminal": [
        chunk(notice="\x1b]0;owned\x07red\nerror: nothing\u202e"), chunk("x"), result(),
    ],
    "a notice after all": [chunk("x"), chunk(notice="this turn is not stored"), result()],
    "a notice and a text in one": [
        line({"method": "$/chunk", "params": {"id": 1, "value": {"text": "t", "notice": "n"}}}),
        result(),
    ],
    "an error at once": [error("no_model", "no model is there", "start one")],
    "an error in the middle": [chunk("so far"), error("truncated", "it broke off")],
    "an error that would drive a terminal": [error("failed", "\x1b[2Jbad\nworse", "\x1b[2Jdo")],
    "an error without data": [line({"id": 1, "error": {"code": -32000, "message": "just so"}})],
    "an error without a message": [line({"id": 1, "error": {"data": {"kind": "usage"}}})],
    "an error that is none": [line({"id": 1, "error": "no"})],
    "an error about no request": [line({"id": None, "error": {"code": 1, "message": "what?"}})],
    "a lost connection": [chunk("so far"), HANG_UP],
    "a connection lost at once": [HANG_UP],
    "a connection lost within a line": [chunk("so far"), chunk("and on")[:30], HANG_UP],
    "a notification of a later version": [
        line({"method": "$/progress", "params": {"id": 1, "share": 0.5}}), chunk("x"), result(),
    ],
    "a chunk of another request": [
        line({"method": "$/chunk", "params": {"id": 7, "value": {"text": "no"}}}), chunk("x"),
        result(),
    ],
    "a result of another request": [
        line({"id": 7, "result": {}}), chunk("x"), result(),
    ],
    "fields of a later version": [
        line({"method": "$/chunk", "params": {"id": 1, "value": {"text": "x", "mood": "good"}}}),
        result(mood="good"),
    ],
    "empty lines": [b"\n", chunk("x"), b"\r\n\n", result()],
    "lines that end as on Windows": [chunk("x")[:-1] + b"\r\n", result()[:-1] + b"\r\n"],
    "no JSON": [chunk("x"), b"what?\n"],
    "half a message": [chunk("x"), b'{"jsonrpc":"2.0",\n'],
    "no UTF-8": [chunk("x"), b'{"jsonrpc":"2.0","id":1,"result":"\xff"}\n'],
    "no object": [chunk("x"), b"[]\n"],
    "no version": [b'{"id":1,"result":{}}\n'],
    "a line of the original protocol": [b'{"type":"pong"}\n'],
    "a chunk without a value": [line({"method": "$/chunk", "params": {"id": 1}}), result()],
    "a chunk of the wrong type": [
        line({"method": "$/chunk", "params": {"id": 1, "value": {"text": 5}}}), result(),
    ],
    "a result of the wrong type": [chunk("x"), line({"id": 1, "result": {"model": 5}})],
    "a result without its fields": [chunk("x"), line({"id": 1, "result": {}})],
    "a question of the CI's own": [line({"id": 1, "method": "info", "params": {}}), result()],
    "ten thousand pieces": [*(chunk(f"{n} ") for n in range(10_000)), result()],
    "a piece of a megabyte": [chunk("0123456789abcdef" * 65536), result()],
}  # fmt: skip
EXCHANGES |= {
    f"an error of the kind {kind}": [chunk("so far"), error(kind, f"it is {kind}", "do this")]
    for kind in (
        "failed", "usage", "not_found", "cannot_connect", "timed_out", "model_failed",
        "a kind that nobody knows",
    )
}  # fmt: skip


def asked(message: dict[str, Any]) -> Chat:
    """What a request asks; the full client also names whom it asks."""
    assert message["method"] == "chat"
    chat = schema.decode(Chat, message["params"])
    assert chat.ci in (None, "echo")
    return dataclasses.replace(chat, ci=None)


@dataclass(frozen=True)
class Told:
    """How one exchange was told: by the fast path, so cut elsewhere, and by the full client."""

    fast: Ran
    cut: Ran
    full: Ran


@pytest.fixture(scope="module")
def told(home: TektonProcess, exchanges: dict[str, Sequence[Step]]) -> dict[str, Told]:
    """Every exchange, run by both clients; some at a time, for they mostly wait."""

    def tell(name: str) -> Told:
        return Told(
            home.aish("echo", name),
            home.aish("echo", f"{name}, cut"),
            home.aish("echo", name, *FULL),
        )

    with ReplayedCI(home.home, exchanges) as ci, ThreadPoolExecutor(4) as pool:
        found = dict(zip(EXCHANGES, pool.map(tell, EXCHANGES), strict=True))
    assert len(ci.received) == 3 * len(EXCHANGES)
    return found


@pytest.mark.parametrize("name", list(EXCHANGES))
def test_both_tell_an_exchange_alike(told: dict[str, Told], name: str) -> None:
    assert told[name].fast == told[name].full
    assert told[name].fast == told[name].cut, "where the bytes are cut does not matter"
    assert "Traceback" not in told[name].fast.err


def test_what_they_tell_is_right(told: dict[str, Told]) -> None:
    expected = {
        "an answer": Ran(0, b"Hello world\n", ""),
        "an answer of newlines": Ran(0, b"\n\n", ""),
        "an empty answer": Ran(0, b"", ""),
        "a surrogate pair": Ran(0, "\U0001f600\n".encode(), ""),
        "a notice between": Ran(0, b"one two\n", "notice: hm\n"),
        "an error in the middle": Ran(6, b"so far\n", "error: it broke off\n"),
        "an error at once": Ran(6, b"", "error: no model is there\nhint: start one\n"),
        "a lost connection": Ran(
            4, b"so far\n", "error: the connection was lost before the answer was complete\n"
        ),
    }
    assert {name: told[name].fast for name in expected} == expected
    for name in ("a notice that would drive a terminal", "an error that would drive a terminal"):
        assert "\x1b" not in told[name].fast.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["hello"],
        ["hello", "world"],
        ["hello  world", "-q"],
        ["-q", "hello"],
        ["hello", "-m", "test/model"],
        ["--model", "test/model", "--system", "Be brief.", "hello"],
        ["-s", os.fsdecode(b"caf\xe9"), "-m", os.fsdecode(b"caf\xe9"), "hello"],
        ["hello", "-"],
        ["hello", "--no-stdin"],
        ["-m", "test/model", "--", "--hello"],
        ["é日本\U0001f600"],
        ['quote" back\\ new\nline \x01'],
        [os.fsdecode(b"caf\xe9")],
        [""],
        [],
    ],
)
def test_both_ask_alike(home: TektonProcess, ci: ReplayedCI, arguments: list[str]) -> None:
    fast = home.aish("echo", *arguments, input=b"caf\xe9\n")
    full = home.aish("echo", *FULL, *arguments, input=b"caf\xe9\n")
    assert fast == full
    assert len(ci.received) == 2
    assert asked(ci.received[0]) == asked(ci.received[1])


@pytest.mark.parametrize("arguments", [["hello"], [""], []])
def test_both_ask_alike_without_input(
    home: TektonProcess, ci: ReplayedCI, arguments: list[str]
) -> None:
    assert home.aish("echo", *arguments, input=b"") == home.aish("echo", *FULL, *arguments)
    assert len(ci.received) == (2 if arguments == ["hello"] else 0)


@pytest.mark.parametrize("name", ["Echo", "echo-ci", "ECHO-CI"])
def test_both_know_a_ci_by_each_of_its_names(
    home: TektonProcess, ci: ReplayedCI, name: str
) -> None:
    for more in ([], FULL):
        assert home.aish(name, "hello", *more) == Ran(0, b"x\n", "")


# -- what it costs ---------------------------------------------------------------------------


def imports(home: TektonProcess, command: list[str]) -> set[str]:
    """The modules that a program imports, by Python's own account."""
    environment = {
        name: value
        for name, value in home.environment.items()
        if not name.startswith(("COVERAGE_", "COV_"))
    }
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", *command], env=environment, cwd=home.home,
        stdin=subprocess.DEVNULL, capture_output=True, check=True,
    )  # fmt: skip
    found = re.findall(r"^import time:.*\| +(\S+)$", ran.stderr.decode(), re.MULTILINE)
    return set(found) - {"package"}


@pytest.fixture(scope="module")
def nothing(home: TektonProcess) -> set[str]:
    """What Python imports for a program that does nothing."""
    return imports(home, ["-c", "pass"])


def test_the_fast_path_imports_eight_modules_at_most(
    home: TektonProcess, ci: ReplayedCI, nothing: set[str]
) -> None:
    more = imports(home, [str(BIN / "aish"), "echo", "hello"]) - nothing
    assert "backends.fast" in more
    assert len(more) <= 8, sorted(more)
    assert len(ci.received) == 1


VENDORS = (
    "alembic", "anthropic", "httpcore", "httpx", "ollama", "psutil", "pydantic", "rich",
    "sqlalchemy", "websockets",
)  # fmt: skip


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("aish", ["--help"]),
        ("aish", ["echo", "--help"]),
        ("aish", ["echo", "hello", "-v"]),
        ("terma", ["--help"]),
        ("terma", ["role", "--help"]),
        ("tekton", ["--help"]),
        ("tekton", ["down"]),
    ],
)
def test_a_front_end_imports_nothing_of_a_vendor(
    home: TektonProcess, ci: ReplayedCI, program: str, arguments: list[str]
) -> None:
    found = imports(home, [str(BIN / program), *arguments])
    assert "typer" in found
    assert not [name for name in found if name.split(".")[0] in VENDORS]


def test_a_list_needs_neither_a_vendor_nor_asyncio() -> None:
    with TektonProcess() as tekton:
        tekton.start()
        for command in (["aish", "list"], ["aish", "history"], ["tekton", "status"]):
            found = imports(tekton, [str(BIN / command[0]), *command[1:]])
            unwanted = (*VENDORS, "asyncio", "concurrent", "ssl")
            assert not [name for name in found if name.split(".")[0] in unwanted]


def test_a_big_answer_takes_no_longer_than_its_bytes(home: TektonProcess) -> None:
    """One line of 8 MB is not scanned anew for each piece of it that arrives."""
    exchanges = {"": [chunk("0123456789abcdef" * 500_000), result()]}
    with ReplayedCI(home.home, exchanges, "long"):
        assert len(home.aish("long", "hello", timeout_s=10).out) == 8_000_001


def test_the_script_runs_what_the_module_runs(home: TektonProcess, ci: ReplayedCI) -> None:
    assert home.run([sys.executable, "-m", "aish", "echo", "hello"]) == Ran(0, b"x\n", "")
    assert Path(BIN / "aish").read_text().count("run(sys.argv[1:])") == 1
