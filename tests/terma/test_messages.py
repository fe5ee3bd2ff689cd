"""`terma message`, `inbox`, `reply`, `ack` and `whoami`, as programs of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.protocol.mailboxes import Message, MessageState
from terma.commands.inbox import as_text
from tests.scenarios.tekton_process import PATIENCE_S, TektonProcess, wait_for
from tests.scenarios.terminal import Terminal
from tests.terma.mail import FAST, FULL, IDS, MailService, environment, mail, terma

ID = re.compile(rb"[a-z2-7]{8}\n")


@pytest.fixture
def service() -> Iterator[MailService]:
    """The service, with its mailboxes empty."""
    with mail() as found:
        yield found


@contextlib.contextmanager
def begun(*arguments: str, who: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A command that runs on; it is ended with the block."""
    process = subprocess.Popen(
        [*FULL, *arguments], env=environment(token=who), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def inbox(who: str, *flags: str) -> list[dict[str, Any]]:
    ran = terma("inbox", "--json", *flags, who=who)
    assert (ran.status, ran.err) == (0, "")
    found: list[dict[str, Any]] = ran.json
    return found


def send(text: str, to: str = "alice", who: str = "") -> str:
    ran = terma("message", to, text, "-q", who=who)
    assert (ran.status, ran.err) == (0, "")
    return ran.text.strip()


# -- message ---------------------------------------------------------------------------------


def test_a_message_goes_to_its_mailbox_and_prints_its_id(service: MailService) -> None:
    ran = terma("message", "alice", "PR 42", "is ready")
    assert (ran.status, ran.err) == (0, "")
    assert ID.fullmatch(ran.out)
    [found] = inbox("alice")
    assert (found["id"], found["text"], found["sender"]) == (
        ran.text.strip(), "PR 42 is ready", "user",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "piped", "text"),
    [
        ([], b"from a pipe\n", "from a pipe\n"),
        (["-"], b"from a pipe\n", "from a pipe\n"),
        (["look:"], b"caf\xc3\xa9", "look:\n\ncafé"),
        (["look:", "--no-stdin"], b"unread", "look:"),
    ],
)
def test_the_text_may_come_through_a_pipe(
    service: MailService, arguments: list[str], piped: bytes, text: str
) -> None:
    ran = terma("message", "alice", *arguments, input=piped)
    assert (ran.status, ran.err) == (0, "")
    assert [one["text"] for one in inbox("alice")] == [text]


@pytest.mark.parametrize("names", ["alice,bob", " alice , bob,", "@all"])
def test_who_got_it_is_told_where_that_are_several(service: MailService, names: str) -> None:
    ran = terma("message", names, "hello")
    assert ID.fullmatch(ran.out)
    assert ran.err == "sent to alice, bob\n"
    assert terma("message", names, "hello", "-q").err == ""
    assert len(inbox("bob")) == 2


def test_one_id_is_one_message(service: MailService) -> None:
    for said in ("", "it was sent before, so nothing was sent again\n"):
        ran = terma("message", "alice", "hello", "--id", "build-7")
        assert (ran.status, ran.out, ran.err) == (0, b"build-7\n", said)
    ran = terma("message", "alice", "another", "--id", "build-7")
    assert (ran.status, ran.out) == (2, b"")
    assert len(inbox("alice")) == 1


def test_as_json_it_tells_everything(service: MailService) -> None:
    ran = terma("message", "alice,bob", "hello", "--id", "x1", "--json", "-q")
    assert ran.json == {"id": "x1", "recipients": ["alice", "bob"], "is_repeated": False}


