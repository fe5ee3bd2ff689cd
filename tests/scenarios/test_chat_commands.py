"""What the commands of a chat do, a line after another through a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model_servers import Fault, FaultKind, OllamaServer, Script
from tests.scenarios.tekton_process import Ran, TektonProcess


def chat(tekton: TektonProcess, *lines: str, target: str = "mirror", **options: object) -> Ran:
    typed = "".join(f"{line}\n" for line in lines).encode()
    arguments = ["chat", target, *map(str, options.pop("options", ()))]  # type: ignore[call-overload]
    return tekton.aish(*arguments, input=typed, **options)


def test_conversations_are_named_listed_and_gone_to(tekton: TektonProcess) -> None:
    ran = chat(
        tekton, "about cats", "/session name cats", "/session title All about cats",
        "/session new", "about dogs", "/session cats", "more cats", "/session list", "/session",
    )  # fmt: skip
    assert ran.out == b"about cats\nabout dogs\nmore cats\n"
    assert 'mirror goes on with "All about cats" · cats · 1 turn' in ran.err
    listed = [line for line in ran.err.splitlines() if "turns ·" in line and "ago" in line]
    assert any(line.startswith("* cats") and "2 turns" in line for line in listed), ran.err
    assert "· 2 turns" in ran.err
    turns = [it for it in tekton.history() if "cats" in it["prompt"]]
    assert turns[0]["parent"] == turns[1]["id"]


def test_a_name_that_is_new_begins_a_conversation(tekton: TektonProcess) -> None:
    chat(tekton, "one", options=("--session", "fresh"))
    ran = chat(tekton, "two", "/session", options=("--session", "fresh"))
    assert "· 2 turns" in ran.err
    assert "fresh" in ran.err


def test_what_cannot_be_a_name_begins_nothing(tekton: TektonProcess) -> None:
    ran = chat(tekton, "/session no/../such", "/session", "hi")
    assert "there is no conversation 'no/../such'" in ran.err
    assert ran.out == b"hi\n"
    ran = chat(tekton, "hi", options=("--session", "bad name"))
    assert (ran.status, ran.out) == (3, b"")


def test_a_fork_leaves_the_other_as_it_was(tekton: TektonProcess) -> None:
    chat(tekton, "trunk", options=("--session", "tree"))
    ran = chat(
        tekton, "/session fork branch", "on the branch", "/session", options=("--session", "tree")
    )
    assert "· 2 turns" in ran.err
    assert "· 1 turn\n" in chat(tekton, "/session", options=("--session", "tree")).err


def test_a_conversation_is_deleted_only_by_name(tekton: TektonProcess) -> None:
    chat(tekton, "secret", options=("--session", "doomed"))
    ran = chat(
        tekton, "/session rm", "/session rm doomed", "/session", options=("--session", "doomed")
    )
    assert "it needs to be named" in ran.err
    assert "deleted: 1 turn" in ran.err
    assert "a new conversation" in ran.err
    assert not tekton.history("--search", "secret")


def test_two_chats_on_one_conversation_branch(tekton: TektonProcess) -> None:
    chat(tekton, "root", options=("--session", "shared"))
    first = tekton.begin("chat", "mirror", "--session", "shared", stdin=-1)
    assert first.stdin is not None
    assert first.stderr is not None
    while b"goes on with" not in (line := first.stderr.readline()):
        assert line
    chat(tekton, "the second's", options=("--session", "shared"))
    first.stdin.write(b"the first's\n")
    first.stdin.close()
    assert b"branches off" in first.stderr.read()
    turns = {it["prompt"]: it for it in tekton.history("-n", "10")}
    assert turns["the first's"]["parent"] == turns["the second's"]["parent"] == turns["root"]["id"]


def test_model_and_system_hold_for_all_that_follows(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ran = chat(
        tekton, "/model", "/model ollama/llama3.3:70b", "/system Be brief.", "one",
        "/model default", "/system default", "two", target="apollo",
    )  # fmt: skip
    assert "apollo answers with ollama/llama3.2:latest" in ran.err
    one, two = (request.body for request in ollama.requests[-2:])
    assert (one["model"], one["messages"][0]["content"]) == ("llama3.3:70b", "Be brief.")
    assert two["model"] == "llama3.2:latest"
    assert "Be brief." not in str(two)


def test_another_ci_is_talked_to(tekton: TektonProcess) -> None:
    ran = chat(tekton, "one", "/ci mirror,numa", "/ci nosuch", "/ci mirror", "two")
    assert "now with mirror, numa" in ran.err
    assert "no CI named 'nosuch'" in ran.err
    assert ran.out == b"one\ntwo\n"


def test_files_go_along(tekton: TektonProcess) -> None:
    (tekton.home / "a.txt").write_text("text of a")
    (tekton.home / "b.bin").write_bytes(b"\xff\x00\xff")
    ran = chat(
        tekton, "/attach a.txt", "/attach", "with it", "without", "/attach b.bin", "/attach none",
        "/attach a.txt", "/attach drop", "and @a.txt again", "and @b.bin",
    )  # fmt: skip
    assert ran.out.decode() == (
        "with it\n\nFile a.txt:\n\ntext of a\n"
        "without\n"
        "and @a.txt again\n\nFile a.txt:\n\ntext of a\n"
    )
    assert "+ a.txt (9 B) goes with your next prompt" in ran.err
    assert "neither UTF-8 text nor an image" in ran.err
    assert "cannot read none" in ran.err


def test_a_conversation_is_saved_once(tekton: TektonProcess, tmp_path: Path) -> None:
    file = tmp_path / "talk.md"
    ran = chat(
        tekton, "/save nothing.md", "a question", f"/save {file}", f"/save {file}", "/save",
        f"/save {tmp_path}/no/such",
    )  # fmt: skip
    assert "there is nothing to save yet" in ran.err
    assert "exists already, and nothing is overwritten" in ran.err
    assert "cannot write" in ran.err
    assert "> a question" in file.read_text()


def test_cost_tells_what_was_spent(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=["one ", "two"])
    ran = chat(tekton, "/cost", "hello", "/retry", "/cost", target="apollo")
    assert "nothing has been asked yet" in ran.err
    assert "2 turns · tokens" in ran.err


def test_commands_that_make_no_sense_are_told(tekton: TektonProcess) -> None:
    ran = chat(
        tekton, "/retry", "/edit", "/copy", "/copy 0", "/ci", "/session name", "/session title",
        "/session fork", "/attach 'open", "/unknown", "!", "still here",
    )  # fmt: skip
    assert ran.out == b"still here\n"
    assert ran.err.count("error:") == 11, ran.err
    assert ran.status == 0


def test_a_retry_follows_the_same_turn(tekton: TektonProcess) -> None:
    chat(tekton, "root", "ask", "/retry", "/retry", "/edit", "ask better", "and on")
    turns = tekton.history("-n", "6")
    root = turns[5]["id"]
    assert [it.get("parent") for it in turns] == [turns[1]["id"], *[root] * 4, None]


def test_a_conversation_that_begins_has_nothing_to_ask_again(tekton: TektonProcess) -> None:
    ran = chat(tekton, "of the old one", "/session brandnew", "/retry", "/edit")
    assert ran.out == b"of the old one\n"
    assert ran.err.count("there is no prompt to") == 2


def test_to_edit_ends_with_another_command(tekton: TektonProcess) -> None:
    chat(tekton, "edit me", "/edit", "/cost", "not in its place")
    after, before = tekton.history("-n", "2")
    assert after["parent"] == before["id"]


def test_of_several_each_line_tells_whose_it_is(tekton: TektonProcess) -> None:
    ran = chat(tekton, "hi", "/session list", target="mirror,numa")
    assert all(
        any(line.startswith(f"* {name}") and "hi ·" in line for line in ran.err.splitlines())
        for name in ("mirror", "numa")
    ), ran.err


def test_the_shell_is_there_too(tekton: TektonProcess) -> None:
    (tekton.home / "sub").mkdir(exist_ok=True)
    ran = chat(
        tekton, "!cd sub", "!!pwd; exit 3", "where?", "!cd /no/such", "!!exec sleep 0.0",
        variables={"SHELL": "/bin/sh"},
    )  # fmt: skip
    assert f"where?\n\noutput of `pwd; exit 3`:\n\n{tekton.home}/sub\n" in ran.out.decode()
    assert "status 3: pwd; exit 3" in ran.err
    assert "cannot go to /no/such" in ran.err


def test_a_shell_that_is_not_there_is_told(tekton: TektonProcess) -> None:
    ran = chat(tekton, "!ls", "hi", variables={"SHELL": "/no/such/shell"})
    assert "/no/such/shell" in ran.err
    assert ran.out == b"hi\n"


def test_what_runs_on_in_the_background_holds_nothing_up(tekton: TektonProcess) -> None:
    ran = chat(tekton, "!!sleep 30 & echo $!", "hi", variables={"SHELL": "/bin/sh"}, timeout_s=10)
    pid = int(next(line for line in ran.err.splitlines() if line.isdecimal()))
    assert b"hi" in ran.out
    tekton.shell(f"kill {pid}")


@pytest.mark.parametrize("after", [0, 1])
def test_an_answer_that_breaks_off_stays_and_is_followed(
    tekton: TektonProcess, ollama: OllamaServer, after: int
) -> None:
    ollama.script = Script(tokens=["half", "never"], fault=Fault(FaultKind.CUT, after=after))
    ran = chat(tekton, f"breaks {after}", target="apollo")
    assert ran.status == 6
    assert ran.out == (b"half\n" if after else b"")
