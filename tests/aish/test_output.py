"""Where answers go: bytes for pipes, one object for JSON, one voice at a time for teams."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aish.output import (
    HeldOutput,
    JsonSink,
    Output,
    PlainSink,
    TeamOutput,
    TerminalSink,
    figures,
    write_bytes,
)
from backends.errors import AnswerTruncated, ModelError, TektonError
from backends.protocol.messages import Answer, Piece, Usage

ANSWER = Answer(
    ci="apollo",
    model="ollama/m",
    usage=Usage(input_tokens=3, output_tokens=5),
    cost_usd=0.25,
    time_to_first_token_s=0.5,
    elapsed_s=1.25,
)


def plain(is_quiet: bool = False, is_verbose: bool = False) -> PlainSink:
    return PlainSink(is_quiet, is_verbose)


def give(sink: Output, *texts: str, failure: TektonError | None = None) -> None:
    """Pass an answer through."""
    for text in texts:
        sink.take(Piece(text=text))
    sink.end("apollo", None if failure else ANSWER, failure)


def test_text_passes_as_it_is_and_ends_with_a_newline(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    give(plain(), "a\x1b[31m", "\r\n", "é\0", "end")
    assert capfdbinary.readouterr() == (b"a\x1b[31m\r\n\xc3\xa9\0end\n", b"")


@pytest.mark.parametrize(
    ("texts", "out"), [(["x\n"], "x\n"), (["x"], "x\n"), (["", "\n"], "\n"), ([], ""), ([""], "")]
)
def test_a_newline_is_added_only_where_it_is_missing(
    capfd: pytest.CaptureFixture[str], texts: list[str], out: str
) -> None:
    give(plain(), *texts)
    assert capfd.readouterr() == (out, "")


def test_text_is_written_as_it_comes(capfd: pytest.CaptureFixture[str]) -> None:
    sink = plain()
    sink.take(Piece(text="so far"))
    assert capfd.readouterr().out == "so far"


def test_a_failure_ends_the_line_and_is_told_beside_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    give(plain(), "so far", failure=ModelError("it broke", "mend it"))
    assert capfd.readouterr() == ("so far\n", "error: it broke\nhint: mend it\n")
    give(HeldOutput(plain()), "so far", failure=ModelError("it broke"))
    assert capfd.readouterr() == ("so far\n", "error: it broke\n")


def test_notices_are_told_beside_the_answer_unless_unwanted(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for is_quiet in (False, True):
        sink = plain(is_quiet=is_quiet)
        sink.take(Piece(notice="hm\x1b[31m"))
        give(sink, "x")
    assert capfd.readouterr() == ("x\nx\n", "notice: hm\n")


def test_figures_are_told_where_they_are_wanted(capfd: pytest.CaptureFixture[str]) -> None:
    give(plain(is_verbose=True), "x")
    assert capfd.readouterr().err == figures(ANSWER) + "\n"


def test_what_is_not_known_is_called_unknown_and_echo_is_labelled() -> None:
    assert figures(ANSWER) == (
        "apollo · ollama/m · tokens 3 → 5 · cost $0.2500 · first token 0.500 s · in all 1.250 s"
    )
    bare = figures(Answer(ci="mirror", model="echo/echo"))
    assert "tokens unknown → unknown · cost unknown · first token none" in bare
    assert "echo: answers with its input" in bare


def test_an_answer_held_back_comes_whole_and_its_notices_at_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    sink = HeldOutput(plain())
    sink.take(Piece(text="one "))
    sink.take(Piece(notice="hm"))
    assert capfd.readouterr() == ("", "notice: hm\n")
    give(sink, "two")
    assert capfd.readouterr() == ("one two\n", "")
    give(HeldOutput(plain()), failure=ModelError("it broke"))
    assert capfd.readouterr() == ("", "error: it broke\n")


# -- JSON ------------------------------------------------------------------------------------


def test_json_has_the_answer_and_all_that_is_known_of_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    sink = JsonSink()
    sink.take(Piece(notice="hm"))
    give(sink, "one ", 'two\n"')
    out, err = capfd.readouterr()
    assert (out.count("\n"), err) == (1, "")
    found = json.loads(out)
    assert (found["ci"], found["status"], found["text"]) == ("apollo", "complete", 'one two\n"')
    assert (found["model"], found["cost_usd"], found["notices"]) == ("ollama/m", 0.25, ["hm"])


@pytest.mark.parametrize(
    ("failure", "status"),
    [(ModelError("it broke", "mend it"), "failed"), (AnswerTruncated("it broke off"), "truncated")],
)
def test_json_has_the_failure(
    capfd: pytest.CaptureFixture[str], failure: TektonError, status: str
) -> None:
    give(JsonSink(), "so far", failure=failure)
    found = json.loads(capfd.readouterr().out)
    assert (found["status"], found["text"]) == (status, "so far")
    assert found["error"] == {
        "kind": failure.kind, "message": failure.message, "hint": failure.hint,
    }  # fmt: skip


def test_json_calls_an_answer_that_was_cut_truncated_and_a_cost_unknown(
    capfd: pytest.CaptureFixture[str],
) -> None:
    JsonSink().end("apollo", Answer(ci="apollo", model="m", finish_reason="length"), None)
    found = json.loads(capfd.readouterr().out)
    assert (found["status"], found["cost_usd"]) == ("truncated", "unknown")


def test_json_can_carry_half_of_a_surrogate_pair(capfd: pytest.CaptureFixture[str]) -> None:
    give(JsonSink(), "a\ud83d")
    assert json.loads(capfd.readouterr().out)["text"].startswith("a")


# -- teams -----------------------------------------------------------------------------------


@pytest.fixture
def team() -> TeamOutput:
    return TeamOutput(lambda prefix: PlainSink(False, False, prefix), is_plain=False)


def test_one_speaks_at_a_time(team: TeamOutput, capfd: pytest.CaptureFixture[str]) -> None:
    one, two, three = (team.member(name) for name in ("one", "two", "three"))
    two.take(Piece(text="2a "))
    one.take(Piece(text="1a "))
    three.take(Piece(text="3a "))
    two.take(Piece(text="2b"))
    assert capfd.readouterr().out == "== two ==\n2a 2b"
    three.end("three", ANSWER, None)
    assert capfd.readouterr().out == "", "it waits its turn"
    two.end("two", ANSWER, None)
    assert capfd.readouterr().out == "\n\n== three ==\n3a \n\n== one ==\n1a "
    one.take(Piece(text="1b\n"))
    one.end("one", ANSWER, None)
    assert capfd.readouterr() == ("1b\n", "")


def test_a_member_that_fails_is_shown_as_failed(
    team: TeamOutput, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two = team.member("one"), team.member("two")
    one.take(Piece(text="1"))
    two.take(Piece(notice="hm"))
    two.end("two", None, ModelError("it broke"))
    one.end("one", ANSWER, None)
    team.finish()
    out, err = capfd.readouterr()
    assert out == "== one ==\n1\n\n== two: failed ==\n"
    assert err == "notice: two: hm\nerror: two: it broke\n"


def test_equal_failures_of_a_team_are_told_once_at_its_end(
    team: TeamOutput, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two, three, four = (team.member(name) for name in ("one", "two", "three", "four"))
    one.take(Piece(text="1"))
    two.end("two", None, ModelError("no model", "get one"))
    three.end("three", None, ModelError("it broke"))
    four.end("four", None, ModelError("no model", "get one"))
    one.end("one", ANSWER, None)
    assert capfd.readouterr() == (
        "== one ==\n1\n\n== two: failed ==\n== three: failed ==\n== four: failed ==\n", ""
    )  # fmt: skip
    team.finish()
    assert capfd.readouterr().err == (
        "error: two, four: no model\nhint: get one\nerror: three: it broke\n"
    )


def test_a_team_in_json_is_an_object_for_each_and_nothing_else(
    capfd: pytest.CaptureFixture[str],
) -> None:
    team = TeamOutput(lambda prefix: JsonSink(), is_plain=True)
    for name in ("one", "two"):
        member = team.member(name)
        member.take(Piece(text=name))
        member.end(name, ANSWER, None)
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [answer["text"] for answer in found] == ["one", "two"]


# -- a terminal, and what cannot be written --------------------------------------------------


def test_a_terminal_gets_rendered_text_and_notices_on_lines_of_their_own(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")

    async def answer() -> None:
        sink = TerminalSink(False, True)
        sink.take(Piece(text="so **far**\n\n"))
        sink.take(Piece(notice="hm"))
        sink.take(Piece(text="and on\x1b]0;owned\x07"))
        sink.end("apollo", ANSWER, None)

    asyncio.run(answer())
    out, err = capfd.readouterr()
    assert [line for line in out.splitlines() if line] == ["so far", "and on"]
    assert err == f"notice: hm\n{figures(ANSWER)}\n"


@contextmanager
def full_disk() -> Iterator[None]:
    """Send standard output to a device that is full."""
    kept = os.dup(1)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(full)
        os.close(kept)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a device that is full")
def test_what_cannot_be_written_is_an_error() -> None:
    reason = "cannot write the answer: No space left on device"
    with full_disk(), pytest.raises(TektonError, match=reason):
        write_bytes(b"x")