def test_a_message_may_expire(service: MailService) -> None:
    terma("message", "alice", "hello", "--expires", "1h30m")
    [found] = inbox("alice")
    assert found["expires_at"] - found["sent_at"] == 5400


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["alcie", "hi"], 3, "no terminal named 'alcie'"),
        (["alice"], 2, "the message has no text"),
        (["alice", " "], 2, "the message is empty"),
        (["alice", ""], 2, "the message is empty"),
        (["", "hi"], 2, "nobody is named"),
        ([",", "hi"], 2, "nobody is named"),
        (["alice", "hi", "--id", "a b"], 2, "cannot be the id of a message"),
        (["alice", "hi", "--expires", "soon"], 2, "'soon' is no length of time"),
        (["alice", "hi", "--expires", "0s"], 2, "cannot expire after 0 s"),
        (["alice", "hi", "--timeout", "1"], 2, "--timeout is for --wait"),
    ],
)
def test_what_cannot_be_sent_is_told_with_a_way_out(
    service: MailService, arguments: list[str], status: int, said: str
) -> None:
    ran = terma("message", *arguments)
    assert (ran.status, ran.out) == (status, b"")
    first, second = ran.err.splitlines()
    assert first.startswith("error: ")
    assert said in first
    assert second.startswith("hint: ")


def test_without_a_hub_that_is_told() -> None:
    for arguments in (["message", "alice", "hi"], ["inbox"], ["reply", "abcd", "hi"], ["whoami"]):
        ran = terma(*arguments)
        assert (ran.status, ran.out) == (4, b"")
        assert ran.err == "error: no hub is running\nhint: `tekton up` starts it\n"


def test_a_person_who_gives_no_text_is_asked_for_it(service: MailService) -> None:
    terminal = Terminal([*FAST, "message", "alice"], environment(), Path.cwd())
    try:
        terminal.wait_for(b"Your message for alice; end it with Ctrl-D")
        terminal.type("one\ntwo\n\x04")
        assert terminal.wait() == 0
    finally:
        terminal.close()
    assert [one.text for one in service.changes] == ["one\ntwo\n"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["message", "nope"], b"no terminal named 'nope'"),
        (["message", "alice,nope"], b"no terminal named 'nope'"),
        (["reply", "wrong-id"], b"there is no message 'wrong-id'"),
        (["message", "alice", ""], b"the message is empty"),
        (["reply", "wrong-id", ""], b"the message is empty"),
    ],
)
def test_nobody_is_asked_for_a_text_that_cannot_be_sent(
    service: MailService, arguments: list[str], said: bytes
) -> None:
    for program in (FAST, FULL):
        terminal = Terminal([*program, *arguments], environment(), Path.cwd())
        try:
            assert terminal.wait() == (2 if b"empty" in said else 3)
            assert said in terminal.shown
            assert b"Your message" not in terminal.shown
        finally:
            terminal.close()


@pytest.mark.parametrize("arguments", [["message", "nope"], ["reply", "wrong-id"]])
def test_a_pipe_is_not_read_for_what_cannot_be_sent(
    service: MailService, arguments: list[str]
) -> None:
    for program in (FAST, FULL):
        reading, writing = os.pipe()  # nothing comes, and it does not end
        try:
            ran = subprocess.run(
                [*program, *arguments], env=environment(), stdin=reading, capture_output=True,
                check=False, timeout=PATIENCE_S,
            )  # fmt: skip
        finally:
            os.close(reading)
            os.close(writing)
        assert ran.returncode == 3
        assert b"hint: " in ran.stderr


def test_a_person_hears_how_to_answer_and_nobody_else(service: MailService) -> None:
    send("hello", to="user")
    terminal = Terminal([*FULL, "inbox"], environment(), Path.cwd())
    try:
        assert terminal.wait() == 0
        assert terminal.shown.rstrip().endswith(
            b"`terma reply ID TEXT` answers, `terma ack ID` or `terma ack --all` takes out\x1b[0m"
        )
    finally:
        terminal.close()
    assert terma("inbox").err == ""


def test_every_answer_is_kept_beside_the_message(service: MailService) -> None:
    id_ = send("ready?")
    for text in ("yes", "and now pushed"):
        assert terma("reply", id_, text, who="alice").status == 0
    [found] = inbox("alice", "--all")
    assert (found["state"], found["answer"]) == ("answered", "yes\n\nand now pushed")
    assert [one["text"] for one in inbox("")] == ["yes", "and now pushed"]


