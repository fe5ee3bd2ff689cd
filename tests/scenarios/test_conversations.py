"""Going on with what was said: in this terminal, by name, and what the model is then sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.model_servers import OllamaServer
from tests.scenarios.tekton_process import TektonProcess, wait_for
from tests.scenarios.terminal import Terminal


@pytest.fixture(scope="module")
def more_personas() -> dict[str, str]:
    return {"brief": 'model = "small/llama3.2:latest"\nsystem = ""'}


@pytest.fixture(scope="module")
def more_config(ollama_server: OllamaServer) -> str:
    return f'[providers.small]\ntype = "ollama"\nurl = "{ollama_server.url}"\ncontext_tokens = 100'


@pytest.fixture
def in_terminal(tekton: TektonProcess) -> Iterator[Any]:
    """Run lines of sh, each on a terminal of its own; returns what they show."""
    begun: list[Terminal] = []

    def run(line: str) -> str:
        terminal = Terminal(["/bin/sh", "-c", line], tekton.environment, tekton.home)
        begun.append(terminal)
        assert terminal.wait() == 0, terminal.shown
        return terminal.shown.decode()

    yield run
    for terminal in begun:
        terminal.close()


def said(server: OllamaServer) -> list[list[str]]:
    """What each prompt held, without the system prompt."""
    return [
        [one["content"] for one in request.body["messages"] if one["role"] != "system"]
        for request in server.prompts
    ]


def test_a_terminal_goes_on_with_its_last_conversation(
    in_terminal: Any, ollama: OllamaServer
) -> None:
    in_terminal("aish apollo one > out; aish apollo -C two; aish apollo -C three | cat")
    assert said(ollama) == [["one"], ["one", "one", "two"], ["one", "one", "two", "two", "three"]]


def test_each_ci_has_its_own_last_conversation(in_terminal: Any, ollama: OllamaServer) -> None:
    in_terminal("aish apollo one; aish athena uno; aish apollo -C two; aish athena -C due")
    assert said(ollama)[2:] == [["one", "one", "two"], ["uno", "uno", "due"]]


def test_a_prompt_without_c_begins_anew(in_terminal: Any, ollama: OllamaServer) -> None:
    in_terminal("aish apollo one; aish apollo two; aish apollo -C three")
    assert said(ollama)[1:] == [["two"], ["two", "two", "three"]]


def test_another_terminal_s_conversation_is_not_gone_on_with(
    in_terminal: Any, ollama: OllamaServer
) -> None:
    in_terminal("aish apollo one")
    shown = in_terminal("aish apollo -C two; aish apollo -C three")
    assert "no conversation in this terminal yet" in shown
    assert said(ollama) == [["one"], ["two"], ["two", "two", "three"]]


def test_without_a_terminal_there_is_nothing_to_go_on_with(tekton: TektonProcess) -> None:
    ran = tekton.run(["setsid", "-w", "aish", "apollo", "-C", "two"])
    assert (ran.status, ran.out) == (2, b"")
    assert "--session NAME" in ran.err


def test_a_named_conversation_goes_on_anywhere(tekton: TektonProcess, ollama: OllamaServer) -> None:
    for prompt in ("one", "two"):
        assert tekton.aish("apollo", "--session", "plan", prompt).status == 0
    assert tekton.aish("athena", "--session", "plan", "other").status == 0, "athena has her own"
    assert said(ollama) == [["one"], ["one", "one", "two"], ["other"]]


def test_an_id_that_nobody_has_is_told(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ran = tekton.aish("apollo", "--session", "0123456789abcdef0123456789abcdef", "two")
    assert (ran.status, ran.out) == (3, b"")
    assert "aish session list" in ran.err
    assert said(ollama) == []


def test_two_ways_to_name_a_conversation_are_one_too_many(tekton: TektonProcess) -> None:
    assert tekton.aish("apollo", "-C", "--session", "plan", "hi").status == 2


def test_what_the_model_has_no_room_for_is_left_out_and_told(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    long = "x" * 60
    for prompt in (f"{long}1", f"{long}2", f"{long}3"):
        ran = tekton.aish("brief", "--session", "long", prompt)
        assert ran.status == 0
    assert said(ollama)[-1] == [f"{long}3"]
    assert ran.err.startswith("notice: 2 of the 2 turns before this one are left out")
    assert ran.out == f"{long}3\n".encode()


def test_the_memory_that_is_away_is_told_and_the_answer_comes(ollama_server: OllamaServer) -> None:
    config = (
        f'[models]\ndefault = "ollama/llama3.2:latest"\n[engram]\nenabled = false\n'
        f'[providers.ollama]\nurl = "{ollama_server.url}"\n'
    )
    with TektonProcess(config) as tekton:
        tekton.start()
        ran = tekton.aish("apollo", "--session", "plan", "hi")
        assert (ran.status, ran.out) == (0, b"hi\n")
        assert "nothing is remembered" in ran.err


def test_prompts_at_once_in_one_conversation_are_all_kept(tekton: TektonProcess) -> None:
    assert tekton.aish("mirror", "--session", "busy", "first").status == 0
    with ThreadPoolExecutor(4) as pool:
        ran = list(
            pool.map(lambda n: tekton.aish("mirror", "--session", "busy", f"at once {n}"), range(8))
        )
    assert [one.out for one in ran] == [f"at once {n}\n".encode() for n in range(8)]

    def stored() -> bool:
        turns = [
            t for t in tekton.history("--ci", "mirror", "-n", "50") if "at once" in t["prompt"]
        ]
        return len(turns) == 8 and all(turn["parent"] for turn in turns)

    wait_for(stored, "all eight turns")
