"""At a terminal: what is shown there, what is typed there, and how it ends."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.model_servers import Fault, FaultKind, OllamaServer, Script
from tests.scenarios.tekton_process import TektonProcess

OWN = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
"""What a renderer writes: styles, erasing and moving the cursor, modes."""


def test_an_answer_is_rendered_and_ends_on_a_line_of_its_own(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["# Title\n\nSome **bold", "** text and `code`."])
    terminal = tekton.terminal("apollo", "hello")
    assert terminal.wait() == 0
    assert b"Title" in terminal.shown
    assert b"**" not in OWN.sub(b"", terminal.shown).splitlines()[-1]
    assert terminal.shown.endswith(b"\r\n")
    assert b"\x1b[" in terminal.shown, "nothing has a style"


def test_no_color(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=["# Title\n\nSome **bold** text."])
    tekton.environment["NO_COLOR"] = "1"
    try:
        terminal = tekton.terminal("apollo", "hello")
        assert terminal.wait() == 0
        listing = tekton.terminal("list")
        assert listing.wait() == 0
    finally:
        del tekton.environment["NO_COLOR"]
    assert b"bold" in terminal.shown
    assert not re.search(rb"\x1b\[[0-9;]*m", terminal.shown + listing.shown)


ATTACKS = [
    "\x1b]0;owned\x07", "\x1b]52;c;ZXZpbA==\x07", "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[2J\x1b[H", "\x1b[6n", "\x9b31m", "\x1bPq#0\x1b\\", "\x1b[?1049h", "\u202egnp.exe\u202c",
    "\x90secret\x9c", "\u200bzero", "\x08\x08\x08", "\x1bc",
]  # fmt: skip


@pytest.mark.parametrize("cut", ["character by character", "line by line"])
def test_escape_sequences_never_reach_the_terminal(
    tekton: TektonProcess, ollama: OllamaServer, cut: str
) -> None:
    lines = [
        f"{n} before {attack} after {n}\n\n**{attack}**\n\n" for n, attack in enumerate(ATTACKS)
    ]
    ollama.script = Script(tokens=lines if cut == "line by line" else list("".join(lines)))
    terminal = tekton.terminal("apollo", "attack me")
    assert terminal.wait() == 0
    allowed = rb"\x1b\[(?:[0-9;]*m|[0-9]*[ABCDGKJ]|\?25[hl]|\?2026[hl]|\?7[hl])"
    shown = re.sub(allowed, b"", terminal.shown).decode()
    assert not set(shown) & set("\x1b\x07\x08\x90\x9b\x9c\u202e\u202c\u200b"), repr(shown)
    for number in range(len(ATTACKS)):
        assert f"{number} before" in shown
        assert f"after {number}" in shown
    for word in ("owned", "ZXZpbA", "http://evil", "secret"):
        assert word not in shown


def test_escape_sequences_in_an_error_never_reach_the_terminal(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    attack = "".join(ATTACKS)
    ollama.script = Script(fault=Fault(FaultKind.STATUS, status=500, message=f"bad {attack}"))
    terminal = tekton.terminal("apollo", "hello")
    assert terminal.wait() == 6
    assert b"bad" in terminal.shown
    assert b"\x1b]" not in terminal.shown
    assert b"\x9b" not in terminal.shown
    assert b"\x07" not in terminal.shown
    for program, arguments in (
        ("tekton", ["status"]), ("aish", ["history"]), ("tekton", ["logs"]),
    ):  # fmt: skip
        shown = tekton.terminal(*arguments, program=program)
        assert shown.wait() == 0
        assert b"\x1b]" not in shown.shown
        assert b"\x1b[6n" not in shown.shown
        assert b"\x07" not in shown.shown


def test_ctrl_c_kills_and_leaves_the_terminal_as_it_was(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["**so far", "never"], fault=Fault(FaultKind.HANG, after=1))
    terminal = tekton.terminal("apollo", "hello")
    request = ollama.wait_request()
    terminal.wait_for(b"so far")
    terminal.type("\x03")
    assert terminal.wait() == -signal.SIGINT, terminal.shown
    assert request.disconnected.wait(5), "the provider's request goes on"
    assert terminal.shown.endswith(b"\x1b[0m\r\n")
    assert b"Traceback" not in terminal.shown


def test_a_terminal_is_not_read_beside_a_prompt(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("mirror", "hello")
    began = time.monotonic()
    assert terminal.wait() == 0
    assert time.monotonic() - began < 5
    assert b"hello" in terminal.shown


def test_without_a_prompt_a_person_is_asked(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("-c", "aish mirror | cat")
    terminal.wait_for(b"Ctrl-D")
    terminal.type("what I type\n\x04")
    assert terminal.wait() == 0
    assert terminal.shown.count(b"what I type") >= 2, "once typed and once answered"


def test_a_name_alone_at_a_terminal_is_a_chat(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("mirror")
    terminal.wait_for(b"mirror>")
    terminal.type("what I type\r")
    terminal.wait_for(b"what I type\r\r\n")
    terminal.type("/quit\r")
    assert terminal.wait() == 0


def test_an_empty_prompt_of_a_script_is_no_chat(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("-c", 'aish mirror "$NOTHING"')
    assert terminal.wait() == 2
    assert b"there is no prompt" in terminal.shown


def test_nobody_is_asked_for_a_prompt_that_would_go_nowhere(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("nosuch")
    assert terminal.wait() == 3
    assert b"no CI named 'nosuch'" in terminal.shown
    assert b"Ctrl-D" not in terminal.shown


def test_nobody_is_asked_for_a_prompt_where_no_hub_runs() -> None:
    with TektonProcess() as nothing:
        for target in ("apollo", "@all"):
            terminal = nothing.terminal(target)
            assert terminal.wait() == 4
            assert b"no hub is running" in terminal.shown
            assert b"Ctrl-D" not in terminal.shown


def test_a_table_is_as_wide_as_the_terminal(tekton: TektonProcess) -> None:
    prompt = "a long prompt " * 6
    tekton.aish("mirror", prompt)
    tekton.wait_turn(prompt, "complete")
    terminal = tekton.terminal("history", "-n", "1")
    assert terminal.wait() == 0
    rows = OWN.sub(b"", terminal.shown).decode().splitlines()
    assert len(rows) == 2
    assert max(map(len, rows)) <= 80
    assert "…" in rows[1]


@pytest.mark.parametrize("options", ["", "--timeout 60"])
def test_a_person_is_asked_where_the_answer_goes_into_a_file(
    tekton: TektonProcess, tmp_path: Path, options: str
) -> None:
    file = tmp_path / "answer"
    script = tmp_path / "ask.sh"
    script.write_text(f"aish mirror {options} > {file}\n")
    terminal = tekton.terminal(str(script), program="/bin/sh")
    terminal.wait_for(b"Ctrl-D")
    terminal.type("what I type\n\x04")
    assert terminal.wait() == 0
    assert file.read_text() == "what I type\n"


def test_no_stdin_asks_nobody(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("mirror", "--no-stdin")
    assert terminal.wait() == 2
    assert b"there is no prompt" in terminal.shown


def test_a_dash_reads_the_terminal(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("mirror", "so:", "-")
    terminal.type("typed\n\x04")
    assert terminal.wait() == 0
    assert terminal.shown.count(b"typed") >= 2, "once typed and once answered"


def test_a_team_at_a_terminal(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=["the ", "answer"])
    terminal = tekton.terminal("apollo,athena", "hello")
    assert terminal.wait() == 0
    shown = OWN.sub(b"", terminal.shown)
    assert shown.count(b"the answer") >= 2
    assert b"== apollo ==" in shown
    assert b"== athena ==" in shown


def test_a_list_has_colours_at_a_terminal_only(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("list")
    assert terminal.wait() == 0
    assert b"\x1b[32m" in terminal.shown
    assert b"\x1b" not in tekton.aish("list").out


def test_ctrl_c_ends_events(tekton: TektonProcess) -> None:
    terminal = tekton.terminal("events", program="tekton")
    while b"answer.finished" not in terminal.shown:
        tekton.aish("mirror", "x")
        terminal._read(time.monotonic() + 0.1)
    terminal.type("\x03")
    assert terminal.wait() == -signal.SIGINT
    assert b"Traceback" not in terminal.shown