def test_on_a_terminal_a_person_hears_what_goes_on(service: MailService) -> None:
    def seen(*arguments: str, until: bytes) -> None:
        terminal = Terminal([*FAST, *arguments], environment(), Path.cwd())
        try:
            terminal.wait_for(until)
        finally:
            terminal.close()

    seen("inbox", until=b"no messages; --all shows those that ended")
    seen("inbox", "alice", "--all", until=b"no messages for alice\r\n")
    seen("message", "alice", "ready?", "--wait", until=b" to alice; Ctrl-C stops waiting")


# -- waiting ---------------------------------------------------------------------------------


def test_waiting_prints_the_answer_alone(service: MailService) -> None:
    with begun("message", "alice", "ready?", "--wait") as asking:
        wait_for(lambda: service.changes, "the message")
        ran = terma("reply", service.changes[0].id[:4], "yes\x1b[2J\nand more", who="alice")
        assert (ran.status, ran.err) == (0, "")
        assert ID.fullmatch(ran.out)
        out, err = asking.communicate(timeout=PATIENCE_S)
        assert (asking.returncode, out, err) == (0, b"yes\nand more\n", b"")


def test_waiting_for_several_prints_each_as_it_comes(service: MailService) -> None:
    with begun("message", "alice,bob", "ready?", "--wait") as asking:
        wait_for(lambda: len(service.changes) == 2, "the message")
        id_ = service.changes[0].id
        terma("reply", id_, "yes", who="bob")
        assert asking.stdout is not None
        assert asking.stdout.readline() == b"bob: yes\n"
        terma("ack", id_, who="alice")
        terma("reply", id_, "no", who="alice")
        assert asking.stdout.readline() == b"alice: no\n"
        assert asking.wait(PATIENCE_S) == 0


def test_waiting_may_be_limited_and_then_the_states_are_told(service: MailService) -> None:
    with begun("message", "alice,bob", "ready?", "--wait", "--timeout", "1", "--json") as asking:
        wait_for(lambda: len(service.changes) == 2, "the message")
        inbox("alice")
        out, err = asking.communicate(timeout=PATIENCE_S)
    assert asking.returncode == 5
    states = {one["recipient"]: one["state"] for one in json.loads(out)["messages"]}
    assert states["bob"] == "queued"
    first, second = err.decode().splitlines()
    told = r"alice has (seen it, [0-9.]+ s ago|not seen it); bob has not seen it"
    assert re.fullmatch(rf"error: no answer within 1 s: {told}", first)
    assert service.changes[0].id in second


def test_an_interrupt_leaves_the_message_and_tells_its_id(service: MailService) -> None:
    with begun("message", "alice", "ready?", "--wait") as asking:
        wait_for(lambda: service.boxes._waiting, "that it is followed")
        asking.send_signal(signal.SIGINT)
        out, err = asking.communicate(timeout=PATIENCE_S)
    [found] = inbox("alice")
    assert (asking.returncode, out) == (-signal.SIGINT, b"")
    assert f"its id is {found['id']}" in err.decode()
    wait_for(lambda: not service.boxes._waiting, "that it is followed no more")


def test_who_expires_or_closes_is_waited_for_no_longer(service: MailService) -> None:
    ran = terma("message", "alice", "ready?", "--wait", "--expires", "1s")
    assert (ran.status, ran.out) == (5, b"")
    assert ran.err == "error: the message expired before alice had answered\n"
    with begun("message", "bob", "ready?", "--wait") as asking:
        wait_for(lambda: service.boxes._waiting, "that it is followed")
        closing = asyncio.run_coroutine_threadsafe(service.close_terminal("bob"), service.loop)
        closing.result(PATIENCE_S)
        out, err = asking.communicate(timeout=PATIENCE_S)
    assert (asking.returncode, out) == (3, b"")
    assert b"bob closed before there was an answer" in err


