"""Faults, each as a user meets it: what is printed where, the exit status, the stored turn."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.model_servers import (
    AnthropicServer,
    Fault,
    FaultKind,
    OllamaServer,
    OpenAIServer,
    Script,
    closed_url,
)
from tests.scenarios.conftest import MODELS
from tests.scenarios.tekton_process import Ran, TektonProcess, wait_for

DOWN = "nobody/there"


@pytest.fixture(scope="module")
def more_config() -> str:
    return f'[providers.nobody]\ntype = "openai"\nurl = "{closed_url()}/v1"\n'


def turn_of(tekton: TektonProcess, prompt: str) -> tuple[str, str, str | None]:
    """Status, answer and error of the one turn that a prompt has, once it is over."""

    def ended() -> list[dict[str, str]]:
        turns = [turn for turn in tekton.history() if turn["prompt"] == prompt]
        return [] if any(turn["status"] == "running" for turn in turns) else turns

    [turn] = wait_for(ended, f"the end of the turn {prompt!r}")
    return turn["status"], turn.get("answer", ""), turn.get("error")


FAULTS = {
    "401": (Fault(FaultKind.STATUS, status=401), "", "failed", "401"),
    "429": (Fault(FaultKind.STATUS, status=429), "", "failed", "429"),
    "500": (Fault(FaultKind.STATUS, status=500), "", "failed", "500"),
    "503": (Fault(FaultKind.STATUS, status=503), "", "failed", "503"),
    "malformed": (Fault(FaultKind.MALFORMED, after=2), "Once upon ", "truncated", "malformed"),
    "error": (Fault(FaultKind.ERROR, after=2), "Once upon ", "", "something broke"),
    "reset": (Fault(FaultKind.RESET, after=2), "Once upon ", "truncated", "connection"),
    "drop": (Fault(FaultKind.DROP, after=2), "Once upon ", "truncated", ""),
    "cut": (Fault(FaultKind.CUT, after=3), "Once upon a time", "truncated", "finish marker"),
    "cut at once": (Fault(FaultKind.CUT), "", "truncated", "finish marker"),
}


@dataclass(frozen=True)
class Met:
    """A fault as it was met: by the user, by the server, and in the store."""

    ran: Ran
    prompts: int
    turn: dict[str, Any]


@pytest.fixture(scope="module")
def met(
    shared_tekton: TektonProcess,
    ollama_server: OllamaServer,
    openai_server: OpenAIServer,
    anthropic_server: AnthropicServer,
) -> dict[tuple[str, str], Met]:
    """Every fault of every provider, the providers side by side."""
    servers = {"ollama": ollama_server, "openai": openai_server, "anthropic": anthropic_server}

    def meet(name: str) -> list[tuple[Ran, int]]:
        found = []
        for fault, (kind, *_) in FAULTS.items():
            servers[name].script = Script(tokens=["Once ", "upon ", "a time"], fault=kind)
            servers[name].requests.clear()
            ran = shared_tekton.aish("apollo", f"{name}: {fault}", "-m", MODELS[name])
            found.append((ran, len(servers[name].prompts)))
        return found

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(meet, MODELS))

    def stored() -> list[dict[str, Any]]:
        turns = shared_tekton.history("-n", "200")
        return [] if any(turn["status"] == "running" for turn in turns) else turns

    turns = {turn["prompt"]: turn for turn in wait_for(stored, "the end of every turn")}
    return {
        (name, fault): Met(ran, prompts, turns[f"{name}: {fault}"])
        for name, results in zip(MODELS, found, strict=True)
        for fault, (ran, prompts) in zip(FAULTS, results, strict=True)
    }


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("name", list(MODELS))
def test_a_fault_of_the_model_s_server(
    met: dict[tuple[str, str], Met], name: str, fault: str
) -> None:
    _, text, status, reason = FAULTS[fault]
    found = met[name, fault]
    assert found.ran.out.decode() == (f"{text}\n" if text else "")
    assert found.ran.status == 6, found.ran.err
    assert found.ran.err.startswith("error: ")
    assert reason in found.ran.err
    assert found.prompts == 1, "it was sent again"
    assert found.turn["answer"] == text
    assert found.turn["status"] in ([status] if status else ["failed", "truncated"])
    assert found.turn["error"]
    assert found.turn["error"] in found.ran.err


def test_a_model_without_a_price_costs_unknown(
    tekton: TektonProcess, anthropic: AnthropicServer
) -> None:
    assert not anthropic.prompts
    found = tekton.aish("apollo", "hi", "-m", "anthropic/claude-sonnet-5-5", "--json").json
    assert found["cost_usd"] == "unknown"


def test_the_model_s_server_is_down(tekton: TektonProcess) -> None:
    ran = tekton.aish("apollo", "is anybody there?", "-m", DOWN)
    assert (ran.status, ran.out) == (6, b"")
    assert "cannot reach nobody at http://127.0.0.1:" in ran.err
    assert "Connection refused" in ran.err
    assert turn_of(tekton, "is anybody there?")[:2] == ("failed", "")


def test_a_failure_is_the_ci_s_last_error(tekton: TektonProcess) -> None:
    tekton.aish("sophia", "is anybody there?", "-m", DOWN)
    [sophia] = [
        ci for ci in tekton.tekton("status", "--json").json["cis"] if ci["name"] == "sophia"
    ]
    assert "cannot reach nobody" in sophia["last_error"]
    assert "cannot reach nobody" in tekton.aish("numa", "any errors?").text


def test_a_limit_of_tokens_cuts_an_answer_which_is_told_but_no_failure(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["as far as "], finish="length")
    ran = tekton.aish("apollo", "go on")
    assert (ran.status, ran.out) == (0, b"as far as \n")
    assert ran.err == "notice: the answer is cut: the model's limit of tokens is reached\n"
    assert turn_of(tekton, "go on")[0] == "truncated"


def test_no_model_at_all() -> None:
    with TektonProcess() as tekton:
        tekton.start()
        ran = tekton.aish("apollo", "hello")
        assert (ran.status, ran.out) == (6, b"")
        assert ran.err.startswith("error: no model is there to answer (ollama: ")
        assert "hint: start Ollama" in ran.err
        assert "tekton doctor" in ran.err
        assert turn_of(tekton, "hello")[0] == "failed"


def test_a_provider_that_is_broken_fails_the_turn_and_leaves_nothing_running() -> None:
    with TektonProcess('[models]\ndefault = "broken/model"\n[providers.broken]\n') as tekton:
        install_plugin(tekton, BROKEN_PROVIDER)
        tekton.start()
        ran = tekton.aish("apollo", "hello")
        assert ran.status == 1
        assert ran.out == b"so far\n"
        assert "this is a bug" in ran.err
        assert "tekton logs" in ran.err
        status, answer, error = turn_of(tekton, "hello")
        assert (status, answer) == ("failed", "so far")
        assert error
        assert "this is a bug" in error
        assert "Traceback" in tekton.log()


BROKEN_PROVIDER = """
from backends.providers.base import Probe

