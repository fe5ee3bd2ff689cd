"""The hub's life: up, down, killed, beside services of their own, and what it tells of itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.model_servers import Fault, FaultKind, OllamaServer, Script
from tests.scenarios.tekton_process import Ran, TektonProcess, wait_for


@pytest.fixture
def home(ollama_server: OllamaServer, ollama: OllamaServer) -> Iterator[TektonProcess]:
    """A Tekton without a hub."""
    config = f'[models]\ndefault = "ollama/m:latest"\n[providers.ollama]\nurl = "{ollama.url}"\n'
    ollama.script = Script(models=("m:latest",))
    with TektonProcess(config) as tekton:
        yield tekton


def entries(tekton: TektonProcess) -> dict[str, dict[str, Any]]:
    """What `aish list` shows, by name."""
    return {entry["name"]: entry for entry in tekton.aish("list", "--json").json}


def services(tekton: TektonProcess) -> dict[str, dict[str, Any]]:
    """What `tekton status` shows of services, by name."""
    found = tekton.tekton("status", "--json").json["services"]
    return {entry["name"]: entry for entry in found if not entry.get("is_ci")}


def hang(tekton: TektonProcess, ollama: OllamaServer, *arguments: str) -> subprocess.Popen[bytes]:
    """Begin an answer that does not end; returns once its first piece has arrived."""
    ollama.script = Script(
        tokens=["so far", "x"], fault=Fault(FaultKind.HANG, after=1), models=("m:latest",)
    )
    process = tekton.begin("apollo", *arguments)
    assert process.stdout
    assert process.stdout.read(100) == b"so far"
    return process


def test_twenty_cycles_leave_nothing(home: TektonProcess) -> None:
    with TektonProcess() as other, ThreadPoolExecutor() as pool:

        def cycle(tekton: TektonProcess) -> None:
            for _ in range(10):
                tekton.start()
                tekton.stop()

        list(pool.map(cycle, (home, other)))
    assert sorted(file.name for file in (home.home / "run").rglob("*")) == ["ci", "hub.lock"]
    before = {file.name for file in (home.home / "state").rglob("*")}
    assert not [name for name in before if name.endswith(".tmp")]
    assert list(home.processes()) == []


def test_up_and_down_as_a_user_does_it_twice(home: TektonProcess) -> None:
    for _ in range(2):
        up = home.tekton("up", "--json")
        assert up.status == 0, up.err
        pid = up.json["pid"]
        assert {entry["name"] for entry in up.json["cis"]} >= {"apollo", "mirror", "numa"}
        assert psutil.Process(pid).terminal() is None
        assert home.aish("mirror", "hi").out == b"hi\n"
        assert home.tekton("down").status == 0
        assert pid not in home.processes()
        assert home.leftovers() == []
    assert home.tekton("up", "-q") == Ran(0, b"", "")
    assert home.tekton("down").status == 0
    assert home.tekton("down") == Ran(0, b"", "no hub is running\n")


def test_the_hub_is_killed(home: TektonProcess, ollama: OllamaServer) -> None:
    pid = home.start()
    process = hang(home, ollama, "to be killed")
    os.kill(pid, signal.SIGKILL)
    assert process.stderr
    assert process.wait(5) == 4
    assert b"connection was lost" in process.stderr.read()
    assert home.hub
    home.hub.wait()
    home.hub = None
    for arguments in (["mirror", "hi"], ["list"], ["mirror", "hi", "--timeout", "9"]):
        ran = home.aish(*arguments)
        assert (ran.status, ran.out) == (4, b"")
        assert f"the hub (pid {pid}) died" in ran.err
        assert "tekton up" in ran.err
    status = home.tekton("status")
    assert (status.status, status.out) == (4, b"")
    assert f"the hub (pid {pid}) died" in status.err
    assert home.tekton("down") == Ran(0, b"", "no hub is running\n")
    home.start()
    assert home.aish("mirror", "hi").out == b"hi\n"
    [turn] = home.history("--search", "killed")
    assert turn["status"] == "interrupted"
    assert {entry["health"] for entry in entries(home).values()} == {"alive"}


def test_of_two_that_start_at_once_one_serves_and_one_tells(home: TektonProcess) -> None:
    with ThreadPoolExecutor(2) as pool:
        ups = list(pool.map(lambda _: home.tekton("up", "--json"), range(2)))
    first, second = sorted(ups, key=lambda ran: ran.status)
    assert (first.status, second.status) == (0, 1)
    assert second.err.startswith(f"error: a hub runs already: pid {first.json['pid']}, sockets in ")
    assert home.aish("mirror", "hi").out == b"hi\n"
    assert home.tekton("down").status == 0


def test_clean_removes_what_a_killed_hub_left(home: TektonProcess) -> None:
    pid = home.start()
    os.kill(pid, signal.SIGKILL)
    assert home.hub
    home.hub.wait()
    home.hub = None
    assert home.leftovers()
    cleaned = home.tekton("clean")
    assert cleaned.status == 0
    assert "apollo" in cleaned.err
    assert home.leftovers() == []
    assert home.aish("list").err.startswith("error: no hub is running")


def test_the_hub_ends_during_an_answer(home: TektonProcess, ollama: OllamaServer) -> None:
    home.start()
    processes = [hang(home, ollama, "fast"), hang(home, ollama, "full", "--timeout", "60")]
    began = time.monotonic()
    home.stop()
    assert time.monotonic() - began < 8, "`down` waits no longer than 10 s"
    for process in processes:
        assert process.stdout
        assert process.stderr
        assert process.wait(5) == 4
        assert process.stdout.read() == b"\n", "an error stands on a line of its own"
        assert process.stderr.read().decode() == (
            "error: apollo was stopped before its answer was complete\n"
            "hint: `tekton status` shows what runs\n"
        )
    assert all(request.disconnected.wait(5) for request in ollama.prompts)
    home.start()
    assert {turn["prompt"]: (turn["status"], turn["answer"]) for turn in home.history()} == {
        "fast": ("interrupted", "so far"),
        "full": ("interrupted", "so far"),
    }


def test_the_hub_ends_although_a_client_does_not_read(
    home: TektonProcess, ollama: OllamaServer
) -> None:
    home.start()
    ollama.script = Script(tokens=["0123456789abcdef" * 4096] * 200, models=("m:latest",))
    process = home.begin("apollo", "a lot")
    assert process.stdout
    assert process.stdout.read(1) == b"0"
    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    home.stop()
    assert time.monotonic() - began < 8, "`down` waits no longer than 10 s"
    process.kill()


def test_a_client_that_does_not_read_holds_up_nobody(
    home: TektonProcess, ollama: OllamaServer
) -> None:
    pid = home.start()
    assert home.aish("apollo", "once, so that all is loaded").status == 0
    ollama.script = Script(tokens=["0123456789abcdef" * 4096] * 2000, models=("m:latest",))
    before = psutil.Process(pid).memory_info().rss
    process = home.begin("apollo", "a lot")
    assert process.stdout
    assert process.stdout.read(1) == b"0"
    for _ in range(5):
        assert home.aish("mirror", "hi").out == b"hi\n"
    assert psutil.Process(pid).memory_info().rss - before < 50e6, "131 MB would have to wait"
    process.kill()


def test_a_service_alone_serves_the_hub(home: TektonProcess) -> None:
    engram = home.begin("serve", "engram", program="tekton")
    wait_for(home.socket("engram", is_ci=False).exists, "the service")
    pid = home.start()
    found = services(home)
    assert found["engram"]["pid"] == engram.pid
    assert found["hermes"]["pid"] == pid
    assert home.aish("mirror", "remember me") == Ran(0, b"remember me\n", "")
    assert home.history()[0]["prompt"] == "remember me"
    again = home.tekton("serve", "engram")
    assert again.status == 1
    assert f"process {engram.pid}" in again.err

    engram.kill()
    engram.wait()
    ran = home.aish("mirror", "remember me too")
    assert (ran.status, ran.out) == (0, b"remember me too\n")
    assert ran.err.startswith("notice: this turn is not stored: ")
    gone = wait_for(
        lambda: services(home)["engram"]["health"] == "dead" and services(home)["engram"],
        "its death", 2,
    )  # fmt: skip
    assert gone["reason"] == f"its process (pid {engram.pid}) is gone"
    assert home.aish("history").status == 4
    back = home.begin("serve", "engram", program="tekton")
    wait_for(lambda: services(home)["engram"]["health"] == "alive", "its return")
    assert home.aish("mirror", "and me") == Ran(0, b"and me\n", "")
    prompts = [turn["prompt"] for turn in home.history()]
    # what nobody could store is tried again for a while, so it may be there by now
    assert [found for found in prompts if found != "remember me too"] == ["and me", "remember me"]
    assert home.hub
    home.hub.terminate()
    assert home.hub.wait(10) == 0
    home.hub = None
    assert back.poll() is None, "`down` ends what the hub started and nothing else"
    back.send_signal(signal.SIGINT)
    assert back.wait(5) == 0


class Events:
    """All events of a Tekton, from the moment that this is made."""

    def __init__(self, tekton: TektonProcess) -> None:
        self._found: list[dict[str, Any]] = []
        self._process = tekton.begin("events", "--json", program="tekton")
        assert self._process.stdout
        os.set_blocking(self._process.stdout.fileno(), False)
        wait_for(lambda: tekton.aish("mirror", "x") and self._read(), "a first event")

    def wait(self, subject: str) -> dict[str, Any]:
        """Wait for an event; returns it."""

        def found() -> dict[str, Any] | None:
            return next((event for event in self._read() if event["subject"] == subject), None)

        event: dict[str, Any] = wait_for(found, subject)
        return event

    def _read(self) -> list[dict[str, Any]]:
        assert self._process.stdout
        while part := self._process.stdout.read(1 << 20):
            self._found += [json.loads(line) for line in part.splitlines()]
        return self._found


def test_the_death_of_a_served_ci_is_told_within_two_seconds(home: TektonProcess) -> None:
    home.add_persona("icarus", 'role = "flight"\nmodel = "echo/echo"')
    icarus = home.begin("serve", "icarus", program="tekton")
    wait_for(home.socket("icarus").exists, "the CI")
    home.start()
    heard = Events(home)
    assert entries(home)["icarus"]["pid"] == icarus.pid
    assert home.aish("icarus", "up?").out == b"up?\n"
    icarus.kill()
    icarus.wait()
    ended_at = time.time()
    reason = f"its process (pid {icarus.pid}) is gone"
    assert entries(home)["icarus"]["health"] == "dead"
    assert entries(home)["icarus"]["reason"] == reason
    died = heard.wait("ci.icarus.died")
    assert died["at"] - ended_at < 2
    assert died["data"] == {"pid": icarus.pid, "reason": reason}
    ran = home.aish("icarus", "up?")
    assert (ran.status, ran.out) == (3, b"")
    assert reason in ran.err
    assert "tekton serve icarus" in ran.err
    team = home.aish("@flight,mirror", "up?")
    assert team.status == 3
    assert "== icarus: failed ==" in team.text
    assert "== mirror ==" in team.text
    back = home.begin("serve", "icarus", program="tekton")
    wait_for(lambda: home.aish("icarus", "up?").status == 0, "its return")
    back.terminate()
    assert back.wait(5) == 0
    assert home.aish("icarus", "up?").status == 3
    home.tekton("clean")


def test_a_ci_whose_socket_is_gone_comes_back_as_its_error_says(home: TektonProcess) -> None:
    home.start()
    home.socket("mirror").unlink()
    assert "tekton serve mirror" in home.aish("mirror", "hi").err
    mirror = home.begin("serve", "mirror", program="tekton")
    wait_for(lambda: home.aish("mirror", "hi").out == b"hi\n", "its return")
    assert home.hub
    home.hub.terminate()
    assert home.hub.wait(10) == 0
    home.hub = None
    assert home.aish("mirror", "hi").out == b"hi\n", "the hub leaves alone what is not its own"
    mirror.terminate()
    assert mirror.wait(5) == 0


def test_every_end_of_an_answer_is_an_event(home: TektonProcess, ollama: OllamaServer) -> None:
    home.start()
    heard = Events(home)
    ollama.script = Script(fault=Fault(FaultKind.STATUS), models=("m:latest",))
    home.aish("apollo", "fail")
    assert "500" in heard.wait("ci.apollo.answer.failed")["data"]["error"]
    process = hang(home, ollama, "stop")
    process.send_signal(signal.SIGINT)
    heard.wait("ci.apollo.answer.interrupted")
    heard.wait("ci.apollo.answer.started")


def test_personas_come_change_and_go_while_the_hub_runs(home: TektonProcess) -> None:
    home.add_persona("early", 'role = "first"\nmodel = "echo/echo"')
    home.start()
    heard = Events(home)
    assert home.aish("early", "hi").out == b"hi\n"
    home.add_persona("early", 'role = "changed"\nmodel = "echo/echo"')
    added = home.tekton("ci", "add", "late", "--role", "second", "--model", "echo/echo")
    assert added.status == 0, added.err
    heard.wait("ci.late.started")
    assert home.aish("late", "hi").out == b"hi\n"
    wait_for(lambda: entries(home)["early"]["role"] == "changed", "its change")
    late = entries(home)["late"]
    assert (late["role"], late["health"]) == ("second", "alive"), "though it was made anew"
    assert home.tekton("ci", "remove", "late").status == 0
    heard.wait("ci.late.stopped")
    wait_for(lambda: "late" not in entries(home), "its going")
    assert home.aish("late", "hi").status == 3
    assert home.tekton("serve", "late").status == 3


def test_debug_logs_of_all_or_of_single_components(home: TektonProcess) -> None:
    home.start()
    home.aish("apollo", "a secret question")
    home.stop()
    assert " DEBUG " not in home.log()
    assert "a secret question" not in home.log()
    home.start("--debug")
    home.aish("apollo", "hi")
    home.stop()
    size = len(home.log())
    home.environment["TEKTON_DEBUG"] = "hermes,providers"
    home.start()
    home.aish("apollo", "hi")
    home.stop()
    lines = [line for line in home.log()[size:].splitlines() if " DEBUG " in line]
    assert all(" backends.hermes" in line or " backends.providers" in line for line in lines)


def test_logs_go_on_after_they_were_rotated(home: TektonProcess) -> None:
    home.configure("[logs]\nmax_bytes = 2000\n")
    home.start()
    follow = home.begin("logs", "-f", "-n", "1", program="tekton")
    assert follow.stdout
    assert b"started" in follow.stdout.readline(), "it has come to the end of what there is"
    names = [f"guest-{number}" for number in range(20)]
    for name in names:
        home.add_persona(name, 'model = "echo/echo"')
    seen = b""
    while not all(f"{name} started".encode() in seen for name in names):
        part = follow.stdout.read(65536)
        assert part, seen
        seen += part
    assert (home.home / "state" / "logs" / "hub.log.1").exists()
    assert seen.count(b"started") == len(names)


def test_a_foreground_hub_ends_with_ctrl_c(home: TektonProcess) -> None:
    hub = home.begin("up", "--foreground", program="tekton")
    assert hub.stderr
    seen = b""
    while b"mirror started" not in seen:
        seen += hub.stderr.read(65536)
    assert home.aish("mirror", "hi").out == b"hi\n"
    hub.send_signal(signal.SIGINT)
    assert hub.wait(10) == 0
    assert home.leftovers() == []


def test_serve_knows_its_names(home: TektonProcess) -> None:
    ran = home.tekton("serve", "nothing")
    assert (ran.status, ran.out) == (3, b"")
    assert ran.err.startswith("error: no service or CI named 'nothing'\nhint: there are: ")


def test_a_store_that_cannot_be_opened_leaves_everybody_else_up(home: TektonProcess) -> None:
    (home.home / "state").mkdir()
    (home.home / "state" / "engram.db").write_text("this is no database, whatever its name says")
    ran = home.tekton("up", "-q")
    assert ran.status == 0
    assert "warning: engram cannot start: " in ran.err
    assert "engram.db" in ran.err
    said = home.aish("mirror", "hi")
    assert (said.status, said.out) == (0, b"hi\n")
    assert "notice: this turn is not stored: engram is gone: " in said.err
    found = home.tekton("status", "--json").json["services"]
    assert {entry["name"]: entry["health"] for entry in found}["engram"] == "dead"
    assert home.aish("history").status == 4
    assert home.tekton("down").status == 0
    assert home.leftovers() == []


def test_a_relative_home_is_the_same_for_all(home: TektonProcess) -> None:
    home.environment["TEKTON_HOME"] = os.path.relpath(home.home, home.home.parent)
    environment = home.environment
    folder = home.home.parent
    ran = subprocess.run(
        ["tekton", "up", "-q"], cwd=folder, env=environment, check=False, capture_output=True
    )
    assert ran.returncode == 0, ran.stderr
    try:
        said = subprocess.run(
            ["aish", "mirror", "hi"], cwd=folder, env=environment, check=False,
            capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert said.stdout == b"hi\n", said.stderr
    finally:
        subprocess.run(["tekton", "down"], cwd=folder, env=environment, check=True)
    home.environment["TEKTON_HOME"] = str(home.home)


def test_a_home_with_a_long_path(home: TektonProcess) -> None:
    """Sockets then lie in a short private folder, which client and hub compute alike."""
    long = home.home / ("long-" * 20)
    long.mkdir()
    home.environment["TEKTON_HOME"] = str(long)
    assert home.tekton("up", "-q").status == 0
    try:
        assert home.aish("mirror", "hi").out == b"hi\n"
        where = Path(home.tekton("status", "--json").json["services"][0]["socket"])
        assert len(os.fsencode(where)) < 100
        assert where.parent.stat().st_mode & 0o777 == 0o700
    finally:
        assert home.tekton("down").status == 0
    (where.parent / "hub.lock").unlink()
    (where.parent / "ci").rmdir()
    where.parent.rmdir()
    home.environment["TEKTON_HOME"] = str(home.home)


def test_restart_starts_anew_what_runs_or_does_not(home: TektonProcess) -> None:
    assert home.tekton("restart", "-q") == Ran(0, b"", "")
    before = home.tekton("status", "--json").json["pid"]
    again = home.tekton("restart", "--json")
    assert again.status == 0, again.err
    assert again.json["pid"] != before
    assert before not in home.processes()
    home.configure("[tcp]\nenabled = 3\n")
    refused = home.tekton("restart")
    assert (refused.status, refused.out) == (1, b"")
    assert "config.toml, line 2" in refused.err
    assert home.aish("mirror", "hi").out == b"hi\n", "the hub stays where a new one could not be"
    assert home.tekton("down", "-q") == Ran(0, b"", "")


def test_a_ci_that_is_broken_keeps_nobody_else_away(home: TektonProcess) -> None:
    home.add_persona("zeus", "role = 3")
    up = home.tekton("up")
    try:
        assert up.status == 0, up.err
        assert "zeus is left out: " in up.err
        assert "zeus.toml, line 1: role must be a string" in up.err
        assert home.aish("mirror", "hi").out == b"hi\n"
        status = home.tekton("status")
        assert "zeus.toml, line 1: role must be a string" in status.err
        assert len([line for line in status.err.splitlines() if "zeus" in line]) == 1
        served = home.tekton("serve", "zeus")
        assert served.status == 1
        assert "error: " in served.err
        assert "zeus.toml, line 1: role must be a string" in served.err.rpartition("error: ")[2]
        home.add_persona("mirror", "model = ")  # it breaks while the hub runs
        home.add_persona("zeus", 'model = "echo/echo"')
        wait_for(lambda: home.aish("zeus", "hi").out == b"hi\n", "the one that was mended")
        assert home.aish("mirror", "hi").out == b"hi\n", "it goes on as it was"
    finally:
        home.tekton("down")


def test_a_port_that_is_taken_is_told_with_its_name_and_remedy(home: TektonProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        home.configure(f"[tcp]\nenabled = true\nports = {{hermes = {port}}}\n")
        ran = home.tekton("up")
    assert ran.status == 1
    assert f"hermes cannot listen on 127.0.0.1:{port}" in ran.err
    assert "`tekton config set tcp.ports.hermes PORT`" in ran.err


def test_debug_lines_of_one_component(home: TektonProcess) -> None:
    home.environment["TEKTON_DEBUG"] = "hermes,apollo"
    home.start()
    assert home.aish("apollo", "a secret question").status == 0
    assert home.aish("mirror", "hi").status == 0
    home.tekton("status")
    lines = [line for line in home.log().splitlines() if " DEBUG " in line]
    names = {line.split()[2].rstrip(":") for line in lines}
    assert {name.split(".")[1] for name in names} == {"hermes", "apollo"}
    assert any("backends.hermes: list from" in line for line in lines), lines
    assert any("event ci.mirror.answer.started" in line for line in lines), lines
    assert any("ollama/m:latest" in line for line in lines), lines
    assert "a secret question" not in home.log()
    assert "backends.hermes: service hermes started" in home.log()
    assert "backends.mirror: CI mirror started" in home.log()


def test_an_interrupt_of_up_leaves_a_whole_hub(home: TektonProcess) -> None:
    up = home.begin("up", program="tekton")
    wait_for((home.home / "state" / "hub.json").exists, "a hub that starts")
    up.send_signal(signal.SIGINT)
    assert up.stderr
    assert b"Traceback" not in up.stderr.read()
    assert up.wait(5) in (-signal.SIGINT, 0)
    wait_for(lambda: home.aish("mirror", "hi").out == b"hi\n", "the hub, which has not noticed")
    assert home.tekton("down").status == 0
    assert home.leftovers() == []


def test_a_log_that_nobody_reads_on_is_quiet(home: TektonProcess) -> None:
    home.start()
    ran = home.shell("tekton logs -f -n 5 | head -n 1; aish mirror hi; aish mirror hi")
    assert ran.status == 0
    assert ran.err == ""


def test_the_last_lines_of_a_component_are_its_own(home: TektonProcess) -> None:
    home.start()
    found = home.tekton("logs", "--component", "engram", "-n", "1").text.splitlines()
    assert len(found) == 1, "the last lines of the whole log are those of CIs"
    assert "service engram started" in found[0]


def test_what_was_printed_first_comes_first_in_one_pipe(home: TektonProcess) -> None:
    home.configure("")
    home.start()
    both = home.shell("aish list 2>&1").text
    assert both.index("apollo") < both.index("tekton doctor")