# -- inbox -----------------------------------------------------------------------------------


def test_an_inbox_is_readable_and_harmless(service: MailService) -> None:
    send("one\n  two\x1b]0;evil\x07\x9b31m\n", who="bob")
    id_ = inbox("", "alice")[0]["id"]
    ran = terma("inbox", who="alice")
    assert ran.err == ""
    head, *lines = ran.text.splitlines()
    assert re.fullmatch(rf"{id_}  from bob, (now|[0-9.]+ s ago), new", head)
    assert lines == ["    one", "      two"]
    assert "shown" in terma("inbox", who="alice").text


def test_only_what_is_open_is_listed_unless_all_is_wanted(service: MailService) -> None:
    done, asked = send("done"), send("asked", who="bob")
    send("open")
    assert terma("ack", done, who="alice").status == 0
    assert terma("reply", asked, "so it is", who="alice").status == 0
    assert [one["text"] for one in inbox("alice")] == ["open"]
    states = [one["state"] for one in inbox("alice", "--all")]
    assert states == ["acknowledged", "answered", "shown"]
    assert "    > so it is\n" in terma("inbox", "--all", who="alice").text
    assert f", answers {asked}\n" in terma("inbox", who="bob").text


def test_looking_into_another_s_inbox_shows_nothing_there(service: MailService) -> None:
    send("hello")
    assert inbox("", "alice")[0]["state"] == "queued"
    assert inbox("bob", "alice")[0]["state"] == "queued"
    assert inbox("alice", "alice")[0]["state"] == "queued"
    assert inbox("alice", "alice")[0]["state"] == "shown"


def test_what_there_is_no_room_for_is_told(service: MailService) -> None:
    for text in "abc":
        send(text)
    ran = terma("inbox", "-n", "2", who="alice")
    assert ran.err == "1 more are not shown; `terma inbox -n N` shows N\n"


def test_an_empty_inbox_is_an_empty_answer(service: MailService) -> None:
    assert inbox("alice") == []
    ran = terma("inbox", who="alice")
    assert (ran.status, ran.out, ran.err) == (0, b"", "")


def test_a_watched_inbox_prints_each_message_as_it_comes(service: MailService) -> None:
    send("one")
    with begun("inbox", "--watch", "--json", who="alice") as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["text"] == "one"
        send("two\nlines")
        assert json.loads(watching.stdout.readline())["text"] == "two\nlines"
        assert watching.poll() is None
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE_S) == -signal.SIGINT


def test_a_watched_inbox_may_leave_out_what_was_shown_long_ago(service: MailService) -> None:
    for text in "abc":
        send(text)
    inbox("alice")
    send("new")
    for limit, texts in ((1, ["new", "next"]), (3, ["b", "c", "new", "next"])):
        with begun("inbox", "--watch", "--json", "-n", str(limit), who="alice") as watching:
            assert watching.stdout is not None
            found = [json.loads(watching.stdout.readline())["text"] for _ in texts[:-1]]
            send("next")
            found.append(json.loads(watching.stdout.readline())["text"])
            assert found == texts
        terma("ack", inbox("alice")[-1]["id"], who="alice")


def test_what_was_never_shown_is_left_out_of_no_watch(service: MailService) -> None:
    for text in "abc":
        send(text)
    with begun("inbox", "--watch", "--json", "-n", "1", who="alice") as watching:
        assert watching.stdout is not None
        assert [json.loads(watching.stdout.readline())["text"] for _ in "abc"] == list("abc")


