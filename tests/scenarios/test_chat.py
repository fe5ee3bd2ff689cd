"""A chat at a terminal, as a person has it: typed on one side, seen on the other."""

from __future__ import annotations

import base64
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.aish.chat.emulator import Emulator
from tests.model_servers import Fault, FaultKind, OllamaServer, Script
from tests.scenarios.tekton_process import TektonProcess
from tests.scenarios.terminal import Terminal
from tests.scenarios.test_terminal import ATTACKS

COLUMNS = 80


class Person:
    """Types into a chat and looks at the screen."""

    def __init__(self, terminal: Terminal, rows: int) -> None:
        self.terminal = terminal
        self._rows = rows

    @property
    def shown(self) -> list[str]:
        """What the terminal has shown, with the rows that have left the screen."""
        emulator = Emulator(COLUMNS, self._rows)
        emulator.feed(self.terminal.shown.decode(errors="replace"))
        return emulator.shown

    def sees(self, text: str, count: int = 1) -> None:
        """Wait until a text stands on so many rows."""
        self.waits(lambda rows: sum(text in row for row in rows) >= count, text)

    def waits(self, condition: Callable[[list[str]], bool], what: str) -> None:
        """Wait until the rows are as they should be."""

        def holds() -> bool:
            rows = self.shown
            return len(rows) > 1 and condition(rows)

        self.terminal.wait_until(holds, f"{what!r} in {self.shown}")

    def types(self, text: str) -> None:
        self.terminal.type(text)

    def asks(self, text: str) -> None:
        self.types(text + "\r")

    def is_asked(self) -> None:
        """Wait until the chat has the terminal: what is typed before that is read as lines."""
        self.waits(lambda rows: " · " in rows[-1] and "answering" not in rows[-1], "a prompt")

    def ends(self) -> int:
        """Leave as it is done with nothing typed."""
        self.is_asked()
        self.types("\x04")
        return self.terminal.wait()


@pytest.fixture
def chat(tekton: TektonProcess) -> Iterator[Callable[..., Person]]:
    """Begin chats, each on a terminal of its own, and wait for their prompts."""
    begun: list[Terminal] = []

    def begin(target: str, *options: str, rows: int = 30, **variables: str) -> Person:
        environment = tekton.environment | variables
        command = [str(Path(tekton.environment["PATH"].split(":")[0]) / "aish"), "chat", target]
        terminal = Terminal([*command, *options], environment, tekton.home, rows)
        begun.append(terminal)
        person = Person(terminal, rows)
        person.sees(f"{target}>")
        person.sees(f"{target} ·")
        return person

    yield begin
    for terminal in begun:
        terminal.close()


def test_prompts_and_answers_stand_one_below_the_other(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["# Title\n\nSome **bold", "** text."])
    person = chat("apollo")
    person.asks("first")
    person.sees("Some bold text.")
    person.asks("second")
    person.sees("Some bold text.", 2)
    assert person.ends() == 0
    rows = person.shown
    asked = [rows.index(f"apollo> {text}") for text in ("first", "second")]
    assert [row for row in rows if "Title" in row] == ["Title", "Title"]
    assert asked[0] < rows.index("Title") < asked[1]
    assert not rows[-1].startswith("apollo"), "the input is left behind"


def test_what_is_typed_while_an_answer_streams_is_shown_and_waits_its_turn(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["word "] * 40, delay_s=0.02)
    person = chat("apollo")
    person.asks("first")
    person.sees("word word")
    person.types("second")
    person.sees("apollo> second")
    person.types("\r")
    person.sees("queued: second")
    ollama.script = Script(tokens=["the other answer"])
    person.sees("the other answer")
    rows = person.shown
    assert rows.index("apollo> second") > max(n for n, row in enumerate(rows) if "word" in row)
    assert sum(row.count("word") for row in rows) == 40


def test_ctrl_c_stops_the_answer_and_the_next_prompt_follows_it(
    chat: Callable[..., Person], tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["so far\n\n", "never"], fault=Fault(FaultKind.HANG, after=1))
    person = chat("apollo", "--new")
    person.asks("stop me")
    request = ollama.wait_request()
    person.sees("so far")
    person.types("kept\x03")
    person.sees("(stopped)")
    assert request.disconnected.wait(5), "the provider's request goes on"
    person.sees("apollo> kept")
    ollama.script = Script(tokens=["fine"])
    person.types("\x15next one\r")
    person.sees("fine")
    first, second = (
        tekton.wait_turn("stop me", "interrupted"),
        tekton.wait_turn("next one", "complete"),
    )
    assert second.get("parent") == first["id"]


