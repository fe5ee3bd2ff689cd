"""`tekton doctor`: what it finds, what it advises, and that nothing holds it up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer

from backends.commands.checks import State, check_store
from backends.commands.doctor import doctor
from backends.config import PORTS, Config
from backends.hub_record import write_hub_record
from backends.paths import find_paths, private_folder
from backends.personas import built_in_personas
from backends.providers.models import Models
from backends.tokens import TokenStore
from tests.backends.commands.running import run, script
from tests.model_servers import Fault, FaultKind, OllamaServer, OpenAIServer, Script
from tests.scenarios.tekton_process import BIN, TektonProcess

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
app.command()(doctor)


def configure(text: str) -> None:
    file = find_paths().config_file
    private_folder(file.parent)
    file.write_text(text, encoding="utf-8")


def check_up() -> dict[str, list[dict[str, Any]]]:
    """Run it; return the checks by name, after a look whether the status fits them."""
    ran = run(app, "--json")
    found = json.loads(ran.out)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for check in found["checks"]:
        by_name.setdefault(check["name"], []).append(check)
    states = [check["state"] for check in found["checks"]]
    assert found["problems"] == states.count("problem")
    assert found["warnings"] == states.count("warning")
    assert ran.status == (1 if found["problems"] else 0)
    assert all(check["fix"] for check in found["checks"] if check["state"] != "ok")
    return by_name


def only(checks: dict[str, list[dict[str, Any]]], name: str) -> dict[str, Any]:
    (check,) = checks[name]
    return check


def bad(checks: dict[str, list[dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    return [check for check in checks.get(name, []) if check["state"] != "ok"]


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TektonProcess]:
    with TektonProcess() as process:
        monkeypatch.setenv("TEKTON_HOME", str(process.home))
        process.start()
        yield process


# -- a new machine ---------------------------------------------------------------------------


def test_a_new_machine_lacks_a_model_and_a_hub() -> None:
    checks = check_up()
    assert only(checks, "hub")["state"] == "warning"
    assert only(checks, "hub")["fix"] == "`tekton up`"
    assert only(checks, "ollama")["state"] == "warning"
    assert "`ollama serve`" in only(checks, "ollama")["fix"]
    assert "`tekton key set anthropic`" in only(checks, "anthropic")["fix"]
    assert only(checks, "auto")["state"] == "problem"
    assert "ollama pull" in only(checks, "auto")["fix"]
    assert "echo" not in checks
    for name in ("program", "config", "folders", "database", "disk", "tcp"):
        assert {check["state"] for check in checks[name]} == {"ok"}


def test_it_changes_nothing(tekton_home: Path) -> None:
    check_up()
    assert list(tekton_home.iterdir()) == []


def test_with_a_model_only_the_hub_is_missing(ollama: OllamaServer) -> None:
    checks = check_up()
    assert "2 models: llama3.3:70b, llama3.2:latest; costs nothing; no key needed" in str(
        checks["ollama"]
    )
    auto = only(checks, "auto")
    assert auto["message"] == (
        "ollama/llama3.3:70b: the first of ollama, openai that answers and costs nothing"
    )
    # What nobody has asked for is no reason to warn.
    assert only(checks, "anthropic")["state"] == "ok"
    assert "not usable" in only(checks, "anthropic")["message"]
    assert [name for name in checks if bad(checks, name)] == ["hub"]


def test_each_line_has_word_sign_and_command(ollama: OllamaServer) -> None:
    ran = run(app)
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert any(line.startswith("✓ ok       ollama     2 models") for line in lines)
    number = next(n for n, line in enumerate(lines) if line.startswith("! warning  hub"))
    assert lines[number + 1].strip() == "→ `tekton up`"
    assert lines[-1] == "1 warning"
    assert ran.err == ""


def test_an_output_without_unicode_gets_ascii() -> None:
    ran = subprocess.run(
        [BIN / "tekton", "doctor"], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert ran.returncode == 1
    assert "x problem  auto" in ran.stdout
    assert "-> `tekton up`" in ran.stdout
    assert ran.stderr == ""


# -- settings and files ----------------------------------------------------------------------


def test_settings_that_are_not_valid_are_a_problem_and_the_rest_goes_on() -> None:
    configure("[tcp]\nenabled = 3\n")
    checks = check_up()
    config = only(checks, "config")
    assert config["state"] == "problem"
    assert "config.toml, line 2: tcp.enabled must be true or false" in config["message"]
    assert "`tekton config edit`" in config["fix"]
    for name in ("database", "tcp", "ollama", "auto"):
        assert "by the defaults, as the settings cannot be read" in only(checks, name)["message"]


def test_a_variable_that_is_not_valid_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEKTON_TCP_ENABLED", "perhaps")
    ran = run(app, "--json")
    assert "TEKTON_TCP_ENABLED must be true or false" in ran.out


def test_every_ci_that_cannot_be_read_is_a_problem() -> None:
    folder = find_paths().personas
    folder.mkdir(parents=True)
    (folder / "zeus.toml").write_text("role = 3")
    (folder / "all.toml").write_text("")
    (folder / "hera.toml").write_text('role = "queen"')
    reserved, zeus = check_up()["ci"]
    assert reserved["state"] == zeus["state"] == "problem"
    assert "all.toml" in reserved["fix"]
    assert zeus["fix"] == "`tekton ci edit zeus` opens it"


def test_a_folder_that_is_open_to_others_is_a_warning() -> None:
    state = private_folder(find_paths().state)
    state.chmod(0o755)
    (found,) = bad(check_up(), "folders")
    assert found["state"] == "warning"
    assert found["fix"] == f"`chmod 700 {state}`"


def test_a_link_in_the_place_of_a_folder_is_a_problem(tmp_path: Path) -> None:
    find_paths().runtime.symlink_to(tmp_path)
    (found,) = bad(check_up(), "folders")
    assert found["state"] == "problem"
    assert "is not a folder of this user" in found["message"]


def test_a_folder_that_cannot_be_made_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TEKTON_HOME", str(tmp_path / "file"))
    assert {check["state"] for check in bad(check_up(), "folders")} == {"problem"}


def test_a_folder_of_sockets_that_is_open_to_others_is_a_problem() -> None:
    runtime = private_folder(find_paths().runtime)
    runtime.chmod(0o750)
    (found,) = bad(check_up(), "folders")
    assert found["state"] == "problem"
    assert found["fix"] == f"`chmod 700 {runtime}`"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_is_not_writable_is_a_problem(
    is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_there:
        private_folder(find_paths().state)
    monkeypatch.setattr(os, "access", lambda path, wanted: False)  # root may always write
    found = bad(check_up(), "folders")
    assert {check["state"] for check in found} == {"problem"}
    assert any("state is not writable" in check["message"] for check in found) == is_there


def test_a_long_home_has_a_short_folder_of_sockets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEKTON_HOME", str(tmp_path / ("x" * 90)))
    checks = check_up()
    assert not bad(checks, "folders")
    assert "/tmp/tekton-" in str(checks["folders"])


def test_secrets_that_others_may_read_are_a_warning() -> None:
    paths = find_paths()
    private_folder(paths.keys)
    (paths.keys / "anthropic").write_text("k")
    (paths.keys / "anthropic").chmod(0o640)
    TokenStore(paths.tokens).create("laptop", 0.0)
    paths.tokens.chmod(0o604)
    fixes = [check["fix"] for check in bad(check_up(), "secrets")]
    assert fixes == [f"`chmod 600 {paths.keys / 'anthropic'}`", f"`chmod 600 {paths.tokens}`"]


# -- the store -------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_a_problem() -> None:
    paths = find_paths()
    private_folder(paths.state)
    paths.turns.write_bytes(b"no database" * 1000)
    found = only(check_up(), "database")
    assert found["state"] == "problem"
    assert found["fix"].startswith(f"`mv {paths.turns} ")
    assert paths.turns.read_bytes() == b"no database" * 1000


def test_a_database_that_is_locked_is_a_warning() -> None:
    paths = find_paths()
    private_folder(paths.state)
    with closing(sqlite3.connect(paths.turns, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("BEGIN IMMEDIATE")
        found = only(check_up(), "database")
    assert found["state"] == "warning"
    assert "locked" in found["message"]
    assert "can be written" in only(check_up(), "database")["message"]


@pytest.mark.parametrize(
    ("free", "state"),
    [(10**12, State.OK), (100_000_000, State.WARNING), (1_000_000, State.PROBLEM)],
)
def test_a_disk_that_fills_up_is_told(
    free: int, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 0, free))
    found = {check.name: check.state for check in check_store(find_paths(), Config())}
    assert found["disk"] is state


def test_turns_that_are_not_stored_are_told() -> None:
    configure("[engram]\nenabled = false\n")
    assert "not stored" in only(check_up(), "database")["message"]


# -- TCP -------------------------------------------------------------------------------------


def test_tcp_without_tokens_and_with_old_lines_is_a_warning() -> None:
    configure("[tcp]\nenabled = true\nlegacy = true\n")
    legacy, token = bad(check_up(), "tcp")
    assert "without a token" in legacy["message"]
    assert token["fix"] == "`tekton token create NAME`"
    assert {legacy["state"], token["state"]} == {"warning"}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_tcp_on_this_machine_with_a_token_is_fine(host: str) -> None:
    configure(f'[tcp]\nenabled = true\nhost = "{host}"\n')
    TokenStore(find_paths().tokens).create("laptop", 0.0)
    found = only(check_up(), "tcp")
    assert (found["state"], found["message"]) == ("ok", f"on, at {host}; 1 token")


@pytest.mark.parametrize(
    "host", ["127.0.0.1.evil.com", "localhost.evil.com", "", "10.0.0.1", "0.0.0.0"]
)
def test_listening_beyond_this_machine_is_a_problem(host: str) -> None:
    configure(f'[tcp]\nenabled = true\nhost = "{host}"\n')
    (found,) = bad(check_up(), "config")
    assert "line 3: tcp.host must be one of" in found["message"]


def test_a_broken_file_of_tokens_is_a_problem() -> None:
    configure("[tcp]\nenabled = true\n")
    find_paths().tokens.write_text("{")
    (found,) = bad(check_up(), "tcp")
    assert found["state"] == "problem"


ANY_PORTS = "ports = {" + ", ".join(f"{name} = 0" for name in PORTS) + "}\n"
LISTENING = "[tcp]\nenabled = true\n" + ANY_PORTS


@pytest.fixture
def listening_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[TektonProcess]:
    with TektonProcess(LISTENING) as process:
        monkeypatch.setenv("TEKTON_HOME", str(process.home))
        process.start()
        yield process


def test_a_hub_that_listens_although_the_settings_say_off_is_told(
    listening_hub: TektonProcess,
) -> None:
    listening_hub.configure("")
    found = only(check_up(), "tcp")
    assert found["state"] == "warning"
    assert "the settings say off, but the running hub listens at tcp://127" in found["message"]
    assert f"and {len(PORTS) - 1} more" in found["message"]
    assert found["fix"] == "`tekton restart`"


def test_a_hub_that_does_not_listen_although_the_settings_say_on_is_told(
    hub: TektonProcess,
) -> None:
    hub.configure("[tcp]\nenabled = true\n")
    found = check_up()
    assert "on, but the running hub does not listen" in found["tcp"][0]["message"]
    assert found["tcp"][0]["fix"] == "`tekton restart`"


def test_a_hub_that_listens_as_the_settings_say_is_told_with_its_address(
    listening_hub: TektonProcess,
) -> None:
    TokenStore(find_paths().tokens).create("laptop", 0.0)
    found = only(check_up(), "tcp")
    assert (found["state"], found["fix"]) == ("ok", None)
    assert "the hub listens at tcp://127.0.0.1:" in found["message"]


def test_a_hub_that_listens_elsewhere_is_told(listening_hub: TektonProcess) -> None:
    listening_hub.configure(LISTENING.replace("hermes = 0", "hermes = 1"))
    found = check_up()["tcp"][0]
    assert found["state"] == "warning"
    assert "hermes listens at tcp://127.0.0.1:" in found["message"]
    assert "not at port 1 of 127.0.0.1" in found["message"]


# -- providers -------------------------------------------------------------------------------


def test_a_key_is_told_by_its_source_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-very-secret")
    configure('[models]\ndefault = "anthropic"\n')
    ran = run(app)
    assert ran.status == 0
    assert "costs money; key: the environment variable ANTHROPIC_API_KEY" in ran.out
    assert "[models] default names it" in ran.out
    assert "sk-very-secret" not in ran.out + ran.err


def test_models_are_listed_to_choose_from(ollama: OllamaServer) -> None:
    ollama.script = Script(models=tuple(f"m{number}" for number in range(12)))
    found = only(check_up(), "ollama")["message"]
    assert found.startswith("12 models: m0, m1, ")
    assert "m9 and 2 more; costs nothing" in found
    assert "m10" not in found


def test_auto_takes_nothing_that_costs_money(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    checks = check_up()
    assert only(checks, "anthropic")["state"] == "ok"
    assert only(checks, "auto")["state"] == "problem"
    assert "`tekton config set models.default anthropic`" in only(checks, "auto")["fix"]


def test_a_key_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with OpenAIServer(Script(key="right")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        found = only(check_up(), "openai")
    assert found["state"] == "warning"
    assert "refuses the key" in found["message"]
    assert "key: the environment variable OPENAI_API_KEY" in found["message"]


@pytest.mark.parametrize(
    ("default", "state", "said"),
    [
        ("ollama/llama3.2", "ok", "[models] default names it"),
        ("ollama", "ok", "ollama/llama3.3:70b: [models] default names it"),
        ("ollama/nothing", "warning", "does not list"),
        ("nothing", "problem", "no provider has a model named 'nothing'"),
        ("anthropic/claude", "problem", "anthropic has no key"),
    ],
)
def test_a_model_of_the_settings_is_looked_up(
    default: str, state: str, said: str, ollama: OllamaServer
) -> None:
    configure(f'[models]\ndefault = "{default}"\n')
    found = only(check_up(), "auto")
    assert found["state"] == state
    assert said in found["message"]


def test_the_order_of_the_settings_is_followed(ollama: OllamaServer) -> None:
    configure('[models]\norder = ["anthropic", "ollama"]\n')
    checks = check_up()
    assert "the first of [models] order that answers" in only(checks, "auto")["message"]
    assert only(checks, "anthropic")["state"] == "warning"


def test_an_order_with_an_unknown_provider_is_a_problem() -> None:
    configure('[models]\norder = ["olama"]\n')
    found = only(check_up(), "auto")
    assert found["state"] == "problem"
    assert "no provider named 'olama'" in found["message"]


def test_settings_of_a_provider_that_cannot_be_used_are_a_problem() -> None:
    configure('[providers.ollama]\nurl = "gopher://x"\n[providers.mine]\ntype = "nothing"\n')
    checks = check_up()
    assert "gopher" in only(checks, "ollama")["message"]
    assert "no plug-in 'nothing'" in only(checks, "mine")["message"]
    assert only(checks, "ollama")["state"] == only(checks, "mine")["state"] == "problem"


def test_a_plug_in_that_breaks_breaks_nothing_else(
    ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Models.provider

    def broken(self: Models, name: str) -> Any:
        if name == "openai":
            raise ZeroDivisionError("oh")
        return made(self, name)

    monkeypatch.setattr(Models, "provider", broken)
    checks = check_up()
    assert only(checks, "openai")["message"] == "its plug-in failed: ZeroDivisionError: oh"
    assert only(checks, "auto")["state"] == "ok"


def test_a_plug_in_that_breaks_is_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.providers.openai.OpenAIProvider.probe", lambda *_: 1 / 0)
    configure('[models]\norder = ["openai"]\n')
    found = only(check_up(), "auto")
    assert found["state"] == "problem"
    assert "ZeroDivisionError" in found["message"]


def test_nothing_that_hangs_holds_it_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mute = Script(fault=Fault(FaultKind.MUTE))
    hang = script(tmp_path / "hang", f"echo $$ >> {tmp_path}/pids; exec sleep 60")
    configure(
        f'[providers.anthropic]\nkey_command = "{hang}"\n'
        f'[providers.mine]\ntype = "openai"\nkey_command = "{hang}"\n'
    )
    with OllamaServer(mute) as ollama, OpenAIServer(mute) as openai:
        monkeypatch.setenv("OLLAMA_HOST", ollama.url)
        monkeypatch.setenv("OPENAI_BASE_URL", openai.base_url)
        began = time.monotonic()
        ran = subprocess.run(
            [BIN / "tekton", "doctor", "--json"], capture_output=True, text=True, check=False
        )
        elapsed = time.monotonic() - began
    for pid in (tmp_path / "pids").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    assert ran.returncode == 1, ran.stderr
    assert ran.stderr == ""
    found = {check["name"]: check["message"] for check in json.loads(ran.stdout)["checks"]}
    for name in ("ollama", "openai", "anthropic", "mine"):
        assert "within" in found[name], found[name]
    assert elapsed < 5, "a key command may take ten seconds, and a mute server for ever"


# -- the hub ---------------------------------------------------------------------------------


def test_a_running_hub_is_looked_at(hub: TektonProcess, ollama: OllamaServer) -> None:
    assert hub.hub is not None
    cis = len(built_in_personas()) + 1  # numa
    checks = check_up()
    assert f"running, pid {hub.hub.pid}, up" in only(checks, "hub")["message"]
    assert checks["services"][0]["message"] == f"5 services and {cis} CIs are alive"
    # This shell has a model server that the hub was not told of.
    missing = checks["services"][1]
    assert missing["state"] == "warning"
    assert "no model in the hub for apollo, athena" in missing["message"]
    assert "`tekton restart`" in missing["fix"]
    assert "the hub may have another environment" in only(checks, "auto")["message"]


def test_a_model_that_only_the_hub_finds_is_a_warning(
    ollama: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TektonProcess(variables={"OLLAMA_HOST": ollama.url}) as process:
        process.start()
        monkeypatch.setenv("TEKTON_HOME", str(process.home))
        monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
        found = only(check_up(), "auto")
    assert found["state"] == "warning"
    assert "the hub answers with ollama/llama3.3:70b" in found["message"]


def test_a_hub_that_is_older_than_the_settings_is_told(hub: TektonProcess) -> None:
    hub.configure("[logs]\n")
    found = only(check_up(), "hub")
    assert found["state"] == "warning"
    assert "config.toml was changed after it had started" in found["message"]
    assert found["fix"] == "`tekton restart`"


def test_a_ci_that_is_gone_is_a_problem(hub: TektonProcess) -> None:
    hub.socket("apollo").unlink()
    (found,) = (check for check in bad(check_up(), "services") if check["state"] == "problem")
    assert "apollo is dead: its socket" in found["message"]
    assert found["fix"] == "`tekton serve apollo`"


def test_a_directory_that_is_gone_is_a_problem(hub: TektonProcess) -> None:
    hub.socket("hermes", is_ci=False).unlink()
    found = only(check_up(), "services")
    assert found["state"] == "problem"
    assert found["message"].startswith("hermes is gone")


def test_a_hub_that_does_not_answer_is_a_problem(hub: TektonProcess) -> None:
    assert hub.hub is not None
    os.kill(hub.hub.pid, signal.SIGSTOP)
    try:
        found = only(check_up(), "services")
    finally:
        os.kill(hub.hub.pid, signal.SIGCONT)
    assert found["state"] == "problem"
    assert "does not answer within" in found["message"]
    assert found["fix"] == "`tekton restart`"


def test_a_hub_that_was_killed_is_told(hub: TektonProcess) -> None:
    assert hub.hub is not None
    pid = hub.hub.pid
    hub.hub.kill()
    hub.hub.wait()
    hub.hub = None
    checks = check_up()
    assert f"(pid {pid}) died without saying goodbye" in only(checks, "hub")["message"]
    assert "records of services and CIs that are gone" in only(checks, "services")["message"]


def test_a_hub_that_ended_well_is_no_news() -> None:
    paths = find_paths()
    private_folder(paths.state)
    write_hub_record(paths, {"pid": 1, "started_at": 1.0, "ended_at": 2.0})
    assert only(check_up(), "hub")["message"] == "not running"


def test_help_opens_with_an_example() -> None:
    assert run(app, "--help").out.strip().splitlines()[2].strip().startswith("tekton doctor")
