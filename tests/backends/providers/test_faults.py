"""Tests of `backends.providers.faults`."""

from __future__ import annotations

import socket
import ssl

import httpx
import pytest

from backends.providers.faults import Answer, Faults, Refusal, reason_of

KEY = "sk-0123456789"


def make(key: str | None = KEY) -> Faults:
    faults = Faults("lab", "http://lab", "start it", lambda model: f"pull {model}")
    faults.key = key
    return faults


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"error": "plain"}', "plain"),
        ('{"error": {"message": "nested", "type": "x"}}', "nested"),
        ('{"type": "error", "error": {"type": "x", "message": "deep"}}', "deep"),
        ('{"message": "vllm"}', "vllm"),
        ('{"detail": "fastapi"}', "fastapi"),
        ('{"detail": [{"loc": ["body"]}]}', '[{"loc": ["body"]}]'),
        ("just words\nin lines", "just words in lines"),
    ],
)
def test_a_servers_own_words_are_quoted(body: str, shown: str) -> None:
    assert make().refused(Refusal(500, body)).message == f"lab failed (500: {shown})"


@pytest.mark.parametrize("body", ["", "<html><h1>502</h1>", " <!doctype html>", "{}"])
def test_a_page_or_nothing_is_not_quoted(body: str) -> None:
    assert make().refused(Refusal(502, body)).message == "lab failed (502)"


def test_the_key_is_struck_out_everywhere() -> None:
    faults = make()
    answer = Answer("m", begun=True)
    body = f'{{"error": "{"x" * 295}{KEY}"}}'  # a cut would leave a part of it
    for error in (
        faults.refused(Refusal(400, body)),
        faults.unreachable(f"no {KEY}"),
        faults.broken(f"no {KEY}", answer),
    ):
        assert "sk-" not in error.lines()


def test_a_placeholder_for_a_key_leaves_words_alone() -> None:
    assert make(key="no").refused(Refusal(500, "not now")).message == "lab failed (500: not now)"


def test_nothing_that_drives_a_terminal_is_quoted() -> None:
    message = make().refused(Refusal(500, "a\x1b[2Jb\x9bc\u202ed", None)).message
    assert message.isprintable()


def test_a_strange_time_to_wait_is_cleaned_and_cut() -> None:
    hint = make().refused(Refusal(429, "", "\x1b[31m" + "9" * 100)).hint
    assert hint == f"try again in {'9' * 40} s"


def test_a_404_without_a_model_is_a_plain_refusal() -> None:
    assert make().refused(Refusal(404, "nothing here")).message == (
        "lab refused the request (404: nothing here)"
    )


def test_a_connection_that_takes_too_long_is_no_answer() -> None:
    error = make().of_http(httpx.ConnectTimeout(""), httpx, Answer("m"))
    assert error.message == "cannot reach lab at http://lab: no connection within 10 s"
    assert error.hint == "start it"


def test_one_character_is_no_plural() -> None:
    answer = Answer("m", begun=True, characters=1)
    assert "after 1 character: x" in make().broken("x", answer).message
    answer.characters = 12345
    assert "after 12,345 characters: x" in make().broken("x", answer).message


def test_the_systems_words_are_found_below_others() -> None:
    def chained(cause: BaseException) -> BaseException:
        outer = RuntimeError("All connection attempts failed")
        outer.__cause__ = cause
        return outer

    refused = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)")
    assert reason_of(chained(refused)) == "Connection refused"
    group = BaseExceptionGroup("several", [refused, OSError(113, "x")])
    assert reason_of(chained(group)) == "Connection refused"
    unknown = socket.gaierror(-2, "Name or service not known")
    assert reason_of(chained(unknown)) == "Name or service not known"
    untrusted = ssl.SSLCertVerificationError(1, "certificate verify failed")
    assert reason_of(chained(untrusted)) == "certificate verify failed"
    assert reason_of(ValueError()) == "ValueError"
    assert reason_of(chained(ValueError("x"))) == "All connection attempts failed"
