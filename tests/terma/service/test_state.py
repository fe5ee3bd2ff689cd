"""What is told of a terminal, from what was seen of it."""

from __future__ import annotations

from backends.protocol.terminals import TerminalState
from terma.service.marks import Mark, MarkKind
from terma.service.state import (
    Activity,
    Seen,
    after_mark,
    after_output,
    after_person,
    after_quiet,
    with_foreground,
)

START = Activity(Seen(TerminalState.IDLE, "output", 0.0))


def marked(activity: Activity, kind: MarkKind, text: str = "", at: float = 5.0) -> Activity:
    return after_mark(activity, Mark(kind, text), at, is_attended=False)


def test_prompt_marks_tell_idle_and_busy() -> None:
    prompt = marked(START, MarkKind.PROMPT)
    assert prompt.now == Seen(TerminalState.IDLE, "prompt mark", 5.0)
    busy = marked(prompt, MarkKind.COMMAND, at=7.0)
    assert busy.now == Seen(TerminalState.BUSY, "prompt mark", 7.0)
    done = marked(busy, MarkKind.DONE, "2", at=9.0)
    assert done.now == Seen(TerminalState.IDLE, "prompt mark", 9.0, "exit 2")
    assert marked(busy, MarkKind.DONE, "0").now.detail is None


def test_the_age_of_a_prompt_is_that_of_the_first_mark() -> None:
    prompt = marked(START, MarkKind.PROMPT, at=5.0)
    assert marked(prompt, MarkKind.PROMPT, at=6.0).now.since == 5.0
    done = marked(prompt, MarkKind.DONE, "1", at=7.0)
    assert marked(done, MarkKind.PROMPT, at=8.0).now == done.now


def test_without_marks_output_is_busy_until_it_is_quiet() -> None:
    busy = after_output(START, 1.0)
    assert busy.now == Seen(TerminalState.BUSY, "output", 1.0)
    assert after_output(busy, 2.0) == busy
    assert after_quiet(busy, 4.0).now == Seen(TerminalState.IDLE, "output", 4.0)


def test_marks_go_before_output() -> None:
    prompt = marked(START, MarkKind.PROMPT)
    assert after_output(prompt, 9.0) == prompt
    busy = marked(prompt, MarkKind.COMMAND)
    assert after_quiet(busy, 99.0) == busy


def test_a_bell_wants_a_person_until_one_comes() -> None:
    rung = marked(START, MarkKind.BELL, at=3.0)
    assert rung.now == Seen(TerminalState.WAITING, "bell", 3.0)
    told = marked(rung, MarkKind.NOTICE, "tests are done", at=8.0)
    assert told.now == Seen(TerminalState.WAITING, "notification", 3.0, "tests are done")
    assert marked(told, MarkKind.BELL, at=9.0) == told
    assert marked(told, MarkKind.PROMPT, at=9.0).now == told.now
    assert after_person(told).now == START.now


def test_a_bell_that_somebody_hears_wants_nobody() -> None:
    assert after_mark(START, Mark(MarkKind.BELL), 1.0, is_attended=True) == START


def test_the_foreground_tells_what_a_shell_without_marks_does() -> None:
    seen = START.now
    shown = with_foreground(seen, has_marks=False, is_shell=True, command="make test")
    assert shown == Seen(TerminalState.BUSY, "foreground process", 0.0, "make test")
    shown = with_foreground(seen, has_marks=False, is_shell=True, command=None)
    assert shown == Seen(TerminalState.IDLE, "foreground process", 0.0)


def test_the_foreground_names_the_command_that_marks_tell_of() -> None:
    busy = marked(START, MarkKind.COMMAND).now
    shown = with_foreground(busy, has_marks=True, is_shell=True, command="vim notes")
    assert shown == Seen(TerminalState.BUSY, "prompt mark", 5.0, "vim notes")
    prompt = marked(START, MarkKind.PROMPT).now
    assert with_foreground(prompt, has_marks=True, is_shell=True, command="x") == prompt


def test_a_terminal_that_waits_goes_on_waiting_whatever_is_in_its_foreground() -> None:
    rung = marked(START, MarkKind.BELL).now
    assert with_foreground(rung, has_marks=False, is_shell=True, command="make") == rung