class Broken:
    def __init__(self, name, settings, get_key):
        self.name = name

    async def probe(self, timeout_s):
        return Probe(models=("model",), is_local=True)

    async def stream(self, prompt):
        yield "so far"
        raise KeyError("this is a bug")

    async def close(self):
        pass
"""


def install_plugin(tekton: TektonProcess, code: str) -> None:
    """Put a third party's package, which has the provider `broken`, on the hub's path."""
    folder = tekton.home / "site"
    about = folder / "broken_provider-1.dist-info"
    about.mkdir(parents=True)
    (folder / "broken_provider.py").write_text(code)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-provider\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[tekton.providers]\nbroken = broken_provider:Broken\n")
    inherited = tekton.environment.get("PYTHONPATH")
    tekton.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), inherited]))


# -- nobody there ----------------------------------------------------------------------------


def test_an_unknown_ci_and_the_nearest_names(tekton: TektonProcess) -> None:
    ran = tekton.aish("apolo", "hello")
    assert (ran.status, ran.out) == (3, b"")
    assert ran.err == (
        "error: no CI named 'apolo'\nhint: did you mean 'apollo'? `aish list` shows all\n"
    )
    far = tekton.aish("zzz", "hello")
    assert far.err == "error: no CI named 'zzz'\nhint: `aish list` shows all\n"


def test_a_ci_whose_socket_is_gone_while_the_hub_answers(tekton: TektonProcess) -> None:
    path = tekton.socket("ergon")
    path.unlink()
    for options in ([], ["--timeout", "60"], ["--json"]):
        ran = tekton.aish("ergon", "hello", *options)
        assert ran.status == 3
        assert f"CI 'ergon' is gone: its socket {path} is gone" in ran.err + ran.text
        assert "tekton serve ergon" in ran.err + ran.text
    listed = {entry["name"]: entry for entry in tekton.aish("list", "--json").json}
    assert listed["ergon"]["health"] == "dead"
    assert str(path) in listed["ergon"]["reason"]
    assert tekton.aish("mirror", "hello").status == 0


def test_no_hub() -> None:
    with TektonProcess() as tekton:
        for arguments in (["apollo", "hello"], ["@all", "hello"], ["list"], ["history"]):
            ran = tekton.aish(*arguments)
            assert (ran.status, ran.out) == (4, b""), arguments
            assert ran.err == "error: no hub is running\nhint: `tekton up` starts it\n"
        assert tekton.tekton("status").status == 4
        assert tekton.tekton("events").status == 4
        assert tekton.tekton("down").status == 0


def test_the_hub_is_gone(tekton: TektonProcess) -> None:
    with TektonProcess() as other:
        other.start()
        other.stop()
        ran = other.aish("mirror", "hello")
        assert ran.status == 4
        assert "tekton up" in ran.err
        status = other.tekton("status")
        assert status.status == 4
        assert "ended" in status.err


# -- Ctrl-C and closed pipes -----------------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--timeout", "60"], ["--json"]])
def test_ctrl_c_reaches_the_provider_and_kills(
    tekton: TektonProcess, ollama: OllamaServer, options: list[str]
) -> None:
    ollama.script = Script(tokens=["begun", "never"], fault=Fault(FaultKind.HANG, after=1))
    prompt = f"count to a million {options}"
    process = tekton.begin("apollo", prompt, *options)
    request = ollama.wait_request()
    assert process.stdout
    if "--json" not in options:
        assert process.stdout.read(100) == b"begun"
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == -signal.SIGINT
    assert process.stderr
    assert process.stderr.read() == b""
    assert request.disconnected.wait(5), "the provider's request goes on"
    turn = tekton.wait_turn(prompt, "interrupted")
    assert turn["answer"] == "begun" or "--json" in options


def test_ctrl_c_ends_a_shell_s_loop(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=["x"], fault=Fault(FaultKind.HANG))
    loop = f"echo $$ > {tekton.home}/pid; for i in 1 2 3; do aish apollo $i; done; echo went on"
    with subprocess.Popen(
        ["bash", "-c", loop], env=tekton.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as shell:  # fmt: skip
        ollama.wait_request()
        os.killpg(shell.pid, signal.SIGINT)
        out, err = shell.communicate(timeout=10)
    assert shell.returncode == -signal.SIGINT
    assert (out, err) == (b"", b"")
    assert len(ollama.prompts) == 1


def test_ctrl_c_while_standard_input_is_read(tekton: TektonProcess) -> None:
    process = tekton.begin("mirror", stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(b"some of it")
    wait_for(lambda: is_reading(process.pid), "it reads")
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == -signal.SIGINT
    assert process.stderr
    assert process.stderr.read() == b""


def is_reading(pid: int) -> bool:
    """Tell whether a process sleeps with the hub's socket open."""
    process = psutil.Process(pid)
    return bool(process.net_connections("unix")) and process.status() == psutil.STATUS_SLEEPING


