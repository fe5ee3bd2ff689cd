"""`aish session`: what is stored is listed, shown, exported, copied, renamed and deleted."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aish.commands.history import history
from aish.commands.removal import seconds_of
from backends.client.blocking import BlockingTekton
from backends.errors import UsageError
from backends.protocol import schema
from backends.protocol.conversations import SessionInfo, Turn, Turns, TurnStatus
from backends.protocol.messages import Answer, Chat
from tests.scenarios.replay import ReplayedCI, line
from tests.scenarios.tekton_process import Ran, TektonProcess
from tests.scenarios.terminal import Terminal


@pytest.fixture(scope="module")
def hub() -> Iterator[TektonProcess]:
    with TektonProcess() as tekton:
        tekton.start()
        yield tekton


@pytest.fixture
def tekton(hub: TektonProcess) -> TektonProcess:
    """A Tekton with no conversation but those that the test begins."""
    ran = hub.aish("session", "rm", "--older-than", "0h", "--yes")
    assert ran.status == 0, ran.err
    return hub


def say(tekton: TektonProcess, prompt: str, session: str = "", after: str | None = None) -> Answer:
    """Prompt `mirror`; returns what is known of its answer once that is stored."""
    chat = Chat(ci="mirror", prompt=prompt, session=session or None, after=after)
    with BlockingTekton(f"unix:{tekton.socket('mirror')}") as client:
        *_, answer = client.stream(chat)
    assert isinstance(answer, Answer)
    assert answer.session
    return answer


def tree(tekton: TektonProcess) -> dict[str, Answer]:
    """A conversation `plan`: a, then b; a again with c, which goes on with d."""
    a = say(tekton, "ask a", "plan")
    b = say(tekton, "ask b", "plan")
    c = say(tekton, "ask c", "plan", after=a.turn)
    d = say(tekton, "ask d", "plan")
    return {"a": a, "b": b, "c": c, "d": d}


def session(tekton: TektonProcess, *arguments: str) -> Ran:
    return tekton.aish("session", *arguments)


# -- list ------------------------------------------------------------------------------------


def test_nothing_there_is_said(tekton: TektonProcess) -> None:
    ran = session(tekton, "list")
    assert (ran.status, ran.text, ran.err) == (0, "", "no conversations found\n")
    assert session(tekton, "list", "--json").json == []


def test_conversations_are_listed_the_last_used_first(tekton: TektonProcess) -> None:
    one = say(tekton, "the first thing")
    say(tekton, "another thing", "plan")
    say(tekton, "more", "plan")
    rows = [row.split() for row in session(tekton, "list").text.splitlines()]
    assert rows[0] == ["ID", "NAME", "CI", "TURNS", "AGE", "TITLE"]
    assert rows[1][1:4] == ["plan", "mirror", "2"]
    assert rows[2][0] == (one.session or "")[:8]
    assert rows[2][-3:] == ["the", "first", "thing"]
    found = session(tekton, "list", "--json").json
    assert [each["turns"] for each in found] == [2, 1]
    assert found[1]["id"] == one.session


def test_the_list_is_bounded_by_ci_words_and_count(tekton: TektonProcess) -> None:
    say(tekton, "red")
    say(tekton, "green")
    found = session(tekton, "list", "--search", "red", "--json").json
    assert [each["title"] for each in found] == ["red"]
    assert session(tekton, "list", "--ci", "Apollo-ci", "--json").json == []
    assert len(session(tekton, "list", "--ci", "Mirror-ci", "--json").json) == 2
    ran = session(tekton, "list", "-n", "1")
    assert (len(ran.text.splitlines()), ran.err) == (2, "1 more; -n COUNT shows more\n")
    ran = session(tekton, "--ci", "mirror", "list", "--json")
    assert len(ran.json) == 2, "an option may stand before the command"


def test_those_of_this_terminal_are_listed_there(tekton: TektonProcess) -> None:
    say(tekton, "elsewhere")
    ran = session(tekton, "list", "--here")
    assert (ran.status, ran.text) == (2, "")
    assert ran.err.startswith("error: this is no terminal\nhint: ")
    named = {"TERMA_INSTANCE": "ab" * 16}
    assert tekton.aish("mirror", "here", variables=named).status == 0
    found = tekton.aish("session", "list", "--here", "--json", variables=named).json
    assert [each["title"] for each in found] == ["here"]


def test_completion_gets_a_word_and_what_it_stands_for(tekton: TektonProcess) -> None:
    one = say(tekton, "tabs\tand\nlines")
    say(tekton, "x", "plan")
    lines = session(tekton, "list", "--for-completion").text.splitlines()
    assert lines[0] == "plan\tmirror: x"
    assert lines[1].startswith(f"{(one.session or '')[:8]}\tmirror: tabs and")
    assert lines[1].count("\t") == 1


# -- show and export -------------------------------------------------------------------------


def test_the_branch_that_goes_on_is_shown_and_the_others_are_counted(tekton: TektonProcess) -> None:
    answers = tree(tekton)
    ran = session(tekton, "show", "plan")
    assert ran.text.startswith("# ask a\n\nmirror · `plan` · ")
    asked = [row for row in ran.text.splitlines() if row.startswith("> ")]
    assert asked == ["> ask a", "> ask c", "> ask d"]
    assert f"turn `{(answers['c'].turn or '')[:8]}`" in ran.text
    assert "1 other in its place" in ran.text
    assert ran.err == "1 more on other branches; --all shows every turn\n"


def test_every_turn_is_shown_with_what_it_follows(tekton: TektonProcess) -> None:
    answers = tree(tekton)
    ran = session(tekton, "show", "plan", "--all")
    asked = [row for row in ran.text.splitlines() if row.startswith("> ")]
    assert asked == ["> ask a", "> ask b", "> ask c", "> ask d"]
    assert f"follows `{(answers['a'].turn or '')[:8]}`" in ran.text
    assert ran.err == ""


def test_a_conversation_is_known_by_the_beginning_of_its_id(tekton: TektonProcess) -> None:
    one = say(tekton, "hello")
    found = session(tekton, "show", (one.session or "")[:8], "--json").json
    assert found["session"]["id"] == one.session
    assert [each["prompt"] for each in found["turns"]] == ["hello"]


@pytest.mark.parametrize(
    "arguments",
    [["show", "nope"], ["export", "nope"], ["rm", "nope"], ["fork", "nope"],
     ["rename", "nope", "x"], ["title", "nope", "x"], ["fork", "nope", "--turn", "1"]],
)  # fmt: skip
def test_a_conversation_that_is_not_there(tekton: TektonProcess, arguments: list[str]) -> None:
    ran = session(tekton, *arguments)
    assert (ran.status, ran.text) == (3, "")
    assert ran.err.startswith("error: ")
    assert "'nope'" in ran.err


def test_a_conversation_of_many_messages_comes_whole(tekton: TektonProcess) -> None:
    long = "word " * 140_000
    for number in range(3):
        say(tekton, f"{number} {long}", "long")
    found = session(tekton, "show", "long", "--json").json
    assert [each["prompt"][0] for each in found["turns"]] == ["0", "1", "2"]
    assert all(len(each["answer"]) > len(long) for each in found["turns"])


def test_a_file_is_written_for_its_owner_and_never_replaced_unasked(tekton: TektonProcess) -> None:
    tree(tekton)
    file = tekton.home / "plan.md"
    file.unlink(missing_ok=True)
    assert session(tekton, "export", "plan", "-o", "plan.md").text == ""
    assert file.read_text() == session(tekton, "export", "plan").text
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("mine")
    ran = session(tekton, "export", "plan", "-o", "plan.md")
    assert (ran.status, file.read_text()) == (1, "mine")
    assert ran.err == "error: 'plan.md' is there already\nhint: --force replaces it\n"
    assert session(tekton, "export", "plan", "-o", "plan.md", "--force").status == 0
    assert file.read_text().startswith("# ask a")
    assert not list(tekton.home.glob(".plan*"))


def test_a_file_that_cannot_be_written_is_told(tekton: TektonProcess) -> None:
    say(tekton, "x", "plan")
    ran = session(tekton, "export", "plan", "-o", "no/such/folder")
    assert ran.status == 1
    assert ran.err == "error: cannot write 'no/such/folder': No such file or directory\n"


def test_json_is_every_branch_and_comes_by_name_or_on_demand(tekton: TektonProcess) -> None:
    answers = tree(tekton)
    session(tekton, "export", "plan", "-o", "plan.json", "-f")
    found = json.loads((tekton.home / "plan.json").read_text())
    parents = {each["id"]: each.get("parent") for each in found["turns"]}
    assert [parents[answers[name].turn or ""] for name in "abcd"] == [
        None, answers["a"].turn, answers["a"].turn, answers["c"].turn,
    ]  # fmt: skip
    assert session(tekton, "export", "plan", "--format", "json").json == found
    assert session(tekton, "export", "plan", "--format", "xml").status == 2


# -- fork, rename, title ---------------------------------------------------------------------


def test_a_copy_goes_on_by_itself(tekton: TektonProcess) -> None:
    say(tekton, "one", "plan")
    say(tekton, "two", "plan")
    ran = session(tekton, "fork", "plan", "--name", "other")
    copy = session(tekton, "show", "other", "--json").json
    assert copy["session"]["id"].startswith(ran.text.strip())
    assert len(ran.text.strip()) == 8
    say(tekton, "three", "other")
    assert session(tekton, "show", "plan", "--json").json["session"]["turns"] == 2
    assert "copied from" in session(tekton, "show", "other").text


def test_a_copy_ends_at_a_turn_known_by_its_beginning(tekton: TektonProcess) -> None:
    answers = tree(tekton)
    turn = (answers["b"].turn or "")[:8]
    found = session(tekton, "fork", "plan", "--turn", turn, "--json").json
    copy = session(tekton, "show", found["id"], "--json").json
    assert [each["prompt"] for each in copy["turns"]] == ["ask a", "ask b"]
    ran = session(tekton, "fork", "plan", "--turn", "xyz")
    assert ran.status == 3
    assert ran.err.startswith("error: conversation ")
    assert "has no turn 'xyz'" in ran.err


def test_name_and_title_are_changed_quietly(tekton: TektonProcess) -> None:
    say(tekton, "x", "plan")
    for arguments in (["rename", "plan", "road"], ["title", "road", "where", "it leads"]):
        ran = session(tekton, *arguments)
        assert (ran.status, ran.text, ran.err) == (0, "", "")
    [found] = session(tekton, "list", "--json").json
    assert (found["name"], found["title"]) == ("road", "where it leads")
    assert session(tekton, "rename", "road", "").status == 0
    assert "name" not in session(tekton, "list", "--json").json[0]


# -- rm --------------------------------------------------------------------------------------


def test_what_is_named_is_deleted_and_named(tekton: TektonProcess) -> None:
    one = say(tekton, "first")
    say(tekton, "second", "plan")
    say(tekton, "third", "kept")
    short = (one.session or "")[:8]
    ran = session(tekton, "rm", short, "plan", "plan")
    assert (ran.status, ran.text) == (0, "")
    told = ran.err.splitlines()
    assert told[0] == f"deleted {short} (mirror): first"
    assert told[1].endswith(" plan (mirror): second")
    assert told[2] == "deleted 2 conversations (2 turns)"
    assert [each["name"] for each in session(tekton, "list", "--json").json] == ["kept"]


def test_nothing_is_deleted_where_one_is_not_found(tekton: TektonProcess) -> None:
    say(tekton, "x", "plan")
    assert session(tekton, "rm", "plan", "nope").status == 3
    assert len(session(tekton, "list", "--json").json) == 1


def test_by_age_nothing_is_deleted_unasked(tekton: TektonProcess) -> None:
    say(tekton, "x", "plan")
    ran = session(tekton, "rm", "--older-than", "0h")
    assert ran.status == 2
    assert ran.err == "error: nobody can be asked here\nhint: --yes deletes without asking\n"
    assert session(tekton, "rm", "--older-than", "1h").err == "no conversations found\n"
    assert session(tekton, "rm", "--older-than", "0h", "--ci", "apollo", "-y").status == 0
    assert len(session(tekton, "list", "--json").json) == 1
    ran = session(tekton, "rm", "--older-than", "0h", "--yes")
    assert ran.err.endswith(" plan (mirror): x\n")
    assert session(tekton, "list", "--json").json == []


@pytest.mark.parametrize("words", [["plan"], ["--older-than", "0d"]])
def test_at_a_terminal_a_person_is_asked(tekton: TektonProcess, words: list[str]) -> None:
    say(tekton, "x", "plan")
    say(tekton, "y", "plan")
    for answer, status, left in (("", 1, 1), ("yes", 0, 0)):
        terminal = tekton.terminal("session", "rm", *words)
        terminal.wait_for(b"Delete 1 conversation (2 turns) for good? [y/N] ")
        assert b" plan (mirror): x" in terminal.shown
        terminal.type(f"{answer}\n")
        assert terminal.wait() == status
        assert len(session(tekton, "list", "--json").json) == left
    terminal = tekton.terminal("session", "rm", "-y", "--older-than", "0d")
    assert terminal.wait() == 0
    assert b"[y/N]" not in terminal.shown


@pytest.mark.parametrize(
    "arguments", [[], ["plan", "--older-than", "1d"], ["--older-than", "soon"]]
)
def test_what_to_delete_must_be_clear(tekton: TektonProcess, arguments: list[str]) -> None:
    ran = session(tekton, "rm", *arguments)
    assert ran.status == 2
    assert "hint: " in ran.err


@pytest.mark.parametrize(("age", "hours"), [("12h", 12), ("30d", 720), ("2w", 336), ("0d", 0)])
def test_an_age_is_a_number_of_hours_days_or_weeks(age: str, hours: int) -> None:
    assert seconds_of(age) == hours * 3600


@pytest.mark.parametrize("age", ["", "d", "3", "-1d", "1.5d", "1y", "٣d", "1000000d", " 1d"])
def test_what_is_no_age_is_refused(age: str) -> None:
    with pytest.raises(UsageError):
        seconds_of(age)


# -- history ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("columns", "has_session"), [(120, True), (80, False)])
def test_the_history_names_conversations_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    columns: int,
    has_session: bool,
) -> None:
    turn = Turn(
        id="t", session="5e551234" * 4, ci="mirror", status=TurnStatus.COMPLETE, prompt="hi"
    )
    monkeypatch.setattr(BlockingTekton, "call", lambda *_: Turns(turns=(turn,)))
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((columns, 24)))
    history()
    out = capsys.readouterr().out
    assert ("SESSION" in out, "5e551234 " in out) == (has_session, has_session)


# -- at a terminal ---------------------------------------------------------------------------

_HOSTILE = "\x1b]0;owned\x07\x1b[2Jx\x9b31m\u202e"


@pytest.fixture
def hostile(tekton_home: Path) -> Iterator[ReplayedCI]:
    """Answers every request with a conversation whose every text drives terminals."""
    turn = Turn(
        id=f"7{_HOSTILE}", session="s", ci=f"ci{_HOSTILE}", status=TurnStatus.FAILED,
        prompt=f"asked{_HOSTILE}", answer=f"answered{_HOSTILE}\n```", model=f"model{_HOSTILE}",
        error=f"error{_HOSTILE}", started_at=time.time(),
    )  # fmt: skip
    info = SessionInfo(
        id=f"5{_HOSTILE}", ci=turn.ci, name=f"name{_HOSTILE}", title=f"title{_HOSTILE}",
        forked_from=_HOSTILE, turns=1,
    )  # fmt: skip
    found = {
        "session": schema.encode(info), "turns": [schema.encode(turn)],
        "sessions": [schema.encode(info)],
    }  # fmt: skip
    with ReplayedCI(tekton_home, {"": [line({"id": 1, "result": found})]}) as replayed:
        yield replayed


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["list"], b"title"),
        (["show", "x"], b"answered"),
        (["show", "x", "--all"], b"asked"),
        (["list", "--for-completion"], b"name"),
    ],
)
def test_nothing_that_was_stored_drives_the_terminal(
    hub: TektonProcess, hostile: ReplayedCI, tekton_home: Path, arguments: list[str], shown: bytes
) -> None:
    url = f"unix:{tekton_home}/run/ci/echo.sock"
    environment = hub.environment | {"NO_COLOR": "1"}
    command = [sys.executable, "-m", "aish", "session", *arguments, "--url", url]
    terminal = Terminal(command, environment, tekton_home)
    assert terminal.wait() == 0, terminal.shown
    terminal.close()
    assert shown in terminal.shown
    text = terminal.shown.decode()
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_markdown_is_rendered_at_a_terminal(tekton: TektonProcess) -> None:
    say(tekton, "a **bold** word\n```\nopen", "plan")
    say(tekton, "next", "plan")
    terminal = tekton.terminal("session", "show", "plan")
    assert terminal.wait() == 0
    assert b"\x1b[1mbold" in terminal.shown
    assert b"**bold**" not in terminal.shown
    plain = session(tekton, "show", "plan").text
    assert "> a **bold** word" in plain