def test_ctrl_c_clears_the_line_and_twice_leaves(chat: Callable[..., Person]) -> None:
    person = chat("mirror")
    person.types("half a line")
    person.sees("mirror> half a line")
    person.types("\x03")
    person.waits(lambda rows: "half a line" not in "".join(rows), "an empty line")
    person.types("\x03")
    person.sees("Ctrl-C again leaves")
    person.types("\x03")
    assert person.terminal.wait() == 0


def test_a_chat_goes_on_where_it_was_in_this_terminal(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    script = tekton.home / "twice.sh"
    script.write_text("aish chat apollo --new\nreset_mark=1; echo between\naish chat apollo\n")
    terminal = tekton.terminal(str(script), program="/bin/sh", rows=30)
    person = Person(terminal, 30)
    person.sees("apollo ·")
    ollama.script = Script(tokens=["the first answer"])
    person.asks("remember this")
    person.sees("the first answer")
    person.types("\x04")
    person.sees("between")
    person.sees('apollo goes on with "remember this"')
    person.sees("1 turn ·")
    person.asks("and now")
    person.sees("the first answer", 3)
    person.types("\x04")
    terminal.wait()
    contents = [it["content"] for it in ollama.requests[-1].body["messages"]]
    assert contents[-3:] == ["remember this", "the first answer", "and now"]


def test_to_retry_branches_and_keeps_both(
    chat: Callable[..., Person], tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["one answer"])
    person = chat("apollo", "--new")
    person.asks("ask me twice")
    person.sees("one answer")
    person.is_asked()
    ollama.script = Script(tokens=["another answer"])
    person.asks("/retry")
    person.sees("another answer")
    person.is_asked()
    person.asks("/edit")
    person.sees("apollo> ask me twice", 2)
    person.types("!\r")
    person.sees("another answer", 2)
    person.is_asked()
    person.asks("/session")
    person.sees("turn 1 of this branch, 3 in all")
    turns = [turn for turn in tekton.history() if turn["prompt"].startswith("ask me twice")]
    assert [turn.get("parent") for turn in turns] == [None, None, None]
    assert "branches off" not in "".join(person.shown)


def test_a_failed_prompt_comes_back_into_the_input(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    ollama.script = Script(fault=Fault(FaultKind.STATUS, status=500, message="it burns"))
    person = chat("apollo")
    person.asks("precious words")
    person.sees("it burns")
    person.waits(lambda rows: rows[-2] == "apollo> precious words", "the prompt is back")
    ollama.script = Script(tokens=["all is well"])
    person.types("\r")
    person.sees("all is well")


def test_the_hub_may_die_and_come_back() -> None:
    with TektonProcess() as tekton:
        tekton.start()
        terminal = tekton.terminal("chat", "mirror", rows=30)
        person = Person(terminal, 30)
        person.sees("mirror ·")
        person.types("typed before")
        assert tekton.hub is not None
        tekton.hub.kill()
        tekton.hub.wait()
        person.sees("the hub is gone")
        person.types("\r")
        person.sees("error: the hub")
        person.waits(lambda rows: rows[-2] == "mirror> typed before", "the prompt is back")
        tekton.start()
        person.sees("the hub is back")
        person.types("\r")
        person.waits(lambda rows: "typed before" in rows, "the answer")
        assert person.ends() == 0


def test_the_hub_may_die_in_the_middle_of_an_answer() -> None:
    script = Script(tokens=["half a thought", "never"], fault=Fault(FaultKind.HANG, after=1))
    with OllamaServer(script) as server:
        with TektonProcess(variables={"OLLAMA_HOST": server.url}) as tekton:
            tekton.start()
            person = Person(tekton.terminal("chat", "apollo", rows=30), 30)
            person.sees("apollo ·")
            person.asks("think")
            person.sees("half a thought")
            person.types("typed meanwhile")
            assert tekton.hub is not None
            tekton.hub.kill()
            tekton.hub.wait()
            person.sees("(broken off)")
            person.sees("the connection was lost")
            person.sees("the hub is gone")
            server.script = Script(tokens=["a whole thought"])
            tekton.start()
            person.sees("the hub is back")
            person.sees("apollo> typed meanwhile")
            person.types("\r")
            person.sees("a whole thought")
            assert person.ends() == 0


def test_several_answer_under_their_names(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["from all\n\n", "of us"], delay_s=0.01)
    person = chat("apollo,athena")
    person.asks("who are you?")
    person.sees("of us", 2)
    rows = person.shown
    order = [row for row in rows if row.startswith("==") or row in ("from all", "of us")]
    assert order[1:3] == order[4:6] == ["from all", "of us"]
    assert {order[0], order[3]} == {"== apollo ==", "== athena =="}


def test_a_large_paste_is_shown_as_one_word_and_sent_whole(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    person = chat("apollo")
    ollama.script = Script(tokens=["read"])
    text = "".join(f"line {n} of a paste 漢\n" for n in range(8000))
    person.types("\x1b[200~" + text[:1000])
    for start in range(1000, len(text), 1000):  # a terminal takes no more before it is read
        person.types(text[start : start + 1000])
        person.terminal.read_for(0.0)
    person.types("\x1b[201~")
    person.sees("[paste 1: 8001 lines]")
    person.types(" what is this?\r")
    person.sees("read")
    sent = ollama.requests[-1].body["messages"][-1]["content"]
    assert sent == f"{text} what is this?"


def test_several_lines_are_typed_and_sent_as_one(
    chat: Callable[..., Person], tekton: TektonProcess
) -> None:
    person = chat("mirror")
    person.types("one\x1b\rtwo\ntwo and a half\\\rthree")
    person.sees("        three")
    person.types("\r")
    person.sees("two and a half", 2)
    prompt = "one\ntwo\ntwo and a half\nthree"
    assert tekton.wait_turn(prompt, "complete")["answer"].rstrip() == prompt


def test_a_command_has_the_terminal_and_its_output_can_go_with_a_prompt(
    chat: Callable[..., Person], tekton: TektonProcess
) -> None:
    person = chat("mirror", SHELL="/bin/sh")
    person.asks("!test -t 0 && test -t 1 && read line && echo got $line")
    person.terminal.wait_until(lambda: person.terminal.is_lent, "the terminal is lent")
    person.types("this\r")
    person.sees("got this")
    person.is_asked()
    person.asks("!!echo out; echo err >&2; printf '\\033]0;evil\\007'")
    person.sees("goes with your next prompt")
    person.asks("what is it?")
    person.sees("output of", 2)
    turn = next(it for it in tekton.history() if it["prompt"].startswith("what is it?"))
    assert turn["prompt"].endswith("\n\nout\nerr\n")
    assert b"\x1b]0;" not in person.terminal.shown


def test_what_is_typed_while_a_command_runs_is_done_after_it(
    chat: Callable[..., Person], tekton: TektonProcess
) -> None:
    person = chat("mirror", SHELL="/bin/sh")
    person.asks("!while ! test -e go; do sleep 0.01; done; rm go")
    person.terminal.wait_until(lambda: person.terminal.is_lent, "the terminal is lent")
    person.types("typed ahead\r")
    (tekton.home / "go").touch()
    person.waits(lambda rows: "typed ahead" in rows, "the answer")


def test_a_command_can_be_interrupted_and_stopped(chat: Callable[..., Person]) -> None:
    person = chat("mirror", SHELL="/bin/sh")
    person.asks("!cat")
    person.terminal.wait_until(lambda: person.terminal.is_lent, "the terminal is lent")
    person.types("\x1a")
    person.sees("stopped: cat")
    person.asks("!fg")
    person.terminal.wait_until(lambda: person.terminal.is_lent, "the terminal is lent")
    person.types("\x03")
    person.sees("status 130")
    person.asks("still here")
    person.sees("still here", 2)


def test_an_answer_that_streams_meanwhile_loses_nothing(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    words = [f"word{n} " for n in range(60)]
    ollama.script = Script(tokens=words, delay_s=0.02)
    person = chat("apollo", SHELL="/bin/sh")
    person.asks("go")
    person.sees("word3")
    person.asks("!read line; echo got $line")
    person.terminal.wait_until(lambda: person.terminal.is_lent, "the terminal is lent")
    ollama.requests[-1].disconnected.wait(0.5)
    person.types("it\r")
    person.sees("word59")
    person.waits(lambda rows: rows[-1].startswith("apollo ·"), "the end")
    shown = "\n".join(person.shown)
    assert re.findall(r"word\d+", shown) == [word.strip() for word in words]
    assert "got it" in shown


def test_a_resize_while_an_answer_streams(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=[f"word{n} " for n in range(100)], delay_s=0.01)
    person = chat("apollo")
    person.asks("go")
    person.sees("word9 ")
    person.terminal.resize(40, 20)
    person.terminal.wait_for(b"word50")
    person.terminal.resize(COLUMNS, 30)
    person.terminal.wait_for(b"word99")
    person.terminal.wait_for(b"tokens")
    assert person.ends() == 0
    assert b"Traceback" not in person.terminal.shown


def test_what_broke_off_is_followed_when_the_hub_is_back() -> None:
    script = Script(tokens=["half a thought\n\n", "never"], fault=Fault(FaultKind.HANG, after=1))
    with OllamaServer(script) as server:
        with TektonProcess(variables={"OLLAMA_HOST": server.url}) as tekton:
            tekton.start()
            person = Person(tekton.terminal("chat", "apollo", rows=30), 30)
            person.is_asked()
            server.script = Script(tokens=["the first answer"])
            person.asks("first")
            person.sees("the first answer")
            person.is_asked()
            server.script = script
            person.asks("think")
            person.sees("half a thought")
            tekton.wait_turn("think", "running")
            assert tekton.hub is not None
            tekton.hub.kill()
            tekton.hub.wait()
            person.sees("the hub is gone")
            person.asks("too early")
            person.sees("error: the hub")
            server.script = Script(tokens=["a whole thought"])
            tekton.start()
            person.sees("the hub is back")
            person.types("\x15go on\r")
            person.sees("a whole thought")
            turns = {it["prompt"]: it for it in tekton.history()}
            assert turns["go on"]["parent"] == turns["think"]["id"]
            assert turns["think"]["parent"] == turns["first"]["id"]
            assert "branches off" not in "".join(person.shown)
            assert person.ends() == 0


def test_after_a_prompt_that_failed_the_conversation_goes_on(
    chat: Callable[..., Person], tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["fine"])
    person = chat("apollo", "--new")
    person.asks("well begun")
    person.sees("fine")
    person.is_asked()
    ollama.script = Script(fault=Fault(FaultKind.STATUS, status=500, message="it burns"))
    person.asks("it fails")
    person.sees("it burns")
    person.waits(lambda rows: rows[-2] == "apollo> it fails", "the prompt is back")
    ollama.script = Script(tokens=["all is well"])
    person.types("\x15now it does not\r")
    person.sees("all is well")
    person.is_asked()
    assert "branches off" not in "".join(person.shown)
    turns = {it["prompt"]: it["id"] for it in tekton.history()}
    parent = tekton.wait_turn("now it does not", "complete")["parent"]
    assert parent in (turns["it fails"], turns["well begun"])


def test_queued_prompts_are_never_joined(chat: Callable[..., Person], ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=["so far\n\n", "never"], fault=Fault(FaultKind.HANG, after=1))
    person = chat("apollo", "--new")
    person.asks("go")
    person.sees("so far")
    for text in ("first", "second", "third"):
        person.asks(text)
        person.sees(f"queued: {text}")
    person.types("\x03")
    person.sees("2 more were queued; Up brings them back")
    person.waits(lambda rows: rows[-2] == "apollo> first", "the first is back")
    person.types("\x15\x1b[A")
    person.waits(lambda rows: rows[-2] == "apollo> third", "the last")


def test_what_is_typed_is_not_lost_to_what_was_queued(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["so far\n\n", "never"], fault=Fault(FaultKind.HANG, after=1))
    person = chat("apollo", "--new")
    person.asks("go")
    person.sees("so far")
    person.asks("waits")
    person.sees("queued: waits")
    person.types("typed\x03")
    person.sees("1 was queued; Up brings it back")
    person.is_asked()
    assert person.shown[-2] == "apollo> typed"


def test_ctrl_c_leaves_only_twice_in_a_row(chat: Callable[..., Person]) -> None:
    person = chat("mirror")
    person.types("\x03")
    person.sees("Ctrl-C again leaves")
    person.types("x\x7f")
    person.types("\x03")
    person.sees("Ctrl-C again leaves", 2)
    person.asks("/cost")
    person.sees("nothing has been asked yet")
    person.types("\x03")
    person.sees("Ctrl-C again leaves", 3)
    person.types("\x03")
    assert person.terminal.wait() == 0


def test_commands_are_done_one_after_another(
    chat: Callable[..., Person], tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["an answer"])
    person = chat("apollo", "--new")
    person.asks("one")
    person.sees("an answer")
    person.is_asked()
    assert tekton.hub is not None
    tekton.hub.send_signal(signal.SIGSTOP)
    try:
        person.asks("/session fork twig")
        person.sees("apollo> /session fork twig")
        person.asks("/cost")
        person.sees("queued: /cost")
    finally:
        tekton.hub.send_signal(signal.SIGCONT)
    person.sees("1 turn · tokens")
    rows = person.shown
    begun = next(n for n, row in enumerate(rows) if "goes on with" in row)
    assert rows.index("apollo> /session fork twig") < begun < rows.index("apollo> /cost")


def test_nothing_overtakes_what_is_queued(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["so far\n\n"], delay_s=0.1, fault=Fault(FaultKind.HANG, 1))
    person = chat("apollo", "--new")
    person.asks("go")
    person.sees("so far")
    person.asks("/cost")
    person.sees("nothing has been asked yet")
    person.asks("/session new")
    person.sees("queued: /session new")
    person.asks("/help")
    person.sees("queued: /help")


def test_to_edit_ends_with_the_text(
    chat: Callable[..., Person], tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["an answer"])
    person = chat("apollo", "--new")
    person.asks("once")
    person.sees("an answer")
    person.is_asked()
    person.asks("/edit")
    person.waits(lambda rows: rows[-1].startswith("editing · "), "it is told")
    person.types("\x15")
    person.waits(lambda rows: rows[-1].startswith("apollo · "), "it has ended")
    person.asks("twice")
    person.sees("an answer", 2)
    once, twice = tekton.wait_turn("once", "complete"), tekton.wait_turn("twice", "complete")
    assert twice["parent"] == once["id"]


def test_a_conversation_that_goes_on_is_shown_as_it_was(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    script = tekton.home / "again.sh"
    script.write_text("aish chat apollo --new; aish chat apollo\n")
    ollama.script = Script(tokens=["## Heading\n\n"] + [f"- **item** {n}\n" for n in range(20)])
    person = Person(tekton.terminal(str(script), program="/bin/sh", rows=40), 40)
    person.is_asked()
    person.asks("list them")
    person.sees("item 19")
    person.is_asked()
    person.types("\x04")
    person.sees("apollo goes on with")
    person.waits(lambda rows: "…" in rows, "the end of the last exchange")
    rows = person.shown
    shown = rows[rows.index("apollo> list them", rows.index("apollo> list them") + 1) + 1 :]
    assert "Heading" in shown[0]
    assert any("item 3" in row for row in shown)
    assert "…" in shown
    assert not any("**" in row or "item 15" in row for row in shown)
    person.types("\x04")


def test_a_large_paste_that_is_not_marked_is_taken_at_once(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    person = chat("apollo")
    person.is_asked()
    ollama.script = Script(tokens=["read"])
    text = "".join(f"line {n} of it 漢\n" for n in range(6000)) + "end"
    assert len(text) > 100_000
    for start in range(0, len(text), 1000):
        person.types(text[start : start + 1000].replace("\n", "\r"))
        person.terminal.read_for(0.0)
    person.sees("[paste 1: ")
    person.types("\r")
    person.sees("read")
    assert ollama.requests[-1].body["messages"][-1]["content"] == text


def test_what_hides_is_shown_in_the_line(chat: Callable[..., Person]) -> None:
    person = chat("mirror")
    person.is_asked()
    person.types("a\u202eb\u200bc")
    person.sees("mirror> a<202e>b<200b>c")
    person.types("\x1b[D\x1b[D\x7f")
    person.sees("mirror> a<202e><200b>c")
    person.asks("!")
    assert "\u202e" not in person.terminal.shown.decode()


def test_a_file_is_completed_by_one_tab_and_sent_by_one_enter(
    chat: Callable[..., Person], tekton: TektonProcess
) -> None:
    (tekton.home / "unique-name.txt").write_text("its text")
    person = chat("mirror")
    person.is_asked()
    person.types("see @uniq")
    person.sees(" unique-name.txt")
    person.types("\t")
    person.waits(lambda rows: rows[-2] == "mirror> see @unique-name.txt", "the name, and no menu")
    person.types("\t\t")
    person.types("\r")
    person.waits(lambda rows: "its text" in rows, "the answer")


def test_what_was_chosen_among_several_is_taken_by_enter(
    chat: Callable[..., Person], tekton: TektonProcess
) -> None:
    for name in ("pair-one.txt", "pair-two.txt"):
        (tekton.home / name).write_text(f"text of {name}")
    person = chat("mirror")
    person.is_asked()
    person.types("@pa")
    person.sees(" pair-two.txt")
    person.types("\x1b[B")
    person.sees("mirror> @pair-one.txt")
    person.types("\r")
    person.waits(lambda rows: rows[-2] == "mirror> @pair-one.txt", "the menu is closed")
    person.types("\r")
    person.waits(lambda rows: "text of pair-one.txt" in rows, "the answer")


def test_a_file_that_is_not_there_is_told(chat: Callable[..., Person]) -> None:
    person = chat("mirror")
    person.asks("read @nosuch.txt please")
    person.sees("no file 'nosuch.txt': nothing of it is sent")
    person.sees("read @nosuch.txt please", 2)


def test_a_command_that_is_unknown_is_not_put_back(chat: Callable[..., Person]) -> None:
    person = chat("mirror")
    person.asks("/nosuch")
    person.sees("no command /nosuch")
    person.asks("hi")
    person.waits(lambda rows: "hi" in rows, "the answer")


@pytest.mark.parametrize("cut", [True, False])
def test_escape_sequences_never_reach_the_terminal(
    chat: Callable[..., Person], ollama: OllamaServer, cut: bool
) -> None:
    text = "".join(f"{n} before {attack} after {n}\n\n" for n, attack in enumerate(ATTACKS))
    ollama.script = Script(tokens=list(text) if cut else [text])
    person = chat("apollo", "--new")
    person.asks("attack me")
    person.sees(f"after {len(ATTACKS) - 1}")
    person.asks("/session title \x1b\x16\x1b]0;evil\x16\x07title")
    assert person.ends() == 0
    shown = person.terminal.shown.decode()
    assert "\x1b]" not in shown
    assert "\x07" not in shown
    assert "\x9b" not in shown
    assert "\u202e" not in shown
    assert "\x1b[2J" not in shown


def test_without_colour_there_is_none(chat: Callable[..., Person], ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=["# Title\n\nSome **bold** text.\n"])
    person = chat("apollo", NO_COLOR="1")
    person.asks("hello")
    person.sees("Some bold text.")
    assert person.ends() == 0
    styles = set(re.findall(rb"\x1b\[([0-9;]*)m", person.terminal.shown))
    assert styles <= {b"", b"0"}, styles


def test_a_clipboard_is_filled_through_the_terminal(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["**copy** \x1b[201~me"])
    person = chat("apollo", SSH_CONNECTION="somewhere")
    person.asks("hello")
    person.sees("copy me")
    person.types("/copy\r")
    data = base64.b64encode(b"**copy** me")
    person.terminal.wait_for(b"\x1b]52;c;" + data + b"\x07")


def test_a_deleted_folder_and_no_home_are_no_hindrance(
    tekton: TektonProcess, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    environment = {k: v for k, v in tekton.environment.items() if k != "HOME"}
    aish = str(Path(tekton.environment["PATH"].split(":")[0]) / "aish")
    terminal = Terminal(
        ["/bin/sh", "-c", f"rmdir {gone}; exec {aish} chat mirror"], environment, gone, 30
    )
    try:
        person = Person(terminal, 30)
        person.sees("mirror ·")
        person.asks("hello @nothing")
        person.sees("hello @nothing", 2)
        person.asks("!echo run")
        person.waits(lambda rows: "run" in rows, "the command ran")
        assert person.ends() == 0
    finally:
        terminal.close()


def test_nobody_to_talk_to_is_told_and_ends(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("chat", "nosuch")
    assert terminal.wait() == 3
    assert b"no CI named 'nosuch'" in terminal.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_signal_leaves_the_terminal_as_it_was(
    chat: Callable[..., Person], number: signal.Signals
) -> None:
    person = chat("mirror")
    person.is_asked()
    os.kill(person.terminal.pid, number)
    assert person.terminal.wait() == 128 + number
    assert person.terminal.shown.rstrip().endswith(b"\x1b[?2004l") or (
        b"\x1b[?2004l" in person.terminal.shown
    )


def test_names_are_completed(chat: Callable[..., Person]) -> None:
    person = chat("mirror")
    person.types("/ci ")
    person.sees(" apollo")
    person.types("\x15/ci prom")
    person.sees(" prometheus")
    person.types("\t")
    person.sees("mirror> /ci prometheus")


def test_a_line_is_changed_in_the_users_editor(
    chat: Callable[..., Person], tekton: TektonProcess
) -> None:
    editor = tekton.home / "editor"
    editor.write_text('#!/bin/sh\necho "and a second line" >> "$1"\n')
    editor.chmod(0o755)
    person = chat("mirror", EDITOR=str(editor), VISUAL=str(editor))
    person.types("one line \x18\x05")
    person.sees("and a second line")
    person.types("\r")
    person.sees("and a second line", 2)


def test_a_terminal_that_is_closed_ends_the_chat(
    chat: Callable[..., Person], ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["so far\n\n", "never"], fault=Fault(FaultKind.HANG, after=1))
    person = chat("apollo")
    person.asks("go")
    request = ollama.wait_request()
    person.sees("so far")
    assert person.terminal.hang_up() != 0
    assert request.disconnected.wait(5), "the provider's request goes on"


# -- where there is no terminal -------------------------------------------------------------------


def test_a_pipe_is_a_prompt_a_line(tekton: TektonProcess) -> None:
    ran = tekton.aish("chat", "mirror", input=b"one\n\ntwo\n/quit\nnever\n")
    assert (ran.status, ran.out) == (0, b"one\ntwo\n")
    assert "\x1b" not in ran.err


def test_lines_of_a_pipe_are_one_conversation(tekton: TektonProcess, ollama: OllamaServer) -> None:
    tekton.aish("chat", "apollo", input=b"first\nsecond")
    contents = [it["content"] for it in ollama.requests[-1].body["messages"]]
    assert contents[-3:] == ["first", "first", "second"]


def test_the_status_is_that_of_the_last_answer(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ollama.script = Script(fault=Fault(FaultKind.STATUS, status=500))
    assert tekton.aish("chat", "apollo", input=b"one\n").status == 6
    assert tekton.aish("chat", "mirror", input=b"/nosuch\nhi\n").status == 0


def test_a_dumb_terminal_gets_plain_lines(tekton: TektonProcess) -> None:
    terminal = Terminal(
        [str(Path(tekton.environment["PATH"].split(":")[0]) / "aish"), "chat", "mirror"],
        tekton.environment | {"TERM": "dumb"}, tekton.home,
    )  # fmt: skip
    try:
        terminal.wait_for(b"mirror> ")
        terminal.type("hello\r")
        terminal.wait_until(lambda: terminal.shown.count(b"hello") >= 2, "the answer")
        terminal.type("\x04")
        assert terminal.wait() == 0
        assert b"\x1b" not in terminal.shown
    finally:
        terminal.close()


def test_ctrl_c_stops_the_answer_at_a_dumb_terminal_too(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["so far", "never"], fault=Fault(FaultKind.HANG, after=1))
    aish = str(Path(tekton.environment["PATH"].split(":")[0]) / "aish")
    terminal = Terminal(
        [aish, "chat", "apollo"], tekton.environment | {"TERM": "dumb"}, tekton.home
    )
    try:
        terminal.wait_for(b"apollo> ")
        terminal.type("go\r")
        terminal.wait_for(b"so far")
        terminal.type("\x03")
        terminal.wait_for(b"(stopped)\r\napollo> ")
        terminal.type("\x03")
        assert terminal.wait() == -signal.SIGINT
        assert b"Traceback" not in terminal.shown
    finally:
        terminal.close()