@pytest.mark.parametrize(
    "arguments", [["--watch", "--all"], ["--notice", "--json"], ["--notice", "alice"]]
)
def test_flags_that_contradict_are_refused(arguments: list[str]) -> None:
    ran = terma("inbox", *arguments)
    assert (ran.status, ran.out) == (2, b"")
    assert "hint: " in ran.err


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            Message(id="abcd", sender="bob", recipient="alice", text="hi\n\n  you\n", sent_at=940.0,
                    expires_at=1090.0),
            "abcd  from bob, 1 min ago, new, expires in 1 min 30 s\n    hi\n\n      you",
        ),
        (
            Message(id="abcd", sender="b", recipient="a", text="hi", sent_at=1000.0, answer="x\ny",
                    state=MessageState.ANSWERED, reply_to="efgh", expires_at=1090.0),
            "abcd  from b, now, answered, answers efgh\n    hi\n    > x\n      y",
        ),
    ],
)  # fmt: skip
def test_a_message_as_a_person_reads_it(message: Message, text: str) -> None:
    assert as_text(message, 1000.0) == text


# -- reply, ack, whoami ------------------------------------------------------------------------


def test_all_that_is_there_is_acknowledged_at_once(service: MailService) -> None:
    for text in "abc":
        send(text)
    ran = terma("ack", "--all", who="alice")
    assert (ran.status, ran.out, ran.err) == (0, b"", "3 messages acknowledged\n")
    assert terma("ack", "--all", who="alice").err == "0 messages acknowledged\n"


def test_those_that_are_named_are_acknowledged_all_or_none(service: MailService) -> None:
    ids = [send(text) for text in "ab"]
    ran = terma("ack", *ids, "zzzz", who="alice")
    assert (ran.status, ran.out) == (3, b"")
    first, _ = ran.err.splitlines()
    assert first.endswith("'zzzz' in this mailbox; nothing was acknowledged")
    assert len(inbox("alice")) == 2
    assert "nothing was" not in terma("ack", "zzzz", who="alice").err
    ran = terma("ack", *ids, ids[0], who="alice")
    assert (ran.status, ran.out, ran.err) == (0, b"", "2 messages acknowledged\n")
    assert inbox("alice") == []


@pytest.mark.parametrize("arguments", [[], ["abcd", "--all"]])
def test_what_to_acknowledge_has_to_be_said(arguments: list[str]) -> None:
    ran = terma("ack", *arguments)
    assert (ran.status, ran.out) == (2, b"")
    assert "`terma inbox` shows their ids" in ran.err


def test_an_unknown_id_is_told_with_what_was_meant(service: MailService) -> None:
    send("one")
    terma("message", "alice", "two", "--id", "build-1")
    for arguments in (["ack", "build-2"], ["reply", "build-2", "hi"]):
        ran = terma(*arguments, who="alice")
        assert (ran.status, ran.out) == (3, b"")
        assert "hint: did you mean 'build-1'?" in ran.err


def test_a_reply_needs_a_text(service: MailService) -> None:
    ran = terma("reply", "abcd", who="alice")
    assert (ran.status, ran.out) == (2, b"")
    assert 'terma reply abcd "hello"' in ran.err


def test_whoami_prints_the_name_alone(service: MailService) -> None:
    assert terma("whoami").out == b"user\n"
    assert terma("whoami", who="bob").out == b"bob\n"
    assert terma("whoami", "--json", who="bob").json["id"] == IDS["bob"]


# -- the hub dies ------------------------------------------------------------------------------


def test_what_was_sent_survives_the_death_of_the_hub() -> None:
    with TektonProcess() as tekton:
        tekton.start()
        sending = tekton.begin("message", "user", "is it safe?", program="terma")
        assert sending.stdout is not None
        id_ = sending.stdout.readline()
        assert tekton.hub is not None
        os.kill(tekton.hub.pid, signal.SIGKILL)
        tekton.hub.wait(PATIENCE_S)
        assert ID.fullmatch(id_)
        tekton.start()
        ran = tekton.run([*FULL, "inbox", "--json"])
        assert [(one["id"], one["text"]) for one in ran.json] == [
            (id_.decode().strip(), "is it safe?")
        ]
