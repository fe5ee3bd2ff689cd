"""The commands that a user is promised, each run as a user runs it."""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.model_servers import Fault, FaultKind, OllamaServer, Script
from tests.scenarios.tekton_process import Ran, TektonProcess, wait_for


@pytest.fixture(scope="module")
def more_config() -> str:
    return (
        "[tcp]\nenabled = true\n"
        "[tcp.ports]\n"
        + "\n".join(
            f"{name} = 0"
            for name in (
                "hermes", "engram", "rhetor", "numa", "athena", "apollo", "dionysus", "hephaestus",
            )
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def more_personas() -> dict[str, str]:
    return {"broken": 'role = "trouble"\nmodel = "openai/nothing-like-it"'}


@pytest.fixture(scope="module", autouse=True)
def slow_pipe(shared_tekton: TektonProcess) -> Iterator[Future[tuple[Ran, float]]]:
    """A slow pipe, at work while the tests of this module are."""

    def run() -> tuple[Ran, float]:
        began = time.monotonic()
        line = "(sleep 3; echo hi) | aish numa | aish athena -m echo > out.txt"
        return shared_tekton.shell(line), time.monotonic() - began

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run)


@pytest.fixture(scope="module")
def token_file(shared_tekton: TektonProcess) -> Path:
    made = shared_tekton.tekton("token", "create", "laptop")
    assert made.status == 0, made.err
    file = shared_tekton.home / "t"
    file.write_bytes(made.out)
    return file


def url_of(tekton: TektonProcess, name: str, is_ci: bool) -> str:
    """The TCP address that a service's record tells."""
    file = tekton.home / "state" / "ai_registry" / f"{name}{'-ci' if is_ci else ''}.json"
    found: str = json.loads(file.read_text())["urls"][0]
    return found


def test_up_lists_every_service_and_ci_with_its_model() -> None:
    with TektonProcess() as tekton:
        up = tekton.tekton("up")
        assert up.status == 0, up.err
        lines = {line.split()[0]: line for line in up.text.splitlines() if line.strip()}
        for name in ("hermes", "engram", "rhetor", "numa", "apollo", "mirror"):
            assert "alive" in lines[name], up.text
        assert "echo/echo" in lines["mirror"]
        assert "numa/live-facts" in lines["numa"]
        assert "none" in lines["apollo"], "no model is made up where none answers"
        assert "tekton doctor" in up.err
        again = tekton.tekton("up")
        assert again.status == 1
        pid = json.loads((tekton.home / "state" / "hub.json").read_text())["pid"]
        assert f"pid {pid}" in again.err
        assert str(tekton.home / "run") in again.err
        assert "tekton down" in again.err
        down = tekton.tekton("down")
        assert (down.status, down.err) == (0, f"hub is down (it was pid {pid})\n")
        assert pid not in tekton.processes()
        assert tekton.leftovers() == []


def test_list_shows_state_kind_role_and_the_model_really_behind(tekton: TektonProcess) -> None:
    shown = tekton.aish("list")
    assert (shown.status, shown.err) == (0, "")
    rows = {line.split()[0]: line.split() for line in shown.text.splitlines()}
    assert rows["NAME"] == ["NAME", "STATE", "KIND", "ROLE", "MODEL"]
    assert rows["apollo"] == ["apollo", "alive", "specialist", "vision", "ollama/llama3.2:latest"]
    assert rows["mirror"][:5] == ["mirror", "alive", "echo", "wiring", "echo/echo"]
    assert "hermes" not in rows, "a service is no CI"
    assert b"\x1b" not in shown.out


def test_list_as_json(tekton: TektonProcess) -> None:
    entries = {entry["name"]: entry for entry in tekton.aish("list", "--json").json}
    assert entries["numa"]["model"] == "numa/live-facts"
    assert entries["apollo"]["health"] == "alive"
    assert entries["athena"]["role"] == "wisdom"


@pytest.mark.parametrize("name", ["apollo", "apollo-ci", "Apollo"])
def test_a_prompt_by_each_of_a_ci_s_names(
    tekton: TektonProcess, ollama: OllamaServer, name: str
) -> None:
    ollama.script = Script(tokens=["Hel", "lo ", "you"])
    ran = tekton.aish(name, "hello")
    assert (ran.status, ran.out, ran.err) == (0, b"Hello you\n", "")
    [request] = ollama.prompts
    assert request.body["messages"][-1]["content"] == "hello"


def test_an_answer_streams_into_a_pipe(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ollama.script = Script(tokens=["first\n", "second"], fault=Fault(FaultKind.HANG, after=1))
    process = tekton.begin("apollo", "hello")
    assert process.stdout
    assert process.stdout.read(100) == b"first\n", "it waits for the rest"
    assert process.poll() is None
    process.kill()


def test_stdin_and_the_question_both_arrive(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ran = tekton.aish("athena", "review this", input=b"diff --git a b\n")
    assert ran.out == b"review this\n\ndiff --git a b\n"
    [request] = ollama.prompts
    assert request.body["messages"][-1]["content"] == "review this\n\ndiff --git a b\n"
    assert "Athena" in request.body["messages"][0]["content"]


def sections(text: str) -> dict[str, str]:
    """Split what a team said by its headings."""
    parts = text.split("== ")[1:]
    return {head: body.strip() for head, _, body in (part.partition(" ==\n") for part in parts)}


@pytest.mark.parametrize("everyone", ["@all", "team-chat"])
def test_all_answer_and_a_failed_one_is_shown_as_failed(
    tekton: TektonProcess, everyone: str
) -> None:
    ran = tekton.aish(everyone, "ship it?")
    said = sections(ran.text)
    assert {"apollo", "athena", "numa", "mirror", "synthesis"} <= set(said)
    assert said["apollo"] == said["mirror"] == "ship it?"
    assert {"broken", "broken: failed"} & set(said)
    assert "broken: openai has no model 'nothing-like-it'" in ran.err
    assert ran.status == 6


def test_several_by_name(tekton: TektonProcess, ollama: OllamaServer) -> None:
    ran = tekton.aish("apollo,athena-ci", "compare")
    assert (ran.status, ran.err) == (0, "")
    assert sections(ran.text) == {"apollo": "compare", "athena": "compare"}
    assert len(ollama.prompts) == 2


def test_answers_of_a_team_never_mix(tekton: TektonProcess, ollama: OllamaServer) -> None:
    lines = [f"line {n}\n" for n in range(40)]
    ollama.script = Script(tokens=lines, delay_s=0.002)
    ran = tekton.aish("apollo,athena,sophia", "go")
    whole = "".join(lines).strip()
    assert sections(ran.text) == dict.fromkeys(("apollo", "athena", "sophia"), whole)


def test_all_with_a_role(tekton: TektonProcess) -> None:
    ran = tekton.aish("@builder", "mend it")
    assert (ran.status, sections(ran.text)) == (0, {"hephaestus": "mend it"})


def test_a_role_that_nobody_has(tekton: TektonProcess) -> None:
    ran = tekton.aish("@juggler", "catch")
    assert (ran.status, ran.out) == (3, b"")
    assert "juggler" in ran.err
    assert "@builder" in ran.err


def test_the_same_over_a_websocket(tekton: TektonProcess, token_file: Path) -> None:
    url = url_of(tekton, "rhetor", False).replace("tcp:", "ws:") + "/ws"
    ran = tekton.aish("--url", url, "--token-file", str(token_file), "apollo", "hi")
    assert (ran.status, ran.out, ran.err) == (0, b"hi\n", "")


def test_the_same_over_tcp(tekton: TektonProcess, token_file: Path) -> None:
    for name, is_ci in (("rhetor", False), ("apollo", True)):
        url = url_of(tekton, name, is_ci)
        ran = tekton.aish("apollo", "hi", "--url", url, "--token-file", str(token_file))
        assert (ran.status, ran.out, ran.err) == (0, b"hi\n", "")


def test_the_same_over_a_named_unix_socket(tekton: TektonProcess) -> None:
    for path in (tekton.socket("rhetor", is_ci=False), tekton.socket("apollo")):
        ran = tekton.aish("--url", f"unix:{path}", "apollo", "hi")
        assert (ran.status, ran.out, ran.err) == (0, b"hi\n", "")


def test_the_address_from_the_environment(tekton: TektonProcess, token_file: Path) -> None:
    url = url_of(tekton, "rhetor", False)
    remote = {"TEKTON_URL": url, "TEKTON_TOKEN_FILE": str(token_file), "TEKTON_HOME": "/nowhere"}
    assert tekton.aish("apollo", "hi", variables=remote).out == b"hi\n"
    assert "apollo" in tekton.aish("list", variables=remote).text
    assert sections(tekton.aish("apollo,athena", "hi", variables=remote).text).keys() == {
        "apollo", "athena",
    }  # fmt: skip


def test_events_and_history_over_a_websocket(tekton: TektonProcess, token_file: Path) -> None:
    where = ["--url", url_of(tekton, "rhetor", False).replace("tcp:", "ws:") + "/ws"]
    where += ["--token-file", str(token_file)]
    process = tekton.begin("events", "--subject", "ci.mirror.>", *where, program="tekton")
    assert process.stdout
    heard = process.stdout.fileno()
    wait_for(
        lambda: tekton.aish("mirror", "x") and select.select([heard], [], [], 0.2)[0], "an event"
    )
    assert process.stdout.read(65536).count(b" ci.mirror.answer.") >= 1
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == -signal.SIGINT
    assert process.stderr
    assert process.stderr.read() == b""
    assert "mirror" in tekton.aish("history", *where).text
    assert tekton.tekton("status", *where).status == 0


def test_an_address_without_a_token(tekton: TektonProcess) -> None:
    ran = tekton.aish("--url", url_of(tekton, "rhetor", False), "apollo", "hi")
    assert (ran.status, ran.out) == (4, b"")
    assert "token" in ran.err
    assert "--token-file" in ran.err


def test_an_address_where_nobody_listens(tekton: TektonProcess, token_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for url in (f"tcp://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws", "unix:/nowhere/x.sock"):
        ran = tekton.aish("--url", url, "--token-file", str(token_file), "apollo", "hi")
        assert (ran.status, ran.out) == (4, b"")
        assert url in ran.err


@pytest.fixture
def events(tekton: TektonProcess) -> Iterator[subprocess.Popen[bytes]]:
    """`tekton events --subject 'ci.>'`, subscribed: it has told of a first answer."""
    process = tekton.begin("events", "--subject", "ci.>", program="tekton")
    assert process.stdout
    heard = process.stdout.fileno()

    def is_heard() -> bool:
        tekton.aish("mirror", "are you there?")
        return bool(select.select([heard], [], [], 0.2)[0])

    wait_for(is_heard, "a first event")
    yield process
    process.kill()
    process.wait()


def test_events_tell_of_an_answer(tekton: TektonProcess, events: subprocess.Popen[bytes]) -> None:
    tekton.aish("apollo", "hello")
    assert events.stdout
    seen = b""
    while b"ci.apollo.answer.finished" not in seen:
        part = events.stdout.read(65536)
        assert part, seen
        seen += part
    assert b"ci.apollo.answer.started" in seen
    assert b"model=ollama/llama3.2:latest" in seen
    assert b"service." not in seen
    tekton.aish("mirror", "the last")
    while seen.count(b"ci.mirror.answer.finished") < seen.count(b"ci.mirror.answer.started") or (
        seen.rindex(b"ci.mirror") < seen.rindex(b"ci.apollo")
    ):
        seen += events.stdout.read(65536)
    assert b"interrupted" not in seen, "an answer ends once"


def test_events_as_json(tekton: TektonProcess) -> None:
    process = tekton.begin(
        "events", "--subject", "ci.*.answer.finished", "--json", "-n", "1", program="tekton"
    )

    def is_over() -> bool:
        tekton.aish("mirror", "hello")
        return process.poll() is not None

    wait_for(is_over, "one event")
    assert process.returncode == 0
    assert process.stdout
    event = json.loads(process.stdout.read())
    assert event["subject"] == "ci.mirror.answer.finished"
    assert event["data"]["model"] == "echo/echo"


def test_logs_show_what_happened(tekton: TektonProcess) -> None:
    shown = tekton.tekton("logs", "-n", "1000")
    assert (shown.status, shown.err) == (0, "")
    assert "hermes started" in shown.text
    assert tekton.tekton("logs", "-n", "2").text.splitlines() == shown.text.splitlines()[-2:]


def test_status_tells_pid_and_times_and_sockets(tekton: TektonProcess) -> None:
    found = tekton.tekton("status", "--json").json
    assert tekton.hub
    assert found["pid"] == tekton.hub.pid
    assert 0 < found["uptime_s"] < 600
    assert 1e6 < found["memory"] < 1e9
    names = {entry["name"] for entry in found["services"]}
    assert {"hermes", "engram", "rhetor", "numa"} <= names
    [apollo] = [entry for entry in found["cis"] if entry["name"] == "apollo"]
    assert apollo["socket"] == str(tekton.socket("apollo"))
    assert time.time() - apollo["started_at"] < 600
    shown = tekton.tekton("status")
    assert f"hub: pid {tekton.hub.pid}, up" in shown.text
    assert str(tekton.socket("apollo")) in shown.text


def test_history_finds_what_was_said(tekton: TektonProcess) -> None:
    tekton.aish("mirror", "the quick brown fox")
    tekton.aish("mirror", "a lazy dog")
    found = tekton.history("--search", "quick fox")
    assert [(turn["prompt"], turn["answer"], turn["status"]) for turn in found] == [
        ("the quick brown fox", "the quick brown fox", "complete")
    ]
    shown = tekton.aish("history", "--search", "lazy").text
    assert "a lazy dog" in shown
    assert "fox" not in shown


def test_verbose_and_json_tell_model_tokens_cost_and_times(
    tekton: TektonProcess, ollama: OllamaServer
) -> None:
    ollama.script = Script(tokens=["a ", "b ", "c"])
    ran = tekton.aish("apollo", "one two", "-v")
    assert ran.out == b"a b c\n"
    assert "apollo · ollama/llama3.2:latest · tokens" in ran.err
    assert "→ 3 · cost $0.0000 · first token" in ran.err
    found = tekton.aish("apollo", "one two", "--json").json
    assert found["status"] == "complete"
    assert found["text"] == "a b c"
    assert found["model"] == "ollama/llama3.2:latest"
    assert found["usage"]["output_tokens"] == 3
    assert found["cost_usd"] == 0
    assert 0 < found["time_to_first_token_s"] <= found["elapsed_s"]
    assert "echo: answers with its input" in tekton.aish("mirror", "x", "-v").err


def test_the_options_of_a_prompt(
    tekton: TektonProcess, ollama: OllamaServer, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("remember the milk")
    ran = tekton.aish(
        "apollo", "what is there?", "-m", "ollama/llama3.3:70b", "-s", "Be brief.",
        "-a", str(file), "--no-stream", "-q",
    )  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    [request] = ollama.prompts
    assert request.body["model"] == "llama3.3:70b"
    system, user = request.body["messages"]
    assert system["content"] == "Be brief."
    assert user["content"] == "what is there?\n\nFile notes.txt:\n\nremember the milk"
    assert ran.text == user["content"] + "\n"


def test_an_image_where_the_model_can_take_it(
    tekton: TektonProcess, ollama: OllamaServer, tmp_path: Path
) -> None:
    file = tmp_path / "dot.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    assert tekton.aish("apollo", "what is it?", "-a", str(file)).status == 0
    [request] = ollama.prompts
    assert request.body["messages"][-1]["images"]
    refused = tekton.aish("mirror", "what is it?", "-a", str(file))
    assert (refused.status, refused.out) == (6, b"")
    assert "image" in refused.err


def test_a_timeout(tekton: TektonProcess, ollama: OllamaServer) -> None:
    assert tekton.aish("apollo", "once, so that all is loaded").status == 0
    ollama.requests.clear()
    ollama.script = Script(tokens=["some", "thing"], fault=Fault(FaultKind.HANG, after=1))
    ran = tekton.aish("apollo", "hello", "--timeout", "0.6")
    assert (ran.status, ran.out) == (5, b"some\n")
    assert "apollo did not finish within 0.6 s" in ran.err
    assert ollama.prompts[0].disconnected.wait(5), "the server's work goes on"


def test_a_slow_pipe_of_two_cis_waits_and_the_file_holds_the_answer_alone(
    slow_pipe: Future[tuple[Ran, float]], tekton: TektonProcess
) -> None:
    ran, seconds = slow_pipe.result()
    assert seconds >= 3
    assert (ran.status, ran.out, ran.err) == (0, b"", "")
    text = (tekton.home / "out.txt").read_text()
    assert text.startswith("**Services**: 5 of 5 alive")
    turns = {(turn["ci"], turn["prompt"]) for turn in tekton.history("-n", "100")}
    assert {("numa", "hi\n"), ("athena", text)} <= turns, "each got what the one before it said"


# -- answers held to a schema ------------------------------------------------------------------

_SCHEMA = '{"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}'


@pytest.fixture
def schema_file(tekton: TektonProcess) -> str:
    (tekton.home / "person.json").write_text(_SCHEMA)
    return "person.json"


def test_an_answer_that_fits_a_schema(
    tekton: TektonProcess, ollama: OllamaServer, schema_file: str
) -> None:
    ollama.script = Script(tokens=["```json\n", '{"name": "Ada"}', "\n```\n"])
    ran = tekton.aish("apollo", "who?", "--schema", schema_file)
    assert (ran.status, ran.out, ran.err) == (0, b'{"name": "Ada"}\n', "")
    [request] = ollama.prompts
    assert request.body["format"] == json.loads(_SCHEMA)


def test_an_answer_that_fits_no_schema(
    tekton: TektonProcess, ollama: OllamaServer, schema_file: str
) -> None:
    ollama.script = Script(tokens=['{"name": 5}'])
    ran = tekton.aish("apollo", "who?", "--schema", schema_file)
    assert (ran.status, ran.out) == (6, b"")
    again, error, _ = ran.err.splitlines()
    assert again.startswith("notice: the answer does not fit the schema: $.name: 5")
    assert error.startswith("error: the answer does not fit the schema: $.name: 5")
    assert len(ollama.prompts) == 2
    shown = tekton.aish("apollo,athena", "who?", "--schema", schema_file, "--json")
    assert [json.loads(line)["error"]["kind"] for line in shown.out.splitlines()] == [
        "schema_mismatch", "schema_mismatch",
    ]  # fmt: skip