@pytest.mark.parametrize("program", ["tekton events", "tekton logs -f"])
def test_ctrl_c_ends_what_watches(tekton: TektonProcess, program: str) -> None:
    name, *arguments = program.split()
    process = tekton.begin(*arguments, program=name)
    if "logs" in arguments:
        assert process.stdout
        assert process.stdout.read(10)
    else:
        wait_for(lambda: is_reading(process.pid), "it watches")
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == -signal.SIGINT
    assert process.stderr
    assert process.stderr.read() == b""


@pytest.mark.parametrize("options", ["", "--timeout 60", "-v"])
def test_a_closed_pipe_is_quiet(tekton: TektonProcess, ollama: OllamaServer, options: str) -> None:
    ollama.script = Script(tokens=[f"line {n}\n" for n in range(20_000)])
    ran = tekton.shell(f"aish apollo go {options} | head -1; echo ${{PIPESTATUS[0]}}")
    first, status = ran.text.splitlines()
    assert first == "line 0"
    assert int(status) in (0, 128 + signal.SIGPIPE)
    assert ran.err == ""


@pytest.mark.parametrize(
    "command",
    ["aish list", "aish @all hello", "aish history --json -n 200", "tekton status", "tekton logs",
     "tekton events", "aish list --json"],
)  # fmt: skip
def test_a_reader_that_is_gone_is_quiet(tekton: TektonProcess, command: str) -> None:
    process = tekton.begin(*command.split()[1:], program=command.split()[0])
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    if command == "tekton events":
        wait_for(lambda: tekton.aish("mirror", "x") and process.poll() is not None, "its end")
    assert process.wait(10) in (0, -signal.SIGPIPE)
    assert process.stderr.read() == b""


