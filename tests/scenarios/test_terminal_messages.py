"""Messages between terminals over the death of the hub: nothing twice, nothing lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.scenarios.tekton_process import PATIENCE_S, TektonProcess, wait_for

READER = 'while read -r line; do eval "$line"; done'


@pytest.fixture
def tekton() -> Iterator[TektonProcess]:
    with TektonProcess() as tekton:
        tekton.start()
        assert tekton.terma("new", "rob", "--", "bash", "-c", READER).status == 0
        yield tekton


def restart(tekton: TektonProcess) -> None:
    """Kill the hub, and start another one."""
    assert tekton.hub is not None
    os.kill(tekton.hub.pid, signal.SIGKILL)
    tekton.hub.wait(PATIENCE_S)
    tekton.start()


def do_in(tekton: TektonProcess, line: str) -> None:
    assert tekton.terma("send", "rob", line, "--enter").status == 0


def send(tekton: TektonProcess, text: str) -> str:
    ran = tekton.terma("message", "rob", text)
    assert ran.status == 0, ran.err
    return ran.text.strip()


def is_ci(tekton: TektonProcess) -> bool:
    return any(one["name"] == "rob" for one in tekton.aish("list", "--json").json)


def test_a_watched_inbox_goes_on_over_the_death_of_the_hub(tekton: TektonProcess) -> None:
    seen = tekton.home / "seen"

    def texts() -> list[str]:
        lines = seen.read_text().splitlines() if seen.exists() else []
        return [json.loads(line)["text"] for line in lines]

    assert not is_ci(tekton)
    send(tekton, "one")
    do_in(tekton, f"terma inbox --watch --json >{seen} 2>{seen}.err")
    wait_for(lambda: texts() == ["one"] and is_ci(tekton), "it watches")
    for text in ("two", "three"):
        restart(tekton)
        send(tekton, text)
        wait_for(lambda: is_ci(tekton), "it is a CI again")
    send(tekton, "four")
    wait_for(lambda: "four" in texts(), "the last one")
    assert texts() == ["one", "two", "three", "four"]
    told = (tekton.home / "seen.err").read_text()
    assert told.count("the hub is gone") == 2


def test_an_answer_is_waited_for_over_the_death_of_the_hub(tekton: TektonProcess) -> None:
    waiting = tekton.begin("message", "rob,user", "ready?", "--wait", program="terma")
    wait_for(lambda: tekton.terma("inbox", "rob", "--json").json, "the message")
    [found] = tekton.terma("inbox", "rob", "--json").json
    do_in(tekton, f"terma reply {found['id']} yes")
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == b"rob: yes\n"
    restart(tekton)
    assert tekton.terma("reply", found["id"], "me too").status == 0
    out, err = waiting.communicate(timeout=PATIENCE_S)
    assert (waiting.returncode, out) == (0, b"user: me too\n")
    assert err.count(b"the hub is gone") == 1


def test_what_is_closed_says_what_can_be_done(tekton: TektonProcess) -> None:
    first = tekton.terma("list", "rob", "--json").json[0]["id"]
    assert tekton.terma("close", "rob").status == 0
    way_out = "`terma new rob` makes a new one, `terma log rob` shows its log"
    said = f"error: rob is closed\nhint: {way_out}\n"
    for words in (
        ["restore", "rob"], ["close", "rob"], ["send", "rob", "x"], ["message", "rob", "x"],
        ["close", first], ["rename", "rob", "eve"], ["role", "rob", "test"],
    ):  # fmt: skip
        ran = tekton.terma(*words)
        assert (ran.status, ran.out, ran.err) == (3, b"", said), words
    terminal = tekton.terminal("attach", "rob", program="terma")
    try:
        assert terminal.wait() == 3
        assert terminal.shown.replace(b"\r", b"").endswith(said.partition(": ")[2].encode())
    finally:
        terminal.close()


def test_closed_ones_of_one_name_are_told_apart(tekton: TektonProcess) -> None:
    ids = []
    for n in range(3):
        if n:
            ran = tekton.terma("new", "rob", "--", "bash", "-c", f"echo number {n}; read")
            assert ran.status == 0, ran.err
        [found] = tekton.terma("list", "rob", "--json").json
        ids.append(found["id"])
        wait_for(lambda: not n or tekton.terma("log", "rob").text, "its output")  # noqa: B023
        assert tekton.terma("close", "rob").status == 0
    closed = tekton.terma("list", "--closed", "--json").json
    assert [one["id"] for one in closed] == ids[::-1]
    assert [one.get("end", 0) for one in closed] == [10, 10, 0]
    ran = tekton.terma("log", ids[1])
    assert ran.text == "number 1\n"
    ran = tekton.terma("log", "rob")
    assert ran.text == "number 2\n"
    assert ran.err.startswith("rob, closed ")
    ran = tekton.terma("close", "--forget", "rob")
    assert ran.status == 0
    assert f"deleted what was kept of rob ({ids[2]})" in ran.err
    assert f"`terma close --forget {ids[1]} {ids[0]}` deletes them" in ran.err
    assert tekton.terma("close", "--forget", ids[1], ids[0]).status == 0
    assert tekton.terma("list", "--closed", "--json").json == []
    assert tekton.terma("log", ids[1]).status == 3


def test_a_prompt_tells_once_of_several_and_says_that_none_was_shown(tekton: TektonProcess) -> None:
    def is_told() -> bool:
        """Tell whether the next prompt asks for a notice."""
        return any(flag.read_bytes() for flag in tekton.home.rglob("terminals/*/mail"))

    def notice() -> str:
        out = tekton.home / "notice"
        out.unlink(missing_ok=True)
        do_in(tekton, f"terma inbox --notice >{out}.new; mv {out}.new {out}")
        wait_for(out.exists, "the notice")
        return out.read_text()

    def states() -> list[str]:
        return [one["state"] for one in tekton.terma("inbox", "rob", "--json").json]

    send(tekton, "one")
    assert is_told()
    assert notice() == 'new message from user: "one"  (terma inbox)\n'
    assert (states(), is_told()) == (["shown"], False)
    send(tekton, "two")
    send(tekton, "three")
    assert notice().startswith("2 new messages, the last from user")
    assert (states(), is_told()) == (["shown", "queued", "queued"], False)
    assert notice() == ""
    assert tekton.terma("list", "--short").text.rstrip().endswith("+2")
    send(tekton, "four")
    assert is_told()
    assert notice().startswith("3 new messages")


def test_a_terminal_that_cannot_answer_is_known_by_its_name(tekton: TektonProcess) -> None:
    ran = tekton.aish("rob", "hello")
    assert (ran.status, ran.out, ran.err) == (
        3, b"",
        "error: no CI named 'rob': nothing answers in the terminal of that name\n"
        "hint: `terma message rob TEXT` puts a message into its mailbox\n",
    )  # fmt: skip
    assert tekton.terma("close", "rob").status == 0
    assert tekton.aish("rob", "hello").err.startswith("error: no CI named 'rob'\n")


def test_the_messages_of_a_closed_terminal_can_be_read(tekton: TektonProcess) -> None:
    id_ = tekton.terma("list", "rob", "--json").json[0]["id"]
    send(tekton, "unread")
    assert tekton.terma("close", "rob").status == 0
    for name in ("rob", id_):
        assert tekton.terma("inbox", name, "--json").json == []
        [found] = tekton.terma("inbox", name, "--all", "--json").json
        assert (found["text"], found["state"], found["recipient"]) == ("unread", "expired", "rob")
    assert tekton.terma("inbox", "nobody").status == 3


def test_a_message_is_known_again_by_its_id_whatever_its_recipient_is_called(
    tekton: TektonProcess,
) -> None:
    assert tekton.terma("message", "rob", "hello", "--id", "once").status == 0
    assert tekton.terma("rename", "rob", "eve").status == 0
    for name in ("rob", "eve"):
        ran = tekton.terma("message", name, "hello", "--id", "once")
        assert (ran.status, ran.text) == (0, "once\n"), ran.err
    assert tekton.terma("message", "rob", "other", "--id", "once").status == 2
    assert tekton.terma("message", "rob", "hello", "--id", "another").status == 3
    assert [one["text"] for one in tekton.terma("inbox", "eve", "--json").json] == ["hello"]


def test_an_answer_that_nobody_has_printed_stays_in_the_inbox(tekton: TektonProcess) -> None:
    waiting = tekton.begin("message", "rob", "ready?", "--wait", program="terma")
    try:
        wait_for(lambda: tekton.terma("inbox", "rob", "--json").json, "the message")
        os.kill(waiting.pid, signal.SIGSTOP)
        [found] = tekton.terma("inbox", "rob", "--json").json
        do_in(tekton, f"terma reply {found['id']} yes")
        wait_for(lambda: tekton.terma("inbox", "--json").json, "the reply")
    finally:
        waiting.kill()
        waiting.communicate()
    assert [one["text"] for one in tekton.terma("inbox", "--json").json] == ["yes"]
    for form in ((), ("--json",)):
        waiting = tekton.begin("message", "rob", "again?", "--wait", *form, program="terma")
        wait_for(lambda: len(tekton.terma("inbox", "rob", "--json").json) == 1, "the message")
        [found] = tekton.terma("inbox", "rob", "--json").json
        do_in(tekton, f"terma reply {found['id']} taken")
        assert b"taken" in waiting.communicate(timeout=PATIENCE_S)[0]
    assert [one["text"] for one in tekton.terma("inbox", "--json").json] == ["yes"]
