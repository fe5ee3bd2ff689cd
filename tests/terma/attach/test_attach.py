"""`terma attach` on a real terminal, with a hub whose side the test plays."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.errors import ConnectionLost, NotFound, TektonError
from backends.protocol.screens import ShowScreen, WatchScreen
from backends.protocol.terminals import (
    AttachTerminal,
    ListTerminals,
    Output,
    ResizeTerminal,
    TerminalEnd,
    TerminalInfo,
    TerminalState,
    WriteTerminal,
)
from tests.backends.services import StageContext
from tests.terma.attach.staged import COMMAND, ID, StagedHermes, StagedTerma, Window, serving

ATTACH = [*COMMAND, "attach", "alice"]
MODES = (1, 1000, 1002, 1003, 1004, 1006, 1049, 2004, 2026)


@pytest.fixture
def context() -> StageContext:
    return StageContext()


@pytest.fixture
def terma(context: StageContext) -> Iterator[StagedTerma]:
    service = StagedTerma(context)
    with serving(service):
        yield service


class Windows:
    """Opens windows, and closes them all."""

    def __init__(self) -> None:
        self._open: list[Window] = []

    def __call__(self, *arguments: str, **options: int) -> Window:
        return self.run([*ATTACH, *arguments], **options)

    def run(self, command: list[str], **options: int) -> Window:
        """Open a window with some program in it."""
        environment = dict(os.environ) | {"TERM": "xterm-256color"}
        environment.pop("TERMA_INSTANCE", None)
        window = Window(command, environment, **options)
        self._open.append(window)
        return window

    def close(self) -> None:
        """End what is still open."""
        for window in self._open:
            window.close()


@pytest.fixture
def attach() -> Iterator[Windows]:
    windows = Windows()
    yield windows
    windows.close()


def attached(attach: Windows, terma: StagedTerma, *arguments: str, **options: int) -> Window:
    """Open a window and wait until it shows the terminal."""
    before = terma.attached
    window = attach(*arguments, **options)
    window.wait_until(lambda: terma.attached > before, "the terminal is attached to")
    return window


def test_it_shows_the_terminal_and_what_comes(attach: Windows, terma: StagedTerma) -> None:
    terma.put(b"already here\r\n")
    window = attached(attach, terma)
    window.wait_text("already here")
    assert b"alice: Ctrl-] detaches\r\n" in window.shown
    assert "detaches" not in window.text, "the line has scrolled away"
    terma.put(b"\x1b[31mred\x1b[0m and \xe2\x82\xac")
    window.wait_text("red and €")
    assert b"\x1b[31mred\x1b[0m and \xe2\x82\xac" in window.shown


def test_keys_arrive_one_by_one_and_joined(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    terma.holds_writes = True
    window.type("a")
    window.wait_until(lambda: terma.count(WriteTerminal) == 1, "the first key")
    window.type("b\x03")
    window.type("\x1a\r")
    terma.put(b"shown")
    window.wait_text("shown")
    assert terma.count(WriteTerminal) == 1
    terma.release()
    window.wait_until(lambda: terma.typed == b"ab\x03\x1a\r", "all keys")
    assert terma.count(WriteTerminal) <= 3


def test_a_large_paste_arrives_whole(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    text = "".join(f"{number:07d}\n" for number in range(20_000))
    window.paste(text.encode())
    window.wait_until(lambda: len(terma.typed) >= len(text), "the whole paste")
    assert terma.typed == text.encode()


@pytest.mark.parametrize("press", ["\x1d", "\x1b[93;5u", "\x1b[27;5;93~"])
def test_the_key_detaches_and_everything_is_restored(
    press: str, attach: Windows, terma: StagedTerma
) -> None:
    window = attach()
    before = window.attributes
    window.wait_until(lambda: terma.attached, "the terminal is attached to")
    assert window.attributes != before
    for mode in MODES:
        terma.put(b"\x1b[?%dh" % mode)
    terma.put(b"\x1b[?25l\x1b=\x1b[>5u\x1b[5;10r\x1b[?6h\x1b[31;1m\x1b[4h\x1b]2;theirs\x07inside")
    window.wait_text("inside")
    assert all(window.mode(mode) for mode in MODES)
    window.type(press)
    assert window.wait() == 0
    assert "alice: detached" in window.text
    assert window.attributes == before
    assert not any(window.mode(mode) for mode in (*MODES, 66, 6)), "modes are left"
    assert window.mode(25), "the cursor is hidden"
    control = window.engine._control()
    assert b"\x1b[5;10r" not in control
    assert window.shown.count(b"\x1b[22;0t") == window.shown.count(b"\x1b[23;0t") == 1


def test_the_way_out_restores_after_a_sequence_that_was_cut(
    attach: Windows, terma: StagedTerma
) -> None:
    window = attached(attach, terma)
    terma.put(b"text\x1b]52;c;AAAA")
    window.wait_for(b"AAAA")
    window.type("\x1d")
    assert window.wait() == 0
    assert "alice: detached" in window.text


def test_pressed_twice_it_is_typed(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    window.type("\x1d\x1d")
    window.wait_until(lambda: terma.typed == b"\x1d", "the key alone")
    window.type("x")
    window.wait_until(lambda: terma.typed == b"\x1dx", "the key")


OUTER = "import os, subprocess, sys; subprocess.run(sys.argv[1:]); print(os.read(0, 99))"


def test_what_is_typed_behind_the_key_is_for_the_shell_outside(
    attach: Windows, terma: StagedTerma
) -> None:
    window = attach.run([sys.executable, "-c", OUTER, *ATTACH])
    window.wait_until(lambda: terma.attached, "the terminal is attached to")
    window.type("inside")
    window.wait_until(lambda: terma.typed == b"inside", "what is typed before it")
    window.type("\x1dls -l\n")
    assert window.wait() == 0
    assert "alice: detached\nb'ls -l\\n'" in window.text
    assert terma.typed == b"inside"


@pytest.mark.parametrize("mode", [b"\x1b[?1003h", b"\x1b[?1004h", b"\x1b[>3u"])
def test_where_the_window_reports_by_itself_nothing_reaches_the_shell_outside(
    mode: bytes, attach: Windows, terma: StagedTerma
) -> None:
    terma.put(mode)
    window = attach.run([sys.executable, "-c", OUTER, *ATTACH])
    window.wait_for(b"\x1b[0m\x1b[0m")
    terma.put(mode + b"shown")
    window.wait_text("shown")
    window.type("\x1d\x1b[<35;1;1M")
    window.wait_text("detached")
    window.type("ls\n")
    assert window.wait() == 0
    assert "b'ls\\n'" in window.text


def test_rows_above_come_first_and_once(attach: Windows, context: StageContext) -> None:
    first, second = StagedTerma(context), StagedTerma(context)
    rows = b"".join(b"\x1b[3%dmrow %d\x1b[0m\r\n" % (n % 8, n) for n in range(100))
    with serving(first):
        first.put(rows + b"end")
        window = attached(attach, first, rows=10)
        window.wait_text("row 99\nend")
    second.put_before(rows + b"end, again")
    with serving(second):
        window.wait_text("row 99\nend, again")
        window.type("\x1d")
        assert window.wait() == 0
    screen = window.engine.show(scrollback=1000)
    shown = ["".join(run.text for run in row.runs) for row in (*screen.scrollback, *screen.lines)]
    begin = shown.index("row 0")
    expected = [f"row {n}" for n in range(100)]
    assert [row for row in shown if row.startswith("row ")] == expected
    assert shown[begin : begin + 100] == expected
    assert first.count(ShowScreen) + second.count(ShowScreen) == 1
    assert screen.scrollback[begin + 1].runs[0].foreground == "1"


def test_rows_above_are_left_out_on_wish(attach: Windows, terma: StagedTerma) -> None:
    terma.put(b"".join(b"row %d\r\n" % n for n in range(100)))
    window = attached(attach, terma, "--no-history")
    window.wait_text("row 99")
    assert b"row 0\r" not in window.shown
    assert terma.count(ShowScreen) == 0


def test_with_the_alternate_screen_no_rows_come(attach: Windows, terma: StagedTerma) -> None:
    terma.put(b"".join(b"row %d\r\n" % n for n in range(100)) + b"\x1b[?1049hfull")
    window = attached(attach, terma)
    window.wait_text("full")
    assert b"row 0\r" not in window.shown


def test_rows_that_do_not_come_are_not_waited_for(attach: Windows, terma: StagedTerma) -> None:
    terma.holds_screen = True
    terma.put(b"".join(b"row %d\r\n" % n for n in range(100)))
    window = attached(attach, terma)
    window.wait_text("row 99")
    terma.put(b"goes on")
    window.wait_text("goes on")
    assert b"row 0\r" not in window.shown


def test_what_comes_while_the_rows_are_fetched_comes_once(
    attach: Windows, terma: StagedTerma
) -> None:
    terma.put(b"".join(b"row %d\r\n" % n for n in range(100)))
    terma.before_screen = b"".join(b"row %d\r\n" % n for n in range(100, 105))
    window = attached(attach, terma)
    window.wait_text("row 104")
    screen = window.engine.show(scrollback=1000)
    shown = ["".join(run.text for run in row.runs) for row in (*screen.scrollback, *screen.lines)]
    assert [row for row in shown if row.startswith("row ")] == [f"row {n}" for n in range(105)]


def test_colours_that_were_changed_are_given_back(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    terma.put(b"\x1b]4;1;rgb:00/00/00\x07\x1b]11;?\x07\x1b]12;red\x1b\\shown")
    window.wait_text("shown")
    window.type("\x1d")
    assert window.wait() == 0
    assert b"\x1b]104\x1b\\\x1b]112\x1b\\" in window.shown
    assert b"\x1b]111" not in window.shown


def test_a_new_name_is_learnt(attach: Windows, context: StageContext) -> None:
    service, hermes = StagedTerma(context), StagedHermes(context)
    with serving(service, hermes):
        window = attached(attach, service, "--status")
        window.wait_until(lambda: hermes.subscribers == 2, "the subscriptions")
        service.info = dataclasses.replace(service.info, name="eve")
        hermes.publish("terminal.alice.renamed", to="eve")
        window.wait_text(" eve | idle")
        service.tell(TerminalEnd(state=TerminalState.LOST, detail="ptyhost died"))
        assert window.wait() == 1
        assert "eve is lost: ptyhost died" in window.text
        assert "terma restore eve" in window.text


def test_a_name_that_changed_while_the_hub_was_gone_is_learnt(
    attach: Windows, context: StageContext
) -> None:
    first, second = StagedTerma(context), StagedTerma(context)
    with serving(first):
        window = attached(attach, first)
    window.wait_text("the hub is gone")
    second.info = dataclasses.replace(second.info, name="eve")
    with serving(second):
        window.wait_until(lambda: second.count(ListTerminals), "the question")
        window.wait_until(lambda: second.attached, "the terminal is attached to")
        second.put(b"back")
        window.wait_text("back")
        window.type("\x1d")
        assert window.wait() == 0
    assert "eve: detached" in window.text


@pytest.mark.parametrize("status", [[], ["--status"]])
def test_which_terminals_wait_already_is_told_once_the_screen_is_there(
    status: list[str], attach: Windows, terma: StagedTerma
) -> None:
    waiting = TerminalState.WAITING
    terma.info = dataclasses.replace(terma.info, state=waiting, detail="who looks at it knows")
    terma.others = (
        TerminalInfo(name="bob", id="b", state=waiting, detail="done?"),
        TerminalInfo(name="carol", id="c", state=TerminalState.BUSY, detail="make"),
        TerminalInfo(name="dan", id="d", state=waiting),
    )
    terma.put(b"shown")
    window = attached(attach, terma, *status)
    if status:
        window.wait_text("| bob waits: done?; dan waits")
    else:
        window.wait_for(b"\x1b]2;bob waits: done?; dan waits\x1b\\")
    assert window.shown.index(b"shown") < window.shown.index(b"bob waits")
    assert b"\x07" not in window.shown
    window.type("\x1d")
    assert window.wait() == 0
    assert "bob waits: done?; dan waits\nalice: detached" in window.text
    assert terma.asked.count(ListTerminals()) == 1


def test_the_title_comes_back_whatever_was_put_away_inside(
    attach: Windows, terma: StagedTerma
) -> None:
    window = attached(attach, terma)
    terma.put(b"\x1b[23;2t\x1b[23;1tone left")
    window.wait_for(b"one left\x1b[22;0t")
    terma.put(b"\x1b[22;2t\x1b[22;1tanother began")
    window.wait_text("another began")
    window.type("\x1d")
    assert window.wait() == 0
    assert window.shown.index(b"\x1b[23;1t\x1b[23;2t") < window.shown.index(b"\x1b[23;0t")


def test_where_the_terminal_has_no_title_the_window_gets_its_name(
    attach: Windows, terma: StagedTerma
) -> None:
    terma.put(b"shown")
    window = attached(attach, terma)
    window.wait_text("shown")
    assert b"\x1b]2;alice\x1b\\" in window.shown
    assert b"\x1b]2;\x1b\\" not in window.shown


def test_it_is_shown_which_terminal_waits_for_what(attach: Windows, context: StageContext) -> None:
    service, hermes = StagedTerma(context), StagedHermes(context)
    with serving(service, hermes):
        line = attached(attach, service, "--status")
        bare = attached(attach, service)
        line.wait_until(lambda: hermes.subscribers == 4, "the subscriptions")
        hermes.publish("terminal.carol.state", state="waiting", source="bell")
        hermes.publish("terminal.bob.state", state="waiting", detail="look here")
        line.wait_text("| bob waits: look here")
        bare.wait_for(b"\x1b]2;bob waits: look here\x1b\\\x07")
        hermes.publish("terminal.carol.state", state="idle")
        hermes.publish("terminal.dan.state", state="waiting")
        bare.wait_for(b"dan waits")
        bare.type("\x1d")
        assert bare.wait() == 0
        assert "bob waits: look here; dan waits\nalice: detached" in bare.text


def test_after_a_while_the_notice_goes(attach: Windows, context: StageContext) -> None:
    service, hermes = StagedTerma(context), StagedHermes(context)
    service.info = dataclasses.replace(service.info, title="theirs")
    soon = "import terma.attach.view as view; view._NOTICE_S = 0.1; "
    soon += "from terma.cli import main; main()"
    with serving(service, hermes):
        line = attach.run([sys.executable, "-c", soon, "attach", "alice", "--status"])
        line.wait_until(lambda: hermes.subscribers == 2, "the subscriptions")
        bare = attach.run([sys.executable, "-c", soon, "attach", "alice"])
        bare.wait_until(lambda: hermes.subscribers == 4, "the subscriptions")
        hermes.publish("terminal.bob.state", state="waiting", detail="look here")
        bare.wait_for(b"\x1b]2;bob waits: look here\x1b\\")
        bare.wait_for(b"\x1b]2;theirs\x1b\\")
        line.wait_until(lambda: b"bob waits" in line.shown, "the notice")
        line.wait_until(lambda: "bob waits" not in line.text, "the notice has gone")


def test_without_a_name_it_is_the_only_one(attach: Windows, terma: StagedTerma) -> None:
    terma.others = (TerminalInfo(name="bob", id="b", state=TerminalState.EXITED),)
    window = attach.run([*COMMAND, "attach"])
    window.wait_until(lambda: terma.attached, "the terminal is attached to")
    window.type("\x1d")
    assert window.wait() == 0
    terma.others = (TerminalInfo(name="bob", id="b"),)
    window = attach.run([*COMMAND, "attach"])
    assert window.wait() == 2
    assert "2 terminals run: alice, bob" in window.text
    terma.others, terma.info = (), dataclasses.replace(terma.info, state=TerminalState.LOST)
    window = attach.run([*COMMAND, "attach"])
    assert window.wait() == 3


def test_within_a_paste_it_is_text(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    window.type("\x1b[200~a\x1db\x1b[201~")
    window.wait_until(lambda: terma.typed == b"\x1b[200~a\x1db\x1b[201~", "the paste")


def test_another_key_may_be_chosen(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma, "--key", "ctrl-a")
    assert b"alice: Ctrl-A detaches" in window.shown
    window.type("\x1d")
    window.wait_until(lambda: terma.typed == b"\x1d", "the usual key")
    window.type("\x01")
    assert window.wait() == 0


@pytest.mark.parametrize(
    ("end", "words", "status"),
    [
        (TerminalEnd(state=TerminalState.EXITED, exit_status=3), "alice: exited with status 3", 0),
        (
            TerminalEnd(state=TerminalState.EXITED, exit_status=130, detail="killed by INT"),
            "alice: killed by INT",
            0,
        ),
        (TerminalEnd(state=TerminalState.CLOSED), "alice: closed", 0),
        (TerminalEnd(state=TerminalState.LOST, detail="ptyhost died"), "ptyhost died", 1),
    ],
)
def test_at_the_end_it_says_why(
    end: TerminalEnd, words: str, status: int, attach: Windows, terma: StagedTerma
) -> None:
    window = attach()
    before = window.attributes
    window.wait_until(lambda: terma.attached, "the terminal is attached to")
    terma.put(b"last words")
    terma.tell(end)
    assert window.wait() == status
    assert "last words" in window.text
    assert words in window.text
    assert ("terma restore alice" in window.text) == (status == 1)
    assert window.attributes == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_signals_restore_and_end_it(number: int, attach: Windows, terma: StagedTerma) -> None:
    window = attach()
    before = window.attributes
    window.wait_until(lambda: terma.attached, "the terminal is attached to")
    terma.put(b"\x1b[?1049h\x1b[?1003hfull")
    window.wait_text("full")
    os.kill(window.pid, number)
    assert window.wait() == -number
    assert f"alice: detached ({signal.Signals(number).name})" in window.text
    assert window.attributes == before
    assert not window.mode(1049)
    assert not window.mode(1003)


def test_a_bug_of_ours_restores_as_well(attach: Windows, terma: StagedTerma) -> None:
    bug = "from terma.attach.view import View; View.show_change = None; "
    bug += "from terma.cli import main; main()"
    terma.resize(60, 10)
    window = attach.run([sys.executable, "-c", bug, "attach", "alice", "--read-only"])
    before = window.attributes
    assert window.wait() == 1
    assert "TypeError" in window.text
    assert window.attributes == before
    assert b"\x1b[23;0t" in window.shown


def test_a_terminal_without_a_name_serves_as_well(attach: Windows, terma: StagedTerma) -> None:
    nameless = "import os; os.ttyname = lambda _: '/dev/null'; "
    nameless += "from terma.cli import main; main()"
    shell = "import os, subprocess, sys; subprocess.run(sys.argv[1:]); print(os.get_blocking(1))"
    command = [sys.executable, "-c", nameless, "attach", "alice"]
    window = attach.run([sys.executable, "-c", shell, *command])
    window.wait_until(lambda: terma.attached, "the terminal is attached to")
    terma.put(b"shown\r\n" * 10_000 + b"to the end")
    window.wait_text("to the end")
    window.type("x\x1d")
    assert window.wait() == 0
    assert terma.typed == b"x"
    assert "detached\nTrue" in window.text, "the shell would be told to try again"


def test_a_stop_from_outside_is_not_obeyed(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    os.kill(window.pid, signal.SIGTSTP)
    window.type("x")
    window.wait_until(lambda: terma.typed == b"x", "the key")


def test_a_window_that_is_closed_ends_it(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    assert window.hang_up() == -signal.SIGHUP


def test_a_hub_that_dies_is_waited_for(attach: Windows, context: StageContext) -> None:
    first, second = StagedTerma(context), StagedTerma(context)
    with serving(first):
        window = attached(attach, first)
        first.holds_writes = True
        first.put(b"\x1b[?1003hthe screen\r\nstays")
        window.wait_text("stays")
        window.type("never sent")
        window.wait_until(lambda: first.count(WriteTerminal) == 1, "the write")
    window.wait_text("the hub is gone")
    window.wait_text("not sent")
    assert "the screen\nstays" in window.text
    assert not window.mode(1003), "a mouse that moves would ring"
    bells = window.shown.count(b"\x07")
    window.type("x")
    window.wait_until(lambda: window.shown.count(b"\x07") > bells, "a bell")
    second.put_before(b"the screen\r\nis back")
    with serving(second):
        window.wait_text("is back")
        assert "the hub is gone" not in window.text
        told = "alice: 11 bytes not sent: the hub was gone"
        window.wait_for(b"\x1b]2;%s\x1b\\" % told.encode())
        window.type("y")
        window.wait_until(lambda: second.typed, "a key")
        assert second.typed == b"y"
        window.type("\x1d")
        assert window.wait() == 0
        assert f"{told}\nalice: detached" in window.text


def test_while_the_hub_is_gone_the_key_leaves(attach: Windows, context: StageContext) -> None:
    service = StagedTerma(context)
    with serving(service):
        window = attach()
        before = window.attributes
        window.wait_until(lambda: service.attached, "the terminal is attached to")
    window.wait_text("Ctrl-] leaves")
    window.type("\x1d")
    assert window.wait() == 0
    assert window.attributes == before
    assert "the hub is gone" not in window.text


def test_a_terminal_that_is_gone_with_the_hub_ends_it(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    terma.attach_error = NotFound("no terminal named 'alice'", "`terma list` shows all")
    terma.tell(ConnectionLost("the hub is stopped"))
    assert window.wait() == 3
    assert "no terminal named 'alice'" in window.text


def test_keys_that_are_refused_are_told_of_and_not_sent_later(
    attach: Windows, terma: StagedTerma
) -> None:
    window = attached(attach, terma)
    terma.write_error = TektonError("nothing reads here")
    window.type("abc")
    window.wait_for(b"3 bytes not typed: nothing reads here")
    terma.write_error = None
    window.type("d")
    window.wait_until(lambda: terma.typed == b"d", "the next key")
    window.type("\x1d")
    assert window.wait() == 0
    assert "alice: 3 bytes not typed: nothing reads here" in window.text


def test_keys_that_were_not_taken_by_the_end_are_told_of(
    attach: Windows, terma: StagedTerma
) -> None:
    window = attached(attach, terma)
    terma.holds_writes = True
    window.type("abc")
    window.wait_until(lambda: terma.count(WriteTerminal) == 1, "the write")
    window.type("\x1d")
    assert window.wait() == 0
    assert "alice: 3 bytes not typed\nalice: detached" in window.text


def test_the_terminal_takes_the_size_of_the_window(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma, columns=100, rows=30)
    assert terma.size == (100, 30)
    window.resize(90, 20)
    window.wait_until(lambda: terma.size == (90, 20), "the size")
    terma.put(b"\x1b[20;1Hbottom")
    window.wait_text("bottom")
    assert terma.count(WatchScreen) == 0


def test_a_resize_storm_ends_with_the_last_size(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    for columns in range(40, 140):
        window.resize(columns, 30)
    window.wait_until(lambda: terma.size == (139, 30), "the last size")
    assert terma.count(ResizeTerminal) <= 100
    terma.put(b"\x1b[30;130Hthe end")
    window.wait_text("the end")


def test_another_size_is_shown_in_a_frame_until_one_types(
    attach: Windows, terma: StagedTerma
) -> None:
    window = attached(attach, terma, columns=100, rows=30)
    terma.put(b"\x1b[?1000hhello")
    window.wait_text("hello")
    terma.resize(60, 10)
    window.wait_text("alice is 60 x 10")
    assert not window.mode(1000), "the mouse would report places of another size"
    window.wait_until(lambda: window.text.split("\n")[29] == "·" * 100, "the whole frame")
    assert window.text.split("\n")[0] == "hello".ljust(60) + "·" * 40
    terma.put(b"\x1b[10;1Hone\r\ntwo")
    window.wait_text("two")
    assert window.text.split("\n")[8].startswith("one ")
    window.type("k")
    window.wait_until(lambda: terma.size == (100, 30), "the window's size")
    window.wait_until(lambda: "·" not in window.text, "no frame")
    window.wait_until(lambda: window.mode(1000), "the mouse is the program's again")
    assert terma.typed == b"k"


def everything_in(window: Window) -> list[str]:
    """What a window shows and has above it, without rows that are empty."""
    assert window.text
    screen = window.engine.show(scrollback=1000)
    rows = ("".join(run.text for run in row.runs) for row in (*screen.scrollback, *screen.lines))
    return [row.rstrip() for row in rows if row.strip()]


@pytest.mark.parametrize("program", [b"", b"\x1b[?1049h", b"\x1b[?1047h"])
@pytest.mark.parametrize("status", [[], ["--status"]])
def test_a_frame_leaves_nothing_behind(
    program: bytes, status: list[str], attach: Windows, terma: StagedTerma
) -> None:
    window = attached(attach, terma, *status, columns=100, rows=30)
    terma.put(b"hello\r\n$ " + program + b"there")
    window.wait_text("there")
    terma.resize(60, 10)
    window.wait_text("alice is 60 x 10")
    window.type("\x1d")
    assert window.wait() == 0
    assert not window.mode(1049)
    before = ["alice: Ctrl-] detaches"]
    before += ["hello", "$" if program else "$ there"]
    assert everything_in(window) == [*before, "alice: detached"]


def test_a_frame_from_the_beginning_leaves_an_empty_window(
    attach: Windows, terma: StagedTerma
) -> None:
    terma.resize(60, 10)
    terma.put(b"hello")
    window = attached(attach, terma, "--read-only")
    window.wait_text("hello")
    assert window.mode(1049)
    window.type("\x1d")
    assert window.wait() == 0
    assert everything_in(window) == ["alice: Ctrl-] detaches; read-only", "alice: detached"]
    assert window.text.split("\n")[1] == "alice: detached"


def test_where_the_hub_was_gone_before_a_frame_that_is_not_left_behind(
    attach: Windows, context: StageContext
) -> None:
    first, second = StagedTerma(context), StagedTerma(context)
    with serving(first):
        window = attached(attach, first, "--read-only")
        first.put(b"hello")
        window.wait_text("hello")
    window.wait_text("the hub is gone")
    second.engine.resize(60, 10)
    second.size = (60, 10)
    with serving(second):
        window.wait_text("alice is 60 x 10")
        window.type("\x1d")
        assert window.wait() == 0
    before = ["alice: Ctrl-] detaches; read-only", "hello"]
    assert everything_in(window) == [*before, "alice: detached"]


def test_a_write_under_way_is_waited_for_before_the_repaint(
    attach: Windows, terma: StagedTerma
) -> None:
    window = attached(attach, terma, columns=100, rows=30)
    terma.resize(60, 10)
    window.wait_text("alice is 60 x 10")
    terma.holds_writes = True
    window.type("k")
    window.wait_until(lambda: terma.count(WriteTerminal) == 1, "the write")
    terma.resize(100, 30)
    window.type("l")
    terma.put(b"shown in the frame")
    window.wait_text("shown in the frame")
    assert terma.count(AttachTerminal) == 1
    terma.release()
    window.wait_until(lambda: terma.typed == b"kl", "both keys")
    assert terma.count(AttachTerminal) == 2


def test_of_a_larger_terminal_the_part_with_the_cursor_is_shown(
    attach: Windows, terma: StagedTerma
) -> None:
    terma.resize(120, 40)
    terma.put(b"top\x1b[38;101Hcursor")
    window = attached(attach, terma, "--read-only")
    window.wait_text("cursor")
    assert terma.size == (120, 40)
    window.wait_until(lambda: "alice is 120 x 40" in window.text.split("\n")[23], "the note")
    assert "top" not in window.text
    window.type("x")
    window.wait_for(b"\x07")
    assert terma.typed == b""
    window.resize(120, 40)
    window.wait_text("top")
    window.wait_until(lambda: "alice is" not in window.text, "no frame")
    assert terma.size == (120, 40)


def test_ten_megabytes_arrive_byte_for_byte(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    burst = b"".join(b"line %09d of many more\r\n" % number for number in range(360_000))
    for at in range(0, len(burst), 200_000):
        terma.put(burst[at : at + 200_000])
    terma.put(b"that was all")
    assert burst in window.take(b"that was all")


def test_keys_count_while_output_is_stuck(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    for _ in range(40):
        terma.put(b"y\r\n" * 30_000)
    window.type("\x03")
    terma.wait_until(lambda: terma.typed == b"\x03", "Ctrl-C")
    window.type("\x1d")
    assert window.wait() == 0
    assert "alice: detached" in window.text


def test_nothing_of_ours_is_on_the_screen(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    terma.put(b"\x1b[2J\x1b[Hinside")
    window.wait_text("inside")
    assert window.text.split() == ["inside"]


def test_a_status_line_has_the_last_row(attach: Windows, terma: StagedTerma) -> None:
    terma.info = dataclasses.replace(terma.info, unread=2, attached=3)
    window = attached(attach, terma, "--status", rows=10)
    assert terma.size == (80, 9)
    window.wait_text("alice | idle | 2 unread | 2 others attached")
    terma.put(b"\x1b[r\x1b[999;1H" + b"".join(b"row %d\r\n" % n for n in range(50)) + b"end")
    window.wait_text("end")
    lines = window.text.split("\n")
    assert lines[8] == "end"
    assert lines[7] == "row 49"
    assert "alice | idle" in lines[9]
    terma.put(b"\x1bc\x1b[?1049h\x1b[2Jfull")
    window.wait_text("full")
    window.wait_until(lambda: "alice | idle" in window.text.split("\n")[9], "the line is back")
    window.type("\x1d")
    assert window.wait() == 0
    assert "alice | idle" not in window.text
    assert b"\x1b[1;9r" not in window.engine._control()


def test_notices_of_the_hub_are_told(attach: Windows, terma: StagedTerma) -> None:
    window = attached(attach, terma)
    terma.tell(Output(offset=0, notice="the recording has stopped"))
    window.wait_for(b"\x1b]2;alice: the recording has stopped\x1b\\")
    assert "recording" not in window.text
    window.type("\x1d")
    assert window.wait() == 0
    assert "alice: the recording has stopped" in window.text


def test_another_terminal_that_waits_rings_once(
    attach: Windows, context: StageContext, tekton_home: Path
) -> None:
    (tekton_home / "config").mkdir(exist_ok=True)
    (tekton_home / "config" / "config.toml").write_text('[terma]\nnotify = "osc9"\n')
    service, hermes = StagedTerma(context), StagedHermes(context)
    with serving(service, hermes):
        window = attached(attach, service)
        window.wait_until(lambda: hermes.subscribers == 2, "the subscriptions")
        hermes.publish("terminal.alice.state", state="waiting")
        for _ in range(3):
            hermes.publish("terminal.bob.state", state="waiting", source="bell")
        hermes.publish("terminal.bob.state", state="idle")
        hermes.publish("terminal.bob.state", state="waiting")
        hermes.publish("terminal.carol.state", state="waiting")
        window.wait_for(b"\x1b]9;carol waits\x1b\\")
        assert window.shown.count(b"\x1b]9;bob waits\x1b\\") == 2
        assert b"alice waits" not in window.shown
        window.type("\x1d")
        assert window.wait() == 0


def test_a_notice_waits_for_the_end_of_a_sequence(attach: Windows, context: StageContext) -> None:
    service, hermes = StagedTerma(context), StagedHermes(context)
    with serving(service, hermes):
        window = attached(attach, service)
        window.wait_until(lambda: hermes.subscribers == 2, "the subscriptions")
        service.put(b"a\x1b]2;a title that ")
        window.wait_for(b"title that ")
        hermes.publish("terminal.bob.state", state="waiting")
        service.put(b"goes on\x1b\\b")
        window.wait_for(b"goes on\x1b\\b\x1b]2;bob waits\x1b\\\x07")
        assert b"\x1b]2;a title that goes on\x1b\\b\x1b]2;" in window.shown


def test_a_terminal_is_not_attached_to_itself(attach: Windows, terma: StagedTerma) -> None:
    window = Window(ATTACH, dict(os.environ) | {"TERMA_INSTANCE": ID})
    assert window.wait() == 2
    assert b"this is alice itself" in window.shown
    assert terma.count(AttachTerminal) == 0
    window.close()


def test_next_attaches_to_the_one_that_has_waited_longest(
    attach: Windows, terma: StagedTerma
) -> None:
    terma.info = dataclasses.replace(terma.info, state=TerminalState.WAITING, state_since=50.0)
    terma.others = (
        TerminalInfo(name="bob", id="b", state=TerminalState.WAITING, state_since=70.0),
        TerminalInfo(name="carol", id="c", state=TerminalState.BUSY, state_since=10.0),
    )
    window = Window([*COMMAND, "next"])
    window.wait_for(b"alice: Ctrl-] detaches")
    window.wait_until(lambda: terma.attached, "the terminal is attached to")
    window.type("\x1d")
    assert window.wait() == 0
    window.close()


def test_next_says_where_none_waits(terma: StagedTerma) -> None:
    window = Window([*COMMAND, "next"])
    assert window.wait() == 3
    assert b"no terminal waits for a person" in window.shown
    window.close()