# -- what goes in and comes out --------------------------------------------------------------


def megabytes(count: int) -> bytes:
    """Text with every kind of character, control ones too, among lines of plain ones."""
    odd = "".join(map(chr, range(1, 256))) + '日本語\U0001f600\u2028\ufeff\r\n\t\\"'
    line = (odd + "the quick brown fox jumps over the lazy dog\n" * 200).encode()
    return line * (count * 1_000_000 // len(line) + 1)


@pytest.mark.parametrize(
    ("count", "options"),
    [(1, []), (1, ["--timeout", "60"]), (1, ["--no-stream"]), (5, []), (5, ["--timeout", "60"])],
)
def test_megabytes_in_and_out_byte_for_byte(
    tekton: TektonProcess, count: int, options: list[str]
) -> None:
    data = megabytes(count) + b"\n"
    ran = tekton.aish("mirror", *options, input=data)
    assert (ran.status, ran.out) == (0, data)
    assert ran.err in ("", "notice: this turn is not stored yet: the store is slow or locked\n")


def test_a_megabyte_through_a_model_s_server(tekton: TektonProcess, ollama: OllamaServer) -> None:
    data = megabytes(1) + b"\n"
    assert tekton.aish("apollo", input=data).out == data


@pytest.mark.parametrize("options", [[], ["--timeout", "60"]])
def test_one_newline_is_added_where_it_is_missing(
    tekton: TektonProcess, ollama: OllamaServer, options: list[str]
) -> None:
    for tokens, out in (
        (["a"], b"a\n"), (["a\n"], b"a\n"), (["a\n\n"], b"a\n\n"), (["\n"], b"\n"), ([], b""),
    ):  # fmt: skip
        ollama.script = Script(tokens=tokens)
        assert tekton.aish("apollo", "x", *options).out == out


@pytest.mark.parametrize("options", [[], ["--timeout", "60"]])
def test_invalid_utf8_in_is_replaced_with_a_warning(
    tekton: TektonProcess, options: list[str]
) -> None:
    ran = tekton.aish("mirror", *options, input=b"caf\xe9 \xff\n")
    assert (ran.status, ran.text) == (0, "caf\ufffd \ufffd\n")
    assert re.fullmatch(r"warning: standard input is not UTF-8; .*U\+FFFD\n", ran.err)
    quiet = tekton.aish("mirror", "-q", *options, input=b"caf\xe9 \xff\n")
    assert (quiet.text, quiet.err) == ("caf\ufffd \ufffd\n", "")


@pytest.mark.parametrize("options", [[], ["--timeout", "60"]])
def test_a_message_over_the_limit(tekton: TektonProcess, options: list[str]) -> None:
    ran = tekton.aish("mirror", *options, input=b"x" * (16 * 1024 * 1024 + 1))
    assert (ran.status, ran.out) == (1, b"")
    assert "the limit is 16 MiB" in ran.err
    assert tekton.aish("mirror", "still there?").out == b"still there?\n"


@pytest.mark.parametrize("options", [[], ["--timeout", "60"], ["--no-stdin"], ["-v"]])
def test_no_prompt_and_no_input(tekton: TektonProcess, options: list[str]) -> None:
    ran = tekton.aish("mirror", *options)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.startswith("error: there is no prompt\nhint: give one: aish mirror ")


def test_an_option_that_does_not_exist(tekton: TektonProcess) -> None:
    ran = tekton.aish("mirror", "hi", "--frobnicate")
    assert (ran.status, ran.out) == (2, b"")
    assert "--frobnicate" in ran.err


# -- the answer cannot be written ------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is full")
@pytest.mark.parametrize(
    "command",
    ["aish mirror hi", "aish mirror hi --timeout 60", "aish mirror hi --json", "aish list"],
)
def test_an_answer_that_cannot_be_written(tekton: TektonProcess, command: str) -> None:
    ran = tekton.shell(f"{command} > /dev/full")
    assert (ran.status, ran.err) == (1, "error: cannot write the answer: No space left on device\n")


# -- configuration ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "line", "reason"),
    [
        ("[models]\ndefault = 3\n", 2, "default"),
        ('[models]\n\ndefualt = "auto"\n', 3, "defualt"),
        ("[models\n", 1, ""),
        ("[tcp]\nenabled = true\nhost = \n", 3, ""),
    ],
)
def test_a_corrupt_configuration(config: str, line: int, reason: str) -> None:
    with TektonProcess(config) as tekton:
        ran = tekton.tekton("up")
        assert (ran.status, ran.out) == (1, b"")
        assert str(tekton.home / "config" / "config.toml") in ran.err
        assert f"line {line}" in ran.err
        assert reason in ran.err
        assert "tekton config edit" in ran.err
        assert "Traceback" not in ran.err


