"""A coding agent behind a CI: a real hub, the real claude, a server of the tests behind it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.agents import FakeAgent, claude_variables, real_agent
from tests.model_servers import ANY, AnthropicServer, Fault, FaultKind, Script
from tests.scenarios.tekton_process import TektonProcess, wait_for

PERSONA = {"coder": 'role = "code"\nmodel = "claude/default"\nsystem = "Be brief."'}


@pytest.fixture
def server() -> Iterator[AnthropicServer]:
    with AnthropicServer(Script(models=(ANY,), tokens=["Hel", "lo ", "you"])) as server:
        yield server


@pytest.fixture
def tekton(server: AnthropicServer) -> Iterator[TektonProcess]:
    """A hub whose claude asks the server."""
    config = f'[providers.claude]\ncommand = "{real_agent("claude")}"\n'
    with TektonProcess(config, PERSONA) as tekton:
        tekton.environment.update(claude_variables(server.url, tekton.home))
        tekton.start()
        yield tekton


def agents(tekton: TektonProcess) -> list[psutil.Process]:
    """What the hub has started and is still there."""
    assert tekton.hub
    children = psutil.Process(tekton.hub.pid).children(recursive=True)
    return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]


def test_an_agent_answers_as_a_ci(tekton: TektonProcess, server: AnthropicServer) -> None:
    ran = tekton.aish("coder", "hi")
    assert (ran.status, ran.text, ran.err) == (0, "Hello you\n", "")
    body = server.prompts[-1].body
    assert body["system"][-1]["text"] == "Be brief."
    assert body.get("tools", []) == []
    turn = tekton.wait_turn("hi", "complete")
    assert turn["model"].startswith("claude/claude-")
    assert turn["output_tokens"] == 3
    assert turn["cost_usd"] > 0
    wait_for(lambda: not agents(tekton), "the agent has ended")
    said = tekton.tekton("doctor").text
    assert "claude     4 models: default, sonnet, opus, haiku; costs money" in said


def test_ctrl_c_ends_the_agent(tekton: TektonProcess, server: AnthropicServer) -> None:
    server.script = Script(models=(ANY,), tokens=["begun", "no"], fault=Fault(FaultKind.HANG, 1))
    process = tekton.begin("coder", "count to a million")
    assert process.stdout
    assert process.stdout.read(100) == b"begun"
    assert agents(tekton)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == -signal.SIGINT
    assert server.prompts[-1].disconnected.wait(5), "the agent goes on"
    wait_for(lambda: not agents(tekton), "the agent has ended")
    assert tekton.wait_turn("count to a million", "interrupted")["answer"] == "begun"


def test_an_agent_ends_with_its_hub(tekton: TektonProcess, server: AnthropicServer) -> None:
    server.script = Script(models=(ANY,), tokens=["begun", "no"], fault=Fault(FaultKind.HANG, 1))
    process = tekton.begin("coder", "go on")
    assert process.stdout
    assert process.stdout.read(100) == b"begun"
    (agent,) = agents(tekton)
    tekton.stop()
    assert not psutil.pid_exists(agent.pid)
    assert process.wait(5) != 0


def test_of_three_prompts_one_waits_and_says_so(tmp_path: Path) -> None:
    go = tmp_path / "go"
    body = f"""
        begin(); text('begun ')
        while not os.path.exists({str(go)!r}): time.sleep(0.01)
        text('done'); end()
    """
    agent = FakeAgent(tmp_path, body)
    with TektonProcess(f'[providers.claude]\ncommand = "{agent.path}"\n', PERSONA) as tekton:
        tekton.start()
        processes = [tekton.begin("coder", f"number {n}") for n in range(2)]
        wait_for(lambda: len(agent.runs) == 2, "two have begun")
        third = tekton.begin("coder", "number 3")
        assert third.stderr
        notice = b"waiting: 2 answers of claude are under way"
        assert notice in third.stderr.readline()
        go.touch()
        for process in (*processes, third):
            assert process.stdout
            assert process.wait(20) == 0
            assert process.stdout.read() == b"begun done\n"
        wait_for(lambda: not agents(tekton), "every agent has ended")


def test_an_agent_that_is_not_there_is_told(tmp_path: Path) -> None:
    config = '[providers.claude]\ncommand = "/nowhere/claude"\n'
    with TektonProcess(config, PERSONA) as tekton:
        tekton.start()
        ran = tekton.aish("coder", "hi")
        assert (ran.status, ran.out) == (6, b"")
        assert "/nowhere/claude is not installed" in ran.err
        assert "npm install -g @anthropic-ai/claude-code" in ran.err
        doctor = tekton.tekton("doctor")
        assert "not usable: /nowhere/claude is not installed" in doctor.text