def test_a_corrupt_persona_leaves_the_others_as_they_are(tekton: TektonProcess) -> None:
    tekton.add_persona("oops", "role = \n")
    file = tekton.home / "config" / "ci" / "oops.toml"
    wait_for(
        lambda: f"{file}: at line 1" in tekton.log() or str(file) in tekton.log(), "a log line"
    )
    assert tekton.aish("mirror", "hi").status == 0
    file.unlink()


def test_two_hubs(tekton: TektonProcess) -> None:
    assert tekton.hub
    second, report = tekton.try_start()
    assert second.wait(5) == 1
    assert f"pid {tekton.hub.pid}" in report["message"]
    assert str(tekton.home / "run") in report["message"]
    assert "tekton down" in report["hint"]
    assert tekton.aish("mirror", "hi").status == 0, "the first one does not mind"


# -- the store -------------------------------------------------------------------------------


def test_a_full_disk() -> None:
    with TektonProcess() as tekton:
        tekton.start(file_limit=1_500_000)
        assert tekton.aish("mirror", "small").err == ""
        data = megabytes(2) + b"\n"
        for options in ([], ["--timeout", "60"]):
            ran = tekton.aish("mirror", *options, input=data)
            assert (ran.status, ran.out) == (0, data)
            assert ran.err.startswith("notice: this turn is not stored: cannot write ")
            assert ran.err.count("\n") == 1
        quiet = tekton.aish("mirror", "-q", input=data)
        assert (quiet.status, quiet.err) == (0, "")


def test_a_locked_database(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=["the ", "answer"])
    with sqlite3.connect(tekton.home / "state" / "engram.db", isolation_level=None) as database:
        database.execute("BEGIN EXCLUSIVE")
        ran = tekton.aish("apollo", "while it is locked")
        assert (ran.status, ran.out) == (0, b"the answer\n")
        assert ran.err.startswith("notice: this turn is not stored yet: ")
        assert ran.err.count("\n") == 1
        database.execute("ROLLBACK")
    database.close()
    assert tekton.wait_turn("while it is locked", "complete")["answer"] == "the answer"


def test_a_store_that_is_switched_off_is_not_missed() -> None:
    with TektonProcess("[engram]\nenabled = false\n") as tekton:
        tekton.start()
        ran = tekton.aish("mirror", "hi")
        assert (ran.status, ran.out, ran.err) == (0, b"hi\n", "")
